import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { PredictionQuery, ProjectionStore } from '../../src/actors/ports/projection.ts';
import { TroupeError } from '../../src/domain/errors.ts';
import type { FramesRecord, LogRecord } from '../../src/domain/log-record.ts';
import { atThreshold, type Prediction } from '../../src/domain/prediction.ts';
import { openProjection } from '../../src/infra/sqlite/projection-store.ts';
import { SmallDisk, whyNoSmallDisk } from '../support/small-disk.ts';
import { ENGINE, IDENTITY, LogWriter, prediction } from './log-entries.ts';
import { temporaryFolder } from './temporary-folder.ts';

const test = suite('projection store');

const EVERYTHING: PredictionQuery = {
  scenario: 'cam',
  run: 1,
  fromFrame: 0,
  toFrame: Number.MAX_SAFE_INTEGER,
  threshold: 0,
  className: null,
  minScore: null,
  limit: 100_000,
};
const all = (store: ProjectionStore, query: Partial<PredictionQuery> = {}): Prediction[] =>
  store.query({ ...EVERYTHING, ...query });
const expected = (frames: number, threshold = 0): Prediction[] =>
  Array.from({ length: frames }, (_, i) => atThreshold(prediction(i), threshold));

/** A store with 1000 frames of `cam` run 1, shared by the reading tests. */
function filled(folder: string): ProjectionStore {
  const store = openProjection(path.join(folder, 'p.db'));
  store.apply(IDENTITY, new LogWriter().run('other', 1, 50).run('cam', 1, 1000).run('cam', 2, 40, null).entries);
  return store;
}

for (const killAt of [3, 8, 14, 22]) {
  test(`Q1: killed inside the transaction of entry ${killAt}, the file holds exactly the batches before it`, async () => {
    using folder = temporaryFolder();
    const file = path.join(folder.path, 'p.db');
    const script = path.join(import.meta.dirname, 'killed-writer.ts');
    const signal = await new Promise(resolve =>
      execFile(process.execPath, [script, file, String(killAt)], error => resolve(error?.signal)),
    );
    assert.is(signal, 'SIGKILL');

    const { entries } = new LogWriter().run('cam', 1, 640);
    const whole = Math.floor((killAt - 1) / 4) * 4;
    const store = openProjection(file);
    assert.is(store.appliedSeq, whole);
    // Entry 1 is `open`, each other one has 32 frames.
    assert.equal(all(store), expected(Math.max(0, whole - 1) * 32));
    store.apply(IDENTITY, entries);
    store.apply(IDENTITY, entries);
    assert.equal(all(store), expected(640));
    assert.is(store.heads('cam', 1)[0]?.framesDone, 640);
    store.close();
  });
}

/** What a stranger puts behind the first two batches of a run of five. */
const STRANGE: Readonly<Record<string, (first: FramesRecord, second: FramesRecord) => LogRecord>> = {
  'one that is there already': (_, second) => second,
  'the one before': first => first,
  'one of an earlier attempt': (_, second) => moved(second, 64, { attempt: 1 }),
  'one with a frame twice': (_, second) => {
    const next = moved(second, 64);
    return { ...next, predictions: [...next.predictions, ...next.predictions.slice(-1)] };
  },
  'one with frames in the wrong order': (_, second) => {
    const next = moved(second, 64);
    return { ...next, predictions: next.predictions.toReversed() };
  },
  'one with frames behind its position': (_, second) => ({ ...moved(second, 64), predictions: [prediction(1_000)] }),
  'one with frames before its beginning': (_, second) => ({ ...moved(second, 64), predictions: [prediction(3)] }),
};

/** The same one, of 32 frames from there on. */
const moved = (record: FramesRecord, from: number, more: Partial<FramesRecord> = {}): FramesRecord => ({
  ...record,
  from,
  position: { ...record.position, to: from + 31, frames: from + 32 },
  predictions: Array.from({ length: 32 }, (_, i) => prediction(from + i)),
  ...more,
});

