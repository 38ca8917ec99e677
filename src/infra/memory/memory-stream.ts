/**
 * A stream as nats-server keeps one, in memory.
 *
 * MS1 Sequence numbers rise by one with every message stored and are never used again, also after a purge; but for a store that
 *    was put back to an older copy, which uses those after the copy once more.
 * MS2 A conditional append is stored only when the subject's last retained message has the expected sequence (0: none).
 * MS3 Readers get every message retained when they come to it, in order, each once; nobody waits for a slow one.
 * MS4 While a proposal for a subject is under way, another conditional append to it is refused without a verdict (10164 of a
 *    stream with replicas). When it is applied it is judged like any other.
 * MS5 A reader whose connection broke goes on behind the last message it was given. A stream that ends before that one, has
 *    another in its place, or up to there one that was stored later, is another stream: the read fails. Who asks to be certain
 *    fails also when that message is no longer there, which tells nothing.
 */
import { MailboxFull, WriteConflict, WriteRetry } from '../../actors/ports/write-outcome.ts';
import { ALWAYS, type Link } from './link.ts';

export interface StoredMessage {
  readonly seq: number;
  readonly subject: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  readonly at: number;
  /** How often the store had been put back when it was stored. */
  readonly life: number;
}

/** MS5: a message that a reader was given. */
export type Given = Pick<StoredMessage, 'seq' | 'life'>;

export interface StreamLimits {
  /** Messages per subject; Infinity for any number. */
  readonly perSubject: number;
  /** At that bound: refuse the new one, or drop the oldest of its subject. */
  readonly discard: 'new' | 'old';
}

interface Slot extends StoredMessage {
  removed: boolean;
}

/** MS1: what a stream holds at one moment. */
export interface StreamCopy {
  readonly messages: readonly StoredMessage[];
  readonly lastSeq: number;
}

/** MS5 */
export class StreamReplaced extends Error {
  override readonly name = 'StreamReplaced';
}

/** A reader that has come to the end. */
interface Waiter {
  readonly wants: (subject: string) => boolean;
  readonly wake: () => void;
}

export class MemoryStream {
  readonly created: string;
  readonly #limits: StreamLimits;
  readonly #now: () => number;
  /** In order of seq; removed ones stay until they are the majority. */
  #slots: Slot[] = [];
  #removed = 0;
  readonly #bySubject = new Map<string, Slot[]>();
  readonly #waiters = new Set<Waiter>();
  /** MS4: proposals under way. */
  readonly #proposed = new Map<string, number>();
  readonly #stored: (message: StoredMessage) => void;
  #lastSeq = 0;
  #life = 0;

  /** @param stored told of every message, when it is stored */
  constructor(now: () => number, limits: StreamLimits, stored: (message: StoredMessage) => void = () => {}) {
    this.#now = now;
    this.#limits = limits;
    this.#stored = stored;
    this.created = new Date(now()).toISOString();
  }

  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** How often the store was put back. */
  get life(): number {
    return this.#life;
  }

  /** 0 when empty. */
  get firstSeq(): number {
    return this.#from(0)?.seq ?? 0;
  }

