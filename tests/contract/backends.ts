/** What every contract is run on: the server in memory, a real nats-server, and a real cluster of three. */
import { once } from 'node:events';
import { cpSync, renameSync, rmSync } from 'node:fs';
import { connect as openSocket } from 'node:net';
import { Kvm } from '@nats-io/kv';
import { createInbox, errors } from '@nats-io/transport-node';
import type { Bus } from '../../src/actors/ports/bus.ts';
import type { Journal } from '../../src/actors/ports/journal.ts';
import type { Mailbox } from '../../src/actors/ports/mailbox.ts';
import type { PredictionLog } from '../../src/actors/ports/prediction-log.ts';
import type { StateStore } from '../../src/actors/ports/state-store.ts';
import { WriteRetry } from '../../src/actors/ports/write-outcome.ts';
import { TroupeError } from '../../src/domain/errors.ts';
import { kvStream } from '../../src/domain/subjects.ts';
import { ALWAYS, type Link } from '../../src/infra/memory/link.ts';
import { MemoryServer } from '../../src/infra/memory/memory-server.ts';
import { natsBus } from '../../src/infra/nats/bus.ts';
import { connect, type Nats } from '../../src/infra/nats/connection.ts';
import { natsJournal } from '../../src/infra/nats/journal.ts';
import { natsMailbox } from '../../src/infra/nats/mailbox.ts';
import { ask, streamInfo } from '../../src/infra/nats/outcome.ts';
import { natsPredictionLog } from '../../src/infra/nats/prediction-log.ts';
import { provision } from '../../src/infra/nats/provision.ts';
import { natsStateStore } from '../../src/infra/nats/state-store.ts';
import { systemClock } from '../../src/infra/process/system-clock.ts';
import { startTestNats, type TestNats } from '../support/nats.ts';
import { startNatsCluster, type TestCluster } from '../support/nats-cluster.ts';
import { waitUntil } from '../support/wait-until.ts';

/** One client's ports. */
export interface Client {
  readonly mailbox: Mailbox;
  readonly log: PredictionLog;
  readonly journal: Journal;
  readonly bus: Bus;
  bucket(name: string): Promise<StateStore>;
}

export interface Backend {
  /** Two clients of one server. */
  readonly a: Client;
  readonly b: Client;
  /** A stranger's publish: no header, no acknowledgement; resolves when it is stored. */
  barePublish(subjects: readonly string[], body: string): Promise<void>;
  /** Resolves when what either client has subscribed to reaches it from both. */
  subscribed(): Promise<void>;
  /** Log subjects on which this backend met something that is no record. */
  readonly foreign: string[];
  close(): Promise<void>;
}

/** One whose store can be put back. */
export interface RestorableBackend extends Backend {
  /** Copies the store. @returns puts the copy back, once; whoever was connected has lost its connection then */
  copy(): Promise<() => Promise<void>>;
  /** Messages that a bucket holds. */
  stored(bucket: string): Promise<number>;
}

export interface RealBackend extends Backend {
  readonly natsA: Nats;
  readonly natsB: Nats;
}

export interface NatsBackend extends RealBackend, RestorableBackend {
  readonly server: TestNats;
}

/** The clients' first servers are two different ones. */
export interface ClusterBackend extends RealBackend {
  readonly cluster: TestCluster;
}

export const PARTITIONS = 16;

export function memoryBackend(): RestorableBackend {
  let session = 0;
  const link: Link = {
    ...ALWAYS,
    get session() {
      return session;
    },
  };
  const server = new MemoryServer({ clock: systemClock, partitions: PARTITIONS });
  // Nothing else keeps the process alive while a time-out of the clock is waited for.
  const alive = setInterval(() => {}, 60_000);
  const foreign: string[] = [];
  const client = (): Client => ({
    mailbox: server.mailbox(link),
    log: server.predictionLog((subject: string) => foreign.push(subject), link),
    journal: server.journal(link),
    bus: server.bus(),
    bucket: async name => server.stateStore(name, link),
  });
  return {
    a: client(),
    b: client(),
    foreign,
    subscribed: async () => {},
    copy: async () => {
      const copy = server.copy();
      return async () => {
        server.putBack(copy);
        session += 1;
      };
    },
    stored: async bucket => server.stored(kvStream(bucket)),
    barePublish: async (subjects, body) => {
      for (const subject of subjects) server.publish(subject, Buffer.from(body));
    },
    close: async () => clearInterval(alive),
  };
}

export async function natsBackend(): Promise<NatsBackend> {
  const server = await startTestNats();
  const backend = await realBackend([server.url, server.url], 1, server.stop);
  return {
    ...backend,
    server,
    copy: async () => {
      const copy = `${server.dataDir}-copy`;
      await server.kill();
      cpSync(server.dataDir, copy, { recursive: true });
      await server.start();
      return async () => {
        await server.kill();
        rmSync(server.dataDir, { recursive: true });
        renameSync(copy, server.dataDir);
        await server.start();
      };
    },
    stored: async bucket =>
      (await ask(backend.natsA, () => streamInfo(backend.natsA, kvStream(bucket)))).state.messages,
  };
}

