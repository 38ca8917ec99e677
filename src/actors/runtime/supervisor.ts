/**
 * Executes restart plans over the children of this process: connections, servers, partition hosts, runner processes.
 *
 * V1 Children start in order and stop in reverse; a child that fails to start at the beginning stops those before it.
 * V2 One event at a time: an exit that comes in while a plan is carried out waits for its turn.
 * V3 A child is stopped by its spec: `brutal_kill` at once, a number after that many ms of grace, `infinity` never. A
 *    supervisor that is killed kills every child, also one that is just starting, and has exited when they have.
 * V4 When the plan gives up, every child is stopped and the supervisor itself exits `shutdown`: its parent decides.
 * V5 The table is the truth that `/tree` shows; nothing else starts a process.
 */

import { toProblem } from '../../domain/errors.ts';
import type { TreeNode } from '../../domain/tree.ts';
import type { Clock } from '../ports/clock.ts';
import { describeExit, type ExitReason } from './exit-reason.ts';
import { planRestart, type RestartType, type SupervisorFlags } from './restart-plan.ts';

export interface ChildHandle {
  /** Resolves once, when the child is gone; never rejects. */
  readonly exited: Promise<ExitReason>;
  readonly pid?: number;
  /** Asks it to end in good order. */
  stop(): void;
  /** Ends it now. */
  kill(): void;
  /** What it supervises or contains, for `/tree`. */
  tree?(): readonly TreeNode[];
}

export interface ChildSpec {
  readonly id: string;
  readonly kind: string;
  readonly type: 'supervisor' | 'worker';
  readonly restart: RestartType;
  readonly shutdown: 'brutal_kill' | 'infinity' | number;
  readonly attempt?: number;
  start(): Promise<ChildHandle>;
}

type ChildState =
  | { readonly kind: 'starting' }
  | { readonly kind: 'running'; readonly handle: ChildHandle }
  | { readonly kind: 'terminated'; readonly reason: ExitReason };

interface Child {
  readonly spec: ChildSpec;
  state: ChildState;
  restarts: number;
}

export interface SupervisorEvent {
  readonly supervisor: string;
  readonly child: string;
  readonly type: 'started' | 'exited' | 'restarted' | 'gave_up';
  readonly reason?: string;
}

export interface SupervisorOptions {
  readonly id: string;
  readonly node: string;
  readonly flags: SupervisorFlags;
  readonly clock: Clock;
  /** Lifecycle facts. */
  readonly event: (event: SupervisorEvent) => void;
}

export class Supervisor implements ChildHandle {
  readonly exited: Promise<ExitReason>;
  readonly #options: SupervisorOptions;
  /** In order of start. */
  readonly #children: Child[] = [];
  #restarts: readonly number[] = [];
  #turn: Promise<void> = Promise.resolve();
  #ended = false;
  #exit: (reason: ExitReason) => void = () => {};

  private constructor(options: SupervisorOptions) {
    this.#options = options;
    this.exited = new Promise(resolve => {
      this.#exit = resolve;
    });
  }

  /** V1. @throws what the child threw that did not start */
  static async start(options: SupervisorOptions, specs: readonly ChildSpec[] = []): Promise<Supervisor> {
    const supervisor = new Supervisor(options);
    try {
      for (const spec of specs) await supervisor.startChild(spec);
    } catch (error) {
      await supervisor.#inTurn(() => supervisor.#end('shutdown'));
      throw error;
    }
    return supervisor;
  }

