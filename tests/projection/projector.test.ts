import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { LogEntry, LogIdentity, PredictionLog } from '../../src/actors/ports/prediction-log.ts';
import type { ProjectionStore } from '../../src/actors/ports/projection.ts';
import { Projector } from '../../src/actors/projector/projector.ts';
import { TroupeError } from '../../src/domain/errors.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { openProjection } from '../../src/infra/sqlite/projection-store.ts';
import { IDENTITY, LogWriter, prediction } from './log-entries.ts';
import { temporaryFolder } from './temporary-folder.ts';

const test = suite('projector');

/** A stream that a test can restore, replace, lengthen and break. */
class ScriptedLog implements Pick<PredictionLog, 'identity' | 'timeOf' | 'read'> {
  entries: LogEntry[] = [];
  created = IDENTITY.created;
  readFrom: number | null = null;
  reading = Promise.withResolvers<void>();
  #grown = Promise.withResolvers<void>();

  push(entries: readonly LogEntry[]): void {
    this.entries.push(...entries);
    this.#grown.resolve();
    this.#grown = Promise.withResolvers();
  }

  async identity(): Promise<LogIdentity> {
    return { created: this.created, firstSeq: this.entries[0]?.seq ?? 0, lastSeq: this.entries.at(-1)?.seq ?? 0 };
  }

  async timeOf(seq: number): Promise<number | null> {
    return this.entries.find(e => e.seq === seq)?.at ?? null;
  }

