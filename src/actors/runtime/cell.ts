/**
 * One active durable actor: its committed record in memory, one message at a time.
 *
 * M1 A message's effects leave only after its commit was acknowledged or read back.
 * M2 A conflict is never argued with: the stored record wins, and the message is judged against it again.
 * M3 A record of a higher epoch means another owner: the cell stops at once (`fenced`).
 * M4 An ambiguous write is read back by its mark; a refused one without verdict is sent again as it is.
 * M5 The outbox is sent in order, the next only after the last was stored; what was sent is trimmed by the next commit.
 * M6 Mailbox messages are purged only at or below a cursor whose commit was acknowledged or read back.
 * M7 The record of an actor that never existed (somebody told an unknown id something) goes when its refusal is out.
 */
import { LIMITS } from '../../domain/limits.ts';
import type { Clock, Random, Timer } from '../ports/clock.ts';
import type { Journal } from '../ports/journal.ts';
import type { ActorAddress, Mailbox } from '../ports/mailbox.ts';
import type { StateEntry, StateStore } from '../ports/state-store.ts';
import { MailboxFull, WriteConflict, WriteRetry, WriteUnknown } from '../ports/write-outcome.ts';
import type { Behaviour, ChildRow, Errand, Monitor } from './behaviour.ts';
import {
  type Committed,
  type Delivery,
  emptyRecord,
  isNews,
  liveState,
  type OutboxMessage,
  type Step,
  step,
  stepAfterCrash,
} from './committed.ts';
import { decodeRecord, encodeRecord } from './record-codec.ts';

export interface CellPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly store: StateStore;
  readonly mailbox: Mailbox;
  readonly journal: Journal;
  /** Best-effort answer to a waiting caller, with the revision of the commit it follows (0: none). */
  answer(inbox: string, body: unknown, revision: number): void;
  /** The world outside, told what this actor now owes and watches (B3). */
  settle(self: ActorAddress, errands: readonly Errand[], monitors: readonly Monitor[]): void;
  /** A defect in an actor: logged, never swallowed. */
  report(self: ActorAddress, what: string, error: unknown): void;
}

/** Longest delay that one timer of the clock is asked for. */
const LONGEST_TIMER_MS = 3_600_000;
const RETRY_FIRST_MS = 20;
const RETRY_MOST_MS = 2_000;

export class Cell<State = unknown> {
  readonly self: ActorAddress;
  readonly #behaviour: Behaviour<State>;
  readonly #ports: CellPorts;
  readonly #epoch: number;
  readonly #signal: AbortSignal;
  readonly #onFenced: () => void;
  #record: Committed;
  #revision: number;
  /** Bounded by the mailbox's own bound per verb, one entry per armed timer, and one per errand and monitor. */
  readonly #queue: Delivery[] = [];
  #draining = false;
  #sending = false;
  /** Number of the last outbox message that was stored. */
  #sent: readonly [number, number] = [-1, -1];
  #purged = 0;
  readonly #timers = new Map<string, { readonly at: number; readonly timer: Timer }>();
  #marks = 0;

  constructor(
    self: ActorAddress,
    behaviour: Behaviour<State>,
    ports: CellPorts,
    owner: { readonly epoch: number; readonly signal: AbortSignal; readonly onFenced: () => void },
    entry: StateEntry | null,
  ) {
    this.self = self;
    this.#behaviour = behaviour;
    this.#ports = ports;
    this.#epoch = owner.epoch;
    this.#signal = owner.signal;
    this.#onFenced = owner.onFenced;
    this.#record = entry === null ? emptyRecord(behaviour.version) : decodeRecord(entry.value);
    this.#revision = entry?.revision ?? 0;
    this.#signal.addEventListener('abort', () => this.#disarm(), { once: true });
  }

  /** After a claim: timers armed, outbox resent, errands and monitors taken up again. */
  resume(): void {
    this.#afterCommit();
  }

  push(delivery: Delivery): void {
    if (this.#signal.aborted) return;
    this.#queue.push(delivery);
    if (!this.#draining) {
      this.#draining = true;
      void this.#drain().catch(error => {
        this.#draining = false;
        if (!this.#signal.aborted) this.#ports.report(this.self, 'cell', error);
      });
    }
  }