  /** Adds a child and starts it. @throws when the id is taken, or what `start` throws (the child is then not added) */
  startChild(spec: ChildSpec): Promise<ChildHandle> {
    return this.#inTurn(async () => {
      if (this.#ended) throw new Error(`supervisor ${this.#options.id} has ended`);
      const taken = this.#children.find(child => child.spec.id === spec.id);
      if (taken !== undefined) {
        if (taken.state.kind !== 'terminated') throw new Error(`${this.#options.id} already has a child '${spec.id}'`);
        this.#remove(taken);
      }
      const child: Child = { spec, state: { kind: 'starting' }, restarts: 0 };
      this.#children.push(child);
      try {
        return await this.#startOne(child);
      } catch (error) {
        this.#remove(child);
        throw error;
      }
    });
  }

  /** Stops a child by its spec and removes it. Nothing when it is not there. */
  terminateChild(id: string): Promise<void> {
    return this.#inTurn(async () => {
      const child = this.#children.find(c => c.spec.id === id);
      if (child === undefined) return;
      await this.#stopOne(child);
      this.#remove(child);
    });
  }

  handle(id: string): ChildHandle | null {
    const state = this.#children.find(child => child.spec.id === id)?.state;
    return state?.kind === 'running' ? state.handle : null;
  }

  get ids(): readonly string[] {
    return this.#children.map(child => child.spec.id);
  }

  stop(): void {
    void this.#inTurn(() => this.#end('shutdown'));
  }

  kill(): void {
    this.#ended = true;
    const handles = this.#children
      .toReversed()
      .flatMap(({ state }) => (state.kind === 'running' ? [state.handle] : []));
    for (const handle of handles) handle.kill();
    void Promise.all(handles.map(handle => handle.exited)).then(() => this.#exit('killed'));
  }

  /** V5 */
  tree(): readonly TreeNode[] {
    return this.#children.map(({ spec, state, restarts }) => ({
      id: spec.id,
      kind: spec.kind,
      type: spec.type,
      state: state.kind,
      ...(state.kind === 'running' && state.handle instanceof Supervisor
        ? { strategy: state.handle.#options.flags.strategy }
        : {}),
      node: this.#options.node,
      pid: state.kind === 'running' ? (state.handle.pid ?? null) : null,
      ...(spec.attempt === undefined ? {} : { attempt: spec.attempt }),
      restarts,
      children: state.kind === 'running' ? [...(state.handle.tree?.() ?? [])] : [],
    }));
  }

  async #startOne(child: Child): Promise<ChildHandle> {
    child.state = { kind: 'starting' };
    const handle = await child.spec.start();
    if (this.#ended) {
      handle.kill(); // V3
      throw new Error(`supervisor ${this.#options.id} was killed`);
    }
    child.state = { kind: 'running', handle };
    this.#event(child.spec.id, child.restarts === 0 ? 'started' : 'restarted');
    void handle.exited.then(reason => this.#inTurn(() => this.#onExit(child, handle, reason)));
    return handle;
  }

  /** V2: runs in turn. */
  async #onExit(child: Child, handle: ChildHandle, reason: ExitReason): Promise<void> {
    if (this.#ended || child.state.kind !== 'running' || child.state.handle !== handle) return;
    child.state = { kind: 'terminated', reason };
    this.#event(child.spec.id, 'exited', reason);
    await this.#react(child, reason);
  }

  async #react(ended: Child, reason: ExitReason): Promise<void> {
    let cause = { child: ended, reason };
    while (!this.#ended) {
      const planned = this.#children.map(c => ({ id: c.spec.id, restart: c.spec.restart }));
      const now = this.#options.clock.monotonic();
      const plan = planRestart(this.#options.flags, planned, cause.child.spec.id, cause.reason, this.#restarts, now);
      if (plan.kind === 'leave') {
        if (plan.forget) this.#remove(cause.child);
        return;
      }
      if (plan.kind === 'give_up') {
        this.#event(cause.child.spec.id, 'gave_up', cause.reason);
        await this.#end('shutdown'); // V4
        return;
      }
      this.#restarts = plan.restarts;
      for (const id of plan.stop) await this.#stopOne(this.#byId(id));
      for (const id of plan.forget) this.#remove(this.#byId(id));
      const failed = await this.#startAll(plan.start);
      if (failed === null) return;
      cause = failed; // a restart that fails is one more abnormal exit
    }
  }

  async #startAll(ids: readonly string[]): Promise<{ child: Child; reason: ExitReason } | null> {
    for (const id of ids) {
      if (this.#ended) return null;
      const child = this.#byId(id);
      child.restarts += 1;
      try {
        await this.#startOne(child);
      } catch (error) {
        const reason: ExitReason = { error: toProblem(error) };
        child.state = { kind: 'terminated', reason };
        this.#event(id, 'exited', reason);
        return { child, reason };
      }
    }
    return null;
  }

  /** V3 */
  async #stopOne(child: Child): Promise<void> {
    if (child.state.kind !== 'running') return;
    const { handle } = child.state;
    const { shutdown } = child.spec;
    if (shutdown === 'brutal_kill') {
      handle.kill();
    } else {
      handle.stop();
      if (shutdown !== 'infinity') {
        const grace = this.#options.clock.timer(shutdown, () => handle.kill());
        void handle.exited.then(() => grace.cancel());
      }
    }
    child.state = { kind: 'terminated', reason: await handle.exited };
    this.#event(child.spec.id, 'exited', child.state.reason);
  }

  async #end(reason: ExitReason): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    for (const child of this.#children.toReversed()) await this.#stopOne(child);
    this.#exit(reason);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.then(
      () => {},
      () => {},
    );
    return result;
  }

  #byId(id: string): Child {
    const child = this.#children.find(c => c.spec.id === id);
    if (child === undefined) throw new Error(`${this.#options.id} has no child '${id}'`);
    return child;
  }

  #remove(child: Child): void {
    const index = this.#children.indexOf(child);
    if (index >= 0) this.#children.splice(index, 1);
  }

  #event(child: string, type: SupervisorEvent['type'], reason?: ExitReason): void {
    const said = reason === undefined ? {} : { reason: describeExit(reason) };
    this.#options.event({ supervisor: this.#options.id, child, type, ...said });
  }
}
