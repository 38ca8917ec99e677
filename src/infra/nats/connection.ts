/**
 * One connection to NATS: it reconnects for ever, and tells a request that was not sent from one that may have arrived.
 *
 * NC1 While disconnected nothing is buffered to be sent later: a request waits for the connection, or is known not to have been sent.
 * NC2 A request that was under way when the connection broke ends at once, as lost, instead of at its time-out.
 * NC3 Answers come to inboxes of the user whom the URL names, `_INBOX_<user>.…`: a server that confines each user to its own
 *     (nats.conf) lets nobody read another's answers. Without such a name, as with a `.creds` file, they are `_INBOX.…`.
 * NC4 After a reconnect (and after `guard`) nothing is asked before the store is known to be the one of before: of an older copy that was put back
 *    meanwhile, this process would know what is not in it. Core messages pass meanwhile: a heartbeat knows nothing.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { type JetStreamClient, type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import {
  createInbox,
  credsAuthenticator,
  connect as dial,
  type NatsConnection,
  type Status,
} from '@nats-io/transport-node';
import { TroupeError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';

const RECOGNISE_AGAIN_MS = 250;

export interface NatsOptions {
  /** Shown by the server's own tools. */
  readonly name: string;
  readonly token?: string;
  /** A `.creds` file. */
  readonly credsFile?: string;
}

/** The request did not leave this process. */
export class NotSent extends Error {
  override readonly name = 'NotSent';
}

/** The connection broke while the request was under way: it may have arrived. */
export class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost';
}

export class Nats implements AsyncDisposable {
  readonly connection: NatsConnection;
  readonly js: JetStreamClient;
  readonly jsm: JetStreamManager;
  readonly #inboxPrefix: string;
  readonly #listeners = new Set<(status: Status) => void>();
  readonly #underWay = new Set<(reason: Error) => void>();
  readonly #waiting = new Set<PromiseWithResolvers<void>>();
  #connected = true;
  #linked = true;
  #breaks = 0;
  #recognise: () => Promise<boolean> = () => Promise.resolve(true);

  constructor(connection: NatsConnection, jsm: JetStreamManager, inboxPrefix: string) {
    this.connection = connection;
    this.jsm = jsm;
    this.#inboxPrefix = inboxPrefix;
    this.js = jetstream(connection, { timeout: LIMITS.natsRequestMs });
    void this.#follow();
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** There is a connection, recognised or not. */
  get linked(): boolean {
    return this.#linked;
  }

  get closed(): boolean {
    return this.connection.isClosed();
  }

  /** NC3: a subject that is nobody else's, nor are those below it. */
  newInbox(): string {
    return createInbox(this.#inboxPrefix);
  }

  /** @returns a function that ends the listening */
  onStatus(listener: (status: Status) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * NC1, NC2: runs one request.
   * @throws NotSent | ConnectionLost | what the request throws
   */
  async request<T>(send: () => Promise<T>): Promise<T> {
    if (!this.#connected) await this.#online();
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#underWay.add(reject);
    send().then(resolve, reject);
    try {
      return await promise;
    } finally {
      this.#underWay.delete(reject);
    }
  }

  /**
   * NC4, from now on.
   * @param recognise whether the store is the one that this process knows. Asks past `request`; is asked again while it throws;
   *   a no closes the connection
   */
  guard(recognise: () => Promise<boolean>): void {
    this.#recognise = recognise;
    if (!this.#connected) return; // it will be asked
    this.#connected = false;
    void this.#open();
  }

  /** Sends what is buffered, then closes. Idempotent. */
  async close(): Promise<void> {
    if (this.closed) return;
    const drain = async (): Promise<boolean> => {
      await this.connection.drain();
      return true;
    };
    // It may break while it drains.
    const drained = this.#connected && (await drain().catch(() => false));
    if (!drained) await this.connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #online(): Promise<void> {
    if (this.closed) throw new NotSent('the connection to NATS is closed');
    const waiting = Promise.withResolvers<void>();
    const timer = setTimeout(() => waiting.reject(new NotSent('not connected to NATS')), LIMITS.natsRequestMs);
    this.#waiting.add(waiting);
    try {
      await waiting.promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(waiting);
    }
  }

  async #follow(): Promise<void> {
    for await (const status of this.connection.status()) {
      if (status.type === 'disconnect') this.#broken(new ConnectionLost('the connection to NATS broke'));
      if (status.type === 'reconnect') void this.#open();
      for (const listener of this.#listeners) listener(status);
    }
    this.#broken(new ConnectionLost('the connection to NATS was closed'));
    for (const waiting of this.#waiting) waiting.reject(new NotSent('the connection to NATS is closed'));
  }

  #broken(reason: ConnectionLost): void {
    this.#connected = false;
    this.#linked = false;
    this.#breaks += 1;
    for (const reject of this.#underWay) reject(reason);
  }

  /** NC4 */
  async #open(): Promise<void> {
    const breaks = this.#breaks;
    this.#linked = true;
    for (;;) {
      const isKnown = await this.#recognise().catch(() => null);
      if (breaks !== this.#breaks) return;
      if (isKnown === false) return this.connection.close();
      if (isKnown) break;
      await delay(RECOGNISE_AGAIN_MS);
    }
    this.#connected = true;
    for (const waiting of this.#waiting) waiting.resolve();
  }
}

/**
 * @param url `nats://[user:password@]host:port`, several with commas between; the first one's user is that of all
 * @throws TroupeError unavailable
 */
export async function connect(url: string, options: NatsOptions): Promise<Nats> {
  try {
    const servers = serversOf(url);
    const username = decodeURIComponent(servers[0]?.username ?? '');
    const inboxPrefix = /^[A-Za-z0-9_-]+$/.test(username) ? `_INBOX_${username}` : '_INBOX'; // NC3
    const connection = await dial({
      servers: servers.map(server => server.host),
      name: options.name,
      inboxPrefix,
      ...(username === '' ? {} : { user: username, pass: decodeURIComponent(servers[0]?.password ?? '') }),
      ...(options.token === undefined ? {} : { token: options.token }),
      ...(options.credsFile === undefined
        ? {}
        : { authenticator: credsAuthenticator(readFileSync(options.credsFile)) }),
      timeout: LIMITS.natsRequestMs,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 100,
      reconnectJitter: 100,
      // A silent partition is noticed after about three of these.
      pingInterval: LIMITS.natsPingMs,
    });
    const jsm = await jetstreamManager(connection, { checkAPI: false, timeout: LIMITS.natsRequestMs });
    return new Nats(connection, jsm, inboxPrefix);
  } catch (cause) {
    const why = withoutPassword(cause instanceof Error ? cause.message : String(cause));
    const advice = /authorization|authentication/i.test(why)
      ? 'Give the user and password in the URL, or --creds.'
      : 'Is a nats-server up there? Without --nats Troupe starts its own.';
    throw new TroupeError('unavailable', `No connection to NATS at ${withoutPassword(url)}: ${why}. ${advice}`, {
      cause,
      retryable: true,
    });
  }
}

/** As in NATS' own tools, a server after the first may lack the scheme. */
const serversOf = (url: string): URL[] =>
  url.split(',').map(server => new URL(server.includes('://') ? server : `nats://${server}`));

/** The address as it may be shown; rather too little of one that is malformed than a part of its password. */
export const withoutPassword = (url: string): string => url.replaceAll(/(?<=\/\/|,(?!\w+:\/\/))[^@]*@/g, '');
