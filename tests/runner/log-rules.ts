/** The rules of the prediction log, on whatever keeps it: L1, L2, L4, L6, L10 of docs/LOG.md. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { PredictionLog } from '../../src/actors/ports/prediction-log.ts';
import { WriteRetry, WriteUnknown } from '../../src/actors/ports/write-outcome.ts';
import { Fenced, LogWriter, type Opened } from '../../src/actors/runner/log-writer.ts';
import { closeLog, purgeLog } from '../../src/actors/scenario/log-errands.ts';
import { TroupeError } from '../../src/domain/errors.ts';
import type { LogKey, LogRecord, Position } from '../../src/domain/log-record.ts';
import { SUBJECTS } from '../../src/domain/subjects.ts';
import { systemClock, systemRandom } from '../../src/infra/process/system-clock.ts';
import { type Backend, refusal } from '../contract/backends.ts';
import { waitUntil } from '../support/wait-until.ts';

/** What may happen to one append: stored but not heard of, not even sent, refused without a verdict. */
export type Fault = 'unheard' | 'unsent' | 'retry';

export const at = (to: number): Position => ({ to, prevPts: null, lastPts: to * 40, startPts: 0, frames: to + 1 });
const SOURCE = { size: 1, sha256: 'ab' };
const ENGINE = { decoder: 'ffmpeg 5', onnxruntime: '1', provider: 'cpu', cpu: 'x64' };
const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

/** The log with trouble on its way. */
export function troubled(
  log: PredictionLog,
  faults: Fault[],
  before: () => Promise<void> = async () => {},
): PredictionLog & { tries: number } {
  return {
    ...log,
    tries: 0,
    async append(key, record, expected) {
      this.tries += 1;
      await before();
      const fault = faults.shift();
      if (fault === 'retry') throw new WriteRetry('no leader');
      if (fault === 'unsent') throw new WriteUnknown('time-out');
      const seq = await log.append(key, record, expected);
      if (fault === 'unheard') throw new WriteUnknown('time-out');
      return seq;
    },
  };
}

export const opening = (
  log: PredictionLog,
  key: LogKey,
  attempt: number,
  lastSeq = 0,
  openBy = Number.POSITIVE_INFINITY,
): Promise<Opened> =>
  LogWriter.open(
    { log, clock: systemClock, random: systemRandom },
    { key, attempt, lastSeq, source: SOURCE, engine: ENGINE, traceparent: TRACEPARENT, openBy },
    new AbortController().signal,
  );

export async function writerOf(log: PredictionLog, key: LogKey, attempt: number): Promise<LogWriter> {
  const opened = await opening(log, key, attempt);
  if (opened.kind !== 'open') throw new Error('the log has ended');
  return opened.writer;
}

export const batch = (writer: LogWriter, from: number, to = from): Promise<number> =>
  writer.frames(
    from,
    at(to),
    Array.from({ length: to - from + 1 }, (_, i) => ({ frame: from + i, ptsMs: (from + i) * 40, detections: [] })),
  );

export const close = (log: PredictionLog, key: LogKey, attempt: number) =>
  closeLog({ log, clock: systemClock })(
    { kind: 'scenario', id: key.scenario },
    { key: 'close', kind: 'close-log', body: { ...key, attempt } },
    new AbortController().signal,
  );

/** Every record of one log, in order. */
export async function records(log: PredictionLog, key: LogKey): Promise<LogRecord[]> {
  const { entry } = await log.last(key);
  if (entry === null) return [];
  const found: LogRecord[] = [];
  const reading = new AbortController();
  for await (const { seq, key: of, record } of log.read(1, reading.signal)) {
    if (SUBJECTS.log(of) === SUBJECTS.log(key)) found.push(record);
    if (seq >= entry.seq) break;
  }
  return found;
}

/** `open 1, 0–3, end`: kind and attempt, or the frames passed. */
export const story = (found: readonly LogRecord[]): string =>
  found
    .map(record =>
      record.kind === 'frames' ? `${record.from}–${record.position.to}` : `${record.kind} ${record.attempt}`,
    )
    .join(', ');

