import { getEventListeners } from 'node:events';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HeartbeatWatch, type Lost } from '../../src/actors/runtime/heartbeat-watch.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';
import { JumpingClock } from '../support/jumping-clock.ts';

const test = suite('HeartbeatWatch');

const owner = { kind: 'scenario', id: 's' };
const monitor = (key: string) => ({ key, kind: 'runner', body: { silenceMs: 100, stallMs: 300 } });

function watchWith(isGone: () => Promise<boolean> = async () => false) {
  const clock = new JumpingClock();
  const over = new AbortController();
  const lost: Lost[] = [];
  const link = { up: true, keeper: true, echo: () => Promise.resolve() };
  const watch = new HeartbeatWatch(
    {
      clock,
      connected: () => link.up,
      echo: () => link.echo(),
      lost: (_owner, what) => lost.push(what),
      isGone,
      isKeeperAlive: () => link.keeper,
    },
    10,
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
  await clock.advance(120); // its silence, and a beat of its keeper (H5)
  assert.equal(lost, []);
  await clock.advance(10);
  assert.equal(
    lost.map(({ key, cause }) => [key, cause]),
    [['k', 'silent']],
  );
});

test('H1: naming it again does not start its clock again', async () => {
  const { clock, lost, watch } = watchWith();
  for (let i = 0; i < 7; i++) {
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

test('H2: a wall clock that jumps makes nobody lost, and hides no loss', async () => {
  const { clock, lost, watch } = watchWith();
  watch.settle(owner, [monitor('k')]);
  for (const jumpMs of [3_600_000, -7_200_000]) {
    await beating({ clock, watch }, 200, i => i);
    clock.jump(jumpMs);
    await beating({ clock, watch }, 200, i => 100 + i);
    assert.equal(lost, []);
  }
  await clock.advance(200);
  assert.equal(
    lost.map(({ key, cause }) => [key, cause]),
    [['k', 'silent']],
  );
});

test('H3: a watcher that was late starts every clock again', async () => {
  const clock = new VirtualClock();
  const lost: Lost[] = [];
  // A clock whose timers are held back while its time goes on: the process was paused.
  let paused = 0;
  const late = { ...bound(clock), monotonic: () => clock.monotonic() + paused };
  const ports = {
    clock: late,
    connected: () => true,
    echo: async () => {},
    isGone: async () => false,
    isKeeperAlive: () => true,
  };
  const watch = new HeartbeatWatch(
    { ...ports, lost: (_owner, what) => lost.push(what) },
    10,
    new AbortController().signal,
  );
  watch.settle(owner, [monitor('k')]);
  await clock.advance(50);
  paused = 5_000;
  await clock.advance(120);
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
  await clock.advance(50);
  assert.is(lost.length, 1);
});

test('H5: what is silent while its keeper is not heard of is lost with it, at the end of its silence', async () => {
  const { clock, link, lost, watch } = watchWith();
  watch.settle(owner, [monitor('k')]);
  link.keeper = false;
  await clock.advance(100);
  assert.equal(lost, []);
  await clock.advance(10);
  assert.equal(lost, [{ key: 'k', cause: 'node', forMs: 110 }]);
  await clock.advance(1_000);
  assert.is(lost.length, 1);
});

test('H5: a keeper that is missed within a beat after it counts too; one that is missed later took nothing with it', async () => {
  for (const [afterMs, cause] of [
    [120, 'node'],
    [130, 'silent'],
  ] as const) {
    const { clock, link, lost, watch } = watchWith();
    watch.settle(owner, [monitor('k')]);
    await clock.advance(afterMs);
    link.keeper = false;
    await clock.advance(100);
    assert.equal(
      lost.map(what => what.cause),
      [cause],
    );
  }
});

test('H5: beats count, whatever is heard of the keeper', async () => {
  const all = watchWith();
  all.link.keeper = false;
  all.watch.settle(owner, [monitor('k')]);
  await beating(all, 1_000, i => i);
  assert.equal(all.lost, []);
  await beating(all, 400, () => 9);
  assert.equal(
    all.lost.map(({ cause }) => cause),
    ['stalled'],
  );
});

for (const how of ['late', 'never', 'refused'] as const)
  test(`H3: when the server’s echo comes ${how}, everybody’s clock starts again`, async () => {
    const { clock, link, lost, watch } = watchWith();
    watch.settle(owner, [monitor('k'), monitor('l')]);
    let asked = 0;
    link.echo = async () => {
      asked++;
      if (how === 'refused') throw new Error('disconnected');
      await (how === 'late' ? clock.sleep(80) : new Promise<void>(() => {}));
    };
    await clock.advance(130); // somebody is missed, the server is asked
    assert.is(asked, 1);
    await clock.advance(80);
    link.echo = () => Promise.resolve();
    await clock.advance(how === 'refused' ? 30 : 100);
    assert.equal([lost, asked], [[], 1]);
    await clock.advance(50);
    assert.is(lost.length, 2);
  });

test('H3: what comes before the echo counts, and as long as nobody is missed the server is not asked', async () => {
  const all = watchWith();
  let asked = 0;
  all.link.echo = async () => {
    asked++;
    all.watch.beat('k', 7);
  };
  all.watch.settle(owner, [monitor('k')]);
  await beating(all, 1_000, i => i);
  assert.is(asked, 0);
  await all.clock.advance(200);
  assert.equal([asked, all.lost], [1, []]);
});

test('H3: a watch that ends while it waits for the echo says nothing, and leaves no timer', async () => {
  const { clock, link, lost, over, watch } = watchWith();
  watch.settle(owner, [monitor('k')]);
  const echo = Promise.withResolvers<void>();
  link.echo = () => echo.promise;
  await clock.advance(130);
  over.abort();
  assert.is(clock.pending, 0);
  echo.resolve();
  await clock.advance(1_000);
  assert.equal([lost, clock.pending], [[], 0]);
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
