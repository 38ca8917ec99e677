/** What every StateStore promises. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { StateChange, StateStore } from '../../src/actors/ports/state-store.ts';
import { WriteConflict } from '../../src/actors/ports/write-outcome.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Backend, bytes, collect, judged, refusal, take, text } from './backends.ts';

/** A change as a short text. */
const told = (change: StateChange): string => {
  if (change.kind === 'current') return 'current';
  return change.kind === 'deleted' ? `-${change.key}` : `${change.entry.key}=${text(change.entry.value)}`;
};

export function stateStoreContract(name: string, open: () => Promise<Backend>): void {
  let backend: Backend;
  let buckets = 0;
  const test = suite(`StateStore of ${name}`);
  /** The same fresh bucket, seen by two clients. */
  const fresh = async (): Promise<[StateStore, StateStore]> => {
    const name = `contract_${buckets++}`;
    return [await backend.a.bucket(name), await backend.b.bucket(name)];
  };
  test.before(async () => {
    backend = await open();
  });
  test.after(() => backend.close());

  test('a write that names the last revision is stored, and every client reads it', async () => {
    const [a, b] = await fresh();
    const first = await a.put('actor.x', bytes('1'), 0);
    const second = await b.put('actor.x', bytes('2'), first);
    assert.ok(second > first && first > 0);
    const entry = await a.get('actor.x');
    assert.equal([entry?.key, entry?.revision, text(entry?.value ?? bytes(''))], ['actor.x', second, '2']);
    assert.is(await a.get('actor.y'), null);
  });

  test('a write that names an older revision is a conflict and stores nothing', async () => {
    const [a, b] = await fresh();
    const first = await a.put('actor.x', bytes('1'), 0);
    const second = await a.put('actor.x', bytes('2'), first);
    for (const expected of [0, first, second + 1])
      assert.instance(await refusal(b.put('actor.x', bytes('no'), expected)), WriteConflict);
    assert.instance(await refusal(b.delete('actor.x', first)), WriteConflict);
    assert.is((await b.get('actor.x'))?.revision, second);
  });

  test('a deleted key reads as absent, and 0 creates it again', async () => {
    const [a, b] = await fresh();
    const first = await a.put('actor.x', bytes('1'), 0);
    await a.delete('actor.x', first);
    assert.is(await b.get('actor.x'), null);
    const again = await b.put('actor.x', bytes('2'), 0);
    assert.ok(again > first);
    assert.instance(await refusal(a.put('actor.x', bytes('3'), 0)), WriteConflict);
    assert.is((await a.get('actor.x'))?.revision, again);
  });

  test('of racing writers exactly one wins: on a new key, an existing one and a deleted one', async () => {
    const [a, b] = await fresh();
    const race = async (expected: number): Promise<number> => {
      const racers = Array.from({ length: 24 }, (_, i) =>
        judged(() => (i % 2 === 0 ? a : b).put('actor.x', bytes(`${i}`), expected)),
      );
      const ends = await Promise.allSettled(racers);
      const won = ends.flatMap((end, i) => (end.status === 'fulfilled' ? [{ revision: end.value, i }] : []));
      for (const end of ends) if (end.status === 'rejected') assert.instance(end.reason, WriteConflict);
      assert.is(won.length, 1);
      const entry = await a.get('actor.x');
      assert.equal([entry?.revision, text(entry?.value ?? bytes(''))], [won[0]?.revision, `${won[0]?.i}`]);
      return won[0]?.revision ?? 0;
    };
    const updated = await race(await race(0));
    await a.delete('actor.x', updated);
    await race(0);
  });

  test('a watch gives every entry, then `current` once, then every change; earlier deletions are not changes', async () => {
    const [a, b] = await fresh();
    const x = await a.put('actor.x', bytes('1'), 0);
    await a.put('actor.gone', bytes('1'), 0).then(revision => a.delete('actor.gone', revision));
    const y = await a.put('actor.y', bytes('1'), 0);
    await a.put('actor.x', bytes('2'), x);
    const watch = collect(signal => b.watch(signal));
    await waitUntil('the watch is current', () => watch.items.some(change => change.kind === 'current'));
    assert.equal(watch.items.map(told), ['actor.y=1', 'actor.x=2', 'current']);
    await a.delete('actor.y', y);
    await a.put('actor.y', bytes('2'), 0);
    await a.put('actor.z', bytes('1'), 0);
    await waitUntil('the changes are seen', () => watch.items.length >= 6);
    await watch.stop();
    assert.equal(watch.items.slice(3).map(told), ['-actor.y', 'actor.y=2', 'actor.z=1']);
  });

  test('a watch whose last entry was a deletion, and one of an empty bucket, become current', async () => {
    const [a, b] = await fresh();
    assert.equal((await take(1, signal => b.watch(signal))).map(told), ['current']);
    await a.put('actor.x', bytes('1'), 0).then(revision => a.delete('actor.x', revision));
    assert.equal((await take(1, signal => b.watch(signal))).map(told), ['current']);
  });

  test('what deletions leave behind goes when it is tidied up, by whoever made or met it, and nothing is noticed of it', async () => {
    const [a, b] = await fresh();
    const removed = async (key: string): Promise<void> => a.delete(key, await a.put(key, bytes('1'), 0));
    const watch = collect(signal => b.watch(signal));
    await waitUntil('the watch is current', () => watch.items.length === 1);
    await removed('actor.x');
    await removed('actor.again');
    const again = await b.put('actor.again', bytes('2'), 0);
    const kept = await a.put('actor.kept', bytes('1'), 0);
    const lastSeen = (): string => watch.items.map(told).at(-1) ?? '';
    await waitUntil('all is seen', () => lastSeen() === 'actor.kept=1');
    const seen = watch.items.length;
    await Promise.all([a.tidy(0), a.tidy(0), b.tidy(0)]);
    await a.tidy(0);
    await b.put('actor.next', bytes('1'), 0);
    await waitUntil('the next change is seen', () => lastSeen() === 'actor.next=1');
    await watch.stop();
    assert.is(watch.items.length, seen + 1);
    assert.is(await b.get('actor.x'), null);
    assert.equal([(await b.get('actor.again'))?.revision, (await b.get('actor.kept'))?.revision], [again, kept]);
    const anew = await b.put('actor.x', bytes('3'), 0);
    assert.ok(anew > kept);
    // Made by a client that is gone, met by another.
    await a.delete('actor.x', anew);
    const later = await backend.a.bucket(`contract_${buckets - 1}`);
    assert.is((await take(4, signal => later.watch(signal))).at(-1)?.kind, 'current');
    await later.tidy(0);
    assert.instance(await refusal(a.put('actor.x', bytes('no'), anew)), WriteConflict);
    await a.put('actor.x', bytes('4'), 0);
  });

  test('a watch that runs while others write ends with what is stored, revisions only rising', async () => {
    const [a, b] = await fresh();
    const watches = Array.from({ length: 3 }, () => collect(signal => b.watch(signal)));
    const revisions = new Map<string, number>();
    for (let i = 0; i < 200; i++) {
      const key = `actor.k${(i * 7) % 10}`;
      revisions.set(key, await a.put(key, bytes(`${i}`), revisions.get(key) ?? 0));
    }
    const last = Math.max(...revisions.values());
    for (const watch of watches) {
      const entries = () => watch.items.flatMap(change => (change.kind === 'entry' ? [change.entry] : []));
      await waitUntil('the last write is seen', () => entries().at(-1)?.revision === last);
      await watch.stop();
      const seen = entries().map(entry => entry.revision);
      assert.equal(
        seen,
        [...new Set(seen)].sort((m, n) => m - n),
      );
      assert.equal(new Map(entries().map(entry => [entry.key, entry.revision])), revisions);
      assert.is(watch.items.filter(change => change.kind === 'current').length, 1);
    }
  });

  test.run();
}
