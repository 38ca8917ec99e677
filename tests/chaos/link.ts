/**
 * The way between one node and NATS, or from one server to another, as a small TCP proxy: a wire that can be cut, and links that look
 * alive and are not.
 *
 * LK1 `cut` ends every connection and accepts none. `hold` carries nothing and loses nothing: what was sent arrives late, as over
 *     a network that comes back. `swallow` loses what is sent either way, `mute` what the node sends, `deaf` what it would
 *     receive, while both ends see an open connection. `slow` delays everything.
 * LK2 A connection that lost bytes is ended when its link is restored: no stream goes on with a hole in it.
 * LK3 Whose connection it is its client says itself, in NATS' CONNECT: a node and each of its runners have links of their own.
 */
import { createServer, connect as dial, type Server, type Socket } from 'node:net';

export const LINK_MODES = ['cut', 'hold', 'swallow', 'mute', 'deaf', 'slow'] as const;
export type LinkMode = (typeof LINK_MODES)[number];

const HOST = '127.0.0.1';
const SLOW_MS = 150;
const HELD_MS = 10;
/** CONNECT is some 300 bytes; who has said more without it is no client of NATS. */
const MOST_UNSAID = 64 * 1024;

interface Late {
  readonly bytes: Buffer;
  readonly dueMs: number;
}

interface Pair {
  readonly client: Socket;
  server: Socket | null;
  readonly port: number;
  /** Of its client; null before CONNECT was read. */
  name: string | null;
  said: string;
  /** LK2 */
  holed: boolean;
  /** On their way, by which mode would lose them: what the client said, what it is told. */
  readonly late: { readonly mute: Late[]; readonly deaf: Late[] };
}

export class Link implements AsyncDisposable {
  readonly url: string;
  readonly #listeners: readonly Server[];
  readonly #pairs = new Set<Pair>();
  /** By name of a client; '' is everybody's. */
  readonly #modes = new Map<string, LinkMode>();

  private constructor(listeners: readonly Server[], url: string) {
    this.#listeners = listeners;
    this.url = url;
  }

  /** @param servers `nats://host:port`, with commas between; the link has a port for each */
  static async open(servers: string): Promise<Link> {
    const ports = servers.split(',').map(server => Number(new URL(server).port));
    const accept: ((socket: Socket, port: number) => void)[] = [];
    const listeners = await Promise.all(
      ports.map(async port => {
        const listener = createServer({ allowHalfOpen: true }, socket => accept[0]?.(socket, port));
        await new Promise<void>(resolve => listener.listen(0, HOST, resolve));
        return listener;
      }),
    );
    const urls = listeners.map(listener => {
      const address = listener.address();
      return `nats://${HOST}:${address === null || typeof address === 'string' ? 0 : address.port}`;
    });
    const link = new Link(listeners, urls.join(','));
    accept.push((socket, port) => link.#accept(socket, port));
    return link;
  }

  /** @param name of the one client that it concerns (LK3); without it, everybody's */
  set(mode: LinkMode, name = ''): void {
    this.#modes.set(name, mode);
    for (const pair of this.#pairs) this.#apply(pair);
  }

  /** Everything works again (LK2). */
  restore(name?: string): void {
    const before = new Map([...this.#pairs].map(pair => [pair, this.#modeOf(pair)]));
    if (name === undefined) this.#modes.clear();
    else this.#modes.delete(name);
    for (const [pair, mode] of before) {
      if (pair.holed && this.#modeOf(pair) !== mode) this.#end(pair);
      else this.#apply(pair);
    }
  }

  /** Names of the clients that are connected now. */
  get clients(): string[] {
    return [...this.#pairs].flatMap(({ name }) => name ?? []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pair of this.#pairs) this.#end(pair);
    await Promise.all(this.#listeners.map(listener => new Promise(resolve => listener.close(resolve))));
  }

  #modeOf({ name }: Pair): LinkMode | null {
    return (name === null ? undefined : this.#modes.get(name)) ?? this.#modes.get('') ?? null;
  }

  #accept(client: Socket, port: number): void {
    const pair: Pair = { client, server: null, port, name: null, said: '', holed: false, late: { mute: [], deaf: [] } };
    this.#pairs.add(pair);
    client.setNoDelay(true);
    const end = (): void => this.#end(pair);
    client.on('error', end).on('close', end).on('end', end);
    this.#apply(pair);
  }

  #apply(pair: Pair): void {
    const mode = this.#modeOf(pair);
    if (mode === 'cut') return this.#end(pair);
    if (mode === 'hold') {
      pair.client.pause();
      pair.server?.pause();
      return;
    }
    if (pair.server === null && mode !== 'swallow') this.#dial(pair);
    pair.client.resume();
    pair.server?.resume();
  }

  #dial(pair: Pair): void {
    const server = dial(pair.port, HOST);
    pair.server = server;
    server.setNoDelay(true);
    const end = (): void => this.#end(pair);
    server.on('error', end).on('close', end).on('end', end);
    server.on('data', bytes => this.#pass(pair, bytes, 'deaf', server, pair.client));
    pair.client.on('data', bytes => {
      if (pair.name === null) this.#listen(pair, bytes);
      this.#pass(pair, bytes, 'mute', pair.client, server);
    });
  }

  /** LK1 */
  #pass(pair: Pair, bytes: Buffer, losing: 'mute' | 'deaf', from: Socket, to: Socket): void {
    const mode = this.#modeOf(pair);
    if (mode === 'swallow' || mode === losing) {
      pair.holed = true;
      return;
    }
    const late = pair.late[losing];
    late.push({ bytes, dueMs: performance.now() + (mode === 'slow' ? SLOW_MS : 0) });
    if (late.length === 1) this.#send(pair, late, from, to);
  }

  /** In the order they came, those that came over a slow link when their time has come. */
  #send(pair: Pair, late: Late[], from: Socket, to: Socket): void {
    for (let next = late[0]; next !== undefined; next = late[0]) {
      const waitMs = next.dueMs - performance.now();
      if (waitMs > 0 || this.#modeOf(pair) === 'hold') {
        setTimeout(() => this.#send(pair, late, from, to), Math.max(waitMs, HELD_MS));
        return;
      }
      late.shift();
      if (to.destroyed) return;
      if (to.write(next.bytes)) continue;
      from.pause();
      to.once('drain', () => this.#modeOf(pair) !== 'hold' && from.resume());
    }
  }

  /** LK3 */
  #listen(pair: Pair, bytes: Buffer): void {
    pair.said += bytes.toString('latin1');
    const named = /CONNECT \{[^\r]*"name":"([^"]*)"[^\r]*\r\n/.exec(pair.said)?.[1];
    if (named === undefined && pair.said.length < MOST_UNSAID) return;
    pair.name = named ?? '';
    pair.said = '';
    if (this.#modes.size > 0) this.#apply(pair);
  }

  #end(pair: Pair): void {
    if (!this.#pairs.delete(pair)) return;
    pair.client.destroy();
    pair.server?.destroy();
  }
}
