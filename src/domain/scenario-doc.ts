/** A scenario as its supervisor commits it, and the public view made from it. */
import type { Engine } from './engine.ts';
import type { Assignment, AttemptBody } from './messages.ts';
import type {
  HistoryEntry,
  Outcome,
  Progress,
  ScenarioError,
  ScenarioSpec,
  ScenarioState,
  ScenarioView,
} from './scenario.ts';
import type { SourceInfo } from './source.ts';

/** Names one attempt at one segment. Attempts are numbered in committed state before anything is dispatched. */
export interface AttemptRef {
  readonly scenario: string;
  readonly run: number;
  readonly segment: number;
  readonly attempt: number;
}

export const attemptKey = (ref: AttemptRef): string => `${ref.scenario}.${ref.run}.${ref.segment}.${ref.attempt}`;

/**
 * - `idle`: never started in this run. `placing`: an orchestrator looks for a node. `running`: dispatched.
 * - `backoff`: a timer starts the next attempt. `stopping`: its runner was asked to end.
 * - `closing`: the supervisor itself writes the log's end. `ended`: `result` says how its log ends.
 */
export type SegmentPhase = 'idle' | 'placing' | 'running' | 'backoff' | 'stopping' | 'closing' | 'ended';

/** In `reaping`: whichever node was about to start the attempt when it was withdrawn. No node has such a name. */
export const ANY_NODE = '*';

/** One row of a scenario supervisor's child table. */
export interface SegmentDoc {
  readonly segment: number;
  readonly phase: SegmentPhase;
  /** The last attempt numbered; 0 before the first. */
  readonly attempt: number;
  readonly node: string | null;
  readonly pid: number | null;
  /** The node that took the last attempt that was taken; absent before, and in documents of older versions. */
  readonly lastNode?: string;
  readonly restarts: number;
  /** Attempts in a row that committed no new frame. */
  readonly fruitless: number;
  /** The last attempt that is known to have committed one. */
  readonly fruitfulAttempt: number;
  /** The last log sequence heard of (L6). */
  readonly lastSeq: number;
  readonly result: 'end' | 'closed' | null;
  /** Older attempts that may still run somewhere and are to be killed; the fence makes them harmless meanwhile. */
  readonly reaping: readonly { readonly run: number; readonly attempt: number; readonly node: string }[];
}

export interface ModelSummary {
  readonly name: string;
  readonly sha256: string;
  readonly family: 'yolov8' | 'yolox';
  readonly classes: string[];
}

/** `n` counts the transitions of a scenario from 1, `run` is the one it belongs to; documents of older versions lack both. */
export type Transition = HistoryEntry & { readonly n: number; readonly run: number };
export type StoredTransition = HistoryEntry & Partial<Transition>;

export interface ScenarioDoc {
  readonly id: string;
  readonly spec: ScenarioSpec;
  readonly state: ScenarioState;
  readonly outcome: Outcome | null;
  /** What the shutdown under way will be called. */
  readonly ending: 'stopped' | 'failed' | null;
  readonly reason: string | null;
  readonly run: number;
  /** Earlier runs of this id, with how their logs ended. */
  readonly pastRuns: readonly { readonly run: number; readonly complete: boolean; readonly lastSeq: number }[];
  readonly segments: readonly SegmentDoc[];
  /** Wall-clock times of counted restarts. */
  readonly restarts: readonly number[];
  readonly source: SourceInfo | null;
  readonly model: ModelSummary | null;
  readonly engine: Engine | null;
  readonly error: ScenarioError | null;
  readonly warnings: readonly string[];
  readonly history: readonly StoredTransition[];
  readonly createdAt: string;
  readonly updatedAt: string;
  /** Of the command that last started it: what its runners do goes on with that trace. Absent in documents of older versions. */
  readonly traceparent?: string;
  /** The key and body this scenario was created with, if any. */
  readonly idempotency: { readonly key: string; readonly body: string; readonly at: string } | null;
  /** Set while a DELETE waits for the log to be gone: the scenario is no longer visible. */
  readonly deleting: { readonly inbox: string | null } | null;
}

/** What a node must know to run this attempt; null when the scenario no longer wants it placed. */
export function assignmentOf(doc: ScenarioDoc, ref: AttemptBody): Assignment | null {
  const segment = doc.segments[ref.segment];
  if (doc.run !== ref.run || segment?.attempt !== ref.attempt || segment.phase !== 'placing') return null;
  const { scenario, run, attempt } = ref;
  return {
    scenario,
    run,
    segment: ref.segment,
    attempt,
    spec: doc.spec,
    lastSeq: segment.lastSeq,
    source: doc.source,
    engine: doc.spec.allowMixedEngine ? null : doc.engine,
    modelSha256: doc.model?.sha256 ?? null,
    ...(doc.traceparent === undefined ? {} : { traceparent: doc.traceparent }),
  };
}

/**
 * Whether the attempt may be running on that node as far as its scenario knows: it was placed there, or is being placed. An attempt is
 * numbered before any node hears of it, so what no later reading wants is never wanted again; a document in which it is not numbered yet
 * is an older one, and says nothing.
 */
export function isWantedOn(doc: ScenarioDoc | null, ref: AttemptRef, node: string): boolean {
  const segment = doc?.segments[ref.segment];
  if (doc === null) return false;
  if (doc.run !== ref.run) return doc.run < ref.run;
  if (segment?.attempt !== ref.attempt) return (segment?.attempt ?? 0) < ref.attempt;
  return segment.phase === 'placing' || segment.node === node;
}

export const transitions = ({ history, run }: ScenarioDoc): readonly Transition[] =>
  history.map((entry, i) => ({ n: i + 1, run, ...entry }));

export const isComplete = (segments: readonly SegmentDoc[]): boolean =>
  segments.length > 0 && segments.every(segment => segment.result === 'end');

/** Log sequence up to which the run's results are written. */
export const lastSeqOf = (segments: readonly SegmentDoc[]): number =>
  segments.reduce((last, segment) => Math.max(last, segment.lastSeq), 0);

export function scenarioView(doc: ScenarioDoc, progress: Progress, warnings: readonly string[]): ScenarioView {
  return {
    id: doc.id,
    state: doc.state,
    outcome: doc.outcome,
    reason: doc.reason,
    complete: isComplete(doc.segments),
    run: doc.run,
    runs: [...doc.pastRuns.map(past => past.run), doc.run],
    spec: doc.spec,
    source: doc.source,
    model: doc.model,
    engine: doc.engine,
    progress,
    runners: doc.segments.map(({ segment, attempt, node, pid, phase, restarts }) => ({
      segment,
      attempt,
      node,
      pid,
      state: phase,
      restarts,
    })),
    error: doc.error,
    warnings: [...doc.warnings, ...warnings],
    history: doc.history.map(({ at, from, to, reason }) => ({ at, from, to, reason })),
    createdAt: doc.createdAt,
    updatedAt: doc.updatedAt,
  };
}
