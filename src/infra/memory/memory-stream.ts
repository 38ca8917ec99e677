/**
 * A stream as nats-server keeps one, in memory.
 *
 * MS1 Sequence numbers rise by one with every message stored and are never used again, also after a purge.
 * MS2 A conditional append is stored only when the subject's last retained message has the expected sequence (0: none).
 * MS3 Readers get every message retained when they come to it, in order, each once; nobody waits for a slow one.
 */
import { MailboxFull, WriteConflict } from '../../actors/ports/write-outcome.ts';

export interface StoredMessage {
  readonly seq: number;
  readonly subject: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  readonly at: number;
}

export interface StreamLimits {
  /** Messages per subject; Infinity for any number. */
  readonly perSubject: number;
  /** At that bound: refuse the new one, or drop the oldest of its subject. */
  readonly discard: 'new' | 'old';
}

interface Slot extends StoredMessage {
  removed: boolean;
}

export class MemoryStream {
  readonly created: string;
  readonly #limits: StreamLimits;
  readonly #now: () => number;
  /** In order of seq; removed ones stay until they are the majority. */
  #slots: Slot[] = [];
  #removed = 0;
  readonly #bySubject = new Map<string, Slot[]>();
  readonly #wakers = new Set<() => void>();
  #lastSeq = 0;

  constructor(now: () => number, limits: StreamLimits) {
    this.#now = now;
    this.#limits = limits;
    this.created = new Date(now()).toISOString();
  }

  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** 0 when empty. */
  get firstSeq(): number {
    return this.#from(0)?.seq ?? 0;
  }

  /** @throws MailboxFull; WriteConflict (MS2) */
  append(subject: string, body: Uint8Array, headers: Readonly<Record<string, string>> = {}, expected?: number): number {
    const same = this.#bySubject.get(subject) ?? [];
    const last = same.at(-1)?.seq ?? 0;
    if (expected !== undefined && expected !== last) throw new WriteConflict(`wrong last sequence: ${last}`);
    if (same.length >= this.#limits.perSubject) {
      if (this.#limits.discard === 'new') throw new MailboxFull('maximum messages per subject exceeded');
      for (const oldest of same.splice(0, 1)) this.#drop(oldest);
    }
    this.#lastSeq += 1;
    const seq = this.#lastSeq;
    const slot = { seq, subject, headers: { ...headers }, body: body.slice(), at: this.#now(), removed: false };
    this.#slots.push(slot);
    same.push(slot);
    this.#bySubject.set(subject, same);
    for (const wake of [...this.#wakers]) wake();
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

  /** MS3. Ends when the signal aborts. */
  async *read(filter: string, fromSeq: number, signal: AbortSignal): AsyncGenerator<StoredMessage, void, void> {
    const wanted = subjectFilter(filter);
    let next = fromSeq;
    while (!signal.aborted) {
      const message = this.#from(next);
      if (message === undefined) {
        await this.#appended(signal);
        continue;
      }
      next = message.seq + 1;
      if (wanted(message.subject)) yield message;
    }
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

  /** Resolves at the next append or when the signal aborts. */
  #appended(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = (): void => {
      signal.removeEventListener('abort', wake);
      this.#wakers.delete(wake);
      resolve();
    };
    this.#wakers.add(wake);
    signal.addEventListener('abort', wake, { once: true });
    return promise;
  }
}

/** NATS wildcards: `*` is one token, a final `>` is one or more. */
export function subjectFilter(filter: string): (subject: string) => boolean {
  const wanted = filter.split('.');
  const open = wanted.at(-1) === '>';
  return subject => {
    const tokens = subject.split('.');
    if (open ? tokens.length < wanted.length : tokens.length !== wanted.length) return false;
    return wanted.every((token, i) => token === '*' || token === tokens[i] || (open && i === wanted.length - 1));
  };
}
