/**
 * One claimed partition: reads its mailbox and drives the cells of its actors.
 *
 * O1 Every actor of the partition with a stored record is resumed before the first message is read.
 * O2 The mailbox is read from the first retained message; cursors skip what is done.
 * O3 A message that no actor can take (unknown kind, impossible id) is refused in public and purged.
 * O4 When the claim is lost the host stops at once, with everything that its cells have under way.
 * O5 An actor whose record cannot be read is reported and left alone, its messages with it; the others go on.
 * O6 At most `partitionQueue` messages are taken and not yet processed; then the mailbox is read no further.
 * O7 Every `sweepMs` it looks what has become old enough to go: tombstones (M7), and what the store keeps of deletions.
 * O8 A host that is to hand over takes no further message, finishes and answers what it has taken, and then ends.
 */

import { commandBody, quoted } from '../../domain/command-body.ts';
import { toProblem } from '../../domain/errors.ts';
import { isId, knownRequestId } from '../../domain/ids.ts';
import { toJson } from '../../domain/json.ts';
import { LIMITS } from '../../domain/limits.ts';
import { HEADERS, PARTITIONS_KEY, SUBJECTS } from '../../domain/subjects.ts';
import { nextTraceparent } from '../../domain/traceparent.ts';
import type { TreeNode } from '../../domain/tree.ts';
import type { Clock, Timer } from '../ports/clock.ts';
import type { ActorAddress, MailboxMessage } from '../ports/mailbox.ts';
import type { StateEntry } from '../ports/state-store.ts';
import { isPassing } from '../ports/write-outcome.ts';
import type { Behaviour } from './behaviour.ts';
import { Cell, type CellOwner, type CellPorts } from './cell.ts';
import type { ExitReason } from './exit-reason.ts';

export interface PartitionClaim {
  readonly partition: number;
  /** Revision of the claim. */
  readonly epoch: number;
  /** Aborts when somebody else has claimed the partition, or nobody here would notice it any more. */
  readonly lost: AbortSignal;
}

/** How often a host that hands over looks whether its actors have done. */
const IDLE_POLL_MS = 2;

export class PartitionHost {
  readonly partition: number;
  readonly epoch: number;
  readonly exited: Promise<ExitReason>;
  readonly #ports: CellPorts;
  readonly #behaviours: ReadonlyMap<string, Behaviour<unknown>>;
  readonly #cells = new Map<string, Cell>();
  /** O5 */
  readonly #unreadable = new Set<string>();
  readonly #owner: CellOwner;
  readonly #stop = new AbortController();
  #reason: ExitReason | null = null;
  /** Sequence up to which the mailbox has been read. */
  #read = 0;
  /** Messages taken and not yet processed (O6). */
  #underWay = 0;
  /** When one was last processed, or the first was taken of those that wait. */
  #movedAt = 0;
  #room: () => void = () => {};
  #handingOver = false;
  /** When the store was last asked something that it answered, on the clock's monotonic time (M8). */
  #inTouchAt: number;
  #sweeping: Timer;

  /** @param entries the partition's stored records, as of after the claim */
  constructor(
    claim: PartitionClaim,
    behaviours: ReadonlyMap<string, Behaviour<unknown>>,
    ports: CellPorts,
    entries: readonly StateEntry[],
  ) {
    this.partition = claim.partition;
    this.epoch = claim.epoch;
    this.#behaviours = behaviours;
    this.#ports = ports;
    const isInTouch = (): boolean => ports.clock.monotonic() - this.#inTouchAt <= LIMITS.tombstoneMs / 2;
    this.#owner = {
      epoch: claim.epoch,
      signal: this.#stop.signal,
      get inTouch() {
        return isInTouch();
      },
      fenced: () => this.#end('fenced'),
      crashed: error => this.#end({ error: toProblem(error) }),
      processed: () => this.#processed(),
      forgotten: cell => {
        // Older messages of it may still be on their way to this reader: its cursor must see them.
        if (cell.cursor <= this.#read) this.#cells.delete(keyOf(cell.self));
      },
    };
    this.#inTouchAt = ports.clock.monotonic();
    this.#sweeping = this.#sweepLater();
    for (const entry of entries) this.#restore(entry);
    this.exited = this.#run(claim.lost);
  }

  /** Everything under way is abandoned: what was committed goes on wherever the partition is claimed next. */
  async stop(): Promise<void> {
    this.#end('shutdown');
    await this.exited;
  }

