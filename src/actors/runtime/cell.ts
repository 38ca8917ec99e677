/**
 * One active durable actor: its committed record in memory, one message at a time.
 *
 * M1 A message's effects leave only after its commit was acknowledged or read back.
 * M2 A conflict is never argued with: the stored record wins, and the message is judged against it again.
 * M3 A record of a higher epoch means another owner: the cell stops at once (`fenced`).
 * M4 An ambiguous write is read back by its mark; a refused one without verdict is sent again as it is. Trouble that is
 *    neither ends the host: going on would let the next message move the cursor past this one.
 * M5 The outbox is sent in order, the next only after the last was stored; what was sent is trimmed by the next commit.
 * M6 Mailbox messages are purged only at or below a cursor whose commit was acknowledged or read back.
 * M7 A record goes, and its cell with it, when nothing can need it any more: its outbox is sent, its messages are purged,
 *    and the actor never existed (somebody told an unknown id something), or was deleted `tombstoneMs` ago.
 * M8 Only an owner that is in touch with the store makes a record where there is none: after a long pause, or cut off for
 *    long, it may be late, and where a tombstone stood nothing refuses it any more (M7).
 * M9 A timer fires at its time by the wall clock, and when its whole delay has passed here at the latest: that clock may have
 *    jumped back since it was set, or been another node's and wrong.
 * M10 A record older than the one it holds is that of an older copy of the store that was put back: what the cell and its messages
 *    know is of later. The host ends, and whoever claims next begins with what there is.
 */
