/**
 * The live nodes by their heartbeats.
 *
 * N1 A node is gone after `silenceMs` without a beat, of this process' own monotonic time.
 * N2 A listener that was cut off, or itself late, keeps what it knew until it has listened again for that long. Nor does it
 *    call a node gone, which it has not heard of, before it has listened for that long.
 */
import { NodeView } from '../../domain/node.ts';
import { parseJson } from '../../domain/parse.ts';
import { SUBJECTS } from '../../domain/subjects.ts';
import type { Bus, Subscription } from '../ports/bus.ts';
import type { Clock, Timer } from '../ports/clock.ts';
import type { NodeDirectory } from '../ports/node-directory.ts';

export class HeartbeatDirectory implements NodeDirectory {
  readonly #clock: Clock;
  readonly #bus: Bus;
  readonly #silenceMs: number;
  readonly #seen = new Map<string, { view: NodeView; at: number }>();
  readonly #listeners = new Set<(node: NodeView) => void>();
  readonly #subscription: Subscription;
  /** Since when this listener has heard everything. */
  #listeningSince: number;
  #lookedAt: number;
  #timer: Timer;

  constructor(ports: { readonly clock: Clock; readonly bus: Bus }, silenceMs: number) {
    this.#clock = ports.clock;
    this.#bus = ports.bus;
    this.#silenceMs = silenceMs;
    this.#listeningSince = ports.clock.monotonic();
    this.#lookedAt = this.#listeningSince;
    this.#subscription = ports.bus.subscribe(SUBJECTS.heartbeats('node'), message => this.#hear(message.body));
    this.#timer = this.#schedule();
  }

  alive(): readonly NodeView[] {
    this.#look();
    return [...this.#seen.values()].map(({ view }) => view);
  }

  isGone(node: string): boolean {
    this.#look();
    const heardAll = this.#clock.monotonic() - this.#listeningSince >= this.#silenceMs;
    return heardAll && !this.#seen.has(node); // N2
  }

  onCapacity(changed: (node: NodeView) => void): Subscription {
    this.#listeners.add(changed);
    return { close: () => this.#listeners.delete(changed) };
  }

  close(): void {
    this.#timer.cancel();
    this.#subscription.close();
  }

  #schedule(): Timer {
    return this.#clock.timer(this.#silenceMs / 4, () => {
      this.#look();
      this.#timer = this.#schedule();
    });
  }

  #look(): void {
    const now = this.#clock.monotonic();
    if (!this.#bus.connected || now - this.#lookedAt > this.#silenceMs / 2) this.#listeningSince = now; // N2
    this.#lookedAt = now;
    const before = now - this.#silenceMs;
    if (this.#listeningSince > before) return;
    for (const [id, { at }] of this.#seen) if (at < before) this.#seen.delete(id); // N1
  }

  #hear(bytes: Uint8Array): void {
    const view = parseJson(NodeView, bytes);
    if (view === null) return; // anybody may publish on a heartbeat subject
    const before = this.#seen.get(view.id)?.view;
    this.#seen.set(view.id, { view, at: this.#clock.monotonic() });
    const room = (node: NodeView): number => (node.draining ? 0 : node.slots - node.running);
    const warmer = before !== undefined && view.warm.some(model => !before.warm.includes(model)); // a trial has ended (A7)
    if (before === undefined || before.pid !== view.pid || room(view) > room(before) || warmer)
      for (const tell of this.#listeners) tell(view);
  }
}
