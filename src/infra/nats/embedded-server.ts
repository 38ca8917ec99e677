/**
 * A nats-server of our own: a child on 127.0.0.1 with its store under DATA/nats.
 *
 * ES1 It never outlives us: a shell between us holds the reading end of a pipe that only we write, and ends the server at
 *     its end of file, which comes however we die; if the shell dies first, the kernel ends the server (setpriv).
 * ES2 Two servers never have one store: the server inherits a locked descriptor, so the lock lasts exactly as long as it.
 * ES3 It keeps its port across restarts, so that clients reconnect to where they were connected.
 * ES4 When the promise resolves, the server accepts connections and its streams are recovered.
 *
 * It does not restart the server: a supervisor does, by calling `startEmbeddedNats` again.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { TroupeError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import { childEnvironment } from '../config.ts';
import { lockFile } from './data-lock.ts';
import { checkNatsServer } from './nats-binary.ts';

export interface EmbeddedNatsOptions {
  readonly binary: string;
  readonly dataDir: string;
  /** null: the port of the last time if it is free, otherwise any. */
  readonly port: number | null;
  /** true: acknowledge before the disk has it (a power loss may take the last two minutes). */
  readonly relaxedSync: boolean;
  readonly signal: AbortSignal;
}

export interface EmbeddedNats extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Of the server itself. */
  readonly pid: number;
  /** Resolves once, when the server is gone. `code` is 128 + n when signal n killed it. */
  readonly exited: Promise<{ readonly code: number }>;
  /** SIGTERM, and SIGKILL if that is not enough. Idempotent. */
  stop(): Promise<void>;
}

/**
 * ES1. Descriptor 3 is the pipe, moved away from stdin because a shell gives /dev/null to what it runs in the background;
 * 4 is the store's lock, which only the server keeps (ES2).
 */
const WATCHDOG = `
exec 3<&0 </dev/null
if command -v setpriv >/dev/null 2>&1; then setpriv --pdeathsig TERM -- "$@" 3<&- & else "$@" 3<&- & fi
server=$!
{ cat <&3 >/dev/null; kill $server; } 2>/dev/null 4<&- &
watch=$!
exec 3<&- 4<&-
wait $server
code=$?
kill $watch 2>/dev/null
exit $code`;

const POLL_MS = 5;
const HOST = '127.0.0.1';

/** @throws TroupeError unavailable; the signal's reason when it is aborted before the server is ready */
export async function startEmbeddedNats(options: EmbeddedNatsOptions): Promise<EmbeddedNats> {
  await checkNatsServer(options.binary);
  const folder = path.join(options.dataDir, 'nats');
  const portsFolder = path.join(folder, 'ports');
  const portFile = path.join(folder, 'port');
  // ES2: a server whose parent was just killed may need a moment to end.
  using lock = await lockFile(folder, 'lock', LIMITS.natsStopMs, options.signal);
  rmSync(portsFolder, { recursive: true, force: true });
  mkdirSync(portsFolder);
  const wanted = options.port ?? (await keptPort(portFile));
  const configFile = path.join(folder, 'nats-server.conf');
  writeFileSync(configFile, configuration(folder, portsFolder, wanted, options.relaxedSync), { mode: 0o600 });

  // A group of its own: Ctrl-C in a terminal must reach us, not the server that we need to drain.
  const child = spawn('/bin/sh', ['-c', WATCHDOG, 'troupe-nats-watchdog', options.binary, '-c', configFile], {
    stdio: ['pipe', 'ignore', 'ignore', 'ignore', lock.fd],
    detached: true,
    env: childEnvironment(),
  });
  const exited = exitOf(child);
  child.stdin?.on('error', () => child.stdin?.destroy());
  try {
    const { port, pid } = await ready(child, portsFolder, options.signal);
    writeFileSync(portFile, `${port}\n`);
    return embedded(child, exited, port, pid);
  } catch (error) {
    child.stdin?.destroy();
    await exited;
    const said = logTail(path.join(folder, 'nats.log'));
    if (options.signal.aborted) throw options.signal.reason;
    throw new TroupeError('unavailable', `nats-server did not start${said}`, { cause: error, retryable: true });
  }
}