for (const [what, strange] of Object.entries(STRANGE))
  test(`Q2: ${what} is left out and told once, and what comes behind it is applied`, () => {
    using folder = temporaryFolder();
    const told: number[] = [];
    const store = openProjection(path.join(folder.path, 'p.db'), {
      replaced: cause => assert.unreachable(cause),
      foreign: (_, seq) => told.push(seq),
    });
    const [open, ...rest] = new LogWriter().run('cam', 1, 160).entries.map(({ record }) => ({ ...record, attempt: 2 }));
    const [first, second] = rest as FramesRecord[];
    if (open === undefined || first === undefined || second === undefined) throw new Error('no run');
    const log = new LogWriter();
    for (const record of [open, first, second, strange(first, second), ...rest.slice(2)]) log.append('cam', 1, record);
    log.run('other', 1, 32);
    for (let i = 0; i < log.entries.length; i += 3) store.apply(IDENTITY, log.entries.slice(i, i + 3), i);
    store.apply(IDENTITY, log.entries);
    assert.equal(all(store), expected(160));
    assert.equal(all(store, { scenario: 'other' }), expected(32));
    assert.equal(
      store.heads('cam', 1).map(({ framesDone, lastFrame, ended }) => [framesDone, lastFrame, ended]),
      [[160, 159, true]],
    );
    assert.equal(told, [4]);
    store.close();
  });

test('Q2: nothing follows the end, and no frame is in two segments', () => {
  using folder = temporaryFolder();
  const told: number[] = [];
  const store = openProjection(path.join(folder.path, 'p.db'), { foreign: (_, seq) => told.push(seq) });
  const log = new LogWriter().run('cam', 1, 32);
  const [, frames] = log.entries.map(({ record }) => record) as FramesRecord[];
  if (frames === undefined) throw new Error('no run');
  log.append('cam', 1, moved(frames, 32));
  const [behind] = log.entries.slice(-1);
  if (behind !== undefined) log.entries.push({ ...behind, key: { ...behind.key, segment: 1 }, seq: 5, record: frames });
  store.apply(IDENTITY, log.entries);
  assert.equal([all(store), store.appliedSeq, told], [expected(32), 5, [4, 5]]);
  store.close();
});

test('Q2: an attempt that goes on from a repeated record does not repeat its frames', () => {
  using folder = temporaryFolder();
  const store = openProjection(path.join(folder.path, 'p.db'));
  const log = new LogWriter().run('cam', 1, 80, null, 40);
  const [open, first] = log.entries.map(({ record }) => record);
  if (open?.kind !== 'open' || first?.kind !== 'frames') throw new Error('no run');
  log.append('cam', 1, first);
  log.append('cam', 1, { ...open, attempt: 2, position: first.position });
  for (const from of [40, 72, 104]) log.append('cam', 1, moved(first, from, { attempt: 2 }));
  store.apply(IDENTITY, log.entries);
  assert.equal(all(store), expected(136));
  assert.equal(
    store.heads('cam', 1).map(({ framesDone, lastFrame, attempt }) => [framesDone, lastFrame, attempt]),
    [[136, 135, 2]],
  );
  store.close();
});

test('P2: reading at a threshold equals filtering what was recorded', () => {
  using folder = temporaryFolder();
  const store = filled(folder.path);
  for (const threshold of [0, 0.25, 0.6, 0.95, 1]) {
    assert.equal(all(store, { threshold }), expected(1000, threshold));
    assert.equal([...store.pages('cam', 1, threshold)].flat(), expected(1000, threshold));
  }
  store.close();
});

test('a class and a minimum score keep only their detections and omit frames left empty', () => {
  using folder = temporaryFolder();
  const store = filled(folder.path);
  for (const [className, minScore, threshold] of [
    ['car', null, 0],
    ['car', 0.7, 0],
    [null, 0.93, 0.25],
    ['a "quoted", class', 0.1, 0.5],
    ['lorry', null, 0],
  ] as const) {
    const wanted = expected(1000, Math.max(threshold, minScore ?? 0)).flatMap(p => {
      if (!('detections' in p)) return [];
      const detections = p.detections.filter(d => className === null || d.class === className);
      return detections.length === 0 ? [] : [{ ...p, detections }];
    });
    assert.equal(all(store, { className, minScore, threshold }), wanted);
    assert.equal(all(store, { className, minScore, threshold, limit: 7 }), wanted.slice(0, 7));
  }
  store.close();
});

