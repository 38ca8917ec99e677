import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ScenarioMirror } from '../../src/actors/gateway/scenario-mirror.ts';
import type { StateStore } from '../../src/actors/ports/state-store.ts';
import { type Committed, emptyRecord } from '../../src/actors/runtime/committed.ts';
import { encodeRecord } from '../../src/actors/runtime/record-codec.ts';
import { TroupeError } from '../../src/domain/errors.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { ScenarioDoc } from '../../src/domain/scenario-doc.ts';
import { BUCKETS } from '../../src/domain/subjects.ts';
import { MemoryServer } from '../../src/infra/memory/memory-server.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';

const test = suite('ScenarioMirror');

type Projection = ConstructorParameters<typeof ScenarioMirror>[2];

/** A projection that holds nothing. */
const EMPTY: Projection = { scenarios: () => [], forget: () => {} };
const unheard = (key: string, error: unknown): void => assert.unreachable(`${key}: ${String(error)}`);

test('a tombstone tells what is deleted, and nothing is kept of an id whose tombstone is gone', async () => {
  const clock = new VirtualClock();
  const store = new MemoryServer({ clock, partitions: 16 }).stateStore(BUCKETS.state);
  const gone: unknown[] = [];
  const mirror = new ScenarioMirror(store, clock, { ...EMPTY, forget: (...of) => gone.push(of) }, unheard);
  const over = new AbortController();
  const running = mirror.run(over.signal);
  const put = async (change: Partial<Committed>, expected: number): Promise<number> =>
    store.put('scenario.cam', encodeRecord({ ...emptyRecord(1), ...change }), expected);
  const doc = { id: 'cam', deleting: null } as ScenarioDoc;
  const listed = async (): Promise<string[]> => {
    await clock.settle();
    return Array.from(mirror.list(), ({ id }) => id);
  };

  const created = await put({ state: doc }, 0);
  assert.equal(await listed(), ['cam']);
  const deleted = await put({ remnant: { lastRun: 3, lastSeq: 70 }, died: 1 }, created);
  assert.equal([await listed(), gone], [[], [['cam', 3, 70]]]);
  mirror.learn('cam', doc, created); // an answer that took its time
  assert.equal(await listed(), []);
  await store.delete('scenario.cam', deleted);
  assert.equal(await listed(), []);
  mirror.learn('cam', doc, created);
  assert.equal(await listed(), ['cam'], 'no revision of it is remembered');
  over.abort();
  await running;
});

test('J4: a projection without room for what is deleted is asked again, and nothing else is read anew', async () => {
  const clock = new VirtualClock();
  const store = new MemoryServer({ clock, partitions: 16 }).stateStore(BUCKETS.state);
  let asked = 0;
  const forget = (): void => {
    if (++asked < 3) throw new TroupeError('unavailable', 'no room', { retryable: true });
  };
  const mirror = new ScenarioMirror(store, clock, { ...EMPTY, forget }, unheard);
  const over = new AbortController();
  const running = mirror.run(over.signal);
  await store.put('scenario.cam', encodeRecord({ ...emptyRecord(1), remnant: { lastRun: 3, lastSeq: 70 } }), 0);
  for (let looks = 0; looks < 8; looks++) {
    await clock.advance(LIMITS.storeRetryMs / 2);
    assert.ok(mirror.current);
  }
  assert.is(asked, 3);
  over.abort();
  await running;
});

test('G2: a record that cannot be read is reported, and hides neither the others nor what comes after it', async () => {
  const clock = new VirtualClock();
  const store = new MemoryServer({ clock, partitions: 16 }).stateStore(BUCKETS.state);
  const reported: string[] = [];
  const mirror = new ScenarioMirror(store, clock, EMPTY, key => reported.push(key));
  const over = new AbortController();
  await store.put('scenario.junk', Buffer.from('{"v":1,'), 0);
  const put = (id: string): Promise<number> =>
    store.put(`scenario.${id}`, encodeRecord({ ...emptyRecord(1), state: { id, deleting: null } }), 0);
  await put('behind');
  const running = mirror.run(over.signal);
  await clock.settle();
  await put('later');
  await clock.settle();
  assert.ok(mirror.current);
  assert.equal(
    Array.from(mirror.list(), ({ id }) => id),
    ['behind', 'later'],
  );
  assert.equal(reported, ['scenario.junk']);
  over.abort();
  await running;
});

