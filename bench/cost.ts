/**
 * What many scenarios cost beside their inference: memory, CPU at rest, starts, and taking over from an owner that died.
 *
 * Real are nats-server (fsync before every acknowledgement), orchestrators, scenario supervisors, ownership, node agent,
 * projector and HTTP API; simulated are the runners, which live in a process of their own, the decoder and the model. Node,
 * nats-server, runners and this driver share the machine, so that throughput and CPU bound each other.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { toJson } from '../src/domain/json.ts';
import { LIMITS } from '../src/domain/limits.ts';
import { HEADERS, partitionOf, STREAMS, SUBJECTS } from '../src/domain/subjects.ts';
import { LIVENESS, type NodeConfig, programs } from '../src/infra/config.ts';
import { natsBus } from '../src/infra/nats/bus.ts';
import { connect, type Nats } from '../src/infra/nats/connection.ts';
import { startEmbeddedNats } from '../src/infra/nats/embedded-server.ts';
import { findNatsServer } from '../src/infra/nats/nats-binary.ts';
import type { Order, Word } from './cost-process.ts';

export const cost = {
  summary: 'memory, CPU at rest, starts and takeover by number of scenarios, with simulated runners',
  usage: '[--scenarios 100,1000,10000] [--rest SECONDS]',
  run,
};

/** Commands that this driver has under way. */
const CALLERS = 32;
const MIB = 2 ** 20;
/** A lease is dead after this: part of every takeover. */
const DEAD_MS = LIVENESS.misses * LIVENESS.leaseMs;
const SAMPLES_PER_PARTITION = 4;

async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      scenarios: { type: 'string', default: '100,1000,10000' },
      rest: { type: 'string', default: '20' },
    },
  });
  const restMs = Number(values.rest) * 1000;
  const rows: Row[] = [];
  for (const count of values.scenarios.split(',').map(Number)) {
    const one = await onOneNode(count, restMs);
    const row = { count, ...one, takeover: await takeover(count) };
    rows.push(row);
    console.error(JSON.stringify(row));
  }
  print(rows);
}

interface Memory {
  readonly rss: number;
  readonly heap: number;
}

/** Shares of one core. */
interface Cpu {
  readonly node: number;
  readonly nats: number;
  readonly runners: number;
}

interface OneNode {
  readonly empty: Memory;
  readonly inactive: Memory;
  readonly active: Memory;
  readonly restInactive: Cpu;
  readonly restActive: Cpu;
  readonly createMs: number;
  readonly startMs: number;
  /** Of the starts: CPU time of node and nats-server, messages stored, bytes that nats-server wrote to disk. */
  readonly startCpuMs: { readonly node: number; readonly nats: number };
  readonly messages: number;
  readonly bytes: number;
  readonly pageMs: number;
  readonly restarts: number;
}

interface Row extends OneNode {
  readonly count: number;
  readonly takeover: Takeover;
}

interface Takeover {
  /** From the kill to the first and to the last answer. */
  readonly firstMs: number;
  readonly lastMs: number;
}

async function onOneNode(count: number, restMs: number): Promise<OneNode> {
  await using place = await Place.open();
  const node = await place.node({ node: 'n1', slots: count + 8 });
  const runnersPid = (): number => childrenOf(node.pid).find(pid => commandOf(pid).includes('cost-process')) ?? 0;
  const rest = async (): Promise<Cpu> => {
    await delay(2_000); // what was under way ends
    const pids = { node: node.pid, nats: place.natsPid, runners: runnersPid() };
    const used = (): number[] => Object.values(pids).map(pid => (pid === 0 ? 0 : cpuMs(pid)));
    const before = used();
    const began = performance.now();
    await delay(restMs);
    const [own = 0, nats = 0, runners = 0] = used().map(
      (ms, i) => (ms - (before[i] ?? 0)) / (performance.now() - began),
    );
    return { node: own, nats, runners };
  };
  const ids = Array.from({ length: count }, (_, i) => `camera-${String(i).padStart(5, '0')}`);
  const empty = await node.memory();
  const createMs = await timed(() => eachOf(ids, id => node.post('', { id, start: false, ...REQUEST })));
  const restInactive = await rest();
  const inactive = await node.memory();
  const before = { node: cpuMs(node.pid), nats: cpuMs(place.natsPid), bytes: writtenBy(place.natsPid) };
  const stored = await place.stored();
  const startMs = await timed(async () => {
    const active = place.allActive(count);
    await eachOf(ids, id => node.post(`/${id}/start`, {}));
    await active;
  });
  const startCpuMs = { node: cpuMs(node.pid) - before.node, nats: cpuMs(place.natsPid) - before.nats };
  const messages = (await place.stored()) - stored;
  const bytes = writtenBy(place.natsPid) - before.bytes;
  const restActive = await rest();
  const active = await node.memory();
  const pageMs = (await timed(() => eachOf(PAGES, () => node.page(), 1))) / PAGES.length;
  return {
    empty,
    inactive,
    active,
    restInactive,
    restActive,
    createMs,
    startMs,
    startCpuMs,
    messages,
    bytes,
    pageMs,
    restarts: await place.restarts(),
  };
}

