/**
 * Carries out what actors owe to the world (B3).
 *
 * E1 An errand runs once per owner at a time, however often it is named.
 * E2 An errand that is no longer named is abandoned: its signal aborts, its answer is dropped.
 * E3 An answered errand is not run again while it stays named; the next owner runs it again, so executors are idempotent.
 */
import type { ActorAddress } from '../ports/mailbox.ts';
import type { Errand } from './behaviour.ts';

export interface ErrandAnswer {
  readonly verb: string;
  readonly body: unknown;
}

/** Repeats what fails for now, until it has an answer or the signal aborts. A throw is a defect. */
export type ErrandExecutor = (owner: ActorAddress, errand: Errand, signal: AbortSignal) => Promise<ErrandAnswer>;

export class ErrandDesk {
  readonly #executors: Readonly<Record<string, ErrandExecutor>>;
  readonly #answer: (owner: ActorAddress, answer: ErrandAnswer) => void;
  readonly #report: (owner: ActorAddress, what: string, error: unknown) => void;
  readonly #running = new Map<string, Map<string, AbortController>>();

  constructor(
    executors: Readonly<Record<string, ErrandExecutor>>,
    answer: (owner: ActorAddress, answer: ErrandAnswer) => void,
    report: (owner: ActorAddress, what: string, error: unknown) => void,
  ) {
    this.#executors = executors;
    this.#answer = answer;
    this.#report = report;
  }

  settle(owner: ActorAddress, errands: readonly Errand[]): void {
    const name = `${owner.kind}.${owner.id}`;
    const running = this.#running.get(name);
    if (errands.length === 0 && running === undefined) return;
    const current = running ?? new Map<string, AbortController>();
    const wanted = new Set(errands.map(errand => errand.key));
    for (const [key, controller] of current) {
      if (wanted.has(key)) continue;
      controller.abort(new Error('no longer wanted')); // E2
      current.delete(key);
    }
    for (const errand of errands) {
      if (!current.has(errand.key)) current.set(errand.key, this.#run(owner, errand)); // E1, E3
    }
    if (current.size === 0) this.#running.delete(name);
    else this.#running.set(name, current);
  }

  /** Abandons everything: the partition is lost, or the node stops. */
  drop(): void {
    for (const errands of this.#running.values()) {
      for (const controller of errands.values()) controller.abort(new Error('ownership ended'));
    }
    this.#running.clear();
  }

  #run(owner: ActorAddress, errand: Errand): AbortController {
    const controller = new AbortController();
    const execute = this.#executors[errand.kind];
    if (execute === undefined) throw new Error(`no executor for errand '${errand.kind}'`);
    void execute(owner, errand, controller.signal).then(
      answer => {
        if (!controller.signal.aborted) this.#answer(owner, answer);
      },
      error => {
        if (!controller.signal.aborted) this.#report(owner, `errand ${errand.key}`, error);
      },
    );
    return controller;
  }
}
