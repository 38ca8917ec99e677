/**
 * What the adapters of src/infra/nats find on a NATS server, in this process: several clients share one `MemoryServer`, each
 * asks it for ports of its own. For the simulation, and proven alike by the contract tests.
 *
 * ME1 Deterministic: time comes from the clock given, everything else happens in the call or in promise callbacks.
 * ME2 What one client stores, no client can change: bodies are copied on the way in.
 * ME3 A copy holds all streams as of one moment. Put back, what came after it is gone everywhere, proposals under way included.
 */
import { type Bus, type BusMessage, NoResponder } from '../../actors/ports/bus.ts';
import type { Clock } from '../../actors/ports/clock.ts';
import type { Journal, JournalEntry } from '../../actors/ports/journal.ts';
import type { ActorAddress, Mailbox, MailboxMessage } from '../../actors/ports/mailbox.ts';
import type { LogEntry, PredictionLog } from '../../actors/ports/prediction-log.ts';
import type { StateChange, StateEntry, StateStore } from '../../actors/ports/state-store.ts';
import { WriteUnknown } from '../../actors/ports/write-outcome.ts';
import { LIMITS } from '../../domain/limits.ts';
import { encodeLogRecord, parseLogRecord } from '../../domain/log-record.ts';
import {
  journalStream,
  kvKey,
  kvStream,
  kvSubject,
  logKey,
  mailboxTokens,
  partitionOf,
  STREAMS,
  SUBJECTS,
} from '../../domain/subjects.ts';
import { ALWAYS, type Link } from './link.ts';
import { MemoryBroker } from './memory-broker.ts';
import {
  MemoryStream,
  type StoredMessage,
  type StreamCopy,
  type StreamLimits,
  subjectFilter,
} from './memory-stream.ts';

export interface MemoryServerOptions {
  readonly clock: Clock;
  readonly partitions: number;
  /** Told of every message, when it is stored. */
  stored?(stream: string, message: StoredMessage): void;
  /** Told of every purge, when it is done. */
  purged?(stream: string, filter: string, throughSeq: number): void;
}

/** ME3 */
export type ServerCopy = ReadonlyMap<string, StreamCopy>;

const UNBOUNDED: StreamLimits = { perSubject: Number.POSITIVE_INFINITY, discard: 'old' };
const DELETED = { 'KV-Operation': 'DEL' } as const;
const EMPTY = new Uint8Array();

export class MemoryServer {
  readonly #clock: Clock;
  readonly #partitions: number;
  readonly #options: MemoryServerOptions;
  readonly #streams = new Map<string, MemoryStream>();
  readonly #broker = new MemoryBroker();
  /** How often the store was put back. */
  copies = 0;

  constructor(options: MemoryServerOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#partitions = options.partitions;
  }

