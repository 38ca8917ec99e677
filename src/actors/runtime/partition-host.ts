/**
 * One claimed partition: reads its mailbox and drives the cells of its actors.
 *
 * O1 Every actor of the partition with a stored record is resumed before the first message is read.
 * O2 The mailbox is read from the first retained message; cursors skip what is done.
 * O3 A message that no actor can take (unknown kind, impossible id) is refused in public and purged.
 * O4 When the claim is lost the host stops at once, with everything that its cells have under way.
 */

import { isId } from '../../domain/ids.ts';
import { LIMITS } from '../../domain/limits.ts';
import { HEADERS, SUBJECTS } from '../../domain/subjects.ts';
import type { TreeNode } from '../../domain/tree.ts';
import type { ActorAddress, MailboxMessage } from '../ports/mailbox.ts';
import type { StateEntry } from '../ports/state-store.ts';
import type { Behaviour } from './behaviour.ts';
import { Cell, type CellPorts } from './cell.ts';
import type { ExitReason } from './exit-reason.ts';

export interface PartitionClaim {
  readonly partition: number;
  /** Revision of the claim. */
  readonly epoch: number;
}

export class PartitionHost {
  readonly partition: number;
  readonly epoch: number;
  readonly exited: Promise<ExitReason>;
  readonly #ports: CellPorts;
  readonly #behaviours: Readonly<Record<string, Behaviour<unknown>>>;
  readonly #cells = new Map<string, Cell>();
  readonly #stop = new AbortController();
  #fenced = false;

  /** @param entries the partition's stored records, as of after the claim */
  constructor(
    claim: PartitionClaim,
    behaviours: Readonly<Record<string, Behaviour<unknown>>>,
    ports: CellPorts,
    entries: readonly StateEntry[],
  ) {
    this.partition = claim.partition;
    this.epoch = claim.epoch;
    this.#behaviours = behaviours;
    this.#ports = ports;
    for (const entry of entries) {
      const address = addressOf(entry.key);
      if (address !== null && behaviours[address.kind] !== undefined) this.#open(address, entry);
    }
    this.exited = this.#run();
  }

  /** Everything under way is abandoned: what was committed goes on wherever the partition is claimed next. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('partition released'));
    await this.exited;
  }

  /** Hands a timer's or an executor's word to an actor of this partition. */
  signal(to: ActorAddress, verb: string, body: unknown): void {
    this.#cells.get(`${to.kind}.${to.id}`)?.push({
      seq: 0,
      class: 'signal',
      id: `signal.${this.#ports.random.token(12)}`,
      verb,
      body,
      headers: {},
    });
  }

  /** States of every existing actor of one kind. */
  *states(kind: string): Iterable<readonly [ActorAddress, unknown]> {
    for (const cell of this.#cells.values()) {
      if (cell.self.kind === kind && cell.state !== null) yield [cell.self, cell.state];
    }
  }

  /** From an actor's child table downwards. Rows that are durable actors themselves lead on to theirs. */
  tree(of: ActorAddress): readonly TreeNode[] {
    const rows = this.#cells.get(`${of.kind}.${of.id}`)?.inspect() ?? [];
    return rows.map(({ actor, attempt, ...row }) => ({
      ...row,
      type: actor === undefined ? 'worker' : 'supervisor',
      ...(attempt === undefined ? {} : { attempt }),
      children: actor === undefined ? [] : [...this.tree(actor)],
    }));
  }

  get idle(): boolean {
    for (const cell of this.#cells.values()) if (!cell.idle) return false;
    return true;
  }

  async #run(): Promise<ExitReason> {
    try {
      for (const cell of [...this.#cells.values()]) cell.resume(); // O1
      for await (const message of this.#ports.mailbox.read(this.partition, this.#stop.signal)) this.#deliver(message); // O2
      if (this.#fenced) return 'fenced';
      return this.#stop.signal.aborted ? 'shutdown' : { error: { code: 'unavailable', message: 'the mailbox ended' } };
    } catch (error) {
      if (this.#fenced) return 'fenced';
      if (this.#stop.signal.aborted) return 'shutdown';
      return { error: { code: 'unavailable', message: error instanceof Error ? error.message : String(error) } };
    } finally {
      this.#stop.abort(new Error('partition ended')); // O4
    }
  }

  #deliver(message: MailboxMessage): void {
    const { kind, id } = message.to;
    if (this.#behaviours[kind] === undefined || !isId(id)) {
      void this.#reject(message);
      return;
    }
    const cell = this.#cells.get(`${kind}.${id}`) ?? this.#open(message.to, null);
    cell.push({
      seq: message.seq,
      class: message.class,
      id: message.headers[HEADERS.id] ?? `mailbox.${message.seq}`,
      verb: message.verb,
      headers: message.headers,
      ...parseBody(message.body),
    });
  }

  /** O3 */
  async #reject(message: MailboxMessage): Promise<void> {
    const { kind, id } = message.to;
    const problem = { code: 'invalid_request', message: `there is no actor kind '${kind}', or '${id}' is no id` };
    try {
      const inbox = message.headers[HEADERS.reply];
      if (inbox !== undefined) this.#ports.answer(inbox, { problem }, 0);
      const fact = {
        v: 1,
        id: `mailbox.${message.seq}`,
        at: new Date(message.at).toISOString(),
        verb: message.verb,
        body: Buffer.from(message.body.subarray(0, 4096)).toString('utf8'),
        problem,
      };
      await this.#ports.journal.append(SUBJECTS.rejected(kind, id), Buffer.from(JSON.stringify(fact)));
      await this.#ports.mailbox.purge(message.to, message.seq);
    } catch (error) {
      // It stays in the mailbox and is refused again by the next reader: twice in the journal beats never.
      this.#ports.report(message.to, 'reject', error);
    }
  }

  #open(address: ActorAddress, entry: StateEntry | null): Cell {
    const behaviour = this.#behaviours[address.kind] as Behaviour<unknown>;
    const owner = {
      epoch: this.epoch,
      signal: this.#stop.signal,
      onFenced: () => {
        this.#fenced = true;
        this.#stop.abort(new Error('fenced'));
      },
    };
    const cell = new Cell(address, behaviour, this.#ports, owner, entry);
    this.#cells.set(`${address.kind}.${address.id}`, cell);
    return cell;
  }
}

/** An unreadable body goes to the actor all the same, whose commit counts it as processed. */
function parseBody(bytes: Uint8Array): { readonly body: unknown; readonly unreadable?: string } {
  const text = Buffer.from(bytes.subarray(0, LIMITS.messageBytes + 1)).toString('utf8');
  if (bytes.byteLength > LIMITS.messageBytes) {
    return { body: text.slice(0, 4096), unreadable: `the body has more than ${LIMITS.messageBytes} bytes` };
  }
  try {
    return { body: text.trim() === '' ? {} : JSON.parse(text) };
  } catch (error) {
    return {
      body: text,
      unreadable: `the body is not JSON: ${error instanceof Error ? error.message : String(error)}`,
    };
  }
}

/** Actor keys are `<kind>.<id>`; others (such as `meta.partitions`) belong to no actor kind and are left alone. */
export function addressOf(key: string): ActorAddress | null {
  const dot = key.indexOf('.');
  return dot <= 0 ? null : { kind: key.slice(0, dot), id: key.slice(dot + 1) };
}
