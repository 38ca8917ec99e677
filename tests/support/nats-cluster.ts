/**
 * Three real nats-servers as one JetStream cluster, for one test file, with stores of their own that go with it.
 *
 * Its six ports are chosen by us, since each server's configuration names the others' routes, and lie below the ports that
 * systems give to whoever asks for any: a server that was killed finds its port free when it starts again.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect } from '../../src/infra/nats/connection.ts';
import { isFree } from '../../src/infra/nats/embedded-server.ts';
import { type ServerProcess, startServerProcess } from '../../src/infra/nats/server-process.ts';
import { natsServerBinary } from './nats.ts';
import { waitUntil } from './wait-until.ts';

export const SERVERS = [0, 1, 2] as const;
export type ServerIndex = (typeof SERVERS)[number];

export interface TestCluster {
  /** All servers, with commas between. */
  readonly url: string;
  readonly urls: readonly string[];
  /** Ends a server with SIGKILL; `start` brings it back with its port and store. */
  kill(server: ServerIndex): Promise<void>;
  /** Resolves when the server accepts connections; it may still be catching up (`settled`). */
  start(server: ServerIndex): Promise<void>;
  /** SIGSTOP and SIGCONT: the server is as silent as on a machine that hangs. */
  freeze(server: ServerIndex): void;
  thaw(server: ServerIndex): void;
  /** The server that leads a stream, as any server knows it, or one of `askable`; waits until one does. */
  leaderOf(stream: string, askable?: readonly ServerIndex[]): Promise<ServerIndex>;
  /** Waits until a stream has a leader and every copy of it is up to date. */
  settled(stream: string): Promise<void>;
  /** Waits until JetStream itself has a leader. */
  ready(): Promise<void>;
  /** Ends the servers and removes their stores. */
  stop(): Promise<void>;
}

interface Ports {
  readonly client: number;
  readonly route: number;
}

const HOST = '127.0.0.1';
/** Linux gives ports from 32768 on to whoever asks for any, macOS from 49152 on. */
const [FIRST_PORT, LAST_PORT] = [10_000, 32_000];
const TRIES = 10;

/** The way from a server to another one's route port, which it may replace by a way of its own. */
export type Route = (from: ServerIndex, to: ServerIndex, url: string) => Promise<string>;

/** @param running the servers that are started at once; the others come with `start` */
export async function startNatsCluster(running: readonly ServerIndex[] = SERVERS, route?: Route): Promise<TestCluster> {
  for (let tries = 1; ; tries++) {
    const cluster = await newCluster(route);
    try {
      // All of them, lest one start when the others were already ended.
      const starts = await Promise.allSettled(running.map(server => cluster.start(server)));
      for (const start of starts) if (start.status === 'rejected') throw start.reason;
      if (running.length > 1) await cluster.ready();
      return cluster;
    } catch (error) {
      await cluster.stop();
      const portTaken = error instanceof Error && error.message.includes('address already in use');
      if (!portTaken || tries === TRIES) throw error;
    }
  }
}

