/**
 * Keeps the projection equal to the prediction log: reads the log in order, applies it in batches. It owns no data.
 *
 * J1 It goes on where the stored position says only when the log still holds that very entry: the same stream, and at that
 *    sequence an entry of the same time. Otherwise it starts from nothing: a restored store reuses sequence numbers, and
 *    reading from beyond the end silently skips.
 * J2 Entries are applied in the order of the log, each batch with its position in one transaction.
 * J3 A batch is bounded in entries, predictions and time; the end of a log is applied at once, since readers wait for it.
 * J4 A store that cannot take a change just now (a full disk) is asked again until it can: nothing is lost, reading lags behind.
 * J5 A store that has begun anew (its file was damaged) is filled from the beginning: no entry is applied behind one that it lacks.
 */
import { LIMITS } from '../../domain/limits.ts';
import type { Clock } from '../ports/clock.ts';
import type { LogEntry, LogIdentity, PredictionLog } from '../ports/prediction-log.ts';
import { type ProjectionStore, whenThereIsRoom } from '../ports/projection.ts';
import type { Took } from '../ports/telemetry.ts';

export interface ProjectorDeps {
  readonly log: PredictionLog;
  readonly store: ProjectionStore;
  readonly clock: Clock;
  /** Told how long each batch took. */
  readonly took?: Took;
}

export class Projector {
  readonly #deps: ProjectorDeps;

  constructor(deps: ProjectorDeps) {
    this.#deps = deps;
  }

  /** Resolves when the signal aborts; rejects when the log or the store fails, and may then be run again. */
  async run(signal: AbortSignal): Promise<void> {
    const { log, store, clock } = this.#deps;
    const identity = await log.identity();
    if (!(await this.#continues(identity))) await whenThereIsRoom(() => store.reset(), clock, signal);
    const reading = new AbortController();
    const entries = log.read(store.appliedSeq + 1, AbortSignal.any([signal, reading.signal]))[Symbol.asyncIterator]();
    const ask = (): Promise<IteratorResult<LogEntry>> => {
      const asked = entries.next();
      asked.catch(() => null); // awaited when the store has taken what was read before it
      return asked;
    };
    let next = ask();
    let after = store.appliedSeq;
    try {
      for (;;) {
        const first = await next;
        if (first.done === true) return;
        const batch = new Batch(first.value);
        next = ask();
        const linger = this.#linger();
        while (!batch.full) {
          const more = await Promise.race([next, linger.over]);
          if (more === null || more.done === true) break;
          batch.add(more.value);
          next = ask();
        }
        linger.cancel();
        await this.#apply(identity, batch.entries, after, signal);
        after = batch.entries.at(-1)?.seq ?? after;
      }
    } finally {
      reading.abort();
      await Promise.allSettled([next]);
    }
  }

  /** J2 */
  async #apply(identity: LogIdentity, entries: readonly LogEntry[], after: number, signal: AbortSignal): Promise<void> {
    const { store, clock, took } = this.#deps;
    const applied = (): void => {
      const began = clock.monotonic();
      store.apply(identity, entries, after); // J5
      took?.('project', clock.monotonic() - began);
    };
    await whenThereIsRoom(applied, clock, signal);
  }

  /** J1 */
  async #continues(identity: LogIdentity): Promise<boolean> {
    const position = this.#deps.store.position();
    if (position === null) return true;
    return position.created === identity.created && (await this.#deps.log.timeOf(position.seq)) === position.at;
  }

  #linger(): { readonly over: Promise<null>; readonly cancel: () => void } {
    const { promise, resolve } = Promise.withResolvers<null>();
    const timer = this.#deps.clock.timer(LIMITS.projectionLingerMs, () => resolve(null));
    return { over: promise, cancel: () => timer.cancel() };
  }
}

/** J3 */
class Batch {
  readonly entries: LogEntry[] = [];
  #frames = 0;
  full = false;

  constructor(first: LogEntry) {
    this.add(first);
  }

  add(entry: LogEntry): void {
    const { record } = entry;
    this.entries.push(entry);
    if (record.kind === 'frames') this.#frames += record.predictions.length;
    this.full =
      record.kind === 'end' ||
      record.kind === 'closed' ||
      this.entries.length >= LIMITS.projectionEntries ||
      this.#frames >= LIMITS.projectionFrames;
  }
}
