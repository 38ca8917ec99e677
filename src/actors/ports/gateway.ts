/** What the API and the CLI's embedded node need of the cluster: commands with an answer, and views. */
import type { ModelInfo } from '../../domain/model.ts';
import type { NodeView } from '../../domain/node.ts';
import type { ScenarioSpec, ScenarioState, ScenarioView } from '../../domain/scenario.ts';
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
