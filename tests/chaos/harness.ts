/**
 * A cluster of real processes that may be done anything to: nats-servers, nodes of every role, their runners and decoders, real
 * video and models. It starts and ends them, strikes whom it is told to, and keeps everything that they leave behind.
 *
 * CH1 It knows of the cluster only what NATS holds, over a connection of its own that no strike touches: the committed
 *     scenarios, the claims of partitions, the log and the facts.
 * CH2 Every process of the cluster is known, however deep: the nodes' TMPDIR is handed down to all that they start.
 * CH3 A node that ends while it starts is started again, as a service manager would. One that had served and ends by itself is a
 *     finding.
 * CH4 When something was committed is told by the commit itself, which holds the facts of it that are still to be stated. The state
 *     bucket keeps the last record of each scenario alone: where a commit was replaced before it was read, the next one that
 *     holds the fact tells, and where none does the fact itself, which is stated before anything is sent that follows from it.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { LogEntry } from '../../src/actors/ports/prediction-log.ts';
import { decodeRecord } from '../../src/actors/runtime/record-codec.ts';
import { fromJson } from '../../src/domain/json.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { ScenarioDoc } from '../../src/domain/scenario-doc.ts';
import { BUCKETS, kvKey, kvStream, kvSubject, partitionOf, STREAMS } from '../../src/domain/subjects.ts';
import { connect, type Nats } from '../../src/infra/nats/connection.ts';
import { natsJournal } from '../../src/infra/nats/journal.ts';
import { readOrdered } from '../../src/infra/nats/ordered-read.ts';
import { natsPredictionLog } from '../../src/infra/nats/prediction-log.ts';
import { provision } from '../../src/infra/nats/provision.ts';
import { natsStateStore } from '../../src/infra/nats/state-store.ts';
import { deliveredAt } from '../../src/infra/nats/stored-message.ts';
import { root } from '../../src/infra/process/assets.ts';
import { entry } from '../../src/infra/process/entry.ts';
import { type Child, startChild } from '../support/child.ts';
import { QUICK } from '../support/cluster.ts';
import { startTestNats } from '../support/nats.ts';
import { SERVERS, type ServerIndex, startNatsCluster } from '../support/nats-cluster.ts';
import { isRunning } from '../support/processes.ts';
import type { SmallDisk } from '../support/small-disk.ts';
import { waitUntil } from '../support/wait-until.ts';
import { Link, type LinkMode } from './link.ts';
import type { Shape } from './plan.ts';

/** Everything that a slow and crowded machine may need; whoever waits this long has found something. */
export const PATIENCE_MS = 240_000;
const ANSWER_MS = 5_000;
/** Between two looks that cost others something: a request to each API node, or a walk through /proc. */
export const LOOK_MS = 100;

/** A scenario's fact as it was stored. */
export interface Fact {
  readonly scenario: string;
  readonly type: string;
  readonly at: number;
  readonly key: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Some nats-servers from outside. */
interface Servers {
  readonly url: string;
  readonly count: number;
  kill(server: number): Promise<void>;
  start(server: number): Promise<void>;
  freeze(server: number): void;
  thaw(server: number): void;
  /** Of the prediction log, as any server knows it, or any but one. */
  leader(but?: number): Promise<number>;
  /** The links between it and the other servers. */
  routes(server: number): readonly Link[];
  stop(): Promise<void>;
}

interface Node {
  readonly id: string;
  readonly roles: string;
  /** null: it has its own nats-server. */
  readonly link: Link | null;
  child: Child | null;
  /** It is to be down until it is started again. */
  down: boolean;
  ready: boolean;
  url: string;
}

export interface MarkedProcess {
  readonly pid: number;
  readonly parent: number;
  readonly role: 'node' | 'runner' | 'decoder' | 'server' | 'other';
}

/** Who does what: every role on a node of its own and together with another. */
const NODES: readonly (readonly [string, string])[] = [
  ['a', 'api'],
  ['b', 'api,orchestrator'],
  ['o', 'orchestrator'],
  ['x', 'runner'],
  ['y', 'runner'],
];

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

export class Harness implements AsyncDisposable {
  readonly shape: Shape;
  readonly nodes: readonly Node[];
  readonly scenarios = new Map<string, ScenarioDoc>();
  readonly log: LogEntry[] = [];
  readonly facts: Fact[] = [];
  /** By key of a fact: when the commit was stored that it is of, by the server's clock (CH4). */
  readonly committedAt = new Map<string, number>();
  /** What should not have happened, as sentences. */
  readonly findings: string[] = [];
  /** null: the store's disk is not to be filled. */
  readonly disk: SmallDisk | null;
  readonly #folder: string;
  readonly #servers: Servers | null;
  readonly #say: (line: string) => void;
  readonly #env: Readonly<Record<string, string>>;
  readonly #owners = new Map<number, string>();
  readonly #over = new AbortController();
  readonly #reading: Promise<void>[] = [];
  readonly #downServers = new Set<number>();
  /** Who is stopped now, so that all are woken in the end. */
  readonly #frozen = new Set<number>();
  readonly #output = new Map<string, string>();
  #nats: Nats | null = null;