/** No frame missing or twice, attempts only newer, nothing after an `end`. */
export function assertWhole(found: readonly LogRecord[]): void {
  let [next, attempt] = [0, 0];
  for (const record of found) {
    assert.ok(record.attempt >= attempt, `attempt ${record.attempt} wrote after ${attempt}: ${story(found)}`);
    attempt = record.attempt;
    if (record.kind !== 'frames') {
      assert.is(record.position?.to ?? -1, next - 1, story(found));
      continue;
    }
    assert.is(record.from, next, story(found));
    next = record.position.to + 1;
  }
}

export function logRules(name: string, open: () => Promise<Backend>): void {
  let backend: Backend;
  let scenarios = 0;
  const fresh = (): LogKey => ({ scenario: `rule${scenarios++}`, run: 1, segment: 0 });
  const test = suite(`log rules on ${name}`);
  test.before(async () => {
    backend = await open();
  });
  test.after(() => backend.close());

  test('L1: an attempt opens an empty log, and after an older attempt goes on at its last record', async () => {
    const [key, { a, b }] = [fresh(), backend];
    const first = await opening(a.log, key, 1);
    assert.equal([first.kind, first.kind === 'open' && first.position], ['open', null]);
    if (first.kind === 'open') await batch(first.writer, 0, 5);
    const second = await opening(b.log, key, 2);
    assert.equal(second.kind === 'open' && second.position, at(5));
    const third = await opening(a.log, key, 3);
    assert.equal(third.kind === 'open' && third.position, at(5), 'an `open` repeats the position');
    assert.is(story(await records(a.log, key)), 'open 1, 0–5, open 2, open 3');
  });

  test('L1: an attempt that is not newer than the last record is fenced and stores nothing', async () => {
    const [key, { a, b }] = [fresh(), backend];
    await writerOf(a.log, key, 3);
    for (const attempt of [1, 2, 3]) assert.instance(await refusal(opening(b.log, key, attempt)), Fenced);
    await close(a.log, key, 4);
    assert.instance(await refusal(opening(b.log, key, 4)), Fenced);
    assert.is(story(await records(a.log, key)), 'open 3, closed 4');
  });

  test('L1: a log that holds `end` has nothing left to do', async () => {
    const [key, { a, b }] = [fresh(), backend];
    const writer = await writerOf(a.log, key, 1);
    await batch(writer, 0);
    const end = await writer.end(at(0), ['odd']);
    assert.equal(await opening(b.log, key, 2), { kind: 'ended', seq: end });
    assert.is(story(await records(a.log, key)), 'open 1, 0–0, end 1');
  });

  test('L1: a closed log is gone on with by a newer attempt', async () => {
    const [key, { a }] = [fresh(), backend];
    const writer = await writerOf(a.log, key, 1);
    await batch(writer, 0, 2);
    await writer.close(at(2));
    const again = await opening(a.log, key, 2);
    assert.equal(again.kind === 'open' && again.position, at(2));
  });

  test('L2: the append of an older attempt is refused, stores nothing and fences it', async () => {
    const [key, { a, b }] = [fresh(), backend];
    const paused = await writerOf(a.log, key, 1);
    await batch(paused, 0, 3);
    const newer = await writerOf(b.log, key, 2);
    assert.instance(await refusal(batch(paused, 4)), Fenced);
    assert.instance(await refusal(paused.end(at(3), [])), Fenced);
    assert.instance(await refusal(paused.close(at(3))), Fenced);
    await batch(newer, 4);
    assert.instance(await refusal(batch(paused, 4)), Fenced);
    assert.is(story(await records(a.log, key)), 'open 1, 0–3, open 2, 4–4');
  });

  for (const fault of ['unheard', 'unsent', 'retry'] as const) {
    test(`L2: a record whose append was ${fault} is in the log once, and the writer goes on`, async () => {
      const [key, faults] = [fresh(), [fault] as Fault[]];
      const writer = await writerOf(troubled(backend.a.log, faults), key, 1);
      faults.push(fault, fault === 'unheard' ? 'retry' : fault);
      await batch(writer, 0, 1);
      faults.push(fault);
      await batch(writer, 2);
      faults.push(fault);
      assert.is(await writer.end(at(2), []), (await backend.a.log.last(key)).seq);
      assert.is(story(await records(backend.a.log, key)), 'open 1, 0–1, 2–2, end 1');
    });
  }

  test('L2: an append that was unheard or unsent, and overtaken by a newer attempt, fences its writer', async () => {
    for (const fault of ['unheard', 'unsent'] as const) {
      const [key, { a, b }] = [fresh(), backend];
      const faults: Fault[] = [];
      const overtaken = Promise.withResolvers<void>();
      const log = troubled(a.log, faults, async () => {
        if (log.tries > 2) await overtaken.promise;
      });
      const old = await writerOf(log, key, 1);
      faults.push(fault);
      const late = refusal(batch(old, 0));
      const landed = fault === 'unheard' ? 1 : 0;
      await waitUntil('the append is tried again', () => log.tries === 3);
      const newer = await writerOf(b.log, key, 2);
      overtaken.resolve();
      assert.instance(await late, Fenced);
      await batch(newer, landed);
      assert.is(story(await records(a.log, key)), landed === 1 ? 'open 1, 0–0, open 2, 1–1' : 'open 1, open 2, 0–0');
    }
  });

  test('L2: of writers that alternate one survives, and the log is whole', async () => {
    const [key, { a, b }] = [fresh(), backend];
    const live = async (attempt: number): Promise<'fenced' | 'survived'> => {
      try {
        const opened = await opening(attempt % 2 === 0 ? a.log : b.log, key, attempt);
        if (opened.kind !== 'open') throw new Error('the log has no end');
        let next = (opened.position?.to ?? -1) + 1;
        for (let i = 0; i < 40; i++, next++) await batch(opened.writer, next);
        return 'survived';
      } catch (error) {
        if (error instanceof Fenced) return 'fenced';
        throw error;
      }
    };
    const ends = await Promise.all(Array.from({ length: 12 }, (_, i) => live(i + 1)));
    assert.is(ends.at(-1), 'survived', 'the newest is never fenced');
    const found = await records(a.log, key);
    assertWhole(found);
    assert.is(found.at(-1)?.attempt, 12);
    assert.ok(ends.includes('fenced'));
  });

  test('L2: a stranger’s message on the subject neither ends the log nor fences its writer', async () => {
    const [key, { a, b }] = [fresh(), backend];
    const subject = SUBJECTS.log(key);
    await backend.barePublish([subject], 'hello');
    const writer = await writerOf(a.log, key, 1);
    await backend.barePublish([subject], '{"kind":"end"}');
    await batch(writer, 0, 1);
    await backend.barePublish([subject, subject], 'again');
    await batch(writer, 2);
    await backend.barePublish([subject], '\u0000');
    const next = await opening(b.log, key, 2);
    assert.equal(next.kind === 'open' && next.position, at(2));
    assert.is(story(await records(a.log, key)), 'open 1, 0–1, 2–2, open 2');
  });

  test('L4: closing a log that a writer fills at full speed lands, and the writer is fenced', async () => {
    const [key, { a, b }] = [fresh(), backend];
    const writer = await writerOf(a.log, key, 1);
    let frame = 0;
    const writing = (async (): Promise<unknown> => {
      try {
        for (;;) {
          await batch(writer, frame);
          frame += 1;
          if (frame % 64 === 0) await new Promise(setImmediate);
        }
      } catch (error) {
        return error;
      }
    })();
    const { verb, body } = await close(b.log, key, 2);
    assert.instance(await writing, Fenced);
    const { seq } = await a.log.last(key);
    assert.equal([verb, body], ['closed', { run: 1, segment: 0, result: 'closed', seq }]);
    const found = await records(a.log, key);
    assertWhole(found);
    assert.equal(
      [found.at(-1)?.kind, found.at(-1)?.attempt, found.at(-1)?.position?.to ?? -1],
      ['closed', 2, frame - 1],
    );
  });

  test('L4: closing tries again however often the writer is faster', async () => {
    const [key, { a, b }] = [fresh(), backend];
    const writer = await writerOf(a.log, key, 1);
    let races = 0;
    const racing = troubled(b.log, [], async () => {
      if (races < 25) await batch(writer, races++);
    });
    await close(racing, key, 2);
    assert.is(racing.tries, 26);
    assertWhole(await records(a.log, key));
  });

  test('L4: closing leaves an end as it is, and an own one that was unheard is not written twice', async () => {
    const { a, b } = backend;
    const [ended, unheard, empty] = [fresh(), fresh(), fresh()];
    const writer = await writerOf(a.log, ended, 1);
    const end = await writer.end(null, []);
    assert.equal((await close(b.log, ended, 2)).body, { run: 1, segment: 0, result: 'end', seq: end });
    await writerOf(a.log, unheard, 1);
    const { body } = await close(troubled(b.log, ['unheard', 'retry']), unheard, 2);
    assert.is(story(await records(a.log, unheard)), 'open 1, closed 2');
    assert.is((body as { seq: number }).seq, (await a.log.last(unheard)).seq);
    await close(a.log, empty, 1);
    assert.is(story(await records(a.log, empty)), 'closed 1');
  });

  test('whoever reads or removes a log while nobody answers waits until somebody does', async () => {
    const [key, gone, { a }] = [fresh(), fresh(), backend];
    const silent = (left = 3) => {
      const ask = async <T>(answer: () => Promise<T>): Promise<T> => {
        if (left-- > 0) throw new TroupeError('unavailable', 'JetStream does not answer.', { retryable: true });
        return answer();
      };
      return {
        ...a.log,
        last: (of: LogKey) => ask(() => a.log.last(of)),
        purge: (of: string) => ask(() => a.log.purge(of)),
      };
    };
    const writer = await writerOf(silent(), key, 1);
    await batch(writer, 0);
    assert.is((await close(silent(), key, 2)).verb, 'closed');
    await writerOf(a.log, gone, 1);
    const purge = purgeLog({ log: silent(), clock: systemClock });
    const errand = { key: 'purge', kind: 'purge-log', body: { scenario: gone.scenario } };
    assert.is(
      (await purge({ kind: 'scenario', id: gone.scenario }, errand, new AbortController().signal)).verb,
      'purged',
    );
    assert.is(story(await records(a.log, key)), 'open 1, 0–0, closed 2');
    assert.equal(await records(a.log, gone), []);
  });

  test('L4: a stranger’s message does not keep a log from being closed', async () => {
    const [key, { a, b }] = [fresh(), backend];
    await batch(await writerOf(a.log, key, 1), 0);
    await backend.barePublish([SUBJECTS.log(key)], 'hello');
    await close(b.log, key, 2);
    assert.is(story(await records(a.log, key)), 'open 1, 0–0, closed 2');
  });

  test('L10: an attempt that is too late to claim its log opens nothing', async () => {
    const key = fresh();
    const late = await refusal(opening(backend.a.log, key, 1, 0, systemClock.monotonic() - 1));
    assert.equal([late instanceof TroupeError && late.code, await records(backend.a.log, key)], ['unavailable', []]);
    // What it does not hear of in time it does not say again.
    const by = systemClock.monotonic() + 200;
    const log = troubled(backend.a.log, Array(100).fill('unsent'));
    assert.instance(await refusal(opening(log, key, 2, 0, by)), TroupeError);
    assert.equal([systemClock.monotonic() > by, await records(backend.a.log, key)], [true, []]);
    const writer = await writerOf(backend.a.log, key, 3);
    await batch(writer, 0);
    assert.is(story(await records(backend.a.log, key)), 'open 3, 0–0');
  });

  test('L6: an attempt told of a record that finds no log fails with log_lost and opens nothing', async () => {
    const [key, { a }] = [fresh(), backend];
    const seq = await batch(await writerOf(a.log, key, 1), 0);
    await a.log.purge(key.scenario);
    const error = await refusal(opening(a.log, key, 2, seq));
    assert.ok(error instanceof TroupeError && error.code === 'log_lost');
    await backend.barePublish([SUBJECTS.log(key)], 'hello');
    assert.match((await refusal(opening(a.log, key, 2, seq))).message, /is empty now/);
    assert.equal(await records(a.log, key), []);
  });

  test.run();
}
