/**
 * Executes restart plans over the children of this process: connections, servers, partition hosts, runner processes.
 *
 * V1 Children start in order and stop in reverse, each gone before the next is asked; those of a simple_one_for_one, who
 *    may be many, are asked all at once. A child that fails to start at the beginning stops those before it.
 * V2 One event at a time: an exit that comes in while a plan is carried out waits for its turn. A restart that failed is
 *    tried again behind what has come in meanwhile, such as a stop.
 * V3 A child is stopped by its spec: `brutal_kill` at once, a number after that many ms of grace, `infinity` never. A
 *    supervisor that is killed kills every child, also one that is just starting, and has exited when they have.
 * V4 When the plan gives up, every child is stopped and the supervisor itself exits `shutdown`: its parent decides.
 * V5 The table is the truth that `/tree` shows; nothing else starts a process. A child that was terminated, or needs no
 *    restart, stays in it until it is restarted or deleted, unless it is temporary or of a simple_one_for_one.
 */

import { toProblem } from '../../domain/errors.ts';
import type { TreeNode } from '../../domain/tree.ts';
import type { Clock } from '../ports/clock.ts';
import { describeExit, type ExitReason } from './exit-reason.ts';
import { isForgotten, planRestart, type RestartType, type SupervisorFlags } from './restart-plan.ts';

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
  /** Nothing can end a start that is under way: a supervisor that is stopped or killed waits for it. */
  start(): Promise<ChildHandle>;
}

