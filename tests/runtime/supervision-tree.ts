/** Random supervision trees for property tests, and a world that runs one and keeps a diary of what is done to its workers. */
import * as fc from 'fast-check';
import type { ExitReason } from '../../src/actors/runtime/exit-reason.ts';
import type { RestartType, Strategy, SupervisorFlags } from '../../src/actors/runtime/restart-plan.ts';
import {
  type ChildHandle,
  type ChildSpec,
  Supervisor,
  type SupervisorEvent,
} from '../../src/actors/runtime/supervisor.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';

interface Common {
  /** The path from the root, such as `r.0.2`. */
  readonly id: string;
  readonly restart: RestartType;
  readonly shutdown: ChildSpec['shutdown'];
}

export interface Worker extends Common {
  readonly kind: 'worker';
  readonly startMs: number;
  /** How long it takes to end when asked to; `deaf` never does. */
  readonly dyingMs: number | 'deaf';
}

export interface Branch extends Common {
  readonly kind: 'supervisor';
  readonly flags: SupervisorFlags;
  readonly children: readonly TreeSpec[];
}

export type TreeSpec = Worker | Branch;

const restart = fc.constantFrom<RestartType>('permanent', 'permanent', 'transient', 'temporary');
const STRATEGIES: readonly Strategy[] = ['one_for_one', 'one_for_all', 'rest_for_one', 'simple_one_for_one'];

/** @param patient whether starts and ends may take their time */
function workers(patient: boolean): fc.Arbitrary<Omit<Worker, 'id'>> {
  const shutdown = fc.constantFrom<ChildSpec['shutdown']>('brutal_kill', 'infinity', 5, 30);
  const ms = patient ? fc.constantFrom(0, 0, 10, 40) : fc.constant(0);
  const dying = patient ? fc.constantFrom<Worker['dyingMs']>(0, 0, 10, 40, 'deaf') : fc.constant(0);
  return fc
    .record({ kind: fc.constant('worker' as const), restart, shutdown, startMs: ms, dyingMs: dying })
    .map(worker => (worker.shutdown === 'infinity' && worker.dyingMs === 'deaf' ? { ...worker, dyingMs: 40 } : worker));
}

/** Trees of at most `levels` levels of supervisors. */
export function trees(levels: number, patient: boolean): fc.Arbitrary<Branch> {
  type Bare = Omit<Worker, 'id'> | (Omit<Branch, 'id' | 'children'> & { readonly children: readonly Bare[] });
  const branch = (depth: number): fc.Arbitrary<Bare> => {
    const child: fc.Arbitrary<Bare> =
      depth === 1
        ? workers(patient)
        : fc.oneof({ weight: 2, arbitrary: workers(patient) }, { weight: 1, arbitrary: branch(depth - 1) });
    return fc
      .record({
        kind: fc.constant('supervisor' as const),
        restart,
        shutdown: fc.constantFrom<ChildSpec['shutdown']>('infinity', 'infinity', 100, 'brutal_kill'),
        flags: fc.record({
          strategy: fc.constantFrom(...STRATEGIES),
          intensity: fc.nat(3),
          periodMs: fc.constantFrom(50, 200),
        }),
        children: fc.array(child, { minLength: 1, maxLength: 3 }),
      })
      .map(made =>
        // Which of a simple_one_for_one's grandchildren ends first is nobody's business: it has workers only.
        made.flags.strategy === 'simple_one_for_one'
          ? { ...made, children: made.children.filter(({ kind }) => kind === 'worker') }
          : made,
      );
  };
  const named = (bare: Bare, id: string): TreeSpec =>
    bare.kind === 'worker'
      ? { ...bare, id }
      : { ...bare, id, children: bare.children.map((child, i) => named(child, `${id}.${i}`)) };
  return branch(levels).map(bare => named(bare, 'r') as Branch);
}

/** Every node of a tree, a supervisor before its children. */
export const nodesOf = (node: TreeSpec): readonly TreeSpec[] =>
  node.kind === 'worker' ? [node] : [node, ...node.children.flatMap(nodesOf)];

/** What somebody does to a node from outside. */
export interface Blow {
  readonly target: number;
  readonly reason: ExitReason;
  /** How many starts of another worker fail from now on. */
  readonly failing: { readonly target: number; readonly times: number };
  /** Time until the next one. */
  readonly waitMs: number;
}

