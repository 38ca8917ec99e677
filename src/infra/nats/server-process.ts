/**
 * One nats-server as a child process, from a configuration file that somebody else wrote.
 *
 * NP1 It never outlives us: a shell between us holds the reading end of a pipe that only we write, and ends the server at
 *     its end of file, which comes however we die; if the shell dies first, the kernel ends the server (setpriv).
 * NP2 When the promise resolves, the server accepts connections and what its store holds is recovered.
 *
 * It does not restart the server.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { TroupeError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import { childEnvironment } from '../config.ts';

export interface ServerProcessOptions {
  readonly binary: string;
  readonly configFile: string;
  /** The `ports_file_dir` of the configuration: a folder of this server's own. */
  readonly portsFolder: string;
  /** The `logfile` of the configuration. */
  readonly logFile: string;
  /** An open descriptor that the server keeps for as long as it lives. */
  readonly inherited?: number;
  /** What ends the server when we are gone (NP1). TERM lets it write what it has; KILL ends one that is stopped, too. */
  readonly lastSignal: 'TERM' | 'KILL';
  readonly signal: AbortSignal;
}

export interface ServerProcess {
  readonly port: number;
  /** Of the server itself. */
  readonly pid: number;
  /** Resolves once, when the server is gone. `code` is 128 + n when signal n killed it. */
  readonly exited: Promise<{ readonly code: number }>;
  /** NP1's last signal, and SIGKILL if that is not enough. Idempotent. */
  stop(): Promise<void>;
}

/**
 * NP1. `$0` is the last signal. Descriptor 3 is the pipe, moved away from stdin because a shell gives /dev/null to what it
 * runs in the background; 4 is what the server inherits, which nobody else keeps.
 */
const WATCHDOG = `
exec 3<&0 </dev/null
if command -v setpriv >/dev/null 2>&1; then setpriv --pdeathsig "$0" -- "$@" 3<&- & else "$@" 3<&- & fi
server=$!
{ cat <&3 >/dev/null; kill -s "$0" $server; } 2>/dev/null 4<&- &
watch=$!
exec 3<&- 4<&-
wait $server
code=$?
kill $watch 2>/dev/null
exit $code`;

const POLL_MS = 5;

/** @throws TroupeError unavailable; the signal's reason when it is aborted before the server is ready */
export async function startServerProcess(options: ServerProcessOptions): Promise<ServerProcess> {
  const { binary, configFile, portsFolder, signal } = options;
  rmSync(portsFolder, { recursive: true, force: true });
  mkdirSync(portsFolder, { recursive: true });
  // A group of its own: Ctrl-C in a terminal must reach us, not the server that we need to drain.
  const child = spawn('/bin/sh', ['-c', WATCHDOG, options.lastSignal, binary, '-c', configFile], {
    stdio: ['pipe', 'ignore', 'ignore', 'ignore', options.inherited ?? 'ignore'],
    detached: true,
    env: childEnvironment(),
  });
  const exited = exitOf(child);
  try {
    const { port, pid } = await ready(child, portsFolder, signal);
    return serverProcess(child, exited, port, pid);
  } catch (error) {
    child.stdin?.destroy();
    await exited;
    if (signal.aborted) throw signal.reason;
    throw new TroupeError('unavailable', `nats-server did not start${logTail(options.logFile)}`, {
      cause: error,
      retryable: true,
    });
  }
}

function serverProcess(child: ChildProcess, exited: ServerProcess['exited'], port: number, pid: number): ServerProcess {
  const stop = async (): Promise<void> => {
    child.stdin?.destroy();
    const patience = new AbortController();
    const late = delay(LIMITS.natsStopMs, 'late' as const, { signal: patience.signal }).catch(() => 'early' as const);
    if ((await Promise.race([exited, late])) === 'late' && child.exitCode === null) process.kill(pid, 'SIGKILL');
    patience.abort();
    await exited;
  };
  return { port, pid, exited, stop };
}

function exitOf(child: ChildProcess): ServerProcess['exited'] {
  const { promise, resolve } = Promise.withResolvers<{ readonly code: number }>();
  child.once('exit', code => resolve({ code: code ?? 128 + 9 }));
  child.once('error', () => resolve({ code: 127 }));
  return promise;
}

/** NP2: the server writes its ports file when it accepts connections, which is after JetStream's recovery. */
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
    const port = /"nats":\s*\[\s*"nats:\/\/[^"]*:(\d+)"\s*\]/.exec(readFileSync(path.join(folder, name), 'utf8'))?.[1];
    if (pid !== undefined && port !== undefined) return { pid: Number(pid), port: Number(port) };
  }
  return null;
}

function logTail(file: string): string {
  if (!existsSync(file)) return '.';
  const problems = readFileSync(file, 'utf8')
    .split('\n')
    .filter(line => /\[(ERR|FTL)\]/.test(line));
  return problems.length === 0 ? `; see ${file}.` : `: ${problems.slice(-2).join(' ')}`;
}