  /** The state as committed; null when the actor does not exist. */
  get state(): State | null {
    return liveState(this.#behaviour, this.#record);
  }

  /** The actor's child table, for `/tree`. */
  inspect(): readonly ChildRow[] {
    const { state } = this;
    return state === null ? [] : (this.#behaviour.inspect?.(state) ?? []);
  }

  get idle(): boolean {
    return !this.#draining && !this.#sending;
  }

  async #drain(): Promise<void> {
    for (;;) {
      const delivery = this.#queue.shift();
      if (delivery === undefined || this.#signal.aborted) break;
      await this.#process(delivery);
    }
    this.#draining = false;
    if (!this.#signal.aborted) void this.#purge();
  }

  async #process(delivery: Delivery): Promise<void> {
    while (!this.#signal.aborted && isNews(this.#record, delivery)) {
      const judged = this.#judge(delivery);
      if (delivery.class === 'signal' && changesNothing(this.#record, judged.next)) return;
      if (await this.#commit(judged.next)) {
        for (const { inbox, body } of judged.answers) this.#ports.answer(inbox, body, this.#revision);
        if (judged.done) return;
      }
    }
  }

  /** The commit that this delivery makes of the record as it is now; `done` unless it is to be tried again. */
  #judge(delivery: Delivery): Step & { readonly done: boolean } {
    const input = {
      behaviour: this.#behaviour,
      self: this.self,
      record: this.#record,
      revision: this.#revision,
      delivery,
      now: this.#ports.clock.now(),
      random: this.#ports.random,
    };
    try {
      const judged = step(input);
      const bytes = encodeRecord(judged.next).byteLength;
      if (bytes > LIMITS.stateBytes)
        throw new Error(`a state of ${bytes} bytes is over the limit of ${LIMITS.stateBytes}`);
      return { ...judged, done: true };
    } catch (error) {
      this.#ports.report(this.self, `receive ${delivery.verb}`, error);
      const judged = stepAfterCrash(input, error);
      return { ...judged, done: judged.deadLettered };
    }
  }

  /** True when the record is stored and is ours; false when another write came first (M2). */
  async #commit(next: Committed): Promise<boolean> {
    const mark = `${this.#epoch}.${this.#ports.random.token(8)}.${++this.#marks}`;
    const record: Committed = {
      ...next,
      version: this.#behaviour.version,
      epoch: this.#epoch,
      mark,
      outbox: next.outbox.filter(message => isAfter(message.number, this.#sent)),
    };
    const bytes = encodeRecord(record);
    for (let delayMs = RETRY_FIRST_MS; ; delayMs = Math.min(delayMs * 2, RETRY_MOST_MS)) {
      this.#signal.throwIfAborted();
      try {
        const revision = await this.#ports.store.put(this.#key, bytes, this.#revision);
        this.#adopt(record, revision);
        return true;
      } catch (error) {
        if (error instanceof WriteRetry) {
          await this.#ports.clock.sleep(delayMs, this.#signal);
        } else if (error instanceof WriteConflict || error instanceof WriteUnknown) {
          const stored = await this.#readBack();
          if (stored.record.mark === mark) {
            this.#adopt(stored.record, stored.revision);
            return true;
          }
          if (stored.revision === this.#revision) continue; // M4: it did not land; the same write again
          if (stored.record.epoch > this.#epoch) {
            this.#onFenced(); // M3
            return false;
          }
          this.#adopt(stored.record, stored.revision); // M2
          return false;
        } else {
          throw error;
        }
      }
    }
  }

  async #readBack(): Promise<{ record: Committed; revision: number }> {
    for (let delayMs = RETRY_FIRST_MS; ; delayMs = Math.min(delayMs * 2, RETRY_MOST_MS)) {
      this.#signal.throwIfAborted();
      try {
        const entry = await this.#ports.store.get(this.#key);
        return entry === null
          ? { record: emptyRecord(this.#behaviour.version), revision: 0 }
          : { record: decodeRecord(entry.value), revision: entry.revision };
      } catch (error) {
        if (!(error instanceof WriteRetry || error instanceof WriteUnknown)) throw error;
        await this.#ports.clock.sleep(delayMs, this.#signal);
      }
    }
  }

  #adopt(record: Committed, revision: number): void {
    this.#record = record;
    this.#revision = revision;
    this.#afterCommit();
  }

  #afterCommit(): void {
    if (this.#signal.aborted) return;
    this.#arm();
    const state = this.state;
    this.#ports.settle(
      this.self,
      state === null ? [] : (this.#behaviour.errands?.(state) ?? []),
      state === null ? [] : (this.#behaviour.monitors?.(state) ?? []),
    );
    if (!this.#sending && this.#unsent() !== undefined) {
      this.#sending = true;
      void this.#send().catch(error => {
        if (!this.#signal.aborted) this.#ports.report(this.self, 'outbox', error);
      });
    }
  }

  #unsent(): OutboxMessage | undefined {
    return this.#record.outbox.find(message => isAfter(message.number, this.#sent));
  }

  /** M5 */
  async #send(): Promise<void> {
    try {
      let delayMs = RETRY_FIRST_MS;
      for (;;) {
        const message = this.#unsent();
        if (message === undefined || this.#signal.aborted) return;
        try {
          await this.#store(message);
          this.#sent = message.number as [number, number];
          delayMs = RETRY_FIRST_MS;
        } catch (error) {
          if (!isWriteTrouble(error) && !(error instanceof MailboxFull)) throw error;
          await this.#ports.clock.sleep(delayMs, this.#signal);
          delayMs = Math.min(delayMs * 2, RETRY_MOST_MS);
        }
      }
    } finally {
      this.#sending = false;
    }
  }

  async #store(message: OutboxMessage): Promise<void> {
    const body = Buffer.from(JSON.stringify(message.body ?? null));
    if (message.kind === 'journal') return this.#ports.journal.append(message.subject, body);
    await this.#ports.mailbox.send({
      to: message.to,
      class: 'sys',
      verb: message.verb,
      headers: message.headers,
      body,
    });
  }

  /** M6 */
  async #purge(): Promise<void> {
    const through = this.#record.cursor;
    if (through <= this.#purged) return;
    try {
      await this.#ports.mailbox.purge(this.self, through);
      this.#purged = Math.max(this.#purged, through);
      await this.#forget();
    } catch (error) {
      // The next drain purges further; until then the messages are only read and skipped again.
      if (!isWriteTrouble(error)) this.#ports.report(this.self, 'purge', error);
    }
  }

  /** M7 */
  async #forget(): Promise<void> {
    if (this.#record.state !== null || this.#record.remnant !== undefined) return;
    if (this.#draining || this.#sending || this.#unsent() !== undefined || this.#revision === 0) return;
    this.#draining = true;
    try {
      await this.#ports.store.delete(this.#key, this.#revision);
      this.#record = { ...emptyRecord(this.#behaviour.version), cursor: this.#record.cursor };
      this.#revision = 0;
      this.#sent = [-1, -1];
    } finally {
      this.#draining = false;
      const waiting = this.#queue.shift();
      if (waiting !== undefined) this.push(waiting);
    }
  }

  #arm(): void {
    for (const [name, armed] of this.#timers) {
      if (this.#record.timers[name]?.at === armed.at) continue;
      armed.timer.cancel();
      this.#timers.delete(name);
    }
    for (const [name, due] of Object.entries(this.#record.timers)) {
      if (this.#timers.has(name)) continue;
      const leftMs = Math.max(0, due.at - this.#ports.clock.now());
      const fire = (): void => {
        this.#timers.delete(name);
        if (due.at > this.#ports.clock.now()) this.#arm();
        else this.push({ seq: 0, class: 'timer', id: name, verb: due.verb, body: due.body, headers: {} });
      };
      this.#timers.set(name, {
        at: due.at,
        timer: this.#ports.clock.timer(Math.min(leftMs, LONGEST_TIMER_MS), fire),
      });
    }
  }

  #disarm(): void {
    for (const { timer } of this.#timers.values()) timer.cancel();
    this.#timers.clear();
  }

  get #key(): string {
    return `${this.self.kind}.${this.self.id}`;
  }
}

const isWriteTrouble = (error: unknown): boolean =>
  error instanceof WriteRetry || error instanceof WriteUnknown || error instanceof WriteConflict;

/** A signal that the actor ignored needs no commit: it would be ignored again. */
const changesNothing = (before: Committed, after: Committed): boolean =>
  after.state === before.state &&
  after.outbox.length === before.outbox.length &&
  JSON.stringify(after.timers) === JSON.stringify(before.timers);

const isAfter = (a: readonly number[], b: readonly number[]): boolean =>
  (a[0] ?? 0) > (b[0] ?? 0) || (a[0] === b[0] && (a[1] ?? 0) > (b[1] ?? 0));
