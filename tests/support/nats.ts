/** A real nats-server for one test file, as the product starts it, with a store of its own that goes with it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type EmbeddedNats, startEmbeddedNats } from '../../src/infra/nats/embedded-server.ts';
import { findNatsServer } from '../../src/infra/nats/nats-binary.ts';
import { startServerProcess } from '../../src/infra/nats/server-process.ts';
import { asset } from '../../src/infra/process/assets.ts';

export interface TestNats {
  readonly url: string;
  readonly dataDir: string;
  /** Of the server that runs now. */
  pid(): number;
  /** Ends the server with SIGKILL and starts it again on the same port and store. */
  restart(): Promise<void>;
  /** Ends the server with SIGKILL; `start` brings it back. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Ends the server and removes its store. */
  stop(): Promise<void>;
}

export const natsServerBinary = (): string =>
  findNatsServer({
    given: process.env['TROUPE_NATS_SERVER'],
    searchPath: process.env['PATH'],
    own: asset('.troupe', 'bin'),
  });

export async function startTestNats(): Promise<TestNats> {
  const dataDir = mkdtempSync(path.join(tmpdir(), 'troupe-nats-'));
  const start = (port: number | null): Promise<EmbeddedNats> =>
    startEmbeddedNats({
      binary: natsServerBinary(),
      dataDir,
      port,
      relaxedSync: true,
      signal: new AbortController().signal,
    });
  let server = await start(null);
  const { port, url } = server;
  const kill = async (): Promise<void> => {
    process.kill(server.pid, 'SIGKILL');
    await server.exited;
  };
  const again = async (): Promise<void> => {
    server = await start(port);
  };
  return {
    url,
    dataDir,
    pid: () => server.pid,
    kill,
    start: again,
    restart: async () => {
      await kill();
      await again();
    },
    stop: async () => {
      await server.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** A real nats-server with settings of its own, as somebody else runs one. */
export async function startForeignNats(
  settings: (store: string) => string,
): Promise<{ readonly url: string } & AsyncDisposable> {
  const dir = mkdtempSync(path.join(tmpdir(), 'troupe-nats-'));
  const [configFile, portsFolder, logFile] = ['conf', 'ports', 'log'].map(name => path.join(dir, name)) as [
    string,
    string,
    string,
  ];
  const own = `host: "127.0.0.1"\nport: -1\nports_file_dir: "${portsFolder}"\nlogfile: "${logFile}"\n`;
  writeFileSync(configFile, own + settings(path.join(dir, 'store')));
  const { signal } = new AbortController();
  const binary = natsServerBinary();
  const server = await startServerProcess({ binary, configFile, portsFolder, logFile, lastSignal: 'KILL', signal });
  return {
    url: `nats://127.0.0.1:${server.port}`,
    [Symbol.asyncDispose]: async () => {
      await server.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
