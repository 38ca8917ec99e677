/** What every PredictionLog promises. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { WriteConflict } from '../../src/actors/ports/write-outcome.ts';
import type { LogKey } from '../../src/domain/log-record.ts';
import { endRecord, framesRecord, openRecord } from '../support/log-records.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Backend, collect, judged, refusal, take } from './backends.ts';

export function predictionLogContract(name: string, open: () => Promise<Backend>): void {
  let backend: Backend;
  let scenarios = 0;
  const test = suite(`PredictionLog of ${name}`);
  const fresh = (segment = 0): LogKey => ({ scenario: `video${scenarios++}`, run: 1, segment });
  const subject = (key: LogKey): string => `troupe.prediction.${key.scenario}.${key.run}.${key.segment}`;
  test.before(async () => {
    backend = await open();
  });
  test.after(() => backend.close());

  test('appends chain: each names the sequence of the one before, and the last is what every client sees', async () => {
    const [key, { a, b }] = [fresh(), backend];
    assert.equal(await a.log.last(key), { seq: 0, entry: null });
    const opened = await a.log.append(key, openRecord(1), 0);
    const batch = await a.log.append(key, framesRecord(1, 1, 0, 3), opened);
    const { seq, entry } = await b.log.last(key);
    assert.is(seq, batch);
    assert.equal([entry?.seq, entry?.key, entry?.record], [batch, key, framesRecord(1, 1, 0, 3)]);
    assert.ok(batch > opened);
    assert.is(entry?.bytes, JSON.stringify(framesRecord(1, 1, 0, 3)).length);
  });

  test('L2: an append that names a stale sequence is a conflict and stores nothing', async () => {
    const [key, { a, b }] = [fresh(), backend];
    const opened = await a.log.append(key, openRecord(1), 0);
    const newer = await b.log.append(key, openRecord(2), opened);
    for (const expected of [0, opened, newer + 1])
      assert.instance(await refusal(a.log.append(key, framesRecord(1, 1, 0, 1), expected)), WriteConflict);
    assert.is((await a.log.last(key)).seq, newer);
  });

  test('logs do not disturb each other: the expectation is about one subject', async () => {
    const [one, two] = [fresh(), fresh(1)];
    const opened = await backend.a.log.append(one, openRecord(1), 0);
    await backend.a.log.append(two, openRecord(1), 0);
    await backend.a.log.append(one, framesRecord(1, 1, 0, 1), opened);
  });

  test('of racing attempts exactly one opens the log', async () => {
    const key = fresh();
    const racers = Array.from({ length: 24 }, (_, i) =>
      judged(() => (i % 2 === 0 ? backend.a : backend.b).log.append(key, openRecord(1, `racer${i}`), 0)),
    );
    const ends = await Promise.allSettled(racers);
    const won = ends.flatMap(end => (end.status === 'fulfilled' ? [end.value] : []));
    for (const end of ends) if (end.status === 'rejected') assert.instance(end.reason, WriteConflict);
    assert.is(won.length, 1);
    assert.is((await backend.b.log.last(key)).seq, won[0]);
  });

  test('a read from a sequence gives every record from there on, of all logs, in order, then new ones', async () => {
    const [one, two, { a, b }] = [fresh(), fresh(), backend];
    const first = await a.log.append(one, openRecord(1), 0);
    const second = await a.log.append(two, openRecord(1), 0);
    const third = await a.log.append(one, framesRecord(1, 1, 0, 2), first);
    const entries = await take(2, signal => b.log.read(second, signal));
    assert.equal(
      entries.map(entry => [entry.seq, entry.key.scenario]),
      [
        [second, two.scenario],
        [third, one.scenario],
      ],
    );
    const reader = collect(signal => b.log.read(third + 1, signal));
    const fourth = await a.log.append(two, endRecord(1, 1, 0), second);
    await waitUntil('the new record is read', () => reader.items.length > 0);
    await reader.stop();
    assert.equal(
      reader.items.map(entry => entry.seq),
      [fourth],
    );
  });

  test('a read from beyond the end waits for that sequence and gives nothing below it', async () => {
    const [key, { a, b }] = [fresh(), backend];
    const opened = await a.log.append(key, openRecord(1), 0);
    const reader = collect(signal => b.log.read(opened + 3, signal));
    let last = opened;
    for (let n = 1; n <= 5; n++) last = await a.log.append(key, framesRecord(1, n, n - 1, 1), last);
    await waitUntil('the last record is read', () => reader.items.at(-1)?.seq === last);
    await reader.stop();
    assert.equal(
      reader.items.map(entry => entry.seq),
      [opened + 3, opened + 4, opened + 5],
    );
  });

  test('an entry’s time is the same when delivered, when fetched as the last one, and by its sequence', async () => {
    const [key, { a, b }] = [fresh(), backend];
    let seq = await a.log.append(key, openRecord(1), 0);
    const firstSeq = seq;
    for (let n = 1; n < 50; n++) {
      seq = await a.log.append(key, framesRecord(1, n, n - 1, 1), seq);
      const { entry } = await b.log.last(key);
      assert.is(entry?.at, await b.log.timeOf(seq));
    }
    for (const entry of await take(50, signal => b.log.read(firstSeq, signal)))
      assert.is(entry.at, await a.log.timeOf(entry.seq));
    assert.is(await a.log.timeOf(seq + 1), null);
  });

  test('the next record behind a sequence is the first that is one and is still there', async () => {
    const [key, { a, b }] = [fresh(), backend];
    const opened = await a.log.append(key, openRecord(1), 0);
    assert.is((await b.log.next(opened - 1))?.seq, opened);
    assert.is(await b.log.next(opened), null);
    await backend.barePublish([subject(key)], 'no record');
    assert.is(await b.log.next(opened), null);
    const { seq: foreign } = await a.log.last(key);
    const seq = await a.log.append(key, framesRecord(1, 1, 0, 1), foreign);
    assert.equal(await b.log.next(opened), { seq, at: await a.log.timeOf(seq) });
    await a.log.purge(key.scenario);
    assert.is(await b.log.next(opened - 1), null);
  });

  test('PL1: a stranger’s message is no record, hides none, and moves the sequence to expect', async () => {
    const [key, { a, b }] = [fresh(), backend];
    await backend.barePublish([subject(key)], 'hello');
    const before = await a.log.last(key);
    assert.is(before.entry, null);
    assert.ok(before.seq > 0);
    const opened = await a.log.append(key, openRecord(1), before.seq);
    await backend.barePublish([subject(key), subject(key)], '{"v":1,"kind":"frames"}');
    const { seq, entry } = await b.log.last(key);
    assert.equal([seq, entry?.seq, entry?.record.kind], [opened + 2, opened, 'open']);
    assert.instance(await refusal(a.log.append(key, framesRecord(1, 1, 0, 1), opened)), WriteConflict);
    const batch = await a.log.append(key, framesRecord(1, 1, 0, 1), seq);
    const entries = await take(2, signal => b.log.read(before.seq, signal));
    assert.equal(
      entries.map(read => read.seq),
      [opened, batch],
    );
    assert.ok(backend.foreign.includes(subject(key)));
  });

  test('a message on a subject that names no log is no record', async () => {
    await backend.barePublish(['troupe.prediction.video.first.0'], JSON.stringify(openRecord(1)));
    const key = fresh();
    const opened = await backend.a.log.append(key, openRecord(1), 0);
    assert.equal(
      (await take(1, signal => backend.b.log.read(opened - 1, signal))).map(entry => entry.seq),
      [opened],
    );
  });

  test('the identity tells the stream’s creation and its ends', async () => {
    const key = fresh();
    const seq = await backend.a.log.append(key, openRecord(1), 0);
    const identity = await backend.b.log.identity();
    assert.is(identity.lastSeq, seq);
    assert.ok(identity.firstSeq > 0 && identity.firstSeq <= seq);
    assert.is((await backend.a.log.identity()).created, identity.created);
  });

  test('a purge removes every log of the scenario and nothing else; the log can be opened again', async () => {
    const [key, other, { a, b }] = [fresh(), fresh(), backend];
    const seq = await a.log.append(key, openRecord(1), 0);
    await a.log.append({ ...key, run: 2, segment: 3 }, openRecord(1), 0);
    const kept = await a.log.append(other, openRecord(1), 0);
    await b.log.purge(key.scenario);
    await b.log.purge(key.scenario);
    assert.equal(await a.log.last(key), { seq: 0, entry: null });
    assert.is(await a.log.timeOf(seq), null);
    assert.equal(
      (await take(1, signal => a.log.read(seq, signal))).map(entry => entry.seq),
      [kept],
    );
    assert.ok((await a.log.append(key, openRecord(1), 0)) > kept);
  });

  test.run();
}
