/**
 * One subscription to the heartbeats of a kind for all partitions of a process: each beat comes in and is read once, however many
 * listen. Sixteen subscriptions would bring every runner's every beat sixteen times.
 */
import Type from 'typebox';
import { parseJson } from '../../domain/parse.ts';
import type { Bus, Subscription } from '../ports/bus.ts';

/** Whatever beats: what it is that beats is its own business. */
const Beat = Type.Object({ key: Type.String(), progress: Type.Number() });

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
    const beat = parseJson(Beat, body);
    if (beat === null) return; // anybody may publish on a heartbeat subject
    for (const listener of this.#listeners) listener(beat.key, beat.progress);
  }
}
