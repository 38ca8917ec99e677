/** The `troupe` command as a user's process, in a folder and with a DATA of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { entry } from '../../src/infra/process/entry.ts';
import { waitUntil } from './wait-until.ts';

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  stdout(): string;
  /** To the whole process group, as a terminal sends Ctrl-C. */
  signal(name: NodeJS.Signals): void;
}

export class Workplace implements Disposable {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'troupe-cli-'));
  readonly data = path.join(this.folder, 'data');
  readonly #started: ChildProcess[] = [];

  start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
    const { PATH, HOME, TROUPE_FFMPEG, TROUPE_NATS_SERVER } = process.env;
    const child = spawn(process.execPath, [entry(), ...args], {
      cwd: this.folder,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH, HOME, TROUPE_FFMPEG, TROUPE_NATS_SERVER, TROUPE_DATA: this.data, ...env },
    });
    this.#started.push(child);
    const text = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name]?.setEncoding('utf8').on('data', (chunk: string) => {
        text[name] += chunk;
      });
    }
    return {
      child,
      ended: new Promise(resolve => child.on('close', code => resolve({ code, ...text }))),
      stdout: () => text.stdout,
      signal: name => process.kill(-(child.pid ?? 0), name),
    };
  }

  run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
    return this.start(args, env).ended;
  }

  read(name: string): string {
    return readFileSync(path.join(this.folder, name), 'utf8');
  }

  /** The API of the node that serves this DATA. */
  async api(pathname: string): Promise<unknown> {
    const { url } = JSON.parse(readFileSync(path.join(this.data, 'endpoint.json'), 'utf8')) as { url: string };
    return (await fetch(`${url}${pathname}`)).json();
  }

  /** Waits until the scenario has committed results but not all of them. */
  async midway(id: string): Promise<void> {
    await waitUntil(`${id} has results`, async () => {
      const known = await this.api(`/api/v1/scenarios/${id}`).catch(() => null);
      return ((known as { progress?: { framesDone: number } } | null)?.progress?.framesDone ?? 0) > 0;
    });
  }

  [Symbol.dispose](): void {
    for (const child of this.#started) if (child.exitCode === null) child.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 20 });
  }
}
