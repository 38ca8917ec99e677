/**
 * A nats-server of our own: a child on 127.0.0.1 with its store under DATA/nats.
 *
 * ES1 Two servers never have one store: the server inherits a locked descriptor, so the lock lasts exactly as long as it.
 * ES2 It keeps its port across restarts, so that clients reconnect to where they were connected.
 *
 * It does not restart the server: a supervisor does, by calling `startEmbeddedNats` again.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { LIMITS } from '../../domain/limits.ts';
import { lockFile } from './data-lock.ts';
import { checkNatsServer } from './nats-binary.ts';
import { type ServerProcess, startServerProcess } from './server-process.ts';

export interface EmbeddedNatsOptions {
  readonly binary: string;
  readonly dataDir: string;
  /** null: the port of the last time if it is free, otherwise any. */
  readonly port: number | null;
  /** true: acknowledge before the disk has it (a power loss may take the last two minutes). */
  readonly relaxedSync: boolean;
  readonly signal: AbortSignal;
}

export interface EmbeddedNats extends ServerProcess, AsyncDisposable {
  readonly url: string;
}

const HOST = '127.0.0.1';

/** @throws TroupeError unavailable; the signal's reason when it is aborted before the server is ready */
export async function startEmbeddedNats(options: EmbeddedNatsOptions): Promise<EmbeddedNats> {
  await checkNatsServer(options.binary);
  const folder = path.join(options.dataDir, 'nats');
  const portsFolder = path.join(folder, 'ports');
  const portFile = path.join(folder, 'port');
  // ES1: a server whose parent was just killed may need a moment to end.
  using lock = await lockFile(folder, 'lock', LIMITS.natsStopMs, options.signal);
  const wanted = options.port ?? (await keptPort(portFile));
  const [configFile, logFile] = [path.join(folder, 'nats-server.conf'), path.join(folder, 'nats.log')];
  const configured = configuration(folder, { portsFolder, logFile }, wanted, options.relaxedSync);
  writeFileSync(configFile, configured, { mode: 0o600 });
  const { binary, signal } = options;
  const server = await startServerProcess({
    binary,
    configFile,
    portsFolder,
    logFile,
    inherited: lock.fd,
    lastSignal: 'TERM',
    signal,
  });
  writeFileSync(portFile, `${server.port}\n`);
  return { ...server, url: `nats://${HOST}:${server.port}`, [Symbol.asyncDispose]: () => server.stop() };
}

/** ES2: the port of the last time unless somebody else has it now; −1 lets the server choose. */
async function keptPort(portFile: string): Promise<number> {
  const kept = existsSync(portFile) ? Number(readFileSync(portFile, 'utf8')) : 0;
  return kept > 0 && (await isFree(kept)) ? kept : -1;
}

export function isFree(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const probe = createServer();
  probe.once('error', () => resolve(false));
  probe.listen(port, HOST, () => probe.close(() => resolve(true)));
  return promise;
}

/** No monitoring port: what it would tell is told by Troupe's own API, behind its token. */
function configuration(
  folder: string,
  { portsFolder, logFile }: { readonly portsFolder: string; readonly logFile: string },
  port: number,
  relaxedSync: boolean,
): string {
  return `# Written by Troupe at every start; changes are lost.
host: "${HOST}"
port: ${port}
server_name: "troupe-embedded"
max_payload: ${LIMITS.payloadBytes}
ports_file_dir: ${JSON.stringify(portsFolder)}
logfile: ${JSON.stringify(logFile)}
logfile_size_limit: ${LIMITS.natsLogBytes}
logfile_max_num: 2
jetstream {
  store_dir: ${JSON.stringify(path.join(folder, 'store'))}
  max_file_store: ${LIMITS.natsStoreBytes}
  sync_interval: ${relaxedSync ? '"2m"' : 'always'}
}
`;
}