  private constructor(
    shape: Shape,
    folder: string,
    disk: SmallDisk | null,
    servers: Servers | null,
    nodes: readonly Node[],
    say: (line: string) => void,
    env: Readonly<Record<string, string>>,
  ) {
    this.shape = shape;
    this.#folder = folder;
    this.disk = disk;
    this.#servers = servers;
    this.nodes = nodes;
    this.#say = say;
    this.#env = env;
  }

  /**
   * Resolves when every node serves.
   * @param disk where DATA folders are made, and with them an embedded server's store
   * @param env settings of the nodes beside quick supervision
   */
  static async start(
    shape: Shape,
    say: (line: string) => void,
    {
      disk = null,
      env = {},
    }: { readonly disk?: SmallDisk | null; readonly env?: Readonly<Record<string, string>> } = {},
  ): Promise<Harness> {
    const folder = mkdtempSync(path.join(tmpdir(), 'troupe-chaos-'));
    const servers = shape === 'embedded' ? null : await startServers(shape);
    const named = shape === 'embedded' ? ([['all', 'api,orchestrator,runner']] as const) : NODES;
    const nodes = await Promise.all(
      named.map(async ([id, roles]): Promise<Node> => {
        const link = servers === null ? null : await Link.open(servers.url);
        return { id, roles, link, child: null, down: true, ready: false, url: '' };
      }),
    );
    const harness = new Harness(shape, folder, disk, servers, nodes, say, env);
    try {
      if (servers !== null) await harness.#observe(servers.url);
      for (const { id } of nodes) harness.start(id);
      await waitUntil('every node serves', () => harness.serving, PATIENCE_MS);
      if (servers === null) await harness.#observe(harness.#readyLine('all')[3] ?? '');
      return harness;
    } catch (error) {
      await harness[Symbol.asyncDispose]();
      throw error;
    }
  }