/** Two nodes with orchestrators, a third with the runners; the first of them owns everything, and is killed. */
async function takeover(count: number): Promise<Takeover> {
  await using place = await Place.open();
  await place.node({ node: 'runners', roles: ['runner'], slots: count + 8 });
  const first = await place.node({ node: 'first', roles: ['api', 'orchestrator'] });
  const ids = Array.from({ length: count }, (_, i) => `camera-${String(i).padStart(5, '0')}`);
  const active = place.allActive(count);
  await eachOf(ids, id => first.post('', { id, ...REQUEST }));
  await active;
  await place.node({ node: 'second', roles: ['api', 'orchestrator'] });
  await delay(3_000);
  const byPartition = Map.groupBy(ids, id => partitionOf('scenario', id, LIMITS.partitions));
  const asked = [...byPartition.values()].flatMap(of => of.slice(0, SAMPLES_PER_PARTITION));
  first.child.kill('SIGKILL');
  const killed = performance.now();
  const answers = await place.ask(asked, 'start');
  const times = answers.map(at => at - killed).toSorted((a, b) => a - b);
  return { firstMs: times[0] ?? 0, lastMs: times.at(-1) ?? 0 };
}

/** One hundred pages of a listing, read one after the other. */
const PAGES = Array.from({ length: 100 }, (_, i) => String(i));

const REQUEST = { source: { uri: import.meta.filename }, model: 'simulated' };

/** A nats-server with what runs on it, in a folder of their own. */
class Place implements AsyncDisposable {
  readonly #closing = new AsyncDisposableStack();
  readonly #folder: string;
  readonly #nats: Nats;
  readonly natsUrl: string;
  readonly natsPid: number;

  private constructor(folder: string, nats: Nats, natsUrl: string, natsPid: number) {
    this.#folder = folder;
    this.#nats = nats;
    this.natsUrl = natsUrl;
    this.natsPid = natsPid;
  }

  static async open(): Promise<Place> {
    const folder = await mkdtemp(path.join(tmpdir(), 'troupe-cost-'));
    const binary = findNatsServer({ given: programs().natsServer, ...programs() });
    const { signal } = new AbortController();
    const server = await startEmbeddedNats({ binary, dataDir: folder, port: null, relaxedSync: false, signal });
    const nats = await connect(server.url, { name: 'cost bench' });
    const place = new Place(folder, nats, server.url, server.pid);
    place.#closing.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }));
    place.#closing.use(server);
    place.#closing.use(nats);
    return place;
  }

  async node(config: Partial<NodeConfig> & { readonly node: string }): Promise<BenchNode> {
    const child = fork(path.join(import.meta.dirname, 'cost-process.ts'), { execArgv: ['--expose-gc'] });
    this.#closing.defer(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    });
    const whole: NodeConfig = {
      host: '127.0.0.1',
      port: 0,
      data: path.join(this.#folder, config.node),
      nats: { url: this.natsUrl, credsFile: null },
      roles: ['api', 'orchestrator', 'runner'],
      slots: 8,
      workers: 1,
      roots: [import.meta.dirname],
      placement: 'least_loaded',
      decoder: 'auto',
      sandbox: 'none', // its runners are simulated
      token: null,
      relaxedSync: false,
      replicas: null,
      spares: 0,
      liveness: LIVENESS,
      programs: programs(),
      ...config,
    };
    child.send({ kind: 'node', config: whole } satisfies Order);
    const ready = await wordOf(child, 'ready');
    return new BenchNode(child, ready.url);
  }

  /** Resolves when as many scenarios as that have become active, as their public events tell. */
  allActive(count: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    let left = count;
    const heard = natsBus(this.#nats).subscribe(SUBJECTS.event('scenario', '*', 'state'), ({ body }) => {
      if (!Buffer.from(body).includes('"to":"active"')) return;
      left -= 1;
      if (left > 0) return;
      heard.close();
      resolve();
    });
    return promise;
  }