test('Q4: pages one after the other equal the full list, whatever the limit', () => {
  using folder = temporaryFolder();
  const store = filled(folder.path);
  for (const limit of [1, 7, 333, 1000]) {
    const found: Prediction[] = [];
    for (;;) {
      const page = all(store, { fromFrame: (found.at(-1)?.frame ?? -1) + 1, limit });
      assert.ok(page.length <= limit);
      if (page.length === 0) break;
      found.push(...page);
    }
    assert.equal(found, expected(1000));
  }
  assert.equal(all(store, { fromFrame: 10, toFrame: 12 }), expected(13).slice(10));
  store.close();
});

test('Q4: a run being exported may grow meanwhile; the pages stay a contiguous prefix', () => {
  using folder = temporaryFolder();
  const { entries } = new LogWriter().run('cam', 1, 2000);
  const store = openProjection(path.join(folder.path, 'p.db'));
  store.apply(IDENTITY, entries.slice(0, 30));
  const seen: number[] = [];
  for (const page of store.pages('cam', 1, 0)) {
    seen.push(...page.map(p => p.frame));
    if (seen.length === 500) store.apply(IDENTITY, entries);
  }
  assert.equal(
    seen,
    Array.from({ length: 2000 }, (_, i) => i),
  );
  store.close();
});

test('heads tell where each log stands', () => {
  using folder = temporaryFolder();
  const store = openProjection(path.join(folder.path, 'p.db'));
  const log = new LogWriter().run('cam', 1, 40).run('cam', 2, 40, 'closed').run('cam', 3, 0, null);
  store.apply(IDENTITY, log.entries);
  assert.equal(store.runs('cam'), [1, 2, 3]);
  const base = { segment: 0, attempt: 1, framesDone: 40, lastFrame: 39, engine: ENGINE };
  assert.equal(store.heads('cam', 1), [{ ...base, seq: 4, kind: 'end', warnings: ['late'], ended: true }]);
  assert.equal(store.heads('cam', 2), [{ ...base, seq: 8, attempt: 2, kind: 'closed', warnings: [], ended: false }]);
  assert.equal(store.heads('cam', 3), [
    { ...base, seq: 9, kind: 'open', framesDone: 0, lastFrame: null, warnings: [], ended: false },
  ]);
  assert.equal(store.heads('nobody', 1), []);
  store.close();
});

test('a reader waits for a sequence until it is applied, and no longer than its time', async () => {
  using folder = temporaryFolder();
  const store = openProjection(path.join(folder.path, 'p.db'));
  const { entries } = new LogWriter().run('cam', 1, 64);
  const reached = store.caughtUpWith(4, 60_000);
  const partly = store.caughtUpWith(5, 1);
  store.apply(IDENTITY, entries.slice(0, 4));
  assert.is(await reached, true);
  assert.is(await partly, false);
  assert.is(await store.caughtUpWith(4, 0), true);
  store.close();
});

test('a deleted scenario is forgotten, entries that come late included, and its later runs are not', () => {
  using folder = temporaryFolder();
  const store = openProjection(path.join(folder.path, 'p.db'));
  const { entries } = new LogWriter().run('cam', 1, 320).run('cam', 2, 64).run('other', 1, 32);
  store.apply(IDENTITY, entries.slice(0, 5));
  const through = entries.findLast(({ key }) => key.scenario === 'cam' && key.run === 1)?.seq ?? 0;
  for (let i = 0; i < 2; i++) store.forget('cam', 1, through);
  store.apply(IDENTITY, entries);
  assert.equal(store.runs('cam'), [2]);
  assert.equal(all(store), []);
  assert.equal(all(store, { run: 2 }), expected(64));
  assert.equal(all(store, { scenario: 'other' }), expected(32));
  assert.is(store.appliedSeq, entries.length);
  store.close();
});

test('Q6: a scenario that begins at run 1 again under a deleted one’s id has its own results, and only those', () => {
  for (const told of [true, false]) {
    for (const [first, last] of [
      [320, 'end'],
      [320, 'closed'],
      [0, 'end'],
      [32, null],
    ] as const) {
      using folder = temporaryFolder();
      const store = openProjection(path.join(folder.path, 'p.db'));
      const log = new LogWriter().run('cam', 1, first, last).run('other', 1, 32);
      store.apply(IDENTITY, log.entries);
      if (told) store.forget('cam', 1, log.entries.length);
      log.run('cam', 1, 64);
      store.apply(IDENTITY, log.entries);
      assert.equal(all(store), expected(64));
      assert.equal(all(store, { scenario: 'other' }), expected(32));
      assert.equal(
        store.heads('cam', 1).map(({ framesDone, ended }) => [framesDone, ended]),
        [[64, true]],
      );
      store.close();
    }
  }
});