type ChildState =
  | { readonly kind: 'starting' }
  | { readonly kind: 'running'; readonly handle: ChildHandle }
  /** Its restart failed and will be tried again. */
  | { readonly kind: 'restarting' }
  | { readonly kind: 'terminated' };

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
  /** Stopped, given up or killed: nothing is started any more. */
  #ended = false;
  #killed = false;
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
    await supervisor.#inTurn(async () => {
      try {
        for (const spec of specs) await supervisor.#add(spec);
      } catch (error) {
        await supervisor.#end('shutdown');
        throw error;
      }
    });
    return supervisor;
  }

  /** Adds a child and starts it. @throws when the id is in the table, or what `start` throws (the child is then not added) */
  startChild(spec: ChildSpec): Promise<ChildHandle> {
    return this.#inTurn(() => this.#add(spec));
  }

  /** Stops a child by its spec. Nothing when it does not run; a restart that would be tried again is given up. */
  terminateChild(id: string): Promise<void> {
    return this.#inTurn(async () => {
      const child = this.#find(id);
      if (child === undefined) return;
      await this.#stopOne(child);
      if (isForgotten(this.#options.flags, child.spec)) this.#remove(child);
    });
  }

  /** Starts a terminated child. @throws when there is none, or what `start` throws (the child then stays terminated) */
  restartChild(id: string): Promise<ChildHandle> {
    return this.#inTurn(async () => {
      const child = this.#terminated(id);
      try {
        return await this.#startOne(child);
      } catch (error) {
        child.state = { kind: 'terminated' };
        throw error;
      }
    });
  }

  /** Takes a terminated child out of the table. @throws when there is none */
  deleteChild(id: string): Promise<void> {
    return this.#inTurn(async () => this.#remove(this.#terminated(id)));
  }

  handle(id: string): ChildHandle | null {
    const state = this.#find(id)?.state;
    return state?.kind === 'running' ? state.handle : null;
  }

  get ids(): readonly string[] {
    return this.#children.map(child => child.spec.id);
  }

  stop(): void {
    void this.#inTurn(() => this.#end('shutdown'));
  }

  /** V3 */
  kill(): void {
    if (this.#killed) return;
    this.#ended = true;
    this.#killed = true;
    const handles = this.#children
      .toReversed()
      .flatMap(({ state }) => (state.kind === 'running' ? [state.handle] : []));
    for (const handle of handles) handle.kill();
    const gone = Promise.all(handles.map(handle => handle.exited));
    void this.#inTurn(() => gone).then(() => this.#exit('killed'));
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

  async #add(spec: ChildSpec): Promise<ChildHandle> {
    const known = this.#find(spec.id);
    if (known !== undefined)
      throw new Error(`${this.#options.id} already has a child '${spec.id}', which is ${known.state.kind}`);
    const child: Child = { spec, state: { kind: 'starting' }, restarts: 0 };
    this.#children.push(child);
    try {
      return await this.#startOne(child);
    } catch (error) {
      this.#remove(child);
      throw error;
    }
  }

  async #startOne(child: Child): Promise<ChildHandle> {
    const { id } = this.#options;
    if (this.#ended) throw new Error(`supervisor ${id} has ended`);
    child.state = { kind: 'starting' };
    const handle = await child.spec.start();
    if (this.#killed) {
      handle.kill(); // V3
      await handle.exited;
      throw new Error(`supervisor ${id} was killed`);
    }
    child.state = { kind: 'running', handle };
    this.#event(child.spec.id, child.restarts === 0 ? 'started' : 'restarted');
    void handle.exited.then(reason => this.#inTurn(() => this.#onExit(child, handle, reason)));
    return handle;
  }

  /** V2: runs in turn. */
  async #onExit(child: Child, handle: ChildHandle, reason: ExitReason): Promise<void> {
    if (this.#ended || child.state.kind !== 'running' || child.state.handle !== handle) return;
    child.state = { kind: 'terminated' };
    this.#event(child.spec.id, 'exited', reason);
    await this.#react(child, reason);
  }

  async #react(ended: Child, reason: ExitReason): Promise<void> {
    const { flags, clock } = this.#options;
    const { id } = ended.spec;
    const table = this.#children.map(child => child.spec);
    const plan = planRestart(flags, table, id, reason, this.#restarts, clock.monotonic());
    if (plan.kind === 'leave') {
      if (plan.forget) this.#remove(ended);
      return;
    }
    if (plan.kind === 'give_up') {
      this.#event(id, 'gave_up', reason);
      await this.#end('shutdown'); // V4
      return;
    }
    this.#restarts = plan.restarts;
    for (const stopped of plan.stop) await this.#stopOne(this.#byId(stopped));
    for (const forgotten of plan.forget) this.#remove(this.#byId(forgotten));
    for (const started of plan.start) {
      const child = this.#byId(started);
      child.restarts += 1;
      try {
        await this.#startOne(child);
      } catch (error) {
        if (!this.#killed) this.#onFailedRestart(child, { error: toProblem(error) });
        return;
      }
    }
  }

  /** V2: one more abnormal exit, when its turn comes. */
  #onFailedRestart(child: Child, reason: ExitReason): void {
    child.state = { kind: 'restarting' };
    this.#event(child.spec.id, 'exited', reason);
    void this.#inTurn(async () => {
      if (!this.#ended && child.state.kind === 'restarting') await this.#react(child, reason);
    });
  }

  /** V3 */
  async #stopOne(child: Child): Promise<void> {
    if (child.state.kind === 'running') {
      const reason = await this.#endOf(child.state.handle, child.spec.shutdown);
      this.#event(child.spec.id, 'exited', reason);
    }
    child.state = { kind: 'terminated' };
  }

  async #endOf(handle: ChildHandle, shutdown: ChildSpec['shutdown']): Promise<ExitReason> {
    if (this.#killed) return handle.exited;
    if (shutdown === 'brutal_kill') {
      handle.kill();
      return handle.exited;
    }
    handle.stop();
    if (shutdown === 'infinity') return handle.exited;
    const grace = this.#options.clock.timer(shutdown, () => handle.kill());
    const reason = await handle.exited;
    grace.cancel();
    return reason;
  }

  /** V1 */
  async #end(reason: ExitReason): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    const children = this.#children.toReversed();
    if (this.#options.flags.strategy === 'simple_one_for_one')
      await Promise.all(children.map(child => this.#stopOne(child)));
    else for (const child of children) await this.#stopOne(child);
    if (!this.#killed) this.#exit(reason);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.then(
      () => {},
      () => {},
    );
    return result;
  }

  #find(id: string): Child | undefined {
    return this.#children.find(child => child.spec.id === id);
  }

  #terminated(id: string): Child {
    const child = this.#byId(id);
    if (child.state.kind === 'terminated') return child;
    throw new Error(`child '${id}' of ${this.#options.id} is ${child.state.kind}`);
  }

  #byId(id: string): Child {
    const child = this.#find(id);
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