/** Every stream and bucket has three copies. */
export async function clusterBackend(): Promise<ClusterBackend> {
  const cluster = await startNatsCluster();
  const [first = '', second = ''] = cluster.urls;
  return { cluster, ...(await realBackend([first, second], 3, cluster.stop)) };
}

async function realBackend(
  [urlA, urlB]: readonly [string, string],
  replicas: number,
  stop: () => Promise<void>,
): Promise<RealBackend> {
  const natsA = await connect(urlA, { name: 'contract a' });
  const natsB = await connect(urlB, { name: 'contract b' });
  const { signal } = new AbortController();
  const { partitions } = await provision(natsA, { replicas, partitions: PARTITIONS, logBytes: null, signal });
  const foreign: string[] = [];
  const client = (nats: Nats): Client => ({
    mailbox: natsMailbox(nats, partitions),
    log: natsPredictionLog(nats, subject => foreign.push(subject)),
    journal: natsJournal(nats),
    bus: natsBus(nats),
    bucket: async name => {
      const create = () => new Kvm(nats.js).create(name, { history: 1, allow_direct: false, replicas });
      await answered(() => ask(nats, create));
      return natsStateStore(nats, name);
    },
  });
  return {
    natsA,
    natsB,
    a: client(natsA),
    b: client(natsB),
    foreign,
    subscribed: async () => {
      await interest(natsA, natsB);
      await interest(natsB, natsA);
    },
    barePublish: async (subjects, body) => {
      const stream = await natsA.jsm.streams.find(subjects[0] ?? '');
      const lastSeq = async (): Promise<number> => (await natsA.jsm.streams.info(stream)).state.last_seq;
      const before = await lastSeq();
      await bareTcpPublish(urlA, subjects, body);
      // The server that took them need not be the one that stores them.
      await waitUntil('they are stored', async () => (await lastSeq()) >= before + subjects.length);
    },
    close: async () => {
      await natsA.close();
      await natsB.close();
      await stop();
    },
  };
}

/** A server tells the others of its clients' subscriptions in their order: when the last is known, so are all before. */
async function interest(from: Nats, to: Nats): Promise<void> {
  const subject = createInbox();
  const last = to.connection.subscribe(subject, { callback: (_error, message) => void message.respond() });
  await waitUntil('the subscriptions are known', async () => {
    try {
      await from.connection.request(subject, undefined, { timeout: 10_000 });
      return true;
    } catch (error) {
      if (error instanceof errors.RequestError && error.isNoResponders()) return false;
      throw error;
    }
  });
  last.unsubscribe();
}

/** The NATS protocol by hand, as a microcontroller would speak it. */
async function bareTcpPublish(url: string, subjects: readonly string[], body: string): Promise<void> {
  const { hostname, port } = new URL(url);
  const socket = openSocket(Number(port), hostname);
  socket.setEncoding('utf8');
  const publishes = subjects.map(subject => `PUB ${subject} ${Buffer.byteLength(body)}\r\n${body}\r\n`);
  socket.write(`CONNECT {"verbose":false}\r\n${publishes.join('')}PING\r\n`);
  let said = '';
  while (!said.includes('PONG')) said += String((await once(socket, 'data'))[0]);
  socket.destroy();
}

/** The first `count` items of an endless read. */
export async function take<T>(count: number, read: (signal: AbortSignal) => AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  const reading = new AbortController();
  for await (const item of read(reading.signal)) {
    items.push(item);
    if (items.length >= count) break;
  }
  return items;
}

/** Reads on in the background; `ended` fails as the read does. */
export function collect<T>(read: (signal: AbortSignal) => AsyncIterable<T>): {
  items: T[];
  ended: Promise<void>;
  stop(): Promise<void>;
} {
  const items: T[] = [];
  const reading = new AbortController();
  const done = (async () => {
    for await (const item of read(reading.signal)) items.push(item);
  })();
  // `stop` tells of a failure; a test that failed before must not be hidden by it.
  done.catch(() => false);
  return {
    items,
    ended: done,
    stop: async () => {
      reading.abort();
      await done;
    },
  };
}

/** A write that is sent again, the same, for as long as its refusals leave open whether it would be right. */
export async function judged<T>(send: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await send();
    } catch (error) {
      if (!(error instanceof WriteRetry)) throw error;
    }
  }
}

/** The answer of a question that nobody may be able to answer just now: leaders are elected in seconds on any machine. */
export async function answered<T>(question: () => Promise<T>): Promise<T> {
  const answers: T[] = [];
  await waitUntil(
    'there is an answer',
    async () => {
      try {
        answers.push(await question());
      } catch (error) {
        if (!(error instanceof TroupeError) || !error.retryable) throw error;
      }
      return answers.length > 0;
    },
    90_000,
  );
  return answers[0] as T;
}

/** What a promise was refused with; fails when it was not. */
export async function refusal(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  throw new Error('was not refused');
}

export const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
export const text = (body: Uint8Array): string => Buffer.from(body).toString();
