/** One partition of accounts on the server in memory, under a virtual clock, with faults on request. */
import type { Clock } from '../../src/actors/ports/clock.ts';
import type { Journal, JournalEntry } from '../../src/actors/ports/journal.ts';
import type { Mailbox, MailboxMessage } from '../../src/actors/ports/mailbox.ts';
import type { StateEntry, StateStore } from '../../src/actors/ports/state-store.ts';
import type { Behaviour } from '../../src/actors/runtime/behaviour.ts';
import { type Committed, emptyRecord } from '../../src/actors/runtime/committed.ts';
import type { ErrandExecutor } from '../../src/actors/runtime/errand-desk.ts';
import type { ExitReason } from '../../src/actors/runtime/exit-reason.ts';
import { HeartbeatFan } from '../../src/actors/runtime/heartbeat-fan.ts';
import { type HostedPartition, hostPartition } from '../../src/actors/runtime/partition.ts';
import { decodeRecord, encodeRecord } from '../../src/actors/runtime/record-codec.ts';
import { BUCKETS, HEADERS, SUBJECTS } from '../../src/domain/subjects.ts';
import { MemoryServer } from '../../src/infra/memory/memory-server.ts';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';
import { type Account, account } from './account.ts';

export interface Owner extends HostedPartition {
  readonly answers: { readonly inbox: string; readonly body: unknown }[];
  readonly reports: string[];
  /** How the host ended; null while it runs. */
  ended(): ExitReason | null;
  /** Ends the host as a crash does: nothing that was not stored is left of it. */
  crash(): Promise<void>;
}

export interface OwnerOptions {
  readonly epoch?: number;
  readonly clock?: Clock;
  readonly behaviours?: readonly Behaviour<Account>[];
  readonly store?: StateStore;
  readonly mailbox?: Mailbox;
  readonly journal?: Journal;
  readonly executors?: Readonly<Record<string, ErrandExecutor>>;
  readonly isGone?: () => Promise<boolean>;
  readonly isKeeperAlive?: () => boolean;
  readonly answer?: (inbox: string, body: unknown) => void;
}

/** An executor that never answers. */
const idle: ErrandExecutor = () => new Promise(() => {});

export class Bank {
  readonly clock = new VirtualClock();
  readonly server = new MemoryServer({ clock: this.clock, partitions: 1 });
  readonly store = this.server.stateStore(BUCKETS.state);
  readonly mailbox = this.server.mailbox();
  readonly journal = this.server.journal();
  readonly #random = new SeededRandom(1);
  #epochs = 0;

  /** Claims the partition, as a new process would. */
  async claim(options: OwnerOptions = {}): Promise<Owner> {
    const epoch = options.epoch ?? ++this.#epochs;
    const answers: Owner['answers'] = [];
    const reports: string[] = [];
    let ended: ExitReason | null = null;
    const hosted = hostPartition(
      { partition: 0, epoch, lost: new AbortController().signal },
      options.behaviours ?? [account],
      {
        clock: options.clock ?? this.clock,
        random: this.#random,
        store: options.store ?? this.store,
        mailbox: options.mailbox ?? this.mailbox,
        journal: options.journal ?? this.journal,
        answer: options.answer ?? ((inbox, body) => answers.push({ inbox, body })),
        report: (_self, what, error) =>
          reports.push(`${what}: ${error instanceof Error ? error.message : String(error)}`),
      },
      options.executors ?? { work: idle },
      {
        bus: this.server.bus(),
        fan: new HeartbeatFan(this.server.bus(), SUBJECTS.heartbeats('runner')),
        tickMs: 1_000,
        isGone: options.isGone ?? (async () => false),
        isKeeperAlive: options.isKeeperAlive ?? (() => true),
      },
      await this.entries(),
    );
    void hosted.handle.exited.then(reason => {
      ended = reason;
    });
    await this.clock.settle();
    const crash = async (): Promise<void> => {
      hosted.handle.kill();
      await hosted.handle.exited;
    };
    return { ...hosted, answers, reports, ended: () => ended, crash };
  }