export const blows: fc.Arbitrary<readonly Blow[]> = fc.array(
  fc.record({
    target: fc.nat(50),
    reason: fc.constantFrom<ExitReason>('normal', 'shutdown', 'killed', 'fenced', {
      error: { code: 'internal', message: 'a defect' },
    }),
    failing: fc.record({ target: fc.nat(50), times: fc.constantFrom(0, 0, 0, 1, 2) }),
    waitMs: fc.constantFrom(0, 1, 10, 49, 50, 51, 300),
  }),
  { maxLength: 14 },
);

/** What is done to a node, before it has an effect. */
export type Deed = 'start' | 'fail' | 'ask' | 'kill';

/** Runs a tree of real supervisors. */
export class Grove {
  readonly clock = new VirtualClock();
  /** What was done to workers, in order. */
  readonly diary: string[] = [];
  readonly events: SupervisorEvent[] = [];
  /** Workers that run, and how to end them. */
  readonly alive = new Map<string, (reason: ExitReason) => void>();
  readonly supervisors = new Map<string, Supervisor>();
  readonly failing = new Map<string, number>();
  readonly #witness: (deed: Deed, node: TreeSpec) => void;

  /** @param witness sees every deed, those to supervisors too */
  constructor(witness: (deed: Deed, node: TreeSpec) => void = () => {}) {
    this.#witness = witness;
  }

  async start(branch: Branch): Promise<Supervisor> {
    const specs = branch.children.map(child => this.#specOf(child));
    const options = { id: branch.id, node: 'n1', flags: branch.flags, clock: this.clock };
    const supervisor = await Supervisor.start({ ...options, event: event => this.events.push(event) }, specs);
    this.supervisors.set(branch.id, supervisor);
    void supervisor.exited.then(() => this.supervisors.delete(branch.id));
    return supervisor;
  }

  /** A blow from outside; nothing when the target is down. */
  strike(node: TreeSpec, reason: ExitReason): void {
    if (node.kind === 'worker') this.alive.get(node.id)?.(reason);
    else if (reason === 'shutdown') this.supervisors.get(node.id)?.stop();
    else {
      const supervisor = this.supervisors.get(node.id);
      if (supervisor === undefined) return;
      this.#witness('kill', node);
      supervisor.kill();
    }
  }

  #specOf(node: TreeSpec): ChildSpec {
    const { id, restart, shutdown } = node;
    const start = async (): Promise<ChildHandle> => {
      this.#witness('start', node);
      if (node.kind === 'worker') return this.#work(node);
      const supervisor = await this.start(node);
      const asked = (deed: 'ask' | 'kill'): void => {
        this.#witness(deed, node);
        if (deed === 'ask') supervisor.stop();
        else supervisor.kill();
      };
      return {
        exited: supervisor.exited,
        stop: () => asked('ask'),
        kill: () => asked('kill'),
        tree: () => supervisor.tree(),
      };
    };
    return { id, kind: 'test', type: node.kind, restart, shutdown, start };
  }

  async #work(node: Worker): Promise<ChildHandle> {
    const { id, startMs, dyingMs } = node;
    if (startMs > 0) await this.clock.sleep(startMs);
    const failures = this.failing.get(id) ?? 0;
    if (failures > 0) {
      this.failing.set(id, failures - 1);
      this.#did('fail', node);
      throw new Error(`${id} cannot start`);
    }
    this.diary.push(`start ${id}`);
    const { promise, resolve } = Promise.withResolvers<ExitReason>();
    const dying = { cancel: (): void => {} };
    const end = (reason: ExitReason): void => {
      dying.cancel();
      this.alive.delete(id);
      resolve(reason);
    };
    this.alive.set(id, end);
    const stop = (): void => {
      this.#did('ask', node);
      if (dyingMs === 0) end('shutdown');
      else if (dyingMs !== 'deaf') dying.cancel = this.clock.timer(dyingMs, () => end('shutdown')).cancel;
    };
    const kill = (): void => {
      this.#did('kill', node);
      end('killed');
    };
    return { exited: promise, stop, kill };
  }

  #did(deed: Deed, node: Worker): void {
    this.#witness(deed, node);
    this.diary.push(`${deed} ${node.id}`);
  }
}
