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

  test.run();
}
