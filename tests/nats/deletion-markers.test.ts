/** SS3: what deletions leave in a bucket does not stay for ever. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { kvStream } from '../../src/domain/subjects.ts';
import { bytes, type NatsBackend, natsBackend, take } from '../contract/backends.ts';

const test = suite('Deletion markers');
const BUCKET = 'markers';
let backend: NatsBackend;
test.before(async () => {
  backend = await natsBackend();
});
test.after(() => backend.close());

const stored = async (): Promise<number> => (await backend.natsA.jsm.streams.info(kvStream(BUCKET))).state.messages;

test('SS3: a marker stays as long as asked, then its maker removes it, or who met it when its maker is gone', async () => {
  const maker = await backend.a.bucket(BUCKET);
  const kept = await maker.put('actor.kept', bytes('1'), 0);
  for (const key of ['actor.x', 'actor.y']) await maker.delete(key, await maker.put(key, bytes('1'), 0));
  await maker.tidy(3_600_000);
  assert.is(await stored(), 3);
  const other = await backend.b.bucket(BUCKET);
  await other.tidy(0);
  assert.is(await stored(), 3);
  await maker.tidy(0);
  assert.is(await stored(), 1);
  await maker.delete('actor.z', await maker.put('actor.z', bytes('1'), 0));
  await take(2, signal => other.watch(signal));
  await other.tidy(0);
  assert.is(await stored(), 1);
  assert.is((await other.get('actor.kept'))?.revision, kept);
});

test('SS3: a marker that a new entry has replaced is nothing to remove', async () => {
  const maker = await backend.a.bucket(BUCKET);
  await maker.delete('actor.x', await maker.put('actor.x', bytes('1'), 0));
  const again = await maker.put('actor.x', bytes('2'), 0);
  await maker.tidy(0);
  assert.is((await maker.get('actor.x'))?.revision, again);
});

test.run();