  /** O8. @param patienceMs after which it ends all the same: what was committed goes on with the next owner */
  async handOver(patienceMs: number): Promise<void> {
    const { clock } = this.#ports;
    const deadline = clock.monotonic() + patienceMs;
    this.#handingOver = true;
    while (!this.#stop.signal.aborted && !this.idle && clock.monotonic() < deadline) await clock.sleep(IDLE_POLL_MS);
    await this.stop();
  }

  /** Actors held in memory. */
  get size(): number {
    return this.#cells.size;
  }

  /** Hands a timer's or an executor's word to an actor of this partition. */
  signal(to: ActorAddress, verb: string, body: unknown, traceparent?: string): void {
    this.#cells.get(keyOf(to))?.push({
      seq: 0,
      class: 'signal',
      id: `signal.${this.#ports.random.token(12)}`,
      verb,
      body,
      headers: traceparent === undefined ? {} : { [HEADERS.traceparent]: traceparent },
    });
  }

  /** An actor's committed state; null when it does not exist. */
  state(of: ActorAddress): unknown {
    return this.#cells.get(keyOf(of))?.state ?? null;
  }

  /** The existing actors of one kind, each with its child table: what there is, not what somebody wrote down. */
  tree(kind: string): readonly TreeNode[] {
    const rows: TreeNode[] = [];
    for (const cell of this.#cells.values()) {
      const { self, state } = cell;
      if (self.kind !== kind || state === null) continue;
      rows.push({
        id: `${kind}/${self.id}`,
        kind,
        type: 'supervisor',
        state: 'running',
        node: null,
        pid: null,
        restarts: 0,
        children: cell.inspect().map(row => ({ ...row, type: 'worker', children: [] })),
      });
    }
    return rows;
  }

  /** Messages taken and not processed. */
  get waiting(): number {
    return this.#underWay;
  }

  /** For how long none of them was processed; 0 when none waits. */
  get stalledMs(): number {
    return this.#underWay === 0 ? 0 : this.#ports.clock.monotonic() - this.#movedAt;
  }

  /** The committed states of one kind's existing actors. */
  *states(kind: string): Iterable<unknown> {
    for (const { self, state } of this.#cells.values()) if (self.kind === kind && state !== null) yield state;
  }

  get idle(): boolean {
    for (const cell of this.#cells.values()) if (!cell.idle) return false;
    return true;
  }

  async #run(lost: AbortSignal): Promise<ExitReason> {
    const { signal } = this.#stop;
    if (lost.aborted) this.#end('fenced');
    lost.addEventListener('abort', () => this.#end('fenced'), { signal }); // O4
    try {
      for (const cell of this.#cells.values()) cell.resume(); // O1
      for await (const message of this.#ports.mailbox.read(this.partition, signal)) {
        if (this.#handingOver) continue; // O8: the next owner reads it again
        this.#deliver(message); // O2
        while (this.#underWay >= LIMITS.partitionQueue && !signal.aborted)
          await new Promise<void>(resolve => {
            this.#room = resolve; // O6
          });
      }
      return this.#end({ error: { code: 'unavailable', message: 'the mailbox ended' } });
    } catch (error) {
      return this.#end({ error: { ...toProblem(error), code: 'unavailable' } });
    }
  }

  /** The first reason counts. */
  #end(reason: ExitReason): ExitReason {
    this.#reason ??= reason;
    this.#stop.abort(new Error('partition ended'));
    this.#sweeping.cancel();
    for (const cell of this.#cells.values()) cell.disarm();
    this.#room();
    return this.#reason;
  }

  #sweepLater(): Timer {
    return this.#ports.clock.timer(LIMITS.sweepMs, () => {
      this.#sweeping = this.#sweepLater();
      void this.#sweep();
    });
  }

  /** O7 */
  async #sweep(): Promise<void> {
    const { clock, store, report } = this.#ports;
    for (const cell of this.#cells.values()) cell.sweep();
    try {
      const askedAt = clock.monotonic();
      await store.get(PARTITIONS_KEY); // whatever it answers
      this.#inTouchAt = askedAt;
      await store.tidy(LIMITS.sweepMs);
    } catch (error) {
      if (!isPassing(error)) report({ kind: 'partition', id: `${this.partition}` }, 'sweep', error);
    }
  }

  #processed(): void {
    this.#underWay -= 1;
    this.#movedAt = this.#ports.clock.monotonic();
    this.#room();
  }

  #deliver(message: MailboxMessage): void {
    this.#read = message.seq;
    const { kind, id } = message.to;
    const key = keyOf(message.to);
    if (this.#unreadable.has(key)) return; // O5
    if (this.#underWay++ === 0) this.#movedAt = this.#ports.clock.monotonic();
    const behaviour = this.#behaviours.get(kind);
    if (behaviour === undefined || !isId(id)) {
      void this.#reject(message).finally(() => this.#processed());
      return;
    }
    const cell = this.#cells.get(key) ?? this.#open(message.to, behaviour, null);
    const headers = readHeaders(message.headers);
    cell.push({
      seq: message.seq,
      class: message.class,
      id: headers.headers[HEADERS.id] ?? `mailbox.${message.seq}`,
      verb: message.verb,
      ...commandBody(message.body), // unreadable or not: the actor's commit counts it as processed
      ...headers,
    });
  }

  /** O3 */
  async #reject(message: MailboxMessage): Promise<void> {
    const { kind, id } = message.to;
    const why = this.#behaviours.has(kind)
      ? `'${id}' is no id: an id is 1 to 64 of A-Z a-z 0-9 _ -.`
      : `There is no actor kind '${kind}'.`;
    const problem = { code: 'invalid_request', message: why };
    const inbox = message.headers[HEADERS.reply];
    const requestId = knownRequestId(message.headers[HEADERS.requestId]);
    const { body } = commandBody(message.body);
    const fact = {
      v: 1,
      id: `mailbox.${message.seq}`,
      at: new Date(message.at).toISOString(),
      traceparent: nextTraceparent(message.headers[HEADERS.traceparent], this.#ports.random),
      verb: message.verb,
      ...(requestId === null ? {} : { requestId }),
      body: message.body.byteLength > LIMITS.quotedBytes ? quoted(message.body) : body,
      problem,
    };
    const { clock, journal, mailbox } = this.#ports;
    const { signal } = this.#stop;
    try {
      if (inbox !== undefined) this.#ports.answer(inbox, { problem }, 0);
      // Twice in the journal beats never: its readers know it by its id.
      await untilItPasses(() => journal.append(SUBJECTS.rejected(kind, id), toJson(fact)), clock, signal);
      // As part of a filter a wildcard would take others' messages along.
      if (!/[*>]/.test(kind + id)) await untilItPasses(() => mailbox.purge(message.to, message.seq), clock, signal);
    } catch (error) {
      // It stays in the mailbox and is refused again by the next reader.
      if (!signal.aborted) this.#ports.report(message.to, 'reject', error);
    }
  }

  /** O5 */
  #restore(entry: StateEntry): void {
    const address = addressOf(entry.key);
    const behaviour = address === null ? undefined : this.#behaviours.get(address.kind);
    if (address === null || behaviour === undefined) return;
    try {
      this.#open(address, behaviour, entry);
    } catch (error) {
      this.#unreadable.add(entry.key);
      this.#ports.report(address, 'its stored record', error);
    }
  }

  #open(address: ActorAddress, behaviour: Behaviour<unknown>, entry: StateEntry | null): Cell {
    const cell = new Cell(address, behaviour, this.#ports, this.#owner, entry);
    this.#cells.set(keyOf(address), cell);
    return cell;
  }
}

