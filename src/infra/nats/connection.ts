/**
 * One connection to NATS: it reconnects for ever, and tells a request that was not sent from one that may have arrived.
 *
 * NC1 While disconnected nothing is buffered to be sent later: a request waits for the connection, or is known not to have been sent.
 * NC2 A request that was under way when the connection broke ends at once, as lost, instead of at its time-out.
 */
import { readFileSync } from 'node:fs';
import { type JetStreamClient, type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { credsAuthenticator, connect as dial, type NatsConnection, type Status } from '@nats-io/transport-node';
import { TroupeError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';

export interface NatsOptions {
  /** Shown by the server's own tools. */
  readonly name: string;
  readonly token?: string;
  /** A `.creds` file. */
  readonly credsFile?: string;
  /** Prefix of reply inboxes, when the user is confined to one. */
  readonly inboxPrefix?: string;
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
  readonly #listeners = new Set<(status: Status) => void>();
  readonly #underWay = new Set<(reason: Error) => void>();
  readonly #waiting = new Set<PromiseWithResolvers<void>>();
  #connected = true;

  constructor(connection: NatsConnection, jsm: JetStreamManager) {
    this.connection = connection;
    this.jsm = jsm;
    this.js = jetstream(connection, { timeout: LIMITS.natsRequestMs });
    void this.#follow();
  }

  get connected(): boolean {
    return this.#connected;
  }

  get closed(): boolean {
    return this.connection.isClosed();
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

  /** Sends what is buffered, then closes. Idempotent. */
  async close(): Promise<void> {
    if (this.closed) return;
    if (this.#connected) await this.connection.drain();
    else await this.connection.close();
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
      if (status.type === 'reconnect') this.#restored();
      for (const listener of this.#listeners) listener(status);
    }
    this.#broken(new ConnectionLost('the connection to NATS was closed'));
    for (const waiting of this.#waiting) waiting.reject(new NotSent('the connection to NATS is closed'));
  }

  #broken(reason: ConnectionLost): void {
    this.#connected = false;
    for (const reject of this.#underWay) reject(reason);
  }

  #restored(): void {
    this.#connected = true;
    for (const waiting of this.#waiting) waiting.resolve();
  }
}

/**
 * @param url `nats://[user:password@]host:port`, several with commas between
 * @throws TroupeError unavailable
 */
export async function connect(url: string, options: NatsOptions): Promise<Nats> {
  const servers = url.split(',');
  try {
    const { username, password } = new URL(servers[0] ?? '');
    const connection = await dial({
      servers: servers.map(server => new URL(server).host),
      name: options.name,
      ...(username === '' ? {} : { user: decodeURIComponent(username), pass: decodeURIComponent(password) }),
      ...(options.token === undefined ? {} : { token: options.token }),
      ...(options.credsFile === undefined
        ? {}
        : { authenticator: credsAuthenticator(readFileSync(options.credsFile)) }),
      ...(options.inboxPrefix === undefined ? {} : { inboxPrefix: options.inboxPrefix }),
      timeout: LIMITS.natsRequestMs,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 100,
      reconnectJitter: 100,
      // A silent partition is noticed after about three of these.
      pingInterval: LIMITS.natsPingMs,
    });
    const jsm = await jetstreamManager(connection, { checkAPI: false, timeout: LIMITS.natsRequestMs });
    return new Nats(connection, jsm);
  } catch (cause) {
    throw new TroupeError('unavailable', `No connection to NATS at ${withoutPassword(servers)}.`, {
      cause,
      retryable: true,
    });
  }
}

const withoutPassword = (servers: readonly string[]): string =>
  servers.map(server => server.replace(/\/\/[^@]*@/, '//')).join(', ');