  /** Sends each a command. @returns when each answered */
  async ask(ids: readonly string[], verb: string): Promise<number[]> {
    const bus = natsBus(this.#nats);
    return Promise.all(
      ids.map(
        id =>
          new Promise<number>(resolve => {
            const inbox = this.#nats.newInbox();
            const heard = bus.subscribe(inbox, () => {
              heard.close();
              resolve(performance.now());
            });
            bus.publish(SUBJECTS.message('cmd', 'scenario', id, verb), toJson({}), { [HEADERS.reply]: inbox });
          }),
      ),
    );
  }

  /** Messages ever stored, in all streams. */
  async stored(): Promise<number> {
    let sum = 0;
    for await (const { state } of this.#nats.jsm.streams.list()) sum += state.last_seq;
    return sum;
  }

  /** Runners that were replaced: there is no reason for one. */
  async restarts(): Promise<number> {
    const options = { subjects_filter: SUBJECTS.event('scenario', '*', 'restart') };
    const { state } = await this.#nats.jsm.streams.info(STREAMS.event, options);
    return Object.values(state.subjects ?? {}).reduce((sum, times) => sum + times, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#closing.disposeAsync();
  }
}

class BenchNode {
  readonly child: ChildProcess;
  readonly #url: string;

  constructor(child: ChildProcess, url: string) {
    this.child = child;
    this.#url = url;
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error('the node has no process');
    return this.child.pid;
  }

  async memory(): Promise<Memory> {
    this.child.send({ kind: 'memory' } satisfies Order);
    const { rss, heap } = await wordOf(this.child, 'memory');
    return { rss: rss / MIB, heap: heap / MIB };
  }

  /** A page of those that are active. */
  async page(): Promise<void> {
    const answer = await fetch(`${this.#url}/api/v1/scenarios?state=active&limit=50`);
    if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
    await answer.arrayBuffer();
  }

  /** Again while the node is too busy to answer in time. */
  async post(at: string, body: object): Promise<void> {
    for (;;) {
      const answer = await fetch(`${this.#url}/api/v1/scenarios${at}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      const text = await answer.text();
      if (answer.ok || answer.status === 409) return;
      if (answer.status !== 503 && answer.status !== 429) throw new Error(`${answer.status}: ${text}`);
    }
  }
}

async function wordOf<K extends Word['kind']>(child: ChildProcess, kind: K): Promise<Extract<Word, { kind: K }>> {
  for (;;) {
    const ended = once(child, 'exit').then(([code]) => {
      throw new Error(`a process of the bench exited with ${String(code)}`);
    });
    const [word] = (await Promise.race([once(child, 'message'), ended])) as [Word];
    if (word.kind === kind) return word as Extract<Word, { kind: K }>;
  }
}

async function eachOf(ids: readonly string[], act: (id: string) => Promise<void>, callers = CALLERS): Promise<void> {
  const left = ids.values();
  await Promise.all(
    Array.from({ length: callers }, async () => {
      for (const id of left) await act(id);
    }),
  );
}

async function timed(act: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await act();
  return performance.now() - began;
}

/** CPU time of a process so far, its children left out (proc(5): fields 14 and 15, ticks of 10 ms). */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** What a process has written to its disk so far, in bytes. */
const writtenBy = (pid: number): number =>
  Number(/^write_bytes: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'latin1'))?.[1] ?? Number.NaN);

const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).map(Number);

const commandOf = (pid: number): string => readFileSync(`/proc/${pid}/cmdline`, 'latin1');

function print(rows: readonly Row[]): void {
  const line = (name: string, cell: (row: Row) => string): void =>
    console.log(`| ${[name, ...rows.map(cell)].join(' | ')} |`);
  const both = ({ rss, heap }: Memory): string => `${rss.toFixed(0)} / ${heap.toFixed(1)}`;
  const kib = (of: keyof Memory, phase: 'inactive' | 'active') => (row: Row) =>
    (((row[phase][of] - row.empty[of]) * 1024) / row.count).toFixed(1);
  const percent = (cpu: Cpu): string =>
    [cpu.node, cpu.nats, cpu.runners].map(share => (100 * share).toFixed(1)).join(' / ');
  console.log(`${availableParallelism()} cores shared by node, nats-server, simulated runners and driver\n`);
  line('scenarios', row => row.count.toLocaleString('en'));
  console.log(`|${' --- |'.repeat(rows.length + 1)}`);
  line('memory of the empty node, RSS / heap, MiB', row => both(row.empty));
  line('… with all inactive', row => both(row.inactive));
  line('… with all active', row => both(row.active));
  line('heap per inactive scenario, KiB', kib('heap', 'inactive'));
  line('heap per active scenario, KiB', kib('heap', 'active'));
  line('RSS per active scenario, KiB', kib('rss', 'active'));
  line('CPU at rest, all inactive, % of a core: node / nats / runners', row => percent(row.restInactive));
  line('CPU at rest, all active and beating', row => percent(row.restActive));
  line('creations per second', row => ((row.count * 1000) / row.createMs).toFixed(0));
  line('starts per second, command to `active`', row => ((row.count * 1000) / row.startMs).toFixed(0));
  line('CPU per start, node / nats, ms', row =>
    [row.startCpuMs.node, row.startCpuMs.nats].map(ms => (ms / row.count).toFixed(2)).join(' / '),
  );
  line('stored per start: messages / KiB on disk', row =>
    [(row.messages / row.count).toFixed(1), (row.bytes / 1024 / row.count).toFixed(1)].join(' / '),
  );
  line('a page of 50 of the listing, ms', row => row.pageMs.toFixed(1));
  line('takeover, kill to last answer, s', row => (row.takeover.lastMs / 1000).toFixed(1));
  line(`… beyond the lease's death (${DEAD_MS / 1000} s), s`, row =>
    ((row.takeover.lastMs - DEAD_MS) / 1000).toFixed(1),
  );
  line('runners replaced', row => String(row.restarts));
}