async function newCluster(route: Route = async (_from, _to, url) => url): Promise<TestCluster> {
  const folder = mkdtempSync(path.join(tmpdir(), 'troupe-cluster-'));
  const ports = await choosePorts();
  // Not its own: a server that meets itself on a loopback address counts one server more, and waits for a third to elect.
  const routes = await Promise.all(
    SERVERS.map(from =>
      Promise.all(
        SERVERS.filter(to => to !== from).map(to => route(from, to, `nats://${HOST}:${ports[to]?.route ?? 0}`)),
      ),
    ),
  );
  const processes = new Map<ServerIndex, ServerProcess>();
  const urls = ports.map(({ client }) => `nats://${HOST}:${client}`);
  const url = urls.join(',');

  const processOf = (server: ServerIndex): ServerProcess => {
    const found = processes.get(server);
    if (found === undefined) throw new Error(`server ${server} does not run`);
    return found;
  };
  const kill = async (server: ServerIndex): Promise<void> => {
    const { pid, exited } = processOf(server);
    processes.delete(server);
    process.kill(pid, 'SIGKILL');
    await exited;
  };
  /** Asks JetStream until it says yes, through a connection of its own. */
  const asked = async <T>(
    sentence: string,
    ask: (nats: Awaited<ReturnType<typeof connect>>) => Promise<T | null>,
    askable = SERVERS as readonly ServerIndex[],
  ) => {
    await using nats = await connect(askable.map(server => urls[server]).join(','), { name: 'cluster' });
    const answers: T[] = [];
    await waitUntil(
      sentence,
      async () => {
        const answer = await ask(nats).catch(() => null);
        if (answer !== null) answers.push(answer);
        return answer !== null;
      },
      60_000,
    );
    const [answer] = answers;
    if (answer === undefined) throw new Error(`not true: ${sentence}`);
    return answer;
  };

  return {
    url,
    urls,
    kill,
    async start(server) {
      const home = path.join(folder, nameOf(server));
      mkdirSync(home, { recursive: true });
      const [configFile, logFile, portsFolder] = ['nats-server.conf', 'nats.log', 'ports'].map(name =>
        path.join(home, name),
      ) as [string, string, string];
      writeFileSync(configFile, configuration(server, ports, routes[server] ?? [], { home, logFile, portsFolder }));
      rmSync(logFile, { force: true });
      const { signal } = new AbortController();
      processes.set(
        server,
        await startServerProcess({
          binary: natsServerBinary(),
          configFile,
          portsFolder,
          logFile,
          lastSignal: 'KILL',
          signal,
        }),
      );
    },
    freeze: server => void process.kill(processOf(server).pid, 'SIGSTOP'),
    thaw: server => void process.kill(processOf(server).pid, 'SIGCONT'),
    leaderOf: (stream, askable) =>
      asked(
        `${stream} has a leader`,
        async nats => {
          const { cluster } = await nats.jsm.streams.info(stream);
          return SERVERS.find(server => nameOf(server) === cluster?.leader) ?? null;
        },
        askable,
      ),
    async settled(stream) {
      await asked(`every copy of ${stream} is up to date`, async nats => {
        const { cluster } = await nats.jsm.streams.info(stream);
        return cluster?.replicas?.length === 2 && cluster.replicas.every(replica => replica.current) ? true : null;
      });
    },
    async ready() {
      await asked('JetStream has a leader', async nats => (await nats.jsm.getAccountInfo(), true));
    },
    async stop() {
      await Promise.all([...processes.keys()].map(kill));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const nameOf = (server: number): string => `n${server}`;

async function choosePorts(): Promise<Ports[]> {
  const chosen = new Set<number>();
  while (chosen.size < 2 * SERVERS.length) {
    const port = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT));
    if (await isFree(port)) chosen.add(port);
  }
  const all = [...chosen];
  return SERVERS.map(server => ({ client: all[server] ?? 0, route: all[SERVERS.length + server] ?? 0 }));
}

function configuration(
  server: ServerIndex,
  ports: readonly Ports[],
  routes: readonly string[],
  files: { readonly home: string; readonly logFile: string; readonly portsFolder: string },
): string {
  return `server_name: "${nameOf(server)}"
host: "${HOST}"
port: ${ports[server]?.client}
ports_file_dir: ${JSON.stringify(files.portsFolder)}
logfile: ${JSON.stringify(files.logFile)}
cluster {
  name: "troupe-test"
  host: "${HOST}"
  port: ${ports[server]?.route}
  routes: ${JSON.stringify(routes)}
  # Nothing listens there: who hears of another server goes no way but the routes that it was given.
  advertise: "${HOST}:1"
  # Clients stay with the addresses that they were given: a proxy may be one of them.
  no_advertise: true
}
jetstream {
  store_dir: ${JSON.stringify(path.join(files.home, 'store'))}
  sync_interval: "2m"
}
`;
}