  /** ME3 */
  copy(): ServerCopy {
    return new Map([...this.#streams].map(([name, stream]) => [name, stream.copy()]));
  }

  /** ME3 */
  putBack(copy: ServerCopy): void {
    this.copies += 1;
    for (const [name, stream] of this.#streams) stream.putBack(copy.get(name) ?? { messages: [], lastSeq: 0 });
  }

  /** What a stranger's bare publish does: stored where the subject belongs, and handed to core subscribers. */
  publish(subject: string, body: Uint8Array, headers: Readonly<Record<string, string>> = {}): void {
    const [, second = '', kind = '', id = '', verb = ''] = subject.split('.');
    if (second === 'cmd' || second === 'sys') {
      const stored = SUBJECTS.mailboxStored(partitionOf(kind, id, this.#partitions), kind, id, second, verb);
      this.#mailboxStream().append(stored, body, headers);
    } else if (second === 'prediction') this.#stream(STREAMS.log).append(subject, body, headers);
    else if (second === 'event' || second === 'rejected')
      this.#stream(journalStream(subject)).append(subject, body, headers);
    this.#broker.publish({ subject, body: body.slice(), headers, reply: null });
  }

  /** Of a key's last entry or deletion; 0: there is none. */
  lastRevision(bucket: string, key: string): number {
    return this.#stream(kvStream(bucket)).lastOf(kvSubject(bucket, key))?.seq ?? 0;
  }

  /** Messages that a stream holds, as a server's own statistics tell. */
  stored(stream: string): number {
    return this.#stream(stream).retained().length;
  }

  mailbox(link: Link = ALWAYS): Mailbox {
    const partitions = this.#partitions;
    const stream = this.#mailboxStream();
    const partition = ({ kind, id }: ActorAddress): number => partitionOf(kind, id, partitions);
    return {
      partitions,
      partitionOf: partition,
      async send({ to, class: cls, verb, body, headers }) {
        return { seq: stream.append(SUBJECTS.mailboxStored(partition(to), to.kind, to.id, cls, verb), body, headers) };
      },
      async *read(of, signal): AsyncGenerator<MailboxMessage, void, void> {
        for await (const message of stream.read(SUBJECTS.mailboxPartition(of), 1, signal, link)) {
          const { seq, at, headers, body } = message;
          yield { seq, at, partition: of, ...mailboxTokens(message.subject), headers, body };
        }
      },
      purge: async (address, throughSeq) => {
        this.#purge(STREAMS.mailbox, SUBJECTS.mailboxActor(partition(address), address.kind, address.id), throughSeq);
      },
    };
  }

  stateStore(bucket: string, link: Link = ALWAYS): StateStore {
    const clock = this.#clock;
    const stream = this.#stream(kvStream(bucket), { perSubject: 1, discard: 'old' });
    const markers = new Map<number, { readonly subject: string; readonly knownAt: number }>();
    const mark = (seq: number, subject: string): void => {
      if (markers.get(seq)?.subject === subject) return;
      markers.delete(seq);
      markers.set(seq, { subject, knownAt: clock.monotonic() });
    };
    const entryOf = ({ subject, seq, body }: StoredMessage): StateEntry => ({
      key: kvKey(bucket, subject),
      value: body,
      revision: seq,
    });
    return {
      async get(key) {
        const message = stream.lastOf(kvSubject(bucket, key));
        return message === null || isDeleted(message) ? null : entryOf(message);
      },
      put: (key, value, expected) =>
        this.#apply(stream, kvSubject(bucket, key), link, subject => {
          const last = stream.lastOf(subject);
          const marker = expected === 0 && last !== null && isDeleted(last) ? last.seq : expected;
          return stream.append(subject, value, {}, marker);
        }),
      delete: (key, expected) =>
        this.#apply(stream, kvSubject(bucket, key), link, subject =>
          mark(stream.append(subject, EMPTY, DELETED, expected), subject),
        ),
      async tidy(minAgeMs) {
        const before = clock.monotonic() - minAgeMs;
        for (const [seq, { subject, knownAt }] of markers) {
          if (knownAt > before) break;
          const message = stream.get(seq);
          if (message?.subject === subject && isDeleted(message)) stream.remove(seq);
          markers.delete(seq);
        }
      },
      async *watch(signal, certain = false): AsyncGenerator<StateChange, void, void> {
        const begun = stream.lastSeq;
        const given = begun === 0 ? null : { seq: begun, life: stream.get(begun)?.life ?? stream.life };
        for (const message of stream.retained()) {
          if (signal.aborted) return;
          if (isDeleted(message)) mark(message.seq, message.subject);
          else if (stream.get(message.seq) !== null) yield { kind: 'entry', entry: entryOf(message) };
        }
        yield { kind: 'current' };
        for await (const message of stream.read(kvSubject(bucket, '>'), begun + 1, signal, link, given, certain)) {
          const { key, revision } = entryOf(message);
          if (isDeleted(message)) yield { kind: 'deleted', key, revision };
          else yield { kind: 'entry', entry: entryOf(message) };
        }
      },
    };
  }

  /** @param onForeign as of `natsPredictionLog` */
  predictionLog(onForeign: (subject: string, seq: number) => void = () => {}, link: Link = ALWAYS): PredictionLog {
    const stream = this.#stream(STREAMS.log);
    const entryOf = ({ subject, seq, at, body }: StoredMessage): LogEntry | null => {
      const key = logKey(subject);
      const record = parseLogRecord(body);
      if (key !== null && record !== null) return { key, seq, record, at, bytes: body.length };
      onForeign(subject, seq);
      return null;
    };
    return {
      async last(key) {
        const messages = stream.ofSubject(SUBJECTS.log(key));
        const seq = messages.at(-1)?.seq ?? 0;
        for (const message of messages.toReversed()) {
          const entry = entryOf(message);
          if (entry !== null) return { seq, entry };
        }
        return { seq, entry: null };
      },
      append: (key, record, expected) =>
        this.#apply(stream, SUBJECTS.log(key), link, subject =>
          stream.append(subject, encodeLogRecord(record), {}, expected),
        ),
      async identity() {
        return { created: stream.created, firstSeq: stream.firstSeq, lastSeq: stream.lastSeq };
      },
      timeOf: async seq => stream.get(seq)?.at ?? null,
      next: async afterSeq => {
        const behind = stream.retained().filter(message => message.seq > afterSeq);
        const next = behind.find(({ subject, body }) => logKey(subject) !== null && parseLogRecord(body) !== null);
        return next === undefined ? null : { seq: next.seq, at: next.at };
      },
      async *read(fromSeq, signal): AsyncGenerator<LogEntry, void, void> {
        for await (const message of stream.read(SUBJECTS.logAll, fromSeq, signal, link)) {
          const entry = entryOf(message);
          if (entry !== null) yield entry;
        }
      },
      purge: async scenario => this.#purge(STREAMS.log, SUBJECTS.logOfScenario(scenario), stream.lastSeq),
    };
  }

  journal(link: Link = ALWAYS): Journal {
    const streamOf = (subject: string): MemoryStream => this.#stream(journalStream(subject));
    return {
      async append(subject, body) {
        streamOf(subject).append(subject, body);
      },
      async *read(filter, fromSeq, signal): AsyncGenerator<JournalEntry, void, void> {
        for await (const { subject, seq, at, body } of streamOf(filter).read(filter, fromSeq, signal, link))
          yield { subject, seq, at, body };
      },
      async extent(filter) {
        const stream = streamOf(filter);
        const wanted = subjectFilter(filter);
        const last = stream.retained().findLast(message => wanted(message.subject));
        return last === undefined ? null : { firstSeq: stream.firstSeq, lastSeq: last.seq };
      },
      async *stored(filter, { firstSeq, lastSeq }, signal): AsyncGenerator<JournalEntry, void, void> {
        const wanted = subjectFilter(filter);
        for (const { subject, seq, at, body } of streamOf(filter).retained()) {
          if (signal.aborted) return;
          if (seq >= firstSeq && seq <= lastSeq && wanted(subject)) yield { subject, seq, at, body };
        }
      },
    };
  }

  bus(): Bus {
    const broker = this.#broker;
    const clock = this.#clock;
    return {
      connected: true,
      publish: (subject, body, headers = {}) => {
        broker.publish({ subject, body: body.slice(), headers, reply: null });
      },
      subscribe: (subject, receive, queue) => broker.subscribe(subject, receive, queue ?? null),
      async request(subject, body, timeoutMs, headers = {}) {
        const { promise, resolve, reject } = Promise.withResolvers<BusMessage>();
        const inbox = broker.inbox();
        const answers = broker.subscribe(inbox, resolve, null);
        const timer = clock.timer(timeoutMs, () => reject(new BusTimeout(`no answer on ${subject}`)));
        try {
          if (broker.publish({ subject, body: body.slice(), headers, reply: inbox }) === 0)
            throw new NoResponder(`nobody listens on ${subject}`);
          return await promise;
        } finally {
          timer.cancel();
          answers.close();
        }
      },
      async flush() {},
    };
  }

  /** One conditional write, when its proposal is applied. */
  async #apply<T>(stream: MemoryStream, subject: string, link: Link, write: (subject: string) => T): Promise<T> {
    const applied = link.proposal();
    if (applied === null) return write(subject);
    const { copies } = this;
    const over = stream.propose(subject);
    await applied;
    if (copies !== this.copies) throw new WriteUnknown('the store was put back'); // ME3
    over();
    return write(subject);
  }

  #purge(stream: string, filter: string, throughSeq: number): void {
    this.#stream(stream).purge(filter, throughSeq);
    this.#options.purged?.(stream, filter, throughSeq);
  }

  #mailboxStream(): MemoryStream {
    return this.#stream(STREAMS.mailbox, { perSubject: LIMITS.mailboxPerSubject, discard: 'new' });
  }

  #stream(name: string, limits: StreamLimits = UNBOUNDED): MemoryStream {
    const known = this.#streams.get(name);
    if (known !== undefined) return known;
    const made = new MemoryStream(
      () => this.#clock.now(),
      limits,
      message => this.#options.stored?.(name, message),
    );
    this.#streams.set(name, made);
    return made;
  }
}

class BusTimeout extends Error {
  override readonly name = 'TimeoutError';
}

const isDeleted = (message: StoredMessage): boolean => message.headers['KV-Operation'] !== undefined;