  /** MS4: another append to this subject is under way until what is returned is called. */
  propose(subject: string): () => void {
    this.#proposed.set(subject, (this.#proposed.get(subject) ?? 0) + 1);
    return () => {
      const left = (this.#proposed.get(subject) ?? 0) - 1;
      if (left > 0) this.#proposed.set(subject, left);
      else this.#proposed.delete(subject);
    };
  }

  /** @throws MailboxFull; WriteConflict (MS2); WriteRetry (MS4) */
  append(subject: string, body: Uint8Array, headers: Readonly<Record<string, string>> = {}, expected?: number): number {
    if (expected !== undefined && this.#proposed.has(subject))
      throw new WriteRetry('wrong last sequence unknown: a proposal is under way');
    const same = this.#bySubject.get(subject) ?? [];
    const last = same.at(-1)?.seq ?? 0;
    if (expected !== undefined && expected !== last) throw new WriteConflict(`wrong last sequence: ${last}`);
    if (same.length >= this.#limits.perSubject) {
      if (this.#limits.discard === 'new') throw new MailboxFull('maximum messages per subject exceeded');
      for (const oldest of same.splice(0, 1)) this.#drop(oldest);
    }
    this.#lastSeq += 1;
    const seq = this.#lastSeq;
    const stored = { seq, subject, headers: { ...headers }, body: body.slice(), at: this.#now(), life: this.#life };
    const slot = { ...stored, removed: false };
    this.#slots.push(slot);
    same.push(slot);
    this.#bySubject.set(subject, same);
    this.#stored(slot);
    for (const waiter of this.#waiters) if (waiter.wants(subject)) waiter.wake();
    return seq;
  }

  lastOf(subject: string): StoredMessage | null {
    return this.ofSubject(subject).at(-1) ?? null;
  }

  ofSubject(subject: string): readonly StoredMessage[] {
    return this.#bySubject.get(subject) ?? [];
  }

  get(seq: number): StoredMessage | null {
    const message = this.#from(seq);
    return message?.seq === seq ? message : null;
  }

  /** Removes the messages of a subject filter up to and including `throughSeq`. */
  purge(filter: string, throughSeq: number): void {
    const wanted = subjectFilter(filter);
    for (const [subject, messages] of this.#bySubject) {
      if (!wanted(subject)) continue;
      const kept = messages.filter(message => message.seq > throughSeq);
      for (const message of messages) if (message.seq <= throughSeq) this.#drop(message);
      if (kept.length === 0) this.#bySubject.delete(subject);
      else this.#bySubject.set(subject, kept);
    }
  }

  /** Every message retained, in order. */
  retained(): readonly StoredMessage[] {
    return this.#slots.filter(slot => !slot.removed);
  }

  /** Removes one message; nothing when it is gone. */
  remove(seq: number): void {
    const message = this.#from(seq);
    if (message?.seq === seq) this.purge(message.subject, seq);
  }

  /** MS1 */
  copy(): StreamCopy {
    return {
      messages: this.retained().map(message => ({ ...message })),
      lastSeq: this.#lastSeq,
    };
  }

  /** MS1: whatever was stored since the copy is gone, and what was removed since is back. */
  putBack({ messages, lastSeq }: StreamCopy): void {
    this.#slots = messages.map(message => ({ ...message, removed: false }));
    this.#removed = 0;
    this.#life += 1;
    this.#lastSeq = lastSeq;
    this.#proposed.clear();
    this.#bySubject.clear();
    for (const slot of this.#slots) {
      const same = this.#bySubject.get(slot.subject);
      if (same === undefined) this.#bySubject.set(slot.subject, [slot]);
      else same.push(slot);
    }
    for (const waiter of this.#waiters) waiter.wake();
  }

  /**
   * MS3, MS5. Ends when the signal aborts.
   * @param given the last message that the reader has, when it has one
   * @throws StreamReplaced
   */
  async *read(
    filter: string,
    fromSeq: number,
    signal: AbortSignal,
    link: Link = ALWAYS,
    given: Given | null = null,
    certain = false,
  ): AsyncGenerator<StoredMessage, void, void> {
    const wants = subjectFilter(filter);
    let next = fromSeq;
    let last = given;
    let { session } = link;
    while (!signal.aborted) {
      if (!link.connected) {
        await link.online(signal);
        continue;
      }
      if (session !== link.session) {
        session = link.session;
        if (last !== null && !this.#goesOn(last, certain))
          throw new StreamReplaced('the stream is not the one that was read before');
        next = last === null ? fromSeq : last.seq + 1;
      }
      const message = this.#from(next);
      if (message === undefined) {
        await this.#appended(wants, signal);
        continue;
      }
      next = message.seq + 1;
      if (!wants(message.subject)) continue;
      last = message;
      yield message;
    }
  }

  /** MS5 */
  #goesOn({ seq, life }: Given, certain: boolean): boolean {
    if (this.#lastSeq < seq) return false;
    const there = this.get(seq);
    if (there !== null) return there.life === life;
    return !certain && !this.retained().some(message => message.seq < seq && message.life > life);
  }

  #drop(slot: Slot): void {
    slot.removed = true;
    this.#removed += 1;
    if (this.#removed * 2 <= this.#slots.length) return;
    this.#slots = this.#slots.filter(kept => !kept.removed);
    this.#removed = 0;
  }

  /** The first retained message at or after `seq`. */
  #from(seq: number): Slot | undefined {
    let [low, high] = [0, this.#slots.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#slots[middle]?.seq ?? 0) < seq) low = middle + 1;
      else high = middle;
    }
    while (this.#slots[low]?.removed === true) low += 1;
    return this.#slots[low];
  }

  /** Resolves at the next append that the reader wants, at the latest when the signal aborts. */
  #appended(wants: Waiter['wants'], signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter: Waiter = {
      wants,
      wake: () => {
        signal.removeEventListener('abort', waiter.wake);
        this.#waiters.delete(waiter);
        resolve();
      },
    };
    this.#waiters.add(waiter);
    signal.addEventListener('abort', waiter.wake);
    return promise;
  }
}

const MOST_KNOWN = 1024;

/** NATS wildcards: `*` is one token, a final `>` is one or more. */
export function subjectFilter(filter: string): (subject: string) => boolean {
  const wanted = filter.split('.');
  const open = wanted.at(-1) === '>';
  if (!wanted.includes('*')) {
    if (!open) return subject => subject === filter;
    const prefix = filter.slice(0, -1);
    return subject => subject.length > prefix.length && subject.startsWith(prefix);
  }
  const matches = (subject: string): boolean => {
    const tokens = subject.split('.');
    if (open ? tokens.length < wanted.length : tokens.length !== wanted.length) return false;
    return wanted.every((token, i) => token === '*' || token === tokens[i] || (open && i === wanted.length - 1));
  };
  // The same few subjects come again and again.
  const known = new Map<string, boolean>();
  return subject => {
    const before = known.get(subject);
    if (before !== undefined) return before;
    if (known.size >= MOST_KNOWN) known.clear();
    const found = matches(subject);
    known.set(subject, found);
    return found;
  };
}
