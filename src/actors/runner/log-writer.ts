/**
 * The writing side of the prediction log: the fence and the checkpoint. Rules L1, L2 and L10 of docs/LOG.md.
 */

import type { Engine } from '../../domain/engine.ts';
import { invariant, TroupeError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { LogKey, LogRecord, Position } from '../../domain/log-record.ts';
import type { Prediction } from '../../domain/prediction.ts';
import type { SourceIdentity } from '../../domain/source.ts';
import type { Clock, Random } from '../ports/clock.ts';
import type { LogTail, PredictionLog } from '../ports/prediction-log.ts';
import { isPassing, WriteConflict } from '../ports/write-outcome.ts';

export interface LogWriterPorts {
  readonly log: PredictionLog;
  readonly clock: Clock;
  readonly random: Random;
}

export interface Attempt {
  readonly key: LogKey;
  readonly attempt: number;
  /** The log is known to hold this sequence (L6). */
  readonly lastSeq: number;
  readonly source: SourceIdentity;
  readonly engine: Engine;
  /** W3C Trace Context: of the runner's own span. */
  readonly traceparent: string;
  /** On the clock's monotonic time: a log that has not been opened by then never is (L10). */
  readonly openBy: number;
}

/** A newer attempt owns the log. Not an error to report: the writer just leaves. */
export class Fenced extends Error {
  override readonly name = 'Fenced';
}

export type Opened =
  | { readonly kind: 'open'; readonly writer: LogWriter; readonly position: Position | null }
  /** The segment had its end already. */
  | { readonly kind: 'ended'; readonly seq: number };

const AGAIN_MS = 50;

/** What a record says beside the writer's own head. */
type Said =
  | {
      readonly kind: 'open';
      readonly source: SourceIdentity;
      readonly engine: Engine;
      readonly position: Position | null;
    }
  | {
      readonly kind: 'frames';
      readonly from: number;
      readonly position: Position;
      readonly predictions: Prediction[];
    }
  | { readonly kind: 'end'; readonly frames: number; readonly warnings: string[]; readonly position: Position | null }
  | { readonly kind: 'closed'; readonly position: Position | null };

export class LogWriter {
  readonly #ports: LogWriterPorts;
  readonly #attempt: Attempt;
  readonly #signal: AbortSignal;
  readonly #nonce: string;
  #n = 0;
  /** What the next append expects: the subject's last sequence. */
  #expected: number;
  #busy = false;

  private constructor(ports: LogWriterPorts, attempt: Attempt, signal: AbortSignal, expected: number) {
    this.#ports = ports;
    this.#attempt = attempt;
    this.#signal = signal;
    this.#nonce = ports.random.token(16);
    this.#expected = expected;
  }

  /** L1, L6, L10. @throws Fenced, TroupeError log_lost, unavailable */
  static async open(ports: LogWriterPorts, attempt: Attempt, signal: AbortSignal): Promise<Opened> {
    for (;;) {
      const tail = await readTail(ports, attempt.key, signal, attempt.openBy);
      const last = tail.entry;
      if (last === null && attempt.lastSeq > 0) {
        throw new TroupeError(
          'log_lost',
          `The log of run ${attempt.key.run} held record ${attempt.lastSeq} and is empty now. Start the scenario with from=start.`,
        );
      }
      if (last !== null && last.record.attempt >= attempt.attempt) {
        throw new Fenced(`attempt ${last.record.attempt} is in the log`);
      }
      if (last?.record.kind === 'end') return { kind: 'ended', seq: last.seq };
      const position = last?.record.position ?? null;
      const writer = new LogWriter(ports, attempt, signal, tail.seq);
      const { source, engine } = attempt;
      const said: Said = { kind: 'open', source, engine, position };
      if (await writer.#write(said, attempt.openBy)) return { kind: 'open', writer, position };
    }
  }

  /** @returns the record's sequence. @throws Fenced */
  async frames(from: number, position: Position, predictions: Prediction[]): Promise<number> {
    return this.#append({ kind: 'frames', from, position, predictions });
  }

  /** @returns the record's sequence. @throws Fenced */
  async end(position: Position | null, warnings: readonly string[]): Promise<number> {
    return this.#append({ kind: 'end', frames: position?.frames ?? 0, warnings: [...warnings], position });
  }

  /** The attempt's own `closed`, written when it was told to stop. @throws Fenced */
  async close(position: Position | null): Promise<number> {
    return this.#append({ kind: 'closed', position });
  }

  async #append(said: Said): Promise<number> {
    if (!(await this.#write(said))) throw new Fenced('the log has another writer');
    return this.#expected;
  }

  /** L2. False when another writer's record came in between. */
  async #write(said: Said, by = Number.POSITIVE_INFINITY): Promise<boolean> {
    invariant(!this.#busy, 'one append at a time');
    this.#busy = true;
    const record = {
      v: 1,
      attempt: this.#attempt.attempt,
      nonce: this.#nonce,
      n: this.#n,
      at: new Date(this.#ports.clock.now()).toISOString(),
      traceparent: this.#attempt.traceparent,
      ...said,
    } as LogRecord;
    try {
      for (;;) {
        this.#signal.throwIfAborted();
        throwIfLate(this.#ports, by);
        try {
          this.#expected = await this.#ports.log.append(this.#attempt.key, record, this.#expected);
          this.#n += 1;
          return true;
        } catch (error) {
          if (error instanceof WriteConflict) {
            const standing = await this.#standing();
            if (standing === 'landed') {
              this.#n += 1;
              return true;
            }
            if (standing === 'lost') return false;
          } else if (isPassing(error)) {
            await this.#ports.clock.sleep(AGAIN_MS, this.#signal);
          } else {
            throw error;
          }
        }
      }
    } finally {
      this.#busy = false;
    }
  }

  /**
   * L2, after a refusal: `landed` when my own record is the last one (a time-out that had arrived), `again` when only
   * something that is no record came in between, `lost` when there is another writer.
   */
  async #standing(): Promise<'landed' | 'again' | 'lost'> {
    const tail = await readTail(this.#ports, this.#attempt.key, this.#signal);
    const last = tail.entry?.record;
    const mine = last !== undefined && 'nonce' in last && last.nonce === this.#nonce;
    const n = last !== undefined && 'n' in last ? last.n : -1;
    if (mine && n === this.#n) {
      this.#expected = tail.seq;
      return 'landed';
    }
    if (!mine || n !== this.#n - 1) return 'lost';
    this.#expected = tail.seq;
    return 'again';
  }
}

async function readTail(
  ports: LogWriterPorts,
  key: LogKey,
  signal: AbortSignal,
  by = Number.POSITIVE_INFINITY,
): Promise<LogTail> {
  for (;;) {
    signal.throwIfAborted();
    throwIfLate(ports, by);
    try {
      return await ports.log.last(key);
    } catch (error) {
      if (!isPassing(error)) throw error;
      await ports.clock.sleep(AGAIN_MS, signal);
    }
  }
}

/** L10 */
function throwIfLate({ clock }: LogWriterPorts, by: number): void {
  if (clock.monotonic() <= by) return;
  const minutes = LIMITS.claimMs / 60_000;
  throw new TroupeError(
    'unavailable',
    `The log could not be claimed within ${minutes} minutes of the attempt's start. Is NATS up, and has its disk room?`,
  );
}
