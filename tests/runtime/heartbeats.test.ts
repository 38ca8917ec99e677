/** The heartbeat watch on real time and a real server: beats every 100 ms, five missed ones are a loss. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Timer } from '../../src/actors/ports/clock.ts';
import { HeartbeatWatch, type Lost } from '../../src/actors/runtime/heartbeat-watch.ts';
import { fromJson, toJson } from '../../src/domain/json.ts';
import { SUBJECTS } from '../../src/domain/subjects.ts';
import { systemClock as clock } from '../../src/infra/process/system-clock.ts';
import { type NatsBackend, natsBackend } from '../contract/backends.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('Heartbeats over nats-server');
const BEAT_MS = 100;
const SILENCE_MS = 5 * BEAT_MS;
const STALL_MS = 15 * BEAT_MS;
const owner = { kind: 'scenario', id: 's' };
const monitor = (key: string) => ({ key, kind: 'heartbeat', body: { silenceMs: SILENCE_MS, stallMs: STALL_MS } });

let backend: NatsBackend;
test.before(async () => {
  backend = await natsBackend();
});
test.after(() => backend.close());
const open: (() => void)[] = [];
test.after.each(() => {
  for (const close of open.splice(0)) close();
});

/** A watch on one connection. */
function watching() {
  const { bus } = backend.a;
  const over = new AbortController();
  const lost: Lost[] = [];
  const heard = new Map<string, number>();
  const watch = new HeartbeatWatch(
    {
      clock,
      connected: () => bus.connected,
      echo: () => bus.flush(),
      lost: (_owner, what) => lost.push(what),
      isGone: async () => false,
      isKeeperAlive: () => true,
    },
    BEAT_MS / 2,
    over.signal,
  );
  const beats = bus.subscribe(SUBJECTS.heartbeats('runner'), ({ body }) => {
    const { key, progress } = fromJson(body) as { key: string; progress: number };
    heard.set(key, (heard.get(key) ?? 0) + 1);
    watch.beat(key, progress);
  });
  open.push(
    () => over.abort(),
    () => beats.close(),
  );
  const hear = (key: string, more: number): Promise<void> => {
    const before = heard.get(key) ?? 0;
    return waitUntil(`${more} beats of ${key} are heard`, () => (heard.get(key) ?? 0) >= before + more);
  };
  return { watch, lost, hear };
}

/** Beats from another connection until it is told to stop. */
function beating(key: string, progress: (beat: number) => number): { stop(): void } {
  let beats = 0;
  let timer: Timer;
  const beat = (): void => {
    backend.b.bus.publish(SUBJECTS.heartbeat('n1', 'runner', key), toJson({ key, progress: progress(beats++) }));
    timer = clock.timer(BEAT_MS, beat);
  };
  beat();
  const stop = (): void => timer.cancel();
  open.push(stop);
  return { stop };
}

const isLost = (lost: readonly Lost[], key: string) => (): boolean => lost.some(what => what.key === key);

test('H1: what never beats is lost when its silence is over, and not before', async () => {
  const { watch, lost } = watching();
  watch.settle(owner, [monitor('never')]);
  await waitUntil('it is lost', isLost(lost, 'never'));
  assert.equal([lost.length, lost[0]?.cause], [1, 'silent']);
  assert.ok((lost[0]?.forMs ?? 0) > SILENCE_MS);
});

test('H2: what beats and goes on lives; what stops beating is silent, what stops going on has stalled', async () => {
  const { watch, lost, hear } = watching();
  const runner = beating('runner', i => i);
  beating('stuck', i => Math.min(i, 5));
  beating('fine', i => i);
  watch.settle(owner, ['runner', 'stuck', 'fine'].map(monitor));
  await hear('runner', 12);
  assert.equal(lost, []);
  runner.stop();
  await waitUntil('it is lost', isLost(lost, 'runner'));
  await waitUntil('the other is lost', isLost(lost, 'stuck'));
  assert.equal(Object.fromEntries(lost.map(({ key, cause }) => [key, cause])), { runner: 'silent', stuck: 'stalled' });
  await hear('fine', 10);
  assert.is(lost.length, 2);
});

test('H3: a server that is away for longer than any silence makes nobody lost; who does not come back is lost then', async () => {
  const { watch, lost, hear } = watching();
  const gone = beating('gone', i => i);
  beating('back', i => i);
  watch.settle(owner, ['gone', 'back'].map(monitor));
  await hear('back', 3);
  await backend.server.kill();
  gone.stop();
  const away = clock.monotonic();
  await waitUntil('it was away for long', () => clock.monotonic() - away > 3 * SILENCE_MS);
  assert.equal(lost, []);
  await backend.server.start();
  await hear('back', 5);
  await waitUntil('the other is lost', isLost(lost, 'gone'));
  await hear('back', 5);
  assert.is(lost.length, 1);
});

test('H3: a server that hangs, so that the connection looks alive, makes nobody lost', async () => {
  const { watch, lost, hear } = watching();
  beating('runner', i => i);
  watch.settle(owner, [monitor('runner')]);
  await hear('runner', 3);
  process.kill(backend.server.pid(), 'SIGSTOP');
  const away = clock.monotonic();
  await waitUntil('it hung for long', () => clock.monotonic() - away > 4 * SILENCE_MS);
  assert.ok(backend.a.bus.connected);
  process.kill(backend.server.pid(), 'SIGCONT');
  await hear('runner', 10);
  assert.equal(lost, []);
});

test('H3: a watcher that was paused itself makes nobody lost', async () => {
  const { watch, lost, hear } = watching();
  const runner = beating('runner', i => i);
  watch.settle(owner, [monitor('runner')]);
  await hear('runner', 3);
  // Nothing of this process goes on meanwhile, as under SIGSTOP.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3 * SILENCE_MS);
  await hear('runner', 8);
  assert.equal(lost, []);
  runner.stop();
  await waitUntil('it is lost', isLost(lost, 'runner'));
});

test.run();
