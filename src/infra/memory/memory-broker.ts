/**
 * Core NATS in memory: subjects with subscribers, at most once.
 *
 * MB1 A subscriber gets its messages in the order they were published, each in a promise callback of its own.
 * MB2 Of a queue group one member gets a message, its members taking turns.
 */
import type { BusMessage, Subscription } from '../../actors/ports/bus.ts';
import { subjectFilter } from './memory-stream.ts';

interface Subscriber {
  readonly filter: string;
  readonly wants: (subject: string) => boolean;
  readonly receive: (message: BusMessage) => void;
  readonly queue: string | null;
}

export class MemoryBroker {
  readonly #subscribers = new Set<Subscriber>();
  #turn = 0;
  #inboxes = 0;

  subscribe(filter: string, receive: (message: BusMessage) => void, queue: string | null): Subscription {
    const subscriber = { filter, wants: subjectFilter(filter), receive, queue };
    this.#subscribers.add(subscriber);
    return { close: () => void this.#subscribers.delete(subscriber) };
  }

  /** @returns the number of subscribers that will get it */
  publish(message: BusMessage): number {
    const chosen = this.#receivers(message.subject);
    for (const subscriber of chosen) {
      queueMicrotask(() => {
        if (this.#subscribers.has(subscriber)) subscriber.receive(message);
      });
    }
    return chosen.length;
  }

  inbox(): string {
    this.#inboxes += 1;
    return `_INBOX.${this.#inboxes}`;
  }

  /** MB2. */
  #receivers(subject: string): Subscriber[] {
    const wanting = [...this.#subscribers].filter(subscriber => subscriber.wants(subject));
    const groups = Map.groupBy(
      wanting.filter(s => s.queue !== null),
      s => `${s.filter} ${s.queue}`,
    );
    const turn = this.#turn++;
    const elected = [...groups.values()].flatMap(members => members[turn % members.length] ?? []);
    return [...wanting.filter(s => s.queue === null), ...elected];
  }
}