/** O3: again and again, while it fails for now, and not for longer (O6). @throws what does not pass; the signal's reason */
async function untilItPasses(work: () => Promise<void>, clock: Clock, signal: AbortSignal): Promise<void> {
  const deadline = clock.monotonic() + LIMITS.rejectMs;
  for (;;) {
    signal.throwIfAborted();
    try {
      await work();
      return;
    } catch (error) {
      if (!isPassing(error) || clock.monotonic() >= deadline) throw error;
    }
    await clock.sleep(LIMITS.rejectAgainMs, signal);
  }
}

const keyOf = ({ kind, id }: ActorAddress): string => `${kind}.${id}`;

/** Anybody's headers would be kept in the state of an actor: too long a one is a reason to refuse, and goes no further. */
function readHeaders(all: MailboxMessage['headers']): { headers: Record<string, string>; unreadable?: string } {
  const headers: Record<string, string> = {};
  const long: string[] = [];
  for (const name of Object.values(HEADERS)) {
    const value = all[name];
    if (value !== undefined && value.length > LIMITS.headerChars) long.push(name);
    else if (value !== undefined) headers[name] = value;
  }
  if (long.length === 0) return { headers };
  return { headers, unreadable: `the header ${long.join(', ')} has more than ${LIMITS.headerChars} characters` };
}

/** Actor keys are `<kind>.<id>`; others (such as `meta.partitions`) belong to no actor kind and are left alone. */
export function addressOf(key: string): ActorAddress | null {
  const dot = key.indexOf('.');
  return dot <= 0 ? null : { kind: key.slice(0, dot), id: key.slice(dot + 1) };
}
