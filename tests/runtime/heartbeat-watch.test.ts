import { getEventListeners } from 'node:events';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HeartbeatWatch, type Lost } from '../../src/actors/runtime/heartbeat-watch.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';

const test = suite('HeartbeatWatch');

const owner = { kind: 'scenario', id: 's' };
const monitor = (key: string) => ({ key, kind: 'runner', body: { silenceMs: 100, stallMs: 300 } });

function watchWith(isGone: () => Promise<boolean> = async () => false) {
  const clock = new VirtualClock();
  const over = new AbortController();
  const lost: Lost[] = [];
  const link = { up: true };
  const watch = new HeartbeatWatch(
    clock,
    10,
    () => link.up,
    (_owner, what) => lost.push(what),
    isGone,
    over.signal,
  );
  return { clock, over, lost, link, watch };
}

/** Beats every 20 ms for a while. */
async function beating(
  { clock, watch }: { clock: VirtualClock; watch: HeartbeatWatch },
  forMs: number,
  progress: (i: number) => number,
): Promise<void> {
  for (let i = 0; i < forMs / 20; i++) {
    watch.beat('k', progress(i));
    await clock.advance(20);
  }
}

test('H1: one that never beats is lost `silenceMs` after its monitoring began', async () => {
  const { clock, lost, watch } = watchWith();
  await clock.advance(1_000);
  watch.settle(owner, [monitor('k')]);
  await clock.advance(100);
  assert.equal(lost, []);
  await clock.advance(10);
  assert.equal(
    lost.map(({ key, cause }) => [key, cause]),
    [['k', 'silent']],
  );
});

test('H1: naming it again does not start its clock again', async () => {
  const { clock, lost, watch } = watchWith();
  for (let i = 0; i < 6; i++) {
    watch.settle(owner, [monitor('k')]);
    await clock.advance(20);
  }
  assert.is(lost.length, 1);
});

test('H2: beats keep it alive; their end is reported once', async () => {
  const all = watchWith();
  all.watch.settle(owner, [monitor('k')]);
  await beating(all, 1_000, i => i);
  assert.equal(all.lost, []);
  await all.clock.advance(1_000);
  assert.is(all.lost.length, 1);
  all.watch.settle(owner, [monitor('k')]);
  await all.clock.advance(1_000);
  assert.is(all.lost.length, 1);
});

test('H2: beats without progress for `stallMs` are loss too', async () => {
  const all = watchWith();
  all.watch.settle(owner, [monitor('k')]);
  await beating(all, 200, i => i);
  await beating(all, 280, () => 9);
  assert.equal(all.lost, []);
  await beating(all, 60, () => 9);
  assert.equal(
    all.lost.map(({ cause }) => cause),
    ['stalled'],
  );
});

test('H2: what is no longer monitored is not missed, and beats of strangers are nothing', async () => {
  const { clock, lost, watch } = watchWith();
  watch.settle(owner, [monitor('k'), monitor('l')]);
  watch.settle(owner, [monitor('l')]);
  watch.settle(owner, []);
  watch.beat('stranger', 1);
  await clock.advance(1_000);
  assert.equal(lost, []);
});

test('H3: a watcher that was late starts every clock again', async () => {
  const clock = new VirtualClock();
  const lost: Lost[] = [];
  // A clock whose timers are held back while its time goes on: the process was paused.
  let paused = 0;
  const late = { ...bound(clock), monotonic: () => clock.monotonic() + paused };
  const watch = new HeartbeatWatch(
    late,
    10,
    () => true,
    (_o, what) => lost.push(what),
    async () => false,
    new AbortController().signal,
  );
  watch.settle(owner, [monitor('k')]);
  await clock.advance(50);
  paused = 5_000;
  await clock.advance(100);
  assert.equal(lost, []);
  await clock.advance(20);
  assert.is(lost.length, 1);
});

test('H3: while cut off nothing is lost, and after it every clock starts again', async () => {
  const { clock, lost, link, watch } = watchWith();
  watch.settle(owner, [monitor('k')]);
  link.up = false;
  await clock.advance(1_000);
  link.up = true;
  await clock.advance(100);
  assert.equal(lost, []);
  await clock.advance(30);
  assert.is(lost.length, 1);
});

test('H4: what its keeper does not know is lost at once, without waiting for silence; once', async () => {
  const { clock, lost, watch } = watchWith(async () => true);
  watch.settle(owner, [monitor('k')]);
  await clock.settle();
  assert.equal(lost, [{ key: 'k', cause: 'gone', forMs: 0 }]);
  await clock.advance(1_000);
  assert.is(lost.length, 1);
});

test('H4: an answer about one that is no longer monitored is nothing', async () => {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const { clock, lost, watch } = watchWith(() => promise);
  watch.settle(owner, [monitor('k')]);
  watch.settle(owner, []);
  resolve(true);
  await clock.settle();
  assert.equal(lost, []);
});

test('H4: a keeper that cannot be asked has said nothing', async () => {
  const { clock, lost, watch } = watchWith(() => Promise.reject(new Error('no such node')));
  watch.settle(owner, [monitor('k')]);
  await clock.advance(50);
  assert.equal(lost, []);
  await clock.advance(100);
  assert.is(lost.length, 1);
});

test('a watch ends with its signal and keeps nothing of its ticks', async () => {
  const { clock, over } = watchWith();
  await clock.advance(1_000);
  assert.equal([clock.pending, getEventListeners(over.signal, 'abort').length], [1, 1]);
  over.abort();
  assert.is(clock.pending, 0);
});

const bound = (clock: VirtualClock) => ({
  now: () => clock.now(),
  timer: clock.timer.bind(clock),
  sleep: clock.sleep.bind(clock),
});

test.run();