test('G3: a watch that begins anew forgets what the one before told, whatever its revision, and wakes who waits for it', async () => {
  const clock = new VirtualClock();
  const server = new MemoryServer({ clock, partitions: 16 });
  let broken = Promise.withResolvers<never>();
  const real = server.stateStore(BUCKETS.state);
  const store: StateStore = {
    ...real,
    async *watch(signal) {
      const changes = real.watch(signal)[Symbol.asyncIterator]();
      for (;;) {
        const next = await Promise.race([changes.next(), broken.promise]);
        if (next.done === true) return;
        yield next.value;
      }
    },
  };
  const mirror = new ScenarioMirror(store, clock, EMPTY, unheard);
  const put = (id: string, expected: number, run = 1): Promise<number> =>
    store.put(`scenario.${id}`, encodeRecord({ ...emptyRecord(1), state: { id, run, deleting: null } }), expected);
  const told = (): string[] => Array.from(mirror.list(), ({ id, run }) => `${id} ${run}`);
  const first = await put('kept', 0);
  const copy = server.copy();
  const second = await put('kept', first, 2);
  await put('lost', 0);
  const over = new AbortController();
  const running = mirror.run(over.signal);
  await clock.settle();
  assert.equal(told(), ['kept 2', 'lost 1']);
  const woken: string[] = [];
  for (const id of ['kept', 'lost']) mirror.watch(id, () => woken.push(id));
  server.putBack(copy);
  broken.reject(new Error('the stream was replaced'));
  broken = Promise.withResolvers();
  await clock.settle();
  assert.equal([mirror.current, told()], [false, ['kept 2', 'lost 1']], 'until the new one is current');
  mirror.learn('answered', { id: 'answered', run: 1 } as ScenarioDoc, second + 7);
  await clock.advance(1_000);
  assert.equal([mirror.current, told()], [true, ['kept 1']]);
  assert.equal(woken.sort(), ['kept', 'lost']);
  mirror.learn('kept', { id: 'kept', run: 3 } as ScenarioDoc, first + 1);
  assert.equal(told(), ['kept 3'], 'what the restored store tells is newer now');
  over.abort();
  broken.reject(new Error('over'));
  await running;
});

test('G4: a node that slept through deletions forgets the deleted runs, of what was made anew and of what nothing tells of any more', async () => {
  const clock = new VirtualClock();
  const real = new MemoryServer({ clock, partitions: 16 }).stateStore(BUCKETS.state);
  const store: StateStore = {
    ...real,
    async *watch(...of) {
      for await (const change of real.watch(...of))
        if (change.kind !== 'entry' || change.entry.key !== 'scenario.rewritten') yield change;
    },
  };
  const forgotten: unknown[] = [];
  const held = [
    { id: 'anew', lastRun: 1, lastSeq: 30 },
    { id: 'deleted', lastRun: 2, lastSeq: 40 },
    { id: 'lives', lastRun: 1, lastSeq: 50 },
    { id: 'rewritten', lastRun: 1, lastSeq: 55 }, // while the watch was read, which is current without it
    { id: 'unreadable', lastRun: 1, lastSeq: 60 },
    { id: 'younger', lastRun: 1, lastSeq: 70 },
  ];
  const projection: Projection = { scenarios: () => [...held], forget: (...of) => forgotten.push(of) };
  const mirror = new ScenarioMirror(store, clock, projection, () => {});
  const put = (id: string, change: Partial<Committed>, expected = 0): Promise<number> =>
    store.put(`scenario.${id}`, encodeRecord({ ...emptyRecord(1), ...change }), expected);
  const anew = { state: { id: 'anew', run: 2, deleting: null }, remnant: { lastRun: 1, lastSeq: 30 } };
  const revision = await put('anew', anew);
  for (const id of ['lives', 'rewritten']) await put(id, { state: { id, run: 1, deleting: null } });
  await store.put('scenario.unreadable', Buffer.from('{"v":1,'), 0);
  const over = new AbortController();
  const running = mirror.run(over.signal);
  held[5] = { id: 'younger', lastRun: 1, lastSeq: 71 }; // made after the watch began: it will tell
  await clock.settle();
  assert.ok(mirror.current);
  assert.equal(forgotten, [
    ['anew', 1, 30],
    ['deleted', 2, 40],
  ]);
  await put('anew', { ...anew, state: { id: 'anew', run: 3, deleting: null } }, revision);
  await clock.settle();
  assert.is(forgotten.length, 2, 'not with every change of it');
  over.abort();
  await running;
});

test.run();
