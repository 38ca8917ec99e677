/**
 * Runs a script on Troupe's supervisors, in virtual time, as `oracle.escript` runs it on Erlang's: step by step, each after
 * everything that follows from the one before is done.
 */
import type { ExitReason } from '../../src/actors/runtime/exit-reason.ts';
import { type ChildHandle, type ChildSpec, Supervisor } from '../../src/actors/runtime/supervisor.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';
import {
  type Branch,
  type Manner,
  type Node,
  type Reason,
  ROOT,
  type Script,
  SLOW_MS,
  STEPS_MS,
  type Step,
  type Template,
  TICK_MS,
} from './script.ts';
import { type Fact, type Row, type StepRecord, transcript } from './transcript.ts';

/** Longer than all that a step makes supervisors wait for. */
const STEP_MS = 5_000;

const EXITS: Readonly<Record<Reason, ExitReason>> = {
  normal: 'normal',
  shutdown: 'shutdown',
  '{shutdown}': 'shutdown',
  killed: 'killed',
  fenced: 'fenced',
  error: { error: { code: 'internal', message: 'a defect' } },
};
const reasonText = (reason: ExitReason): string => (typeof reason === 'string' ? reason : 'error');

interface Living {
  readonly key: string;
  readonly manner: Manner;
  asked: boolean;
  readonly end: (reason: ExitReason) => void;
}

export async function runOurs(script: Script): Promise<string[]> {
  const run = new Run();
  const records = [await run.record(() => run.up(script.tree))];
  for (const [i, step] of script.steps.entries()) records.push(await run.record(() => run.take(step, i + 1)));
  if (run.takenMs >= STEPS_MS)
    throw new Error(`the steps of seed ${script.seed} take ${run.takenMs} ms: ticks need less`);
  return transcript(script, records);
}

class Run {
  readonly #clock = new VirtualClock();
  #facts: Fact[] = [];
  #answers: { step: number; result: string }[] = [];
  /** Those that run. */
  readonly #supervisors = new Map<string, { readonly branch: Branch; readonly supervisor: Supervisor }>();
  readonly #workers = new Map<string, Living>();
  readonly #incarnations = new Map<string, number>();
  readonly #failing = new Map<string, number>();
  readonly #holding = new Set<string>();
  readonly #held = new Map<string, () => void>();
  /** The script is at its end: nothing is held any more. */
  #free = false;
  #ticksMs = 0;

  /** What the steps took, without the ticks. */
  get takenMs(): number {
    return this.#clock.monotonic() - this.#ticksMs;
  }

