/**
 * The queryable copy of the logs, one per API node, rebuilt from the log at any time. Reads may lag; `caughtUpWith`
 * tells by how much.
 */
import { TroupeError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Prediction } from '../../domain/prediction.ts';
import type { Clock } from './clock.ts';
import type { LogEntry, LogIdentity } from './prediction-log.ts';

export interface PredictionQuery {
  readonly scenario: string;
  readonly run: number;
  readonly fromFrame: number;
  readonly toFrame: number;
  /** Applied on reading; see P2. */
  readonly threshold: number;
  /** With a class or a minimum score, frames left empty are omitted. */
  readonly className: string | null;
  readonly minScore: number | null;
  readonly limit: number;
}

export interface LogHead {
  readonly segment: number;
  readonly seq: number;
  readonly attempt: number;
  /** Kind of the last record. */
  readonly kind: 'open' | 'frames' | 'end' | 'closed';
  readonly framesDone: number;
  readonly lastFrame: number | null;
  readonly engine: unknown;
  readonly warnings: readonly string[];
  /** The log contained `end`. */
  readonly ended: boolean;
}

export interface PredictionReader {
  /** Frame order. */
  query(query: PredictionQuery): Prediction[];
  /** Every prediction of a run in frame order, in pages, so that a long export never holds it all. */
  pages(scenario: string, run: number, threshold: number): Iterable<readonly Prediction[]>;
  heads(scenario: string, run: number): LogHead[];
  /** Runs with at least one record. */
  runs(scenario: string): number[];
  /** Stream sequence applied so far. */
  readonly appliedSeq: number;
  /** Resolves true when `appliedSeq` ≥ seq, false after `timeoutMs`. */
  caughtUpWith(seq: number, timeoutMs: number): Promise<boolean>;
  /** Calls after entries of the scenario were applied, until what it returns is called. */
  watch(scenario: string, wake: () => void): () => void;
}

/**
 * Every change throws TroupeError unavailable (retryable) when there is no room for it now: then nothing was changed. So does
 * everything when what was stored turns out to be damaged: then it is empty, and is to be filled from the beginning.
 */
export interface ProjectionStore extends PredictionReader {
  /** Where to go on, and of which stream; null when empty. */
  position(): { readonly created: string; readonly seq: number; readonly at: number } | null;
  /**
   * Applies entries and moves the position in one transaction. Entries at or below the position are skipped.
   * @param after sequence that they come next behind; 0: they are the first ones. Refused when the store stands before it
   */
  apply(identity: LogIdentity, entries: readonly LogEntry[], after?: number): void;
  /** Every scenario with at least one record: the last of its runs, and its last log sequence. */
  scenarios(): readonly { readonly id: string; readonly lastRun: number; readonly lastSeq: number }[];
  /** Forgets everything (the stream is another one). */
  reset(): void;
  /**
   * Forgets a deleted scenario's runs up to `throughRun`; of what is still to be applied, entries up to `throughSeq`: behind
   * it a new scenario of that id may have begun again at run 1. Repeating it is harmless.
   */
  forget(scenario: string, throughRun: number, throughSeq: number): void;
  close(): void;
}

/** J4: runs one change of the store, again until it can take it. @throws what else the store throws; the signal's reason */
export async function whenThereIsRoom(change: () => void, clock: Clock, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      change();
      return;
    } catch (error) {
      if (!(error instanceof TroupeError && error.retryable)) throw error;
    }
    await clock.sleep(LIMITS.storeRetryMs, signal);
  }
}
