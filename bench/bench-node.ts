/** A node in a process of its own, as a user starts it, with a DATA of its own that goes with it. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { ScenarioView } from '../src/domain/scenario.ts';
import type { TreeNode } from '../src/domain/tree.ts';
import { asset } from '../src/infra/process/assets.ts';

export interface BenchNode extends AsyncDisposable {
  readonly url: string;
  readonly natsUrl: string;
  readonly pid: number;
  readonly natsPid: number;
  tree(): Promise<TreeNode>;
  /** @throws when it is refused */
  create(body: object): Promise<ScenarioView>;
  /** @param wait seconds */
  get(id: string, wait?: number): Promise<ScenarioView>;
  /** Waits until it is inactive. */
  ended(id: string): Promise<ScenarioView>;
}

export interface BenchNodeOptions {
  readonly roots: readonly string[];
  /** Further options of `troupe up`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export async function startBenchNode({ roots, args = [], env = {} }: BenchNodeOptions): Promise<BenchNode> {
  const data = await mkdtemp(path.join(tmpdir(), 'troupe-bench-'));
  const up = ['up', '--port', '0', '--data', data, ...roots.flatMap(root => ['--root', root]), ...args];
  const child = spawn(process.execPath, [asset('src', 'main.ts'), ...up], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const [, url, natsUrl] = /^troupe ready (\S+) (\S+)/.exec(line) ?? [];
    if (url === undefined || natsUrl === undefined) continue;
    const call = async (at: string, init: RequestInit = {}): Promise<unknown> => {
      const answer = await fetch(`${url}/api/v1${at}`, init);
      const body: unknown = await answer.json();
      if (!answer.ok) throw new Error(JSON.stringify(body));
      return body;
    };
    const tree = (): Promise<TreeNode> => call('/tree') as Promise<TreeNode>;
    const get = (id: string, wait = 0): Promise<ScenarioView> =>
      call(`/scenarios/${id}?wait=${wait}`) as Promise<ScenarioView>;
    const natsPid = (await tree()).children[0]?.children.find(c => c.kind === 'nats-server')?.pid;
    if (child.pid === undefined || typeof natsPid !== 'number') throw new Error('the node does not show its processes');
    return {
      url,
      natsUrl,
      pid: child.pid,
      natsPid,
      tree,
      get,
      create: body =>
        call('/scenarios', {
          method: 'POST',
          body: JSON.stringify(body),
          headers: { 'content-type': 'application/json' },
        }) as Promise<ScenarioView>,
      ended: async id => {
        for (;;) {
          const scenario = await get(id, 60);
          if (scenario.state === 'inactive') return scenario;
        }
      },
      [Symbol.asyncDispose]: async () => {
        const gone = new Promise(resolve => child.once('exit', resolve));
        if (child.exitCode === null && child.kill('SIGTERM')) await gone;
        await rm(data, { recursive: true, force: true });
      },
    };
  }
  throw new Error('the node did not start');
}
