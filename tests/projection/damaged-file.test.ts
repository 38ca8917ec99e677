/** The projection's file as a bad disk leaves it: in the store, and below a whole node that has nothing new to read. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import Database from 'better-sqlite3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ProjectionStore } from '../../src/actors/ports/projection.ts';
import { TroupeError } from '../../src/domain/errors.ts';
import { openProjection } from '../../src/infra/sqlite/projection-store.ts';
import { startTestNode } from '../support/node.ts';
import { waitUntil } from '../support/wait-until.ts';
import { IDENTITY, LogWriter, prediction } from './log-entries.ts';
import { temporaryFolder } from './temporary-folder.ts';

const test = suite('damaged projection');
/** The schema and the position are whole: the file can be opened. */
const HEALTHY_PAGES = 3;
const FRAMES = 640;

/** All pages but the first ones. */
function damage(file: string): void {
  const bytes = readFileSync(file);
  const healthy = HEALTHY_PAGES * bytes.readUInt16BE(16);
  assert.ok(bytes.length > 2 * healthy, `${bytes.length} bytes`);
  writeFileSync(file, bytes.fill(0xa5, healthy));
}

const frames = (store: ProjectionStore): unknown[] => [...store.pages('cam', 1, 0)].flat();
const truth = Array.from({ length: FRAMES }, (_, i) => prediction(i));
const saysSo = (error: unknown): boolean =>
  error instanceof TroupeError && error.code === 'unavailable' && /read anew from the log/.test(error.message);

const { entries } = new LogWriter().run('cam', 1, FRAMES);

function damaged(folder: string): { file: string; store: ProjectionStore; told: string[] } {
  const file = path.join(folder, 'p.db');
  const whole = openProjection(file);
  whole.apply(IDENTITY, entries.slice(0, 10));
  whole.close();
  damage(file);
  const told: string[] = [];
  return { file, told, store: openProjection(file, { replaced: cause => told.push(cause) }) };
}

const FOUND: Readonly<Record<string, (store: ProjectionStore) => unknown>> = {
  'a change': store => store.apply(IDENTITY, entries.slice(10), 10),
  'an export': frames,
  'the heads': store => store.heads('cam', 1),
  'a deletion': store => store.forget('cam', 1, 0),
};
for (const [what, find] of Object.entries(FOUND))
  test(`Q5, Q7: a file that ${what} finds damaged is replaced once, told once, and filled from the beginning or not at all`, () => {
    using folder = temporaryFolder();
    const { store, told } = damaged(folder.path);
    assert.equal([store.appliedSeq, told], [10, []]);
    assert.throws(() => find(store), saysSo);
    assert.is(told.length, 1);
    assert.is(store.position(), null);
    // Whoever was filling it knows nothing of that yet.
    assert.throws(
      () => store.apply(IDENTITY, entries.slice(10), 10),
      (error: unknown) => saysSo(error) && !(error as TroupeError).retryable,
    );
    assert.equal([store.appliedSeq, frames(store)], [0, []]);
    store.apply(IDENTITY, entries);
    assert.equal(frames(store), truth);
    assert.is(told.length, 1);
    store.close();
  });

test('Q5: an export under way breaks off when the file is replaced, also when it is filled again already', () => {
  using folder = temporaryFolder();
  const store = openProjection(path.join(folder.path, 'p.db'));
  store.apply(IDENTITY, entries);
  const pages = store.pages('cam', 1, 0)[Symbol.iterator]();
  pages.next();
  store.reset();
  store.apply(IDENTITY, entries);
  assert.throws(() => pages.next(), saysSo);
  store.close();
});

const FOREIGN: Readonly<Record<string, string>> = {
  'another table of our name': 'DROP TABLE head; CREATE TABLE head (scenario TEXT)',
  'a table too few': 'DROP TABLE forgotten',
  'a table too many': 'CREATE TABLE mine (a)',
  'tables and no version': 'PRAGMA user_version = 0',
  'a position that is none': "UPDATE position SET seq = 'soon'",
};
for (const [what, sql] of Object.entries(FOREIGN))
  test(`Q5: a file with ${what} is replaced when it is opened`, () => {
    using folder = temporaryFolder();
    const file = path.join(folder.path, 'p.db');
    const whole = openProjection(file);
    whole.apply(IDENTITY, entries);
    whole.close();
    const other = new Database(file);
    other.exec(sql);
    other.close();
    const told: string[] = [];
    const store = openProjection(file, { replaced: cause => told.push(cause) });
    assert.is(told.length, 1);
    assert.is(store.position(), null);
    store.apply(IDENTITY, entries);
    assert.equal(frames(store), truth);
    store.close();
  });

test('Q5: a node whose file is damaged answers as before, without a restart and with nothing new in the log', async () => {
  const data = mkdtempSync(path.join(tmpdir(), 'troupe-damaged-'));
  try {
    let before = '';
    {
      await using node = await startTestNode({ data, spares: 0 });
      await node.create({ id: 'cam', source: { uri: 'test_videos/test_video.mp4' }, model: 'shapes' });
      assert.is((await node.ended('cam')).outcome, 'completed');
      before = await node.export('cam');
    }
    damage(path.join(data, 'projection.db'));
    await using node = await startTestNode({ data, spares: 0 });
    await waitUntil('the export is what it was', async () => {
      const { status, text } = await node.call('GET', '/api/v1/scenarios/cam/export');
      if (status !== 200) assert.is(status, 503, text);
      return status === 200 && text === before;
    });
    assert.is(node.log.filter(line => line.includes('projection.db could not be used')).length, 1);
  } finally {
    rmSync(data, { recursive: true, force: true });
  }
});

test.run();
