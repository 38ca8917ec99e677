/** A gateway and a cluster without machines: enough state to answer like the real ones, and a lever for each fault. */
import type {
  ClusterGateway,
  CommandAnswer,
  CommandOptions,
  EventGateway,
  EventQuery,
  RunView,
  ScenarioEvent,
  ScenarioGateway,
  ScenarioVerb,
} from '../../src/actors/ports/gateway.ts';
import { TroupeError } from '../../src/domain/errors.ts';
import type { ModelInfo } from '../../src/domain/model.ts';
import type { NodeView } from '../../src/domain/node.ts';
import type { ScenarioRequest, ScenarioSpec, ScenarioState, ScenarioView } from '../../src/domain/scenario.ts';
import { toSpec } from '../../src/domain/scenario-spec.ts';
import type { TreeNode } from '../../src/domain/tree.ts';
import { ENGINE } from '../projection/log-entries.ts';

const AT = '2026-01-01T00:00:00.000Z';

export class FakeCluster implements ScenarioGateway, ClusterGateway, EventGateway {
  readonly scenarios = new Map<string, ScenarioView>();
  readonly keys = new Map<string, { readonly id: string; readonly body: string }>();
  readonly commands: {
    readonly id: string;
    readonly verb: ScenarioVerb;
    readonly body: unknown;
    readonly options: CommandOptions;
  }[] = [];
  /** What `probe` was asked. */
  readonly probed: string[] = [];
  /** Sequence that ends a run's log, by `id/run`; a run that is not here has not ended. */
  readonly ends = new Map<string, number>();
  /** Thrown by the next call of any method. */
  fault: unknown = null;
  /** What an event stream tells before it stays silent, how much of that was asked for, and what was asked. */
  told: Iterable<ScenarioEvent> = [];
  taken = 0;
  readonly followed: EventQuery[] = [];
  reasons: string[] = [];
  waiting = 0;

