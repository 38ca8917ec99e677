/** What every server promises whose store was put back to an older copy: its sequence numbers mean other messages then. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bytes, judged, type RestorableBackend, text } from './backends.ts';

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

  test.run();
}
