/**
 * Carries out what actors owe to the world (B3).
 *
 * E1 An errand runs once per owner at a time, however often it is named.
 * E2 An errand that is no longer named is abandoned: its signal aborts, its answer is dropped.
 * E3 An answered errand is not run again while it stays named; the next owner runs it again, so executors are idempotent.
 * E4 An executor that throws is reported and, while its errand stays named, started again: later each time.
 */
import type { Clock } from '../ports/clock.ts';
import type { ActorAddress } from '../ports/mailbox.ts';
import type { Errand } from './behaviour.ts';

export interface ErrandAnswer {
  readonly verb: string;
  readonly body: unknown;
  /** The trace that the errand belongs to, when its answer is to go on with it. */
  readonly traceparent?: string;
}

/** Repeats what fails for now, until it has an answer or the signal aborts. A throw is a defect (E4). */
export type ErrandExecutor = (owner: ActorAddress, errand: Errand, signal: AbortSignal) => Promise<ErrandAnswer>;

const RESTART_FIRST_MS = 200;
const RESTART_MOST_MS = 30_000;

export class ErrandDesk {
  readonly #executors: Readonly<Record<string, ErrandExecutor>>;
  readonly #answer: (owner: ActorAddress, answer: ErrandAnswer) => void;
  readonly #report: (owner: ActorAddress, what: string, error: unknown) => void;
  readonly #clock: Clock;
  readonly #running = new Map<string, Map<string, AbortController>>();

  constructor(
    executors: Readonly<Record<string, ErrandExecutor>>,
    answer: (owner: ActorAddress, answer: ErrandAnswer) => void,
    report: (owner: ActorAddress, what: string, error: unknown) => void,
    clock: Clock,
  ) {
    this.#executors = executors;
    this.#answer = answer;
    this.#report = report;
    this.#clock = clock;
  }

  settle(owner: ActorAddress, errands: readonly Errand[]): void {
    const name = `${owner.kind}.${owner.id}`;
    const running = this.#running.get(name);
    if (errands.length === 0 && running === undefined) return;
    const current = running ?? new Map<string, AbortController>();
    const fresh = errands.filter(errand => !current.has(errand.key)); // E1, E3
    if (current.size + fresh.length > errands.length) {
      const wanted = new Set(errands.map(errand => errand.key));
      for (const [key, controller] of current) {
        if (wanted.has(key)) continue;
        controller.abort(new Error('no longer wanted')); // E2
        current.delete(key);
      }
    }
    for (const errand of fresh) {
      const controller = new AbortController();
      current.set(errand.key, controller);
      void this.#run(owner, errand, controller.signal);
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

  /** Never rejects (E4). */
  async #run(owner: ActorAddress, errand: Errand, signal: AbortSignal): Promise<void> {
    for (let delayMs = RESTART_FIRST_MS; !signal.aborted; delayMs = Math.min(delayMs * 2, RESTART_MOST_MS)) {
      try {
        const execute = this.#executors[errand.kind];
        if (execute === undefined) throw new Error(`no executor for errand '${errand.kind}'`);
        const answer = await execute(owner, errand, signal);
        if (!signal.aborted) this.#answer(owner, answer);
        return;
      } catch (error) {
        if (signal.aborted) return;
        this.#report(owner, `errand ${errand.key}`, error);
        await this.#clock.sleep(delayMs, signal).catch(() => signal.aborted);
      }
    }
  }
}