import { toJson } from '../../domain/json.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Clock, Random, Timer } from '../ports/clock.ts';
import type { Journal } from '../ports/journal.ts';
import type { ActorAddress, Mailbox } from '../ports/mailbox.ts';
import type { StateEntry, StateStore } from '../ports/state-store.ts';
import { isPassing, MailboxFull, WriteConflict, WriteRetry, WriteUnknown } from '../ports/write-outcome.ts';
import type { Behaviour, ChildRow, Errand, Monitor } from './behaviour.ts';
import {
  type Committed,
  type Delivery,
  emptyRecord,
  isNews,
  liveState,
  needsRecord,
  type OutboxMessage,
  type Step,
  step,
  stepAfterCrash,
  upgraded,
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

/** What a cell tells the host that drives it. */
export interface CellOwner {
  readonly epoch: number;
  /** Aborts when the host ends. */
  readonly signal: AbortSignal;
  /** M3 */
  fenced(): void;
  /** M4 */
  crashed(error: unknown): void;
  /** One mailbox message is done with. */
  processed(): void;
  /** M8 */
  readonly inTouch: boolean;
  /** M7: the store holds nothing of this actor any more, and nothing waits for it. */
  forgotten(cell: Cell): void;
}

/** A commit ready to be stored. */
interface Sealed extends Step {
  readonly bytes: Uint8Array;
}

/** The commit that a delivery makes. */
interface Judged extends Sealed {
  /** False: the delivery is to be tried again after this commit. */
  readonly done: boolean;
  /** The commit would change nothing. */
  readonly idle: boolean;
}

/** Longest delay that one timer of the clock is asked for. */
const LONGEST_TIMER_MS = 3_600_000;
const RETRY_FIRST_MS = 20;
const RETRY_MOST_MS = 2_000;

export class Cell<State = unknown> {
  readonly self: ActorAddress;
  readonly #behaviour: Behaviour<State>;
  readonly #ports: CellPorts;
  readonly #owner: CellOwner;
  readonly #signal: AbortSignal;
  #record: Committed;
  #revision: number;
  /** Bounded by what the host takes from the mailbox, one entry per armed timer, and one per errand and monitor. */
  readonly #queue: Delivery[] = [];
  #draining = false;
  #sending = false;
  /** Number of the last outbox message that was stored. */
  #sent: readonly [number, number] = [-1, -1];
  #purged = 0;
  /** The revision that it has tried to delete, and may have without knowing (M10). */
  #deleting = 0;
  /** Armed, or fired and waiting in the queue. */
  readonly #timers = new Map<string, { readonly at: number; readonly timer: Timer }>();
  #marks = 0;

  /** @throws when the stored record cannot be read by this behaviour */
  constructor(
    self: ActorAddress,
    behaviour: Behaviour<State>,
    ports: CellPorts,
    owner: CellOwner,
    entry: StateEntry | null,
  ) {
    this.self = self;
    this.#behaviour = behaviour;
    this.#ports = ports;
    this.#owner = owner;
    this.#signal = owner.signal;
    const { record, revision } = this.#read(entry);
    this.#record = record;
    this.#revision = revision;
  }

  /** After a claim: timers armed, outbox resent, errands and monitors taken up again. */
  resume(): void {
    this.#afterCommit();
  }

  push(delivery: Delivery): void {
    if (this.#signal.aborted) return;
    this.#queue.push(delivery);
    this.#wake();
  }

  /** M7: lets go of what has become old enough; nothing is written otherwise. */
  sweep(): void {
    if (this.#isForgettable && this.idle) void this.#tidy();
  }

  /** Once the host has ended: no timer is left. */
  disarm(): void {
    for (const { timer } of this.#timers.values()) timer.cancel();
    this.#timers.clear();
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

  /** The mailbox sequence up to which every message of this actor is processed. */
  get cursor(): number {
    return this.#record.cursor;
  }

  get idle(): boolean {
    return !this.#draining && !this.#sending;
  }

  #wake(): void {
    if (this.#draining || this.#queue.length === 0) return;
    this.#draining = true;
    void this.#drain().catch(error => {
      if (!this.#signal.aborted) this.#owner.crashed(error); // M4
    });
  }

  async #drain(): Promise<void> {
    for (;;) {
      const delivery = this.#queue.shift();
      if (delivery === undefined || this.#signal.aborted) break;
      if (delivery.class === 'timer' && this.#timers.get(delivery.id)?.at === delivery.due)
        this.#timers.delete(delivery.id);
      await this.#process(delivery);
      if (delivery.seq > 0) this.#owner.processed();
    }
    this.#draining = false;
    await this.#tidy();
  }

  async #process(delivery: Delivery): Promise<void> {
    while (!this.#signal.aborted && isNews(this.#record, delivery)) {
      const judged = this.#judge(delivery);
      if (judged.idle) return;
      if (needsRecord(this.#revision, judged.next)) {
        await this.#commit(this.#seal({ next: this.#record, answers: [] })); // C3
        continue;
      }
      if (await this.#commit(judged)) {
        for (const { inbox, body } of judged.answers) this.#answer(inbox, body);
        if (judged.done) return;
      }
    }
  }

  #answer(inbox: string, body: unknown): void {
    try {
      this.#ports.answer(inbox, body, this.#revision);
    } catch (error) {
      this.#ports.report(this.self, 'answer', error); // the inbox is a stranger's word: it may be no subject at all
    }
  }

  /** The commit that this delivery makes of the record as it is now. */
  #judge(delivery: Delivery): Judged {
    const input = {
      behaviour: this.#behaviour,
      self: this.self,
      // M5: what was sent is trimmed.
      record: { ...this.#record, outbox: this.#record.outbox.filter(message => isAfter(message.number, this.#sent)) },
      revision: this.#revision,
      delivery,
      now: this.#ports.clock.now(),
      random: this.#ports.random,
    };
    try {
      const judged = this.#seal(step(input));
      const size = judged.bytes.byteLength;
      if (size > LIMITS.stateBytes)
        throw new Error(`a state of ${size} bytes is over the limit of ${LIMITS.stateBytes}`);
      const idle = delivery.class === 'signal' && judged.answers.length === 0 && isSame(input.record, judged.next);
      return { ...judged, done: true, idle };
    } catch (error) {
      this.#ports.report(this.self, `receive ${delivery.verb}`, error);
      const crashed = stepAfterCrash(input, error);
      return { ...this.#seal(crashed), done: crashed.deadLettered, idle: false };
    }
  }

  /** Marked as this cell's own commit (M4). */
  #seal({ next, answers }: Step): Sealed {
    const { epoch } = this.#owner;
    const record = { ...next, epoch, mark: `${epoch}.${this.#ports.random.token(8)}.${++this.#marks}` };
    return { next: record, answers, bytes: encodeRecord(record) };
  }

  /** True when the record is stored and is ours; false when another write came first (M2). */
  async #commit({ next: record, bytes }: Sealed): Promise<boolean> {
    for (let delayMs = RETRY_FIRST_MS; ; delayMs = Math.min(delayMs * 2, RETRY_MOST_MS)) {
      this.#signal.throwIfAborted();
      if (this.#revision === 0 && !this.#owner.inTouch) throw new Error('out of touch for too long to make a record'); // M8
      try {
        const revision = await this.#ports.store.put(this.#key, bytes, this.#revision);
        this.#adopt(record, revision);
        return true;
      } catch (error) {
        if (error instanceof WriteRetry) {
          await this.#ports.clock.sleep(delayMs, this.#signal);
        } else if (error instanceof WriteConflict || error instanceof WriteUnknown) {
          const stored = await this.#readBack();
          if (stored.record.mark === record.mark) {
            this.#adopt(stored.record, stored.revision);
            return true;
          }
          if (stored.revision === this.#revision) continue; // M4: it did not land; the same write again
          if (stored.revision < this.#revision && !(stored.revision === 0 && this.#deleting === this.#revision))
            throw new Error('an older copy of the store was put back', { cause: error }); // M10
          if (stored.record.epoch > this.#owner.epoch) {
            this.#owner.fenced(); // M3
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
        return this.#read(await this.#ports.store.get(this.#key));
      } catch (error) {
        if (!isPassing(error)) throw error;
        await this.#ports.clock.sleep(delayMs, this.#signal);
      }
    }
  }

  #read(entry: StateEntry | null): { readonly record: Committed; readonly revision: number } {
    return entry === null
      ? { record: emptyRecord(this.#behaviour.version), revision: 0 }
      : { record: upgraded(this.#behaviour, decodeRecord(entry.value)), revision: entry.revision };
  }

  #adopt(record: Committed, revision: number): void {
    this.#record = record;
    this.#revision = revision;
    this.#afterCommit();
  }

  #afterCommit(): void {
    if (this.#signal.aborted) return;
    this.#arm();
    this.#settle();
    if (!this.#sending && this.#unsent() !== undefined) {
      this.#sending = true;
      void this.#send().catch(error => {
        if (!this.#signal.aborted) this.#ports.report(this.self, 'outbox', error);
      });
    }
  }

  #settle(): void {
    const { state } = this;
    try {
      this.#ports.settle(
        this.self,
        state === null ? [] : (this.#behaviour.errands?.(state) ?? []),
        state === null ? [] : (this.#behaviour.monitors?.(state) ?? []),
      );
    } catch (error) {
      this.#ports.report(this.self, 'settle', error); // this actor's defect; its partition goes on
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
        if (message === undefined || this.#signal.aborted) break;
        try {
          await this.#store(message);
          this.#sent = message.number;
          delayMs = RETRY_FIRST_MS;
        } catch (error) {
          if (!isPassing(error) && !(error instanceof MailboxFull)) throw error;
          await this.#ports.clock.sleep(delayMs, this.#signal);
          delayMs = Math.min(delayMs * 2, RETRY_MOST_MS);
        }
      }
    } finally {
      this.#sending = false;
    }
    if (this.#isForgettable) await this.#tidy();
  }

  async #store(message: OutboxMessage): Promise<void> {
    const body = toJson(message.body ?? null);
    if (message.kind === 'journal') return this.#ports.journal.append(message.subject, body);
    await this.#ports.mailbox.send({
      to: message.to,
      class: 'sys',
      verb: message.verb,
      headers: message.headers,
      body,
    });
  }

  /** M6, and then M7: a record whose messages are still there would be missed. */
  async #tidy(): Promise<void> {
    const through = this.#record.cursor;
    if (this.#signal.aborted) return;
    try {
      if (through > this.#purged) await this.#ports.mailbox.purge(this.self, through);
      this.#purged = Math.max(this.#purged, through);
      if (this.#isForgettable && this.idle && this.#record.cursor === through) await this.#forget();
    } catch (error) {
      // The next one purges further; until then the messages are only read and skipped again.
      const passes = isPassing(error) || error instanceof WriteConflict;
      if (!passes && !this.#signal.aborted) this.#ports.report(this.self, 'tidy', error);
    }
  }

  /** M7, but for the purge. */
  get #isForgettable(): boolean {
    const { state, remnant, died = Number.POSITIVE_INFINITY } = this.#record;
    if (state !== null || this.#unsent() !== undefined) return false;
    return remnant === undefined || this.#ports.clock.now() - died >= LIMITS.tombstoneMs;
  }

  async #forget(): Promise<void> {
    this.#draining = true;
    try {
      await this.#delete();
      this.#record = { ...emptyRecord(this.#behaviour.version), cursor: this.#record.cursor };
      this.#revision = 0;
      this.#sent = [-1, -1];
      if (this.#queue.length === 0) this.#owner.forgotten(this);
    } finally {
      this.#draining = false;
      this.#wake();
    }
  }

  /** @throws what `isPassing` knows, or WriteConflict: it is still there */
  async #delete(): Promise<void> {
    if (this.#revision === 0) return;
    this.#deleting = this.#revision;
    try {
      await this.#ports.store.delete(this.#key, this.#revision);
    } catch (error) {
      const landed = error instanceof WriteConflict || error instanceof WriteUnknown;
      if (!landed || (await this.#ports.store.get(this.#key)) !== null) throw error;
    }
  }

  #arm(): void {
    for (const [name, armed] of this.#timers) {
      if (this.#record.timers[name]?.at === armed.at) continue;
      armed.timer.cancel();
      this.#timers.delete(name);
    }
    const { clock } = this.#ports;
    for (const [name, due] of Object.entries(this.#record.timers))
      if (!this.#timers.has(name)) this.#await(name, due, clock.monotonic());
  }

  /** M9 */
  #await(name: string, due: Committed['timers'][string], since: number): void {
    const { clock } = this.#ports;
    const { at, delayMs = Number.POSITIVE_INFINITY, verb, body } = due;
    const leftMs = (): number => Math.min(at - clock.now(), delayMs - (clock.monotonic() - since));
    const fire = (): void => {
      if (leftMs() > 0) this.#await(name, due, since);
      else this.push({ seq: 0, class: 'timer', id: name, due: at, verb, body, headers: {} });
    };
    const timer = clock.timer(Math.min(Math.max(0, leftMs()), LONGEST_TIMER_MS), fire);
    this.#timers.set(name, { at, timer });
  }

  get #key(): string {
    return `${this.self.kind}.${this.self.id}`;
  }
}

/** A signal that the actor ignored needs no commit: it would be ignored again. */
const isSame = (before: Committed, after: Committed): boolean =>
  after.state === before.state &&
  after.outbox.length === before.outbox.length &&
  JSON.stringify(after.timers) === JSON.stringify(before.timers);

const isAfter = (a: readonly number[], b: readonly number[]): boolean =>
  (a[0] ?? 0) > (b[0] ?? 0) || (a[0] === b[0] && (a[1] ?? 0) > (b[1] ?? 0));
