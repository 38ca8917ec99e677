/** Nodes of one cluster as a user's processes, each with a DATA folder of its own, over a nats-server of the test's. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { NodeView } from '../../src/domain/node.ts';
import type { ScenarioView } from '../../src/domain/scenario.ts';
import { root } from '../../src/infra/process/assets.ts';
import { entry } from '../../src/infra/process/entry.ts';
import { startChild } from './child.ts';
import { waitUntil } from './wait-until.ts';

export interface ClusterNode {
  readonly id: string;
  readonly data: string;
  /** Of its HTTP API; empty without the role api. */
  readonly url: string;
  readonly pid: number;
  /** What it wrote to stderr. */
  readonly log: () => string;
  readonly exited: Promise<number | null>;
  signal(name: NodeJS.Signals): void;
}

/** Times of supervision for tests: everything that a user waits seconds for takes tenths of them. */
export const QUICK = {
  TROUPE_HEARTBEAT_MS: '100',
  TROUPE_LEASE_MS: '100',
  TROUPE_MISSES: '10',
  TROUPE_PLACEMENT_RETRY_MS: '500',
  TROUPE_WORKERS: '1',
};

export class TestCluster implements AsyncDisposable {
  readonly natsUrl: string;
  readonly folder = mkdtempSync(path.join(tmpdir(), 'troupe-cluster-'));
  readonly nodes = new Map<string, ClusterNode>();
  readonly #ended = new Set<Promise<unknown>>();

  constructor(natsUrl: string) {
    this.natsUrl = natsUrl;
  }

  /** Starts a node, or starts it again over the same DATA. Resolves when it is ready. @throws with its log when it is not */
  async start(
    id: string,
    roles: string,
    args: readonly string[] = [],
    env: Record<string, string> = {},
  ): Promise<ClusterNode> {
    const data = path.join(this.folder, id);
    const own = roles.includes('api') ? ['--port', '0'] : [];
    const all = ['up', '--nats', this.natsUrl, '--node', id, '--roles', roles, '--data', data, ...own, ...args];
    const child = startChild(process.execPath, [entry(), ...all], { cwd: root, env: { ...QUICK, ...env } });
    this.#ended.add(child.exited);
    await waitUntil(
      `node ${id} is ready`,
      () => {
        if (child.stdout().includes('troupe ready')) return true;
        if (child.code() !== undefined) throw new Error(`node ${id} ended: ${child.stderr()}`);
        return false;
      },
      60_000,
    );
    const [, , url = ''] = child.stdout().split(/\s+/);
    const node = {
      id,
      data,
      url: url.startsWith('http') ? url : '',
      pid: child.pid,
      log: child.stderr,
      exited: child.exited,
      signal: child.signal,
    };
    this.nodes.set(id, node);
    return node;
  }

  async call<T>(node: ClusterNode, method: string, at: string, body?: unknown): Promise<T> {
    const answer = await fetch(node.url + at, {
      method,
      ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${at}: ${answer.status} ${text}`);
    return (answer.headers.get('content-type')?.includes('application/json') ? JSON.parse(text) : text) as T;
  }

  create(node: ClusterNode, id: string, more: Record<string, unknown> = {}): Promise<ScenarioView> {
    const request = { id, source: { uri: 'test_videos/test_video.mp4' }, model: 'shapes', ...more };
    return this.call(node, 'POST', '/api/v1/scenarios', request);
  }

  get(node: ClusterNode, id: string): Promise<ScenarioView> {
    return this.call(node, 'GET', `/api/v1/scenarios/${id}`);
  }

  async completed(node: ClusterNode, id: string): Promise<ScenarioView> {
    let view = await this.get(node, id);
    await waitUntil(
      `${id} has ended`,
      async () => {
        view = await this.call(node, 'GET', `/api/v1/scenarios/${id}?wait=5`);
        return view.state === 'inactive';
      },
      120_000,
    );
    if (view.outcome !== 'completed') throw new Error(`${id}: ${JSON.stringify(view)}`);
    return view;
  }

  export(node: ClusterNode, id: string): Promise<string> {
    return this.call(node, 'GET', `/api/v1/scenarios/${id}/export`);
  }

  async views(by: ClusterNode): Promise<Map<string, NodeView>> {
    const { items } = await this.call<{ items: NodeView[] }>(by, 'GET', '/api/v1/nodes');
    return new Map(items.map(view => [view.id, view]));
  }

  /** Waits until the scenario has committed `frames` more than it has now, and runs. */
  async midway(node: ClusterNode, id: string, frames = 1): Promise<ScenarioView> {
    let view = await this.get(node, id);
    const before = view.progress.framesDone;
    await waitUntil(
      `${id} makes way`,
      async () => {
        view = await this.get(node, id);
        // Active: its supervisor knows of the first batch, too.
        const knows = view.state === 'active' && view.runners[0]?.state === 'running';
        return knows && view.progress.framesDone >= before + frames;
      },
      60_000,
    );
    return view;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.nodes.values()) {
      node.signal('SIGCONT');
      node.signal('SIGKILL');
    }
    await Promise.all(this.#ended);
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 20 });
  }
}