  /** A public command; the answer is wanted at `inbox.<verb>`. */
  async command(id: string, verb: string, body: unknown = {}, headers: Readonly<Record<string, string>> = {}) {
    const message = {
      to: { kind: 'account', id },
      class: 'cmd',
      verb,
      body: Buffer.from(JSON.stringify(body)),
    } as const;
    const { seq } = await this.mailbox.send({ ...message, headers: { [HEADERS.reply]: `inbox.${verb}`, ...headers } });
    await this.clock.settle();
    return seq;
  }

  /** A message between actors. */
  async told(id: string, verb: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<void> {
    const bytes = Buffer.from(JSON.stringify(body));
    await this.mailbox.send({ to: { kind: 'account', id }, class: 'sys', verb, headers, body: bytes });
    await this.clock.settle();
  }

  async record(id: string): Promise<Committed | null> {
    const entry = await this.store.get(`account.${id}`);
    return entry === null ? null : decodeRecord(entry.value);
  }

  async account(id: string): Promise<Account | null> {
    return ((await this.record(id))?.state ?? null) as Account | null;
  }

  /** Another writer's commit: `change` on top of what is stored. */
  async overwrite(id: string, change: Partial<Committed>): Promise<void> {
    const entry = await this.store.get(`account.${id}`);
    const before = entry === null ? emptyRecord(1) : decodeRecord(entry.value);
    await this.store.put(`account.${id}`, encodeRecord({ ...before, ...change }), entry?.revision ?? 0);
  }

  async entries(): Promise<StateEntry[]> {
    const reading = new AbortController();
    const found: StateEntry[] = [];
    for await (const change of this.store.watch(reading.signal)) {
      if (change.kind === 'current') break;
      if (change.kind === 'entry') found.push(change.entry);
    }
    return found;
  }

  /** What the mailbox still holds. */
  async retained(): Promise<MailboxMessage[]> {
    return this.#readAll(signal => this.mailbox.read(0, signal));
  }

  async journaled(filter: string): Promise<Record<string, unknown>[]> {
    const entries = await this.#readAll<JournalEntry>(signal => this.journal.read(filter, 1, signal));
    return entries.map(({ body }) => JSON.parse(Buffer.from(body).toString('utf8')));
  }

  async #readAll<T>(read: (signal: AbortSignal) => AsyncIterable<T>): Promise<T[]> {
    const reading = new AbortController();
    const found: T[] = [];
    const done = (async () => {
      for await (const item of read(reading.signal)) found.push(item);
    })();
    await this.clock.settle();
    reading.abort();
    await done;
    return found;
  }
}

type Operation = 'put' | 'get' | 'delete';

/** A store in which `fault` decides about each operation: what it throws or awaits before, or (returned) does after it. */
export function faultyStore(
  store: StateStore,
  fault: (operation: Operation, key: string) => undefined | Promise<void> | { readonly after: () => void },
): StateStore {
  const run = async <T>(operation: Operation, key: string, work: () => Promise<T>): Promise<T> => {
    const trouble = fault(operation, key);
    if (trouble instanceof Promise) await trouble;
    const result = await work();
    if (trouble !== undefined && 'after' in trouble) trouble.after();
    return result;
  };
  return {
    get: key => run('get', key, () => store.get(key)),
    put: (key, value, expected) => run('put', key, () => store.put(key, value, expected)),
    delete: (key, expected) => run('delete', key, () => store.delete(key, expected)),
    tidy: minAgeMs => store.tidy(minAgeMs),
    watch: signal => store.watch(signal),
  };
}

/** Does `work` the first `times` times it is called. */
export function first(times: number, work: () => void): () => void {
  let left = times;
  return () => {
    if (left-- > 0) work();
  };
}