  #step(): void {
    const { fault } = this;
    this.fault = null;
    // oxlint-disable-next-line typescript/only-throw-error -- a defect may throw anything
    if (fault !== null) throw fault;
  }

  async command(id: string, verb: ScenarioVerb, body: unknown, options: CommandOptions): Promise<CommandAnswer> {
    this.#step();
    this.commands.push({ id, verb, body, options });
    if (verb === 'create') return this.#create(id, body as ScenarioRequest, options.idempotencyKey);
    const view = this.#get(id);
    if (verb === 'delete') {
      if (view.state !== 'inactive') throw new TroupeError('scenario_running', `${id} is ${view.state}.`);
      this.scenarios.delete(id);
      return { scenario: null, changed: true };
    }
    if (verb === 'stop') {
      const changed = view.state !== 'inactive' && view.state !== 'init_shutdown';
      return { scenario: changed ? this.put({ ...view, state: 'init_shutdown' }) : view, changed };
    }
    if (view.state === 'init_shutdown') throw new TroupeError('illegal_transition', `${id} shuts down.`);
    const changed = view.state === 'inactive';
    return { scenario: changed ? this.put({ ...view, state: 'init_startup' }) : view, changed };
  }

  #create(id: string, request: ScenarioRequest, key: string | undefined): CommandAnswer {
    const known = key === undefined ? undefined : this.keys.get(key);
    if (known !== undefined) {
      if (known.id === id && known.body === JSON.stringify(request)) return { scenario: this.#get(id), changed: false };
      throw new TroupeError('idempotency_conflict', 'The key was used with another body.');
    }
    if (this.scenarios.has(id)) throw new TroupeError('scenario_exists', `${id} exists.`);
    if (key !== undefined) this.keys.set(key, { id, body: JSON.stringify(request) });
    return { scenario: this.put(scenarioView(id, request)), changed: true };
  }

  put(view: ScenarioView): ScenarioView {
    this.scenarios.set(view.id, view);
    return view;
  }

  #get(id: string): ScenarioView {
    const view = this.scenarios.get(id);
    if (view === undefined) throw new TroupeError('scenario_not_found', `There is no scenario ${id}.`);
    return view;
  }

  async get(id: string): Promise<ScenarioView> {
    this.#step();
    return this.#get(id);
  }

  async wait(id: string, waitMs: number, signal: AbortSignal): Promise<ScenarioView> {
    this.#step();
    if (this.#get(id).state === 'inactive') return this.#get(id);
    this.waiting++;
    try {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(resolve, waitMs);
        signal.addEventListener('abort', () => {
          clearTimeout(timer);
          reject(signal.reason);
        });
      });
    } finally {
      this.waiting--;
    }
    return this.#get(id);
  }

  async list(query: { state: ScenarioState | null; limit: number; after: string | null }): Promise<ScenarioView[]> {
    this.#step();
    return [...this.scenarios.values()]
      .filter(s => query.state === null || s.state === query.state)
      .filter(s => query.after === null || s.id > query.after)
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .slice(0, query.limit);
  }

  async run(id: string, run: number | null): Promise<RunView> {
    this.#step();
    const scenario = this.#get(id);
    const wanted = run ?? scenario.run;
    if (!scenario.runs.includes(wanted)) throw new TroupeError('run_not_found', `${id} has no run ${wanted}.`);
    const lastSeq = this.ends.get(`${id}/${wanted}`);
    return {
      scenario,
      run: wanted,
      threshold: scenario.spec.threshold,
      ended: lastSeq !== undefined,
      complete: lastSeq !== undefined && scenario.complete,
      lastSeq: lastSeq ?? 0,
    };
  }

  async events(id: string, query: EventQuery, signal: AbortSignal): Promise<AsyncIterable<ScenarioEvent>> {
    this.#step();
    this.#get(id);
    this.followed.push(query);
    return this.#tell(signal);
  }

  async *#tell(signal: AbortSignal): AsyncGenerator<ScenarioEvent> {
    for (const event of this.told) {
      this.taken += 1;
      yield event;
    }
    if (!signal.aborted) await new Promise(resolve => signal.addEventListener('abort', resolve));
  }

  async nodes(): Promise<NodeView[]> {
    this.#step();
    return [
      {
        id: 'node1',
        roles: ['api', 'orchestrator', 'runner'],
        slots: 2,
        running: 1,
        load: 0.5,
        roots: ['/videos'],
        engine: ENGINE,
        sandbox: 'full',
        warm: [],
        draining: false,
        models: ['shapes'],
        pid: 7,
        partitions: [0, 1],
        version: '0.1.0',
        startedAt: AT,
      },
    ];
  }

  async drain(node: string, draining: boolean): Promise<NodeView> {
    const [known] = await this.nodes();
    if (known?.id !== node) throw new TroupeError('node_not_found', `There is no live node '${node}'.`);
    return { ...known, draining };
  }

  async models(): Promise<ModelInfo[]> {
    this.#step();
    return [MODEL];
  }

  async tree(): Promise<TreeNode> {
    this.#step();
    const leaf: TreeNode = {
      id: 'runner/cam/0',
      kind: 'runner',
      type: 'worker',
      state: 'running',
      node: 'node1',
      pid: 8,
      attempt: 2,
      restarts: 1,
      children: [],
    };
    const supervisor = { type: 'supervisor', state: 'running', node: 'node1', pid: 7, restarts: 0 } as const;
    const scenario: TreeNode = { ...supervisor, id: 'scenario/cam', kind: 'scenario', children: [leaf] };
    return { ...supervisor, id: 'orchestrator/0', kind: 'orchestrator', strategy: 'one_for_one', children: [scenario] };
  }

  async notReady(): Promise<string[]> {
    this.#step();
    return this.reasons;
  }

  async probe({ source: { uri } }: ScenarioSpec): Promise<void> {
    this.#step();
    this.probed.push(uri);
    if (uri.includes('missing')) throw new TroupeError('source_unreadable', `${uri} is not there.`);
  }
}

export const MODEL: ModelInfo = {
  name: 'shapes',
  sha256: 'ab'.repeat(32),
  family: 'yolov8',
  input: { name: 'images', width: 320, height: 320, type: 'uint8', channels: 'rgb', mean: [0, 0, 0], scale: [1, 1, 1] },
  classes: ['circle', 'square'],
};

export function scenarioView(id: string, request: ScenarioRequest): ScenarioView {
  const started = request.start ?? true;
  return {
    id,
    state: started ? 'init_startup' : 'inactive',
    outcome: null,
    reason: null,
    complete: false,
    run: 1,
    runs: [1],
    spec: toSpec(request),
    source: {
      width: 640,
      height: 360,
      rotation: 0,
      codec: 'h264',
      container: 'mp4',
      startMs: 0,
      durationMs: 1000,
      framesEstimate: null,
      identity: { size: 5, sha256: 'cd'.repeat(32) },
    },
    model: { name: MODEL.name, sha256: MODEL.sha256, family: MODEL.family, classes: MODEL.classes },
    engine: null,
    progress: { framesDone: 0, framesTotal: null, fps: null, etaMs: null, lastFrame: null },
    runners: [{ segment: 0, attempt: 1, node: null, pid: null, state: 'placing', restarts: 0 }],
    error: null,
    warnings: [],
    history: [{ at: AT, from: null, to: 'init_startup', reason: null }],
    createdAt: AT,
    updatedAt: AT,
  };
}
