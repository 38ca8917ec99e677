/** The two servers that every contract is run on: a real nats-server, and the one in memory. */
import { once } from 'node:events';
import { connect as openSocket } from 'node:net';
import { Kvm } from '@nats-io/kv';
import type { Bus } from '../../src/actors/ports/bus.ts';
import type { Journal } from '../../src/actors/ports/journal.ts';
import type { Mailbox } from '../../src/actors/ports/mailbox.ts';
import type { PredictionLog } from '../../src/actors/ports/prediction-log.ts';
import type { StateStore } from '../../src/actors/ports/state-store.ts';
import { MemoryServer } from '../../src/infra/memory/memory-server.ts';
import { natsBus } from '../../src/infra/nats/bus.ts';
import { connect, type Nats } from '../../src/infra/nats/connection.ts';
import { natsJournal } from '../../src/infra/nats/journal.ts';
import { natsMailbox } from '../../src/infra/nats/mailbox.ts';
import { natsPredictionLog } from '../../src/infra/nats/prediction-log.ts';
import { provision } from '../../src/infra/nats/provision.ts';
import { natsStateStore } from '../../src/infra/nats/state-store.ts';
import { systemClock } from '../../src/infra/process/system-clock.ts';
import { startTestNats, type TestNats } from '../support/nats.ts';

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
  /** A stranger's publish: no header, no acknowledgement; resolves when the server has it. */
  barePublish(subjects: readonly string[], body: string): Promise<void>;
  /** Log subjects on which this backend met something that is no record. */
  readonly foreign: string[];
  close(): Promise<void>;
}

export interface NatsBackend extends Backend {
  readonly server: TestNats;
  readonly natsA: Nats;
  readonly natsB: Nats;
}

export const PARTITIONS = 16;

export function memoryBackend(): Backend {
  const server = new MemoryServer({ clock: systemClock, partitions: PARTITIONS });
  // Nothing else keeps the process alive while a time-out of the clock is waited for.
  const alive = setInterval(() => {}, 60_000);
  const foreign: string[] = [];
  const client = (): Client => ({
    mailbox: server.mailbox(),
    log: server.predictionLog((subject: string) => foreign.push(subject)),
    journal: server.journal(),
    bus: server.bus(),
    bucket: async name => server.stateStore(name),
  });
  return {
    a: client(),
    b: client(),
    foreign,
    barePublish: async (subjects, body) => {
      for (const subject of subjects) server.publish(subject, Buffer.from(body));
    },
    close: async () => clearInterval(alive),
  };
}

export async function natsBackend(): Promise<NatsBackend> {
  const server = await startTestNats();
  const natsA = await connect(server.url, { name: 'contract a' });
  const natsB = await connect(server.url, { name: 'contract b' });
  const { partitions } = await provision(natsA, {
    replicas: 1,
    partitions: PARTITIONS,
    logBytes: null,
    signal: new AbortController().signal,
  });
  const foreign: string[] = [];
  const client = (nats: Nats): Client => ({
    mailbox: natsMailbox(nats, partitions),
    log: natsPredictionLog(nats, subject => foreign.push(subject)),
    journal: natsJournal(nats),
    bus: natsBus(nats),
    bucket: async name => {
      await new Kvm(nats.js).create(name, { history: 1, allow_direct: false });
      return natsStateStore(nats, name);
    },
  });
  return {
    server,
    natsA,
    natsB,
    a: client(natsA),
    b: client(natsB),
    foreign,
    barePublish: (subjects, body) => bareTcpPublish(server.url, subjects, body),
    close: async () => {
      await natsA.close();
      await natsB.close();
      await server.stop();
    },
  };
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

/** Reads on in the background. */
export function collect<T>(read: (signal: AbortSignal) => AsyncIterable<T>): { items: T[]; stop(): Promise<void> } {
  const items: T[] = [];
  const reading = new AbortController();
  const done = (async () => {
    for await (const item of read(reading.signal)) items.push(item);
  })();
  // `stop` tells of a failure; a test that failed before must not be hidden by it.
  done.catch(() => false);
  return {
    items,
    stop: async () => {
      reading.abort();
      await done;
    },
  };
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
