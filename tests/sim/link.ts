/**
 * The connection between a simulated process and the server: it may be cut without a word, be noticed to be broken, and come back.
 *
 * LK1 What is sent into a cut that nobody has noticed yet is not lost: it arrives when the cut is healed, as TCP's does.
 * LK2 What is under way when the connection breaks has no answer any more, and may have arrived.
 * LK3 What is read comes when the cut is healed: whoever has not noticed it learns nothing meanwhile.
 * LK4 A pending proposal is one write's: it begins when that write reaches the server, whenever that is.
 */
import type { Link } from '../../src/infra/memory/link.ts';

export class SimLink implements Link {
  connected = true;
  session = 1;
  /** When the write that reaches the server now is to be applied. */
  #pending: Promise<void> | null = null;
  #cut = false;
  readonly #readers = new Set<() => void>();
  readonly #waiting = new Set<() => void>();
  readonly #breaks = new Set<() => void>();
  /** LK1: what waits for the cut to be healed. */
  #held: (() => void)[] = [];

  /** Runs this when it gets through: now, when the cut is healed (LK1), or never. */
  pass(work: () => void): void {
    if (!this.connected) return;
    if (this.cut) this.#held.push(work);
    else work();
  }

  /** Nothing passes, in either direction. */
  get cut(): boolean {
    return this.#cut;
  }

  set cut(is: boolean) {
    this.#cut = is;
    if (is) return;
    const waiting = [...this.#readers];
    this.#readers.clear();
    for (const tell of waiting) tell();
  }

  /** LK3: resolves when the cut is healed, or when the signal aborts. */
  mended(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#readers.add(resolve);
    signal.addEventListener('abort', () => resolve(), { once: true });
    return promise;
  }

  heal(): void {
    this.cut = false;
    const held = this.#held;
    this.#held = [];
    if (!this.connected) this.#connect();
    for (const work of held) work();
  }

  /** LK2. The other side is gone, or both have noticed that nothing passes. */
  break(): void {
    if (!this.connected) return;
    this.connected = false;
    this.#held = [];
    for (const broken of this.#breaks) broken();
  }

  /** Once more, when nothing is in the way. */
  reconnect(): void {
    if (!this.connected && !this.cut) this.#connect();
  }

  /** @returns a function that ends the listening */
  onBreak(broken: () => void): () => void {
    this.#breaks.add(broken);
    return () => void this.#breaks.delete(broken);
  }

  onConnect(connected: () => void): () => void {
    this.#waiting.add(connected);
    return () => void this.#waiting.delete(connected);
  }

  online(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const off = this.onConnect(() => {
      signal.removeEventListener('abort', done);
      resolve();
    });
    const done = (): void => {
      off();
      resolve();
    };
    signal.addEventListener('abort', done, { once: true });
    return promise;
  }

  /** LK4 */
  withProposal<T>(applied: Promise<void>, act: () => Promise<T>): Promise<T> {
    this.#pending = applied;
    try {
      return act();
    } finally {
      this.#pending = null;
    }
  }

  proposal(): Promise<void> | null {
    return this.#pending;
  }

  #connect(): void {
    this.connected = true;
    this.session += 1;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const tell of waiting) tell();
  }
}
