/**
 * Time that passes only when told to: the Clock of the simulation.
 *
 * VC1 Timers fire in the order of their due times, equal ones in the order they were set: a run is a function of its inputs.
 * VC2 Between two timers everything that follows from the first one is done: the clock moves only when nothing else can.
 * VC3 Cancelled timers never fire, also when cancelled at the instant they are due.
 * VC4 Who sets timers for ever without letting time pass is told so.
 */
import type { Clock, Timer } from '../../actors/ports/clock.ts';

/** So many timers at one instant are no work any more. */
const MOST_AT_ONCE = 100_000;

interface Pending {
  readonly dueMs: number;
  readonly order: number;
  readonly fire: () => void;
}

export class VirtualClock implements Clock {
  readonly #originMs: number;
  #elapsedMs = 0;
  #order = 0;
  /** Timers that fired since time last passed. */
  #atOnce = 0;
  /** A binary heap by (dueMs, order). Cancelled entries stay in it and are no longer in `#live`. */
  readonly #heap: Pending[] = [];
  readonly #live = new Set<Pending>();

  /** @param originMs wall clock at the start */
  constructor(originMs = Date.UTC(2030, 0, 1)) {
    this.#originMs = originMs;
  }

  now(): number {
    return this.#originMs + this.#elapsedMs;
  }

  monotonic(): number {
    return this.#elapsedMs;
  }

  /** Timers that are set and neither fired nor cancelled. */
  get pending(): number {
    return this.#live.size;
  }

  timer(delayMs: number, fire: () => void): Timer {
    const pending = { dueMs: this.#elapsedMs + Math.max(0, delayMs), order: this.#order++, fire };
    this.#live.add(pending);
    this.#push(pending);
    return { cancel: () => void this.#live.delete(pending) };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    if (signal?.aborted === true) {
      reject(signal.reason);
      return promise;
    }
    const abort = (): void => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = this.timer(delayMs, () => {
      signal?.removeEventListener('abort', abort);
      resolve();
    });
    signal?.addEventListener('abort', abort, { once: true });
    return promise;
  }

  /** VC2: resolves when nothing more can happen without time passing. */
  async settle(): Promise<void> {
    // Promise callbacks all run before an immediate does.
    await new Promise(setImmediate);
  }

  /** Lets time pass up to `monotonicMs`, firing everything that falls due on the way. */
  async advanceTo(monotonicMs: number): Promise<void> {
    await this.settle();
    while (await this.#fireNext(monotonicMs));
    this.#elapsedMs = Math.max(this.#elapsedMs, monotonicMs);
  }

  async advance(ms: number): Promise<void> {
    await this.advanceTo(this.#elapsedMs + ms);
  }

  /**
   * Lets time jump from timer to timer until none is left or `until` is true.
   * @returns false when `untilMs` was reached first; time then stands there
   */
  async runUntil(until: () => boolean, untilMs: number): Promise<boolean> {
    await this.settle();
    while (!until()) {
      if (await this.#fireNext(untilMs)) continue;
      if (this.#live.size > 0) this.#elapsedMs = Math.max(this.#elapsedMs, untilMs);
      return this.#live.size === 0;
    }
    return true;
  }

  /** Lets time jump until no timer is left. @returns false when `untilMs` was reached first */
  runUntilIdle(untilMs: number): Promise<boolean> {
    return this.runUntil(() => false, untilMs);
  }

  /** VC1, VC3: fires the first timer that is due by `limitMs`. */
  async #fireNext(limitMs: number): Promise<boolean> {
    for (let first = this.#heap[0]; first !== undefined; first = this.#heap[0]) {
      if (this.#live.has(first) && first.dueMs > limitMs) return false;
      this.#pop();
      if (!this.#live.delete(first)) continue;
      this.#atOnce = first.dueMs > this.#elapsedMs ? 0 : this.#atOnce + 1;
      if (this.#atOnce > MOST_AT_ONCE) throw new Error(`time stands still at ${first.dueMs} ms: a timer sets another`); // VC4
      this.#elapsedMs = first.dueMs;
      first.fire();
      await this.settle();
      return true;
    }
    return false;
  }

  #push(pending: Pending): void {
    const heap = this.#heap;
    heap.push(pending);
    for (let i = heap.length - 1; i > 0; ) {
      const parent = (i - 1) >> 1;
      if (!this.#swapIfLater(parent, i)) return;
      i = parent;
    }
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    heap[0] = last;
    for (let i = 0; ; ) {
      const left = 2 * i + 1;
      const child = isBefore(heap[left + 1], heap[left]) ? left + 1 : left;
      if (child >= heap.length || !this.#swapIfLater(i, child)) return;
      i = child;
    }
  }

  /** Swaps two entries of the heap when the upper one is due after the lower one. */
  #swapIfLater(upper: number, lower: number): boolean {
    const [a, b] = [this.#heap[upper], this.#heap[lower]];
    if (a === undefined || b === undefined || !isBefore(b, a)) return false;
    this.#heap[upper] = b;
    this.#heap[lower] = a;
    return true;
  }
}

function isBefore(a: Pending | undefined, b: Pending | undefined): boolean {
  if (a === undefined) return false;
  if (b === undefined) return true;
  return a.dueMs === b.dueMs ? a.order < b.order : a.dueMs < b.dueMs;
}
