/** What the API and the CLI's embedded node need of the cluster: commands with an answer, and views. */
import type { ModelInfo } from '../../domain/model.ts';
import type { NodeView } from '../../domain/node.ts';
import type { Prediction } from '../../domain/prediction.ts';
import type {
  HistoryEntry,
  Outcome,
  Progress,
  ScenarioSpec,
  ScenarioState,
  ScenarioView,
} from '../../domain/scenario.ts';
import type { TreeNode } from '../../domain/tree.ts';

export type ScenarioVerb = 'create' | 'start' | 'stop' | 'delete';

export interface CommandOptions {
  readonly requestId: string;
  /** As the caller sent it, whatever it is (W3C Trace Context). */
  readonly traceparent?: string;
  readonly idempotencyKey?: string;
}

export interface CommandAnswer {
  /** null after `delete`. */
  readonly scenario: ScenarioView | null;
  /** False when there was nothing to do (stopping an inactive scenario, an idempotent repeat …). */
  readonly changed: boolean;
}

/** A run as its results are read. */
export interface RunView {
  readonly scenario: ScenarioView;
  readonly run: number;
  readonly threshold: number;
  /** The run has ended: results are final once the projection has applied `lastSeq`. */
  readonly ended: boolean;
  /** Every selected frame has its result (an ended run may have been stopped before). */
  readonly complete: boolean;
  /** Log sequence that the projection must have reached when `ended`. */
  readonly lastSeq: number;
}

export interface ScenarioGateway {
  /**
   * Sends a public command and waits for the answer that follows its commit.
   * @param body already parsed against the verb's schema
   * @throws TroupeError of the refusal; `unavailable` (retryable) when nobody answers in 5 s
   */
  command(id: string, verb: ScenarioVerb, body: unknown, options: CommandOptions): Promise<CommandAnswer>;
  /** @throws TroupeError scenario_not_found */
  get(id: string): Promise<ScenarioView>;
  /** Answers when the scenario is inactive or the time is over, whichever first. @throws TroupeError scenario_not_found */
  wait(id: string, waitMs: number, signal: AbortSignal): Promise<ScenarioView>;
  /** Ordered by id; `after` is the last id of the page before. */
  list(query: { state: ScenarioState | null; limit: number; after: string | null }): Promise<readonly ScenarioView[]>;
  /** @param run null: the latest. @throws TroupeError scenario_not_found | run_not_found */
  run(id: string, run: number | null): Promise<RunView>;
}

export type EventType = 'state' | 'progress' | 'prediction';

/** Where a reader of a scenario's events stands: the same on every API node. */
export interface EventPosition {
  /** The scenario's creation, ms: another one of the same id is another scenario. */
  readonly life: number;
  /** The number of the last transition told. */
  readonly transition: number;
  readonly run: number;
  /** The next source frame. */
  readonly frame: number;
}

export interface EventQuery {
  readonly types: ReadonlySet<EventType>;
  /** Predictions and progress of this run only; null: of the latest, and of those that follow. */
  readonly run: number | null;
  /** Goes on behind this; null, or one of another life of the id: begins with the current state. */
  readonly after: EventPosition | null;
  /** Of a reader that begins: not the predictions that are there already. */
  readonly fromNow: boolean;
}

export interface StateChange extends HistoryEntry {
  readonly run: number;
  readonly outcome: Outcome | null;
  /** As it is now; with its newest transition. */
  readonly scenario?: ScenarioView;
}

export type ScenarioEvent =
  /** `position` null: where to go on is not known yet. */
  | { readonly kind: 'state'; readonly position: EventPosition | null; readonly change: StateChange }
  /** A page of them in frame order; `position` is the one before the first. */
  | { readonly kind: 'predictions'; readonly position: EventPosition; readonly predictions: readonly Prediction[] }
  | { readonly kind: 'progress'; readonly run: number; readonly progress: Progress }
  /** The last one. */
  | { readonly kind: 'deleted'; readonly at: string; readonly from: ScenarioState; readonly run: number }
  /** Nothing was told for a while. */
  | { readonly kind: 'quiet' };

export interface EventGateway {
  /**
   * Resolves when the scenario was found; then tells what happens, each next thing when it is asked for, until the scenario is
   * deleted or the signal aborts. @throws TroupeError scenario_not_found | run_not_found
   */
  events(id: string, query: EventQuery, signal: AbortSignal): Promise<AsyncIterable<ScenarioEvent>>;
}

export interface ClusterGateway {
  nodes(): Promise<readonly NodeView[]>;
  /**
   * Has a node give up its runners and partitions and take no more, or (false) take part again. Answers when it was told.
   * @throws TroupeError node_not_found; `unavailable` (retryable) when it does not answer
   */
  drain(node: string, draining: boolean): Promise<NodeView>;
  models(): Promise<readonly ModelInfo[]>;
  tree(): Promise<TreeNode>;
  /** Everything that keeps this node from serving, as sentences; empty when it is ready. */
  notReady(): Promise<readonly string[]>;
  /** Asks live nodes whether they could run this (≤ 3 s each). Resolves when one can, or when none could be asked. @throws TroupeError */
  probe(spec: ScenarioSpec): Promise<void>;
}
