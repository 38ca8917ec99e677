/** What every Journal promises. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { waitUntil } from '../support/wait-until.ts';
import { type Backend, bytes, collect, take, text } from './backends.ts';

export function journalContract(name: string, open: () => Promise<Backend>): void {
  let backend: Backend;
  const test = suite(`Journal of ${name}`);
  test.before(async () => {
    backend = await open();
  });
  test.after(() => backend.close());

  test('facts of a filter are read in order from a sequence on, then new ones', async () => {
    const { a, b } = backend;
    for (const id of ['x', 'y', 'x']) await a.journal.append(`troupe.event.scenario.${id}.state`, bytes(`of ${id}`));
    const all = await take(3, signal => b.journal.read('troupe.event.>', 1, signal));
    assert.equal(
      all.map(entry => [entry.subject, text(entry.body)]),
      [
        ['troupe.event.scenario.x.state', 'of x'],
        ['troupe.event.scenario.y.state', 'of y'],
        ['troupe.event.scenario.x.state', 'of x'],
      ],
    );
    const reader = collect(signal => b.journal.read('troupe.event.scenario.x.*', (all[1]?.seq ?? 0) + 1, signal));
    await a.journal.append('troupe.event.scenario.y.state', bytes('other'));
    await a.journal.append('troupe.event.scenario.x.restarted', bytes('new'));
    await waitUntil('the new fact is read', () => reader.items.length >= 2);
    await reader.stop();
    assert.equal(
      reader.items.map(entry => text(entry.body)),
      ['of x', 'new'],
    );
    assert.ok(reader.items.every((entry, i) => entry.seq > (reader.items[i - 1]?.seq ?? 0)));
  });

  test('refusals are kept apart from facts', async () => {
    await backend.a.journal.append('troupe.rejected.scenario.x', bytes('refused'));
    const [entry] = await take(1, signal => backend.b.journal.read('troupe.rejected.>', 1, signal));
    assert.equal([entry?.subject, text(entry?.body ?? bytes(''))], ['troupe.rejected.scenario.x', 'refused']);
  });

  test('what is stored now is read between two sequences, and the read ends', async () => {
    const { a, b } = backend;
    const filter = 'troupe.event.scenario.bounded.>';
    assert.is(await b.journal.extent(filter), null, 'nothing is stored of it');
    for (const what of ['one', 'two', 'three', 'four']) {
      await a.journal.append('troupe.event.scenario.bounded.state', bytes(what));
      await a.journal.append('troupe.event.scenario.unbounded.state', bytes(`not ${what}`));
    }
    const extent = await b.journal.extent(filter);
    assert.ok(extent !== null);
    const read = async (firstSeq: number, lastSeq: number): Promise<[string, number][]> => {
      const found: [string, number][] = [];
      const { signal } = new AbortController();
      for await (const { body, seq } of b.journal.stored(filter, { firstSeq, lastSeq }, signal))
        found.push([text(body), seq]);
      return found;
    };
    const all = await read(extent.firstSeq, extent.lastSeq);
    assert.equal(
      all.map(([body]) => body),
      ['one', 'two', 'three', 'four'],
    );
    const seqs = all.map(([, seq]) => seq);
    assert.is(seqs.at(-1), extent.lastSeq);
    assert.equal(await read(seqs[1] ?? 0, seqs[2] ?? 0), all.slice(1, 3));
    assert.equal(await read((seqs[0] ?? 0) + 1, (seqs[1] ?? 0) + 1), all.slice(1, 2), 'bounds need not be entries');
    assert.equal(await read((seqs[0] ?? 0) + 1, (seqs[1] ?? 0) - 1), [], 'nothing in between');
  });

  test('the end of what is stored is not waited beyond', async () => {
    const subject = 'troupe.event.scenario.short.state';
    await backend.a.journal.append(subject, bytes('only'));
    const { firstSeq, lastSeq } = (await backend.b.journal.extent(subject)) ?? { firstSeq: 0, lastSeq: 0 };
    const { signal } = new AbortController();
    const found: string[] = [];
    for await (const { body } of backend.b.journal.stored(subject, { firstSeq, lastSeq: lastSeq + 9 }, signal))
      found.push(text(body));
    assert.equal(found, ['only']);
  });

  test.run();
}