  /** @param deed tells whether there was anybody to do it to */
  async record(deed: () => Promise<boolean>): Promise<StepRecord> {
    const none = !(await deed());
    await this.#settle();
    const tables = this.#isHeld()
      ? []
      : [...this.#supervisors].map(([id, { supervisor }]) => ({
          id,
          rows: supervisor.tree().map(rowOf),
        }));
    const record = { facts: this.#facts, answers: this.#answers, tables, none };
    this.#facts = [];
    this.#answers = [];
    return record;
  }

  async up(tree: Branch): Promise<boolean> {
    await this.#specOf(tree, null).start();
    return true;
  }

  async take(step: Step, number: number): Promise<boolean> {
    switch (step.kind) {
      case 'exit': {
        const workers = step.exits.map(({ id, reason }) => ({ worker: this.#workers.get(id), reason }));
        // All of them in one go: what their supervisor does about the first comes after the last.
        for (const { worker, reason } of workers) worker?.end(EXITS[reason]);
        return workers.some(({ worker }) => worker !== undefined);
      }
      case 'fail':
        this.#failing.set(step.id, step.times);
        return true;
      case 'hold':
        this.#holding.add(step.id);
        return true;
      case 'let':
        return this.#let(step.id);
      case 'stop':
      case 'kill':
        return this.#at(step.id, ({ supervisor }) => supervisor[step.kind]());
      case 'start': {
        const { at, child } = step;
        return this.#at(at, ({ branch, supervisor }) => {
          const node: Node = typeof child === 'string' ? { kind: 'worker', id: child, ...templateOf(branch) } : child;
          this.#ask(number, supervisor, () => supervisor.startChild(this.#specOf(node, this.#keyOf(at))));
        });
      }
      case 'terminate':
        // Erlang's is told a pid, and so which incarnation is meant: none may be about to start.
        if (this.#isHeld() && this.#supervisors.get(step.at)?.branch.strategy === 'simple_one_for_one') return false;
        return this.#at(step.at, ({ supervisor }) =>
          this.#ask(number, supervisor, () => supervisor.terminateChild(step.id)),
        );
      case 'restart':
      case 'delete':
        return this.#at(step.at, ({ branch, supervisor }) =>
          this.#ask(
            number,
            supervisor,
            () => (step.kind === 'restart' ? supervisor.restartChild(step.id) : supervisor.deleteChild(step.id)),
            // None of its children is ever terminated and still in the table: refused for whatever reason.
            branch.template === null ? refusalOf : () => 'simple_one_for_one',
          ),
        );
      case 'count':
        if (this.#isHeld()) return false;
        return this.#at(step.at, ({ branch, supervisor }) => {
          const rows = supervisor.tree();
          const active = rows.filter(row => row.state === 'running').length;
          const supervisors = rows.filter(row => row.type === 'supervisor').length;
          // Erlang's simple_one_for_one has one specification, of which all its children are.
          const specs = branch.template === null ? rows.length : 1;
          const counts = [specs, active, supervisors, rows.length - supervisors];
          this.#answers.push({ step: number, result: counts.join('/') });
        });
      case 'tick':
        this.#ticksMs += TICK_MS;
        await this.#clock.advance(TICK_MS);
        return true;
      case 'end':
        await this.#end();
        return true;
    }
  }

  async #end(): Promise<void> {
    this.#free = true;
    this.#holding.clear();
    while (this.#isHeld()) {
      const [first = ''] = [...this.#held.keys(), ...this.#heldWorkers()].sort();
      this.#let(first);
      await this.#settle();
    }
    this.#supervisors.get(ROOT)?.supervisor.stop();
    await this.#settle();
    const left = [...this.#workers.keys(), ...this.#supervisors.keys()];
    if (left.length > 0 || this.#clock.pending > 0) throw new Error(`after the end are left: ${left.join(' ')}`);
  }

  #let(id: string): boolean {
    const held = this.#held.get(id);
    this.#held.delete(id);
    if (held !== undefined) held();
    else {
      if (!this.#heldWorkers().includes(id)) return false;
      this.#workers.get(id)?.end('shutdown');
    }
    return true;
  }

  #isHeld(): boolean {
    return this.#held.size > 0 || this.#heldWorkers().length > 0;
  }

  #heldWorkers(): string[] {
    return [...this.#workers].flatMap(([id, { manner, asked }]) => (manner === 'held' && asked ? [id] : []));
  }

  async #settle(): Promise<void> {
    const limit = this.#clock.monotonic() + STEP_MS;
    if (!(await this.#clock.runUntilIdle(limit))) throw new Error('a step does not come to an end');
  }

  #at(id: string, work: (at: { readonly branch: Branch; readonly supervisor: Supervisor }) => void): boolean {
    const at = this.#supervisors.get(id);
    if (at === undefined) return false;
    work(at);
    return true;
  }

  /** Calls, and answers in Erlang's words when there is an answer. */
  #ask(step: number, supervisor: Supervisor, call: () => Promise<unknown>, refusal = refusalOf): void {
    let ended = false;
    void supervisor.exited.then(() => {
      ended = true;
    });
    const answer = (result: string): void => {
      this.#answers.push({ step, result: ended ? 'gone' : result });
    };
    call().then(
      () => answer('ok'),
      (error: Error) => answer(refusal(error.message)),
    );
  }

  #specOf(node: Node, parent: string | null): ChildSpec {
    const { id, restart, shutdown } = node;
    const start = async (): Promise<ChildHandle> => {
      await this.#mayStart(id);
      const key = this.#newKey(id);
      const started: Fact = { kind: '+', id, key, parent };
      if (node.kind === 'worker') {
        this.#facts.push(started);
        return this.#work(id, key, node);
      }
      this.#facts.push(started);
      return this.#supervise(node, key);
    };
    return { id, kind: 'test', type: node.kind, restart, shutdown, start };
  }

  async #mayStart(id: string): Promise<void> {
    if (this.#holding.delete(id)) await new Promise<void>(resolve => this.#held.set(id, resolve));
    const failures = this.#failing.get(id) ?? 0;
    if (failures === 0) return;
    this.#failing.set(id, failures - 1);
    this.#facts.push({ kind: '!', id });
    throw new Error('the start fails');
  }

  async #supervise(branch: Branch, key: string): Promise<ChildHandle> {
    const { id, strategy, intensity, periodS } = branch;
    const flags = { strategy, intensity, periodMs: periodS * 1_000 };
    const specs = branch.children.map(child => this.#specOf(child, key));
    const supervisor = await Supervisor.start(
      { id, node: 'n1', flags, clock: this.#clock, event: () => {} },
      specs,
    ).catch((error: unknown) => {
      this.#facts.push({ kind: '!', id });
      throw error;
    });
    this.#supervisors.set(id, { branch, supervisor });
    const exited = supervisor.exited.then(reason => {
      this.#supervisors.delete(id);
      this.#facts.push({ kind: '-', key, reason: reasonText(reason) });
      return reason;
    });
    return { exited, stop: () => supervisor.stop(), kill: () => supervisor.kill(), tree: () => supervisor.tree() };
  }

  #work(id: string, key: string, { manner }: Template): ChildHandle {
    const { promise, resolve } = Promise.withResolvers<ExitReason>();
    let alive = true;
    const end = (reason: ExitReason): void => {
      if (!alive) return;
      alive = false;
      this.#workers.delete(id);
      this.#facts.push({ kind: '-', key, reason: reasonText(reason) });
      resolve(reason);
    };
    const living: Living = { key, manner, asked: false, end };
    this.#workers.set(id, living);
    const stop = (): void => {
      if (!alive) return;
      living.asked = true;
      this.#facts.push({ kind: '?', key });
      if (manner === 'prompt' || (manner === 'held' && this.#free)) end('shutdown');
      else if (manner === 'rude') end(EXITS.error);
      else if (manner === 'slow') this.#clock.timer(SLOW_MS, () => end('shutdown'));
    };
    return { exited: promise, stop, kill: () => end('killed') };
  }

  #newKey(id: string): string {
    const number = (this.#incarnations.get(id) ?? 0) + 1;
    this.#incarnations.set(id, number);
    return `${id}.${number}`;
  }

  #keyOf(id: string): string {
    return `${id}.${this.#incarnations.get(id) ?? 0}`;
  }
}

/** A child can't be starting while nothing is held. */
function rowOf({ id, state }: { readonly id: string; readonly state: string }): Row {
  if (state === 'running' || state === 'restarting' || state === 'terminated') return { id, state };
  throw new Error(`${id} is ${state}, though nothing is held`);
}

function templateOf({ id, template }: Branch): Template {
  if (template === null) throw new Error(`${id} is no simple_one_for_one`);
  return template;
}

/** What Erlang's supervisor answers to the same. */
function refusalOf(message: string): string {
  if (message === 'the start fails') return 'error';
  if (/ already has a child '\w+', which is running$/.test(message)) return 'already_started';
  if (/ already has a child '\w+', which is \w+$/.test(message)) return 'already_present';
  const [, state] = /^child '\w+' of \w+ is (running|restarting)$/.exec(message) ?? [];
  if (state !== undefined) return state;
  if (/ has no child '\w+'$/.test(message)) return 'not_found';
  return message;
}
