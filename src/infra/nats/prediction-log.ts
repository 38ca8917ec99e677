/**
 * The PredictionLog port on one stream.
 *
 * PL1 A stranger's message on a log's subject is never handed on as a record, never hides one, and never blocks the log for
 *     ever: it moves the sequence that the next append must expect, and `last` tells that one.
 */
import type { LogEntry, PredictionLog } from '../../actors/ports/prediction-log.ts';
import { encodeLogRecord, type LogKey, parseLogRecord } from '../../domain/log-record.ts';
import { logKey, STREAMS, SUBJECTS } from '../../domain/subjects.ts';
import type { Nats } from './connection.ts';
import { readOrdered } from './ordered-read.ts';
import { ask, streamInfo, write } from './outcome.ts';
import { deliveredAt, storedAt } from './stored-message.ts';

/** Strangers' messages in a row that are looked behind for the next record. */
const MOST_FOREIGN = 16;

/** @param onForeign told of every message on a log's subject that is no record, each time it is met */
export function natsPredictionLog(nats: Nats, onForeign: (subject: string, seq: number) => void): PredictionLog {
  const entryOf = (subject: string, seq: number, at: number, data: Uint8Array): LogEntry | null => {
    const key = logKey(subject);
    const record = parseLogRecord(data);
    if (key !== null && record !== null) return { key, seq, record, at, bytes: data.length };
    onForeign(subject, seq);
    return null;
  };

  /** PL1: the last record below a stranger's message. Reads the whole log: rare enough. */
  const lastRecord = async (key: LogKey, throughSeq: number): Promise<LogEntry | null> => {
    let found: LogEntry | null = null;
    const reading = new AbortController();
    const range = { stream: STREAMS.log, filter: SUBJECTS.log(key), fromSeq: 1 };
    for await (const message of readOrdered(nats, range, reading.signal)) {
      found = entryOf(message.subject, message.seq, deliveredAt(message), message.data) ?? found;
      if (message.seq >= throughSeq) break;
    }
    return found;
  };

  const info = () => ask(nats, () => streamInfo(nats, STREAMS.log));

  return {
    async last(key) {
      const subject = SUBJECTS.log(key);
      const message = await ask(nats, () => nats.jsm.streams.getMessage(STREAMS.log, { last_by_subj: subject }));
      if (message === null) return { seq: 0, entry: null };
      const entry =
        entryOf(subject, message.seq, storedAt(message.timestamp), message.data) ??
        (await lastRecord(key, message.seq));
      return { seq: message.seq, entry };
    },

    async append(key, record, expected) {
      const ack = await write(nats, () =>
        nats.js.publish(SUBJECTS.log(key), encodeLogRecord(record), {
          expect: { streamName: STREAMS.log, lastSubjectSequence: expected },
        }),
      );
      return ack.seq;
    },

    async identity() {
      const { created, state } = await info();
      return { created, firstSeq: state.messages === 0 ? 0 : state.first_seq, lastSeq: state.last_seq };
    },

    async timeOf(seq) {
      const message = await ask(nats, () => nats.jsm.streams.getMessage(STREAMS.log, { seq }));
      return message === null ? null : storedAt(message.timestamp);
    },

    async next(afterSeq) {
      let after = afterSeq;
      for (let looks = 0; looks < MOST_FOREIGN; looks++) {
        const behind = { seq: after + 1, next_by_subj: SUBJECTS.logAll };
        const message = await ask(nats, () => nats.jsm.streams.getMessage(STREAMS.log, behind));
        if (message === null) return null;
        after = message.seq;
        if (logKey(message.subject) !== null && parseLogRecord(message.data) !== null)
          return { seq: after, at: storedAt(message.timestamp) };
      }
      return null;
    },

    async *read(fromSeq, signal): AsyncGenerator<LogEntry, void, void> {
      for await (const message of readOrdered(
        nats,
        { stream: STREAMS.log, filter: SUBJECTS.logAll, fromSeq },
        signal,
      )) {
        const entry = entryOf(message.subject, message.seq, deliveredAt(message), message.data);
        if (entry !== null) yield entry;
      }
    },

    async purge(scenario) {
      await ask(nats, () => nats.jsm.streams.purge(STREAMS.log, { filter: SUBJECTS.logOfScenario(scenario) }));
    },
  };
}