test('Q6: a log that begins again is known for it also when a later attempt is the first to open it', () => {
  for (const [frames, last] of [
    [0, 'end'],
    [32, null],
  ] as const) {
    using folder = temporaryFolder();
    const store = openProjection(path.join(folder.path, 'p.db'));
    const log = new LogWriter().run('cam', 1, frames, last);
    const [first] = log.entries;
    if (first?.record.kind !== 'open') throw new Error('it is not opened');
    log.append('cam', 1, { ...first.record, attempt: 2 });
    store.apply(IDENTITY, log.entries);
    assert.equal(
      [all(store), store.heads('cam', 1).map(({ attempt, framesDone, ended }) => [attempt, framesDone, ended])],
      [[], [[2, 0, false]]],
    );
    store.close();
  }
});

test('Q6: the old one’s later runs go too, and a log that a second attempt goes on with stays', () => {
  using folder = temporaryFolder();
  const store = openProjection(path.join(folder.path, 'p.db'));
  const log = new LogWriter().run('cam', 1, 64).run('cam', 2, 64).run('cam', 1, 32, null);
  const last = log.entries.at(-1)?.record;
  if (last?.kind !== 'frames') throw new Error('no frames');
  log.append('cam', 1, { ...last, kind: 'open', attempt: 2, n: 0, source: { size: 1, sha256: 'aa' }, engine: ENGINE });
  store.apply(IDENTITY, log.entries);
  assert.equal([store.runs('cam'), all(store)], [[1], expected(32)]);
  store.close();
});

test('Q5: a file of another schema version, or no database at all, is replaced by an empty one', () => {
  using folder = temporaryFolder();
  const file = path.join(folder.path, 'p.db');
  filled(folder.path).close();
  const foreign = new Database(file);
  foreign.pragma('user_version = 999');
  foreign.close();
  const renewed = openProjection(file);
  assert.is(renewed.position(), null);
  assert.equal(all(renewed), []);
  renewed.close();

  writeFileSync(file, 'this is no database, and long enough that SQLite looks at its header. '.repeat(20));
  const replaced = openProjection(file);
  replaced.apply(IDENTITY, new LogWriter().run('cam', 1, 32).entries);
  assert.equal(all(replaced), expected(32));
  replaced.close();
});

test('Q1: entries of another stream are refused until the store is reset', () => {
  using folder = temporaryFolder();
  const store = filled(folder.path);
  const other = { ...IDENTITY, created: '2027-01-01T00:00:00Z' };
  const { entries } = new LogWriter().run('cam', 9, 32);
  assert.throws(() => store.apply(other, entries), /another stream/);
  store.reset();
  assert.is(store.position(), null);
  store.apply(other, entries);
  assert.equal(store.runs('cam'), [9]);
  assert.is(store.position()?.created, other.created);
  store.close();
});

const noDisk = whyNoSmallDisk();
const fullDisk = 'J4: a full disk refuses every change as retryable and changes nothing; with room it is made';
if (noDisk !== null) test.skip(`${fullDisk} (${noDisk})`, () => {});
else
  test(fullDisk, () => {
    using disk = new SmallDisk(4);
    const store = filled(disk.folder);
    const more = new LogWriter().run('other', 1, 50).run('cam', 1, 1000).run('cam', 2, 40, null).run('cam', 3, 1000);
    const before = [all(store), store.position(), store.runs('cam')];
    disk.fill();
    const changes = {
      apply: () => store.apply(IDENTITY, more.entries),
      forget: () => store.forget('cam', 1, 1_000),
      reset: () => store.reset(),
    };
    for (const [name, change] of Object.entries(changes))
      assert.throws(
        change,
        (error: unknown) => error instanceof TroupeError && error.code === 'unavailable' && error.retryable,
        name,
      );
    assert.equal([all(store), store.position(), store.runs('cam')], before);
    disk.makeRoom();
    changes.apply();
    assert.equal(store.runs('cam'), [1, 2, 3]);
    changes.forget();
    assert.equal(store.runs('cam'), [2, 3]);
    changes.reset();
    assert.is(store.position(), null);
    store.close();
  });

test.run();
