/**
 * One subscription to the heartbeats of a kind for all partitions of a process: each beat comes in and is read once, however many
 * listen. Sixteen subscriptions would bring every runner's every beat sixteen times.
 */
import { fromJson } from '../../domain/json.ts';
import type { Bus, Subscription } from '../ports/bus.ts';

/** @param progress any number that grows while there is progress */
export type BeatListener = (key: string, progress: number) => void;

export class HeartbeatFan {
  readonly #bus: Bus;
  readonly #subject: string;
  readonly #listeners = new Set<BeatListener>();
  #subscription: Subscription | null = null;

  constructor(bus: Bus, subject: string) {
    this.#bus = bus;
    this.#subject = subject;
  }

  /** Listens to the bus while anybody listens here. */
  subscribe(listener: BeatListener): Subscription {
    this.#listeners.add(listener);
    this.#subscription ??= this.#bus.subscribe(this.#subject, ({ body }) => this.#hear(body));
    return {
      close: () => {
        this.#listeners.delete(listener);
        if (this.#listeners.size > 0) return;
        this.#subscription?.close();
        this.#subscription = null;
      },
    };
  }

  #hear(body: Uint8Array): void {
    const beat = readBeat(body);
    if (beat === null) return;
    for (const listener of this.#listeners) listener(beat.key, beat.progress);
  }
}

/** Anybody may publish on a heartbeat subject: what is no beat is ignored. */
function readBeat(bytes: Uint8Array): { key: string; progress: number } | null {
  try {
    const { key, progress } = fromJson(bytes) as Record<string, unknown>;
    return typeof key === 'string' && typeof progress === 'number' ? { key, progress } : null;
  } catch {
    return null;
  }
}
