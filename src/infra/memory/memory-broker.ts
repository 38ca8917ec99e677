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
  readonly order: number;
  readonly wants: (subject: string) => boolean;
  readonly receive: (message: BusMessage) => void;
  readonly queue: string | null;
  open: boolean;
}

export class MemoryBroker {
  /** By filter: most name one subject. */
  readonly #literal = new Map<string, Set<Subscriber>>();
  readonly #wildcard = new Set<Subscriber>();
  #subscriptions = 0;
  #turn = 0;
  #inboxes = 0;

  subscribe(filter: string, receive: (message: BusMessage) => void, queue: string | null): Subscription {
    const order = this.#subscriptions++;
    const subscriber: Subscriber = { filter, order, wants: subjectFilter(filter), receive, queue, open: true };
    const peers = /[*>]/.test(filter) ? this.#wildcard : (this.#literal.get(filter) ?? new Set());
    peers.add(subscriber);
    if (peers !== this.#wildcard) this.#literal.set(filter, peers);
    return {
      close: () => {
        subscriber.open = false;
        peers.delete(subscriber);
        if (peers.size === 0 && this.#literal.get(filter) === peers) this.#literal.delete(filter);
      },
    };
  }

  /** @returns the number of subscribers that will get it */
  publish(message: BusMessage): number {
    const chosen = this.#receivers(message.subject);
    for (const subscriber of chosen) {
      queueMicrotask(() => {
        if (subscriber.open) subscriber.receive(message);
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
    const wanting = [...(this.#literal.get(subject) ?? [])];
    for (const subscriber of this.#wildcard) if (subscriber.wants(subject)) wanting.push(subscriber);
    const turn = this.#turn++;
    if (wanting.every(subscriber => subscriber.queue === null)) return wanting.sort((a, b) => a.order - b.order);
    const groups = Map.groupBy(
      wanting.filter(s => s.queue !== null),
      s => `${s.filter} ${s.queue}`,
    );
    const elected = [...groups.values()].flatMap(members => members[turn % members.length] ?? []);
    return [...wanting.filter(s => s.queue === null), ...elected].sort((a, b) => a.order - b.order);
  }
}
