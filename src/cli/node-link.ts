/**
 * A job's way to a node: one that runs, or one that it brings along.
 *
 * N1 A node that the user named must answer; a node of DATA that answers is used; else one is embedded in this process.
 * N2 A node that stops answering is waited for, looked for again and, when it was DATA's and is gone, replaced by an
 *    embedded one: its scenarios go on there.
 * N3 Closing ends the embedded node and no other.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { TroupeError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import { clientConfig, type Flags, type NodeConfig, nodeConfig } from '../infra/config.ts';
import { type RunningNode, startNode } from '../system.ts';
import { Client } from './client.ts';

const RETRY_MS = 200;

export class NodeLink implements AsyncDisposable {
  readonly #find: () => Promise<Client>;
  readonly #log: (line: string) => void;
  #client: Client | null = null;
  #embedded: RunningNode | null = null;
  /** Why the embedded node ended. */
  #ended: string | null = null;

  /**
   * @param folders what an embedded node may read besides its roots
   * @throws TroupeError when there is no node and none can be started
   */
  static async open(flags: Flags, folders: readonly string[], log: (line: string) => void): Promise<NodeLink> {
    const link = new NodeLink(() => link.#attach(flags, folders), log);
    link.#client = await link.#find();
    return link;
  }

  /** To a node that is embedded in any case. */
  static async embed(config: NodeConfig, log: (line: string) => void): Promise<NodeLink> {
    const link = new NodeLink(() => link.#start(config), log);
    link.#client = await link.#find();
    return link;
  }

  private constructor(find: () => Promise<Client>, log: (line: string) => void) {
    this.#find = find;
    this.#log = log;
  }

  get embedded(): boolean {
    return this.#embedded !== null;
  }

  get url(): string {
    return this.#client?.url ?? '';
  }

  /** N2: calls until the node has an answer, or has had none for too long. @throws the signal's reason */
  async call<T>(use: (client: Client) => Promise<T>, signal?: AbortSignal): Promise<T> {
    for (const start = performance.now(); ; ) {
      try {
        this.#client ??= await this.#find();
        return await use(this.#client);
      } catch (error) {
        const lost = error instanceof TroupeError && error.retryable;
        if (!lost || performance.now() - start > LIMITS.clientPatienceMs) throw error;
        if (this.#ended !== null) {
          const toDo = "Give the same command again, with the scenario's --id.";
          throw new TroupeError('unavailable', `the embedded node ended: ${this.#ended}. ${toDo}`);
        }
        if (!this.embedded && !(await this.#client?.answers())) this.#client = null;
        await delay(RETRY_MS, undefined, { signal }).catch(() => signal?.throwIfAborted());
      }
    }
  }

  /** N3 */
  async [Symbol.asyncDispose](): Promise<void> {
    const node = this.#embedded;
    this.#embedded = null;
    await node?.stop();
  }

  /** N1 */
  async #attach(flags: Flags, folders: readonly string[]): Promise<Client> {
    const running = await runningNode(flags);
    if (running !== null) return running;
    const config = nodeConfig({ ...flags, port: flags.port ?? '0', roles: 'api,orchestrator,runner' });
    try {
      return await this.#start({ ...config, roots: [...config.roots, ...folders] });
    } catch (error) {
      // Another command may have started one on the same DATA in the meantime.
      const other = await runningNode(flags);
      if (other === null) throw error;
      return other;
    }
  }

  async #start(config: NodeConfig): Promise<Client> {
    const node = await startNode(config, this.#log);
    this.#embedded = node;
    void node.stopped.then(({ reason }) => {
      this.#ended = reason;
    });
    return new Client({ url: node.url, token: config.token });
  }
}

/** @throws TroupeError unavailable: the node that the user named does not answer */
async function runningNode(flags: Flags): Promise<Client | null> {
  const { from, ...config } = clientConfig(flags);
  const client = new Client(config);
  if (from === 'default') return null;
  if (await client.answers()) return client;
  if (from === 'endpoint') return null;
  throw new TroupeError(
    'unavailable',
    `no node answers at ${client.url}; start one with 'troupe up', or name another with --url`,
    {
      retryable: true,
    },
  );
}
