/**
 * The prediction log: a stream with one literal subject per (scenario, run, segment), appended under
 * compare-and-set on the subject's last sequence. Sequence numbers are one increasing series per stream.
 */
import type { LogKey, LogRecord } from '../../domain/log-record.ts';

export interface LogEntry {
  readonly key: LogKey;
  readonly seq: number;
  readonly record: LogRecord;
  /** Wall clock of the server when it was stored, ms; with `seq` it identifies the entry across restored stores. */
  readonly at: number;
  /** Bytes of the record as stored. */
  readonly bytes: number;
}

/** The end of one log. A stranger may publish on a log's subject; such a message moves `seq` and is no `entry`. */
export interface LogTail {
  /** What the next append must expect; 0 when the subject is empty. */
  readonly seq: number;
  /** The last record; null when there is none. */
  readonly entry: LogEntry | null;
}

export interface LogIdentity {
  /** Creation time of the stream: another value means another stream. */
  readonly created: string;
  /** 0 when empty. */
  readonly firstSeq: number;
  readonly lastSeq: number;
}

export interface PredictionLog {
  /** The subject's end as the leader has it. */
  last(key: LogKey): Promise<LogTail>;
  /**
   * Appends when the subject's last sequence is `expected` (0: the subject is empty).
   * @returns the record's sequence
   * @throws WriteConflict | WriteRetry | WriteUnknown
   */
  append(key: LogKey, record: LogRecord, expected: number): Promise<number>;
  identity(): Promise<LogIdentity>;
  /** Server time of the entry with this sequence, ms; null when it is not there. */
  timeOf(seq: number): Promise<number | null>;
  /** The first record behind a sequence; null when there is none, or only a long row of what is no record. */
  next(afterSeq: number): Promise<{ readonly seq: number; readonly at: number } | null>;
  /**
   * Every record from `fromSeq` on in order, then new ones as they come; ends when the signal aborts. What is no
   * record is skipped. A `fromSeq` beyond the stream's end waits for it, and for nothing below it.
   */
  read(fromSeq: number, signal: AbortSignal): AsyncIterable<LogEntry>;
  /** Removes every log of the scenario (DELETE). Repeating it is harmless. */
  purge(scenario: string): Promise<void>;
}
