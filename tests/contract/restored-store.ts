/** What every server promises whose store was put back to an older copy: its sequence numbers mean other messages then. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ActorAddress } from '../../src/actors/ports/mailbox.ts';
import { waitUntil } from '../support/wait-until.ts';
import { bytes, collect, judged, PARTITIONS, type RestorableBackend, refusal, text } from './backends.ts';

export function restoredStoreContract(name: string, open: () => Promise<RestorableBackend>): void {
  let backend: RestorableBackend;
  const test = suite(`Restored store of ${name}`);
  test.before.each(async () => {
    backend = await open();
  });
  test.after.each(() => backend.close());

  test('SS3: what a deletion left before the store was put back is not looked for where something else is now', async () => {
    const bucket = await backend.a.bucket('tidied');
    const first = await bucket.put('actor.x', bytes('1'), 0);
    const putBack = await backend.copy();
    await bucket.delete('actor.x', first);
    await putBack();
    const live = await judged(() => bucket.put('actor.live', bytes('2'), 0));
    assert.is(live, first + 1, 'it has the number that the marker had');
    await bucket.tidy(0);
    assert.is(text((await bucket.get('actor.live'))?.value ?? bytes('')), '2');
    assert.is((await bucket.get('actor.x'))?.revision, first);
  });

  test('SS3: nor is it taken for what another deletion left', async () => {
    const bucket = await backend.a.bucket('tidied');
    const [x, y] = [await bucket.put('actor.x', bytes('1'), 0), await bucket.put('actor.y', bytes('1'), 0)];
    const putBack = await backend.copy();
    await bucket.delete('actor.x', x);
    await putBack();
    const other = await backend.b.bucket('tidied');
    await judged(() => other.delete('actor.y', y));
    const stored = await backend.stored('tidied');
    await bucket.tidy(0);
    assert.is(await backend.stored('tidied'), stored);
  });

  test('OR3, MS5: a read fails where it would skip what the store, put back and grown past it, has before its place', async () => {
    const { mailbox } = backend.a;
    const ids = Array.from({ length: 2 * PARTITIONS }, (_, i) => ({ kind: 'k', id: `${i}` }));
    const [x] = ids;
    const y = ids.find(id => id !== x && x !== undefined && mailbox.partitionOf(id) === mailbox.partitionOf(x));
    if (x === undefined || y === undefined) throw new Error('no two of one partition');
    const send = async (to: ActorAddress, verb: string): Promise<number> =>
      judged(async () => (await mailbox.send({ to, class: 'sys', verb, headers: {}, body: bytes('') })).seq);
    await send(x, 'kept');
    const putBack = await backend.copy();
    for (const verb of ['lost', 'read']) await send(x, verb);
    const [isRead, isGrown] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const verbs: string[] = [];
    const reading = (async () => {
      for await (const { verb } of backend.b.mailbox.read(mailbox.partitionOf(x), new AbortController().signal)) {
        verbs.push(verb);
        if (verb === 'skipped' || verb === 'behind') throw new Error(`${verb} was read as if it followed`);
        if (verb !== 'read') continue;
        isRead.resolve();
        await isGrown.promise; // only then it looks for more
      }
    })();
    const failure = refusal(reading);
    await isRead.promise;
    await putBack();
    await send(y, 'skipped');
    const place = await send(x, 'inPlace');
    await mailbox.purge(x, place);
    await send(x, 'behind');
    isGrown.resolve();
    assert.is((await failure).name, 'StreamReplaced');
    assert.equal(verbs, ['kept', 'lost', 'read']);
  });

  test('OR3, MS5: a watch goes on where nothing tells whether the bucket is still the one that was read, and one that is to be certain fails', async () => {
    const [a, b] = [await backend.a.bucket('watched'), await backend.b.bucket('watched')];
    const watches = [collect(signal => b.watch(signal)), collect(signal => b.watch(signal, true))] as const;
    const seen = (kind: string): boolean => watches.every(({ items }) => items.at(-1)?.kind === kind);
    await waitUntil('they are current', () => seen('current'));
    await a.delete('actor.x', await a.put('actor.x', bytes('1'), 0));
    await waitUntil('the deletion is seen', () => seen('deleted'));
    await a.tidy(0);
    await (await backend.copy())();
    await judged(() => a.put('actor.y', bytes('2'), 0));
    await waitUntil('one goes on', () => watches[0].items.at(-1)?.kind === 'entry');
    await watches[0].stop();
    const failures: string[] = [];
    watches[1].ended.catch((error: Error) => failures.push(error.name));
    await waitUntil('the other fails', () => failures.length > 0, 5_000);
    assert.equal(failures, ['StreamReplaced']);
  });

  test.run();
}