function embedded(child: ChildProcess, exited: EmbeddedNats['exited'], port: number, pid: number): EmbeddedNats {
  const stop = async (): Promise<void> => {
    child.stdin?.destroy();
    const patience = new AbortController();
    const late = delay(LIMITS.natsStopMs, 'late' as const, { signal: patience.signal }).catch(() => 'early' as const);
    if ((await Promise.race([exited, late])) === 'late' && child.exitCode === null) process.kill(pid, 'SIGKILL');
    patience.abort();
    await exited;
  };
  return { url: `nats://${HOST}:${port}`, port, pid, exited, stop, [Symbol.asyncDispose]: stop };
}

function exitOf(child: ChildProcess): EmbeddedNats['exited'] {
  const { promise, resolve } = Promise.withResolvers<{ readonly code: number }>();
  child.once('exit', code => resolve({ code: code ?? 128 + 9 }));
  child.once('error', () => resolve({ code: 127 }));
  return promise;
}

/** ES4: the server writes its ports file when it accepts connections, which is after JetStream's recovery. */
async function ready(child: ChildProcess, portsFolder: string, signal: AbortSignal) {
  const giveUp = AbortSignal.any([signal, AbortSignal.timeout(LIMITS.natsReadyMs)]);
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`it exited with ${child.exitCode}`);
    const found = readPorts(portsFolder);
    if (found !== null) return found;
    await delay(POLL_MS, undefined, { signal: giveUp });
  }
}

/** The port and pid of `nats-server_<pid>.ports`; null while it is missing or half written. */
function readPorts(folder: string): { port: number; pid: number } | null {
  for (const name of readdirSync(folder)) {
    const pid = /_(\d+)\.ports$/.exec(name)?.[1];
    const port = /nats:\/\/[^"]*:(\d+)"\s*\]/.exec(readFileSync(path.join(folder, name), 'utf8'))?.[1];
    if (pid !== undefined && port !== undefined) return { pid: Number(pid), port: Number(port) };
  }
  return null;
}

/** ES3: the port of the last time unless somebody else has it now; −1 lets the server choose. */
async function keptPort(portFile: string): Promise<number> {
  const kept = existsSync(portFile) ? Number(readFileSync(portFile, 'utf8')) : 0;
  return kept > 0 && (await isFree(kept)) ? kept : -1;
}

function isFree(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const probe = createServer();
  probe.once('error', () => resolve(false));
  probe.listen(port, HOST, () => probe.close(() => resolve(true)));
  return promise;
}

/** No monitoring port: what it would tell is told by Troupe's own API, behind its token. */
function configuration(folder: string, portsFolder: string, port: number, relaxedSync: boolean): string {
  return `# Written by Troupe at every start; changes are lost.
host: "${HOST}"
port: ${port}
server_name: "troupe-embedded"
max_payload: ${LIMITS.payloadBytes}
ports_file_dir: ${JSON.stringify(portsFolder)}
logfile: ${JSON.stringify(path.join(folder, 'nats.log'))}
logfile_size_limit: ${LIMITS.natsLogBytes}
logfile_max_num: 2
jetstream {
  store_dir: ${JSON.stringify(path.join(folder, 'store'))}
  sync_interval: ${relaxedSync ? '"2m"' : 'always'}
}
`;
}

function logTail(file: string): string {
  if (!existsSync(file)) return '.';
  const problems = readFileSync(file, 'utf8')
    .split('\n')
    .filter(line => /\[(ERR|FTL)\]/.test(line));
  return problems.length === 0 ? `; see ${file}.` : `: ${problems.slice(-2).join(' ')}`;
}