  async *read(fromSeq: number, signal: AbortSignal): AsyncIterable<LogEntry> {
    this.readFrom = fromSeq;
    this.reading.resolve();
    const aborted = new Promise<void>(resolve => signal.addEventListener('abort', () => resolve()));
    for (let seq = fromSeq; ; seq++) {
      let entry = this.entries.find(e => e.seq >= seq);
      while (entry === undefined && !signal.aborted) {
        await Promise.race([this.#grown.promise, aborted]);
        entry = this.entries.find(e => e.seq >= seq);
      }
      if (signal.aborted || entry === undefined) return;
      yield entry;
      seq = entry.seq;
    }
  }
}

const clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  timer: (delayMs: number, fire: () => void) => {
    const timer = setTimeout(fire, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  sleep: () => Promise.resolve(),
};

/** Runs a projector until it has applied all of the log, then stops it. */
async function project(log: ScriptedLog, store: ProjectionStore): Promise<void> {
  const stop = new AbortController();
  log.reading = Promise.withResolvers();
  const running = new Projector({ log: log as unknown as PredictionLog, store, clock }).run(stop.signal);
  await log.reading.promise;
  assert.ok(await store.caughtUpWith((await log.identity()).lastSeq, 10_000), 'the projector reaches the end');
  stop.abort();
  await running;
}

const frames = (store: ProjectionStore, scenario: string, run: number): number[] =>
  [...store.pages(scenario, run, 0)].flat().map(p => p.frame);
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

test('J2: what was appended before and while it runs is projected once, in order, over restarts', async () => {
  using folder = temporaryFolder();
  const file = path.join(folder.path, 'p.db');
  const { entries } = new LogWriter().run('cam', 1, 640).run('cam', 2, 64, 'closed');
  const log = new ScriptedLog();
  for (const until of [3, 4, 11, entries.length]) {
    const store = openProjection(file);
    const more = entries.slice(log.entries.length, until);
    log.push(more.slice(0, 1));
    const done = project(log, store);
    log.push(more.slice(1));
    await done;
    await project(log, store);
    store.close();
  }
  assert.ok((log.readFrom ?? 0) > 1, 'it goes on where it was');
  const store = openProjection(file);
  assert.equal([...store.pages('cam', 1, 0)].flat(), upTo(640).map(prediction));
  assert.equal(frames(store, 'cam', 2), upTo(64));
  store.close();
});

for (const [what, change] of [
  ['was created at another time', (log: ScriptedLog) => Object.assign(log, { created: '2030-01-01T00:00:00Z' })],
  ['ends before the position', (log: ScriptedLog) => Object.assign(log, { entries: log.entries.slice(0, 2) })],
  [
    'has another entry at the position',
    (log: ScriptedLog) => Object.assign(log, { entries: log.entries.map(e => ({ ...e, at: e.at + 1 })) }),
  ],
  [
    'no longer has the entry at the position',
    (log: ScriptedLog) => {
      const kept = log.entries.slice(0, -1);
      log.entries = [...kept, ...log.entries.slice(-1).map(e => ({ ...e, seq: e.seq + 1 }))];
    },
  ],
] as const) {
  test(`J1: it starts from nothing when the stream ${what}`, async () => {
    using folder = temporaryFolder();
    const store = openProjection(path.join(folder.path, 'p.db'));
    const log = new ScriptedLog();
    log.push(new LogWriter().run('old', 1, 96).entries);
    await project(log, store);
    log.entries = new LogWriter().run('new', 1, 96).entries;
    change(log);
    await project(log, store);
    assert.is(log.readFrom, 1);
    assert.equal(store.runs('old'), []);
    assert.equal(
      frames(store, 'new', 1),
      upTo(Math.min(96, (log.entries.length - (log.entries.length > 2 ? 2 : 1)) * 32)),
    );
    assert.is(store.position()?.created, log.created);
    store.close();
  });
}

test('J3: a transaction holds a bounded number of entries and predictions', async () => {
  using folder = temporaryFolder();
  const store = openProjection(path.join(folder.path, 'p.db'));
  const sizes: { entries: number; frames: number }[] = [];
  const apply = store.apply.bind(store);
  store.apply = (identity, entries) => {
    const counts = entries.map(({ record }) => (record.kind === 'frames' ? record.predictions.length : 0));
    sizes.push({ entries: entries.length, frames: counts.reduce((a, b) => a + b, 0) });
    apply(identity, entries);
  };
  const log = new ScriptedLog();
  log.push(new LogWriter().run('a', 1, 3000, null, 32).run('b', 1, 600, null, 1).entries);
  await project(log, store);
  assert.ok(sizes.every(s => s.entries <= LIMITS.projectionEntries && s.frames < LIMITS.projectionFrames + 32));
  assert.ok(
    sizes.some(s => s.entries > 1),
    'and more than one when they are there',
  );
  store.close();
});

test('J4: a store without room is asked again until it has some, and nothing is left out', async () => {
  using folder = temporaryFolder();
  const file = path.join(folder.path, 'p.db');
  const store = openProjection(file);
  const log = new ScriptedLog();
  log.push(new LogWriter().run('cam', 1, 96).entries);
  store.apply({ ...IDENTITY, created: 'another stream' }, new LogWriter().run('old', 1, 32).entries);
  const [apply, reset] = [store.apply.bind(store), store.reset.bind(store)];
  const asked = { apply: 0, reset: 0 };
  const noRoom = new TroupeError('unavailable', 'no room', { retryable: true });
  store.apply = (identity, entries) => {
    if (asked.apply++ === 0) throw noRoom;
    apply(identity, entries);
  };
  store.reset = () => {
    if (asked.reset++ === 0) throw noRoom;
    reset();
  };
  await project(log, store);
  assert.is(asked.reset, 2);
  assert.ok(asked.apply > 1);
  assert.equal(frames(store, 'cam', 1), upTo(96));
  store.close();
});

test('a log that fails while the store has no room ends the run with its error, and nothing else', async () => {
  using folder = temporaryFolder();
  const store = openProjection(path.join(folder.path, 'p.db'));
  const { entries } = new LogWriter().run('cam', 1, 96);
  const full = Promise.withResolvers<void>();
  const apply = store.apply.bind(store);
  let isFull = true;
  store.apply = (identity, batch) => {
    full.resolve();
    if (isFull) throw new TroupeError('unavailable', 'no room', { retryable: true });
    apply(identity, batch);
  };
  const log = new ScriptedLog();
  log.push(entries);
  const read = log.read.bind(log);
  log.read = async function* (fromSeq, signal) {
    let given = 0;
    for await (const entry of read(fromSeq, signal)) {
      yield entry;
      if (++given < entries.length) continue; // its end fills the batch
      await full.promise;
      throw new Error('the log was replaced');
    }
  };
  const unheard: unknown[] = [];
  const hear = (error: unknown): void => void unheard.push(error);
  process.on('unhandledRejection', hear);
  const patient = { ...clock, sleep: () => new Promise<void>(resolve => setTimeout(resolve, 1)) };
  const running = new Projector({ log: log as unknown as PredictionLog, store, clock: patient }).run(
    new AbortController().signal,
  );
  const failure = running.catch((error: Error) => error.message);
  await full.promise;
  await new Promise(resolve => setTimeout(resolve, 20)); // unheard rejections are told after promises have run
  isFull = false;
  assert.is(await failure, 'the log was replaced');
  process.off('unhandledRejection', hear);
  assert.equal(unheard, []);
  store.close();
});

test('a failing store ends the run with its error, and the projector can run again', async () => {
  using folder = temporaryFolder();
  const store = openProjection(path.join(folder.path, 'p.db'));
  const log = new ScriptedLog();
  log.push(new LogWriter().run('cam', 1, 96).entries);
  const apply = store.apply.bind(store);
  store.apply = () => {
    throw new Error('disk full');
  };
  const projector = new Projector({ log: log as unknown as PredictionLog, store, clock });
  const failure = await projector.run(new AbortController().signal).then(
    () => null,
    (error: unknown) => error,
  );
  assert.match(String(failure), 'disk full');
  store.apply = apply;
  await project(log, store);
  assert.equal(frames(store, 'cam', 1), upTo(96));
  store.close();
});

test.run();