  // ── verbs ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A node, again over the same DATA when it has run before. */
  start(id: string): void {
    const node = this.#node(id);
    if (node.child !== null) return;
    const data = path.join(this.disk?.folder ?? this.#folder, 'data', id);
    const link = node.link === null ? [] : ['--nats', node.link.url];
    const port = node.roles.includes('api') ? ['--port', '0'] : [];
    const args = ['up', '--node', id, '--roles', node.roles, '--data', data, '--root', root, ...link, ...port];
    for (const folder of [this.#temporary, path.dirname(data)]) mkdirSync(folder, { recursive: true });
    const env = { ...QUICK, TROUPE_STALL_MS: '3000', TROUPE_SLOTS: '4', ...this.#env, TMPDIR: this.#temporary };
    const child = startChild(process.execPath, [entry(), ...args], { cwd: root, env });
    Object.assign(node, { child, down: false, ready: false, url: '' });
    void this.#follow(node, child);
  }

  /** SIGTERM. @returns the exit code */
  async stop(id: string): Promise<number | null> {
    const node = this.#node(id);
    const { child } = node;
    if (child === null) return null;
    node.down = true;
    child.signal('SIGTERM');
    return child.exited;
  }

  /** SIGKILL of processes; a node among them stays down until `start`. */
  kill(...pids: readonly number[]): void {
    for (const node of this.nodes) if (node.child !== null && pids.includes(node.child.pid)) node.down = true;
    for (const pid of pids) signal(pid, 'SIGKILL');
    for (const pid of pids) this.#frozen.delete(pid);
  }

  freeze(...pids: readonly number[]): void {
    for (const pid of pids) {
      this.#frozen.add(pid);
      signal(pid, 'SIGSTOP');
    }
  }

  thaw(...pids: readonly number[]): void {
    for (const pid of pids) {
      signal(pid, 'SIGCONT');
      this.#frozen.delete(pid);
    }
  }

  /** @param runner of its runner with this pid alone */
  cutLink(id: string, mode: LinkMode, runner?: number): void {
    this.#node(id).link?.set(mode, runner === undefined ? '' : runnerName(runner));
  }

  restore(id: string, runner?: number): void {
    this.#node(id).link?.restore(runner === undefined ? '' : runnerName(runner));
  }

  // ── servers ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Servers that run. */
  get servers(): number[] {
    return Array.from({ length: this.#servers?.count ?? 0 }, (_, i) => i).filter(i => !this.#downServers.has(i));
  }

  /** @param but whom not to ask */
  leader(but?: number): Promise<number> {
    return this.#servers?.leader(but) ?? Promise.reject(new Error('there is no cluster'));
  }

  async killServer(server: number): Promise<void> {
    this.#downServers.add(server);
    await this.#servers?.kill(server);
  }

  async startServer(server: number): Promise<void> {
    await this.#servers?.start(server);
    this.#downServers.delete(server);
  }

  freezeServer(server: number): void {
    this.#servers?.freeze(server);
  }

  /** Harmless for one that is down. */
  thawServer(server: number): void {
    if (!this.#downServers.has(server)) this.#servers?.thaw(server);
  }

  /** Its clients reach it still. */
  cutRoutes(server: number, mode: LinkMode): void {
    for (const link of this.#servers?.routes(server) ?? []) link.set(mode);
  }

  restoreRoutes(server: number): void {
    for (const link of this.#servers?.routes(server) ?? []) link.restore();
  }

  // ── what is known ───────────────────────────────────────────────────────────────────────────────────────────────

  /** CH2 */
  processes(): MarkedProcess[] {
    const mark = `TMPDIR=${this.#temporary}\0`;
    return readdirSync('/proc').flatMap(name => {
      const pid = Number(name);
      if (!Number.isInteger(pid)) return [];
      try {
        if (!`${readFileSync(`/proc/${pid}/environ`, 'latin1')}\0`.includes(mark) || !isRunning(pid)) return [];
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        const parent = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
        return [{ pid, parent, role: roleOf(words) }];
      } catch {
        return []; // it ended while we looked
      }
    });
  }

  /** The pid of a node that runs. */
  pidOf(id: string | null): number | null {
    const node = this.nodes.find(other => other.id === id);
    return node === undefined || node.down ? null : (node.child?.pid ?? null);
  }

  /** The node that owns the scenario's partition. */
  ownerOf(scenario: string): string | null {
    return this.#owners.get(partitionOf('scenario', scenario, LIMITS.partitions)) ?? null;
  }

  /** Every node that is not to be down says that it is ready. */
  get serving(): boolean {
    return this.nodes.every(node => node.down || node.ready);
  }

  output(id: string): string {
    return (this.#output.get(id) ?? '') + (this.#node(id).child?.stderr() ?? '');
  }

  // ── the outside ─────────────────────────────────────────────────────────────────────────────────────────────────

  get apis(): Node[] {
    return this.nodes.filter(({ roles, url }) => roles.includes('api') && url !== '');
  }

  /** One request to one node. @throws when it does not answer */
  async ask(
    url: string,
    method: string,
    at: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const answer = await fetch(url + at, {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    return { status: answer.status, headers: answer.headers, text: await answer.text() };
  }

  /** As a client does who has several nodes: the next one, until one has carried it out. @throws what is refused for good */
  async insist(method: string, at: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const answers: Answer[] = [];
    let tries = 0;
    await waitUntil(
      `${method} ${at} is answered`,
      async () => {
        const { apis } = this;
        const node = apis[tries++ % Math.max(1, apis.length)];
        if (node === undefined) return false;
        const answer = await this.ask(node.url, method, at, body, headers).catch(() => null);
        if (answer === null || answer.status >= 500 || answer.status === 404 || answer.status === 409) return false;
        answers.push(answer);
        return true;
      },
      PATIENCE_MS,
      LOOK_MS,
    );
    const [answer] = answers;
    if (answer === undefined || answer.status >= 300)
      throw new Error(`${method} ${at}: ${answer?.status} ${answer?.text}`);
    return answer;
  }

  /** Everything in the log as a reader finds it who comes now. */
  async readLog(): Promise<LogEntry[]> {
    const nats = this.#connection();
    const log = natsPredictionLog(nats, () => {});
    const { lastSeq } = await log.identity();
    const entries: LogEntry[] = [];
    if (lastSeq === 0) return entries;
    for await (const found of log.read(1, this.#over.signal)) {
      entries.push(found);
      if (found.seq >= lastSeq) break;
    }
    return entries;
  }

  /** Commands that were refused, and dead letters. */
  async rejected(): Promise<number> {
    const { state } = await this.#connection().jsm.streams.info(STREAMS.rejected);
    return state.messages;
  }

  /** Wakes and restores everybody, and starts who is down. */
  async heal(): Promise<void> {
    for (const server of this.servers) {
      this.thawServer(server);
      this.restoreRoutes(server);
    }
    for (const server of [...this.#downServers]) await this.startServer(server);
    this.thaw(...this.#frozen);
    for (const node of this.nodes) {
      node.link?.restore();
      if (node.down) this.start(node.id);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort(new Error('the harness ended'));
    for (const node of this.nodes) node.down = true;
    this.kill(...this.processes().map(({ pid }) => pid));
    await Promise.all(this.nodes.flatMap(node => node.child?.exited ?? []));
    await Promise.race([this.#nats?.[Symbol.asyncDispose](), delay(ANSWER_MS)]);
    await Promise.allSettled(this.#reading);
    for (const { link } of this.nodes) await link?.[Symbol.asyncDispose]();
    await this.#servers?.stop();
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 20 });
  }

  // ── inside ──────────────────────────────────────────────────────────────────────────────────────────────────────

  get #temporary(): string {
    return path.join(this.#folder, 'tmp');
  }

  #node(id: string): Node {
    const node = this.nodes.find(other => other.id === id);
    if (node === undefined) throw new Error(`there is no node ${id}`);
    return node;
  }

  #connection(): Nats {
    if (this.#nats === null) throw new Error('nothing is observed');
    return this.#nats;
  }

  #readyLine(id: string): string[] {
    return (this.#node(id).child?.stdout() ?? '').split(/\s+/);
  }

  /** CH3 */
  async #follow(node: Node, child: Child): Promise<void> {
    const ready = waitUntil(
      `node ${node.id} is ready`,
      () => {
        if (child.code() !== undefined) return true;
        if (!child.stdout().includes('troupe ready')) return false;
        const [, , url = ''] = child.stdout().split(/\s+/);
        Object.assign(node, { ready: true, url: url.startsWith('http') ? url : '' });
        return true;
      },
      2 * PATIENCE_MS,
    ).catch(() => {});
    const code = await child.exited;
    await ready;
    const served = child.stdout().includes('troupe ready');
    this.#output.set(node.id, this.output(node.id));
    Object.assign(node, { child: null, ready: false, url: '' });
    if (node.down || this.#over.signal.aborted) return;
    const said = child.stderr().trimEnd().split('\n').slice(-4).join(' | ');
    if (served) this.findings.push(`CH3 node ${node.id} ended by itself with ${code}: ${said}`);
    this.#say(`node ${node.id} ended with ${code} (${said}); it is started again`);
    await delay(300);
    if (!node.down) this.start(node.id);
  }

  /** CH1 */
  async #observe(url: string): Promise<void> {
    const nats = await connect(url, { name: 'chaos' });
    this.#nats = nats;
    const { signal: over } = this.#over;
    const replicas = this.shape === 'three' ? 3 : 1;
    await provision(nats, { replicas, partitions: LIMITS.partitions, logBytes: null, signal: over });
    const keep = (what: string, reading: () => Promise<void>): void => {
      const done = reading().catch((error: unknown) => {
        if (!over.aborted) this.findings.push(`CH1 ${what} cannot be read any more: ${String(error)}`);
      });
      this.#reading.push(done);
    };
    keep('the state', async () => {
      const filter = kvSubject(BUCKETS.state, 'scenario.>');
      const range = { stream: kvStream(BUCKETS.state), filter, fromSeq: 1 };
      for await (const message of readOrdered(nats, range, over)) {
        if (message.data.length === 0) continue; // a deletion
        const { state, outbox } = decodeRecord(message.data);
        for (const outgoing of outbox) {
          const key = outgoing.kind === 'journal' ? factKey(outgoing.body as Fact['body']) : null;
          if (key !== null && !this.committedAt.has(key)) this.committedAt.set(key, deliveredAt(message));
        }
        if (state !== null)
          this.scenarios.set(kvKey(BUCKETS.state, message.subject).slice('scenario.'.length), state as ScenarioDoc);
      }
    });
    keep('the claims', async () => {
      for await (const change of natsStateStore(nats, BUCKETS.lease).watch(over)) {
        if (change.kind !== 'entry' || !change.entry.key.startsWith('partition.')) continue;
        const { node } = fromJson(change.entry.value) as { node: string };
        this.#owners.set(Number(change.entry.key.slice('partition.'.length)), node);
      }
    });
    keep('the log', async () => {
      for await (const found of natsPredictionLog(nats, () => {}).read(1, over)) this.log.push(found);
    });
    keep('the facts', async () => {
      for await (const { subject, at, body } of natsJournal(nats).read('troupe.event.scenario.>', 1, over)) {
        const [, , , scenario = '', type = ''] = subject.split('.');
        const said = fromJson(body) as Fact['body'];
        this.facts.push({
          scenario,
          type,
          at,
          key: factKey(said),
          body: said,
        });
      }
    });
  }
}

const factKey = (body: Fact['body']): string => `${String(body['id'])} ${String(body['causationId'])}`;

export const runnerName = (pid: number): string => `troupe runner ${pid}`;

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // it has just ended
  }
}

function roleOf(words: readonly string[]): MarkedProcess['role'] {
  const [program = ''] = words;
  if (words.includes('--role')) return words.includes('runner') ? 'runner' : 'other';
  if (words.includes('up')) return 'node';
  if (path.basename(program) === 'ffmpeg') return 'decoder';
  return path.basename(program).startsWith('nats-server') ? 'server' : 'other';
}

async function startServers(shape: 'one' | 'three'): Promise<Servers> {
  if (shape === 'one') {
    const nats = await startTestNats();
    const { url, kill, start, stop } = nats;
    return {
      ...{ url, count: 1, kill, start, stop },
      freeze: () => signal(nats.pid(), 'SIGSTOP'),
      thaw: () => signal(nats.pid(), 'SIGCONT'),
      leader: async () => 0,
      routes: () => [],
    };
  }
  const links: { readonly from: number; readonly to: number; readonly link: Link }[] = [];
  const cluster = await startNatsCluster(SERVERS, async (from, to, url) => {
    const link = await Link.open(url);
    links.push({ from, to, link });
    return link.url;
  });
  const of = (server: number): ServerIndex => SERVERS[server] ?? 0;
  return {
    url: cluster.url,
    count: SERVERS.length,
    kill: server => cluster.kill(of(server)),
    start: server => cluster.start(of(server)),
    freeze: server => cluster.freeze(of(server)),
    thaw: server => cluster.thaw(of(server)),
    leader: but =>
      cluster.leaderOf(
        STREAMS.log,
        SERVERS.filter(server => server !== but),
      ),
    routes: server => links.flatMap(({ from, to, link }) => (from === server || to === server ? [link] : [])),
    stop: async () => {
      await cluster.stop();
      for (const { link } of links) await link[Symbol.asyncDispose]();
    },
  };
}
