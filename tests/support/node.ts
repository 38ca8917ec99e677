/** A real node in this process, with real child processes, for end-to-end tests. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { ScenarioView } from '../../src/domain/scenario.ts';
import { DEFAULT_SPARES, LIVENESS, type NodeConfig, programs } from '../../src/infra/config.ts';
import { root } from '../../src/infra/process/assets.ts';
import { type NodeParts, type RunningNode, startNode } from '../../src/system.ts';

export interface TestNode extends AsyncDisposable {
  readonly node: RunningNode;
  readonly data: string;
  /** What the node said so far. */
  readonly log: readonly string[];
  /** Answers `{status, body}`; the body parsed when it is JSON. */
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** Creates a scenario over HTTP. @throws when it is refused */
  create(body: Record<string, unknown>): Promise<ScenarioView>;
  get(id: string): Promise<ScenarioView>;
  /** Waits until it is inactive. */
  ended(id: string): Promise<ScenarioView>;
  /** The JSONL export as text. */
  export(id: string, query?: string): Promise<string>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint: tests look into answers freely
  readonly body: Record<string, never> & { readonly [key: string]: unknown };
}

/** Everything a slow machine may need; a test that waits this long has failed. */
const DEADLINE_MS = 120_000;

/**
 * @param parts in place of the real ones
 * @param log what the node says is added to it, also while it starts
 */
export async function startTestNode(
  overrides: Partial<NodeConfig> = {},
  parts: Partial<NodeParts> = {},
  log: string[] = [],
): Promise<TestNode> {
  const temporary = await mkdtemp(path.join(tmpdir(), 'troupe-node-'));
  const data = overrides.data ?? temporary;
  const node = await startNode(
    {
      host: '127.0.0.1',
      port: 0,
      data,
      nats: null,
      roles: ['api', 'orchestrator', 'runner'],
      node: 'test',
      slots: 4,
      workers: 2,
      spares: DEFAULT_SPARES,
      roots: [root, path.join(root, '..', 'shared'), tmpdir()],
      placement: 'least_loaded',
      decoder: 'auto',
      sandbox: 'auto',
      token: null,
      relaxedSync: false,
      replicas: null,
      liveness: LIVENESS,
      programs: programs(),
      ...overrides,
    },
    line => log.push(line),
    parts,
  ).catch(async (error: unknown) => {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  });
  const call: TestNode['call'] = async (method, at, body, headers = {}) => {
    const answer = await fetch(node.url + at, {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    const json = answer.headers.get('content-type')?.includes('json') === true && !text.includes('\n{');
    return { status: answer.status, headers: answer.headers, text, body: json && text !== '' ? JSON.parse(text) : {} };
  };
  const view = (answer: Answer): ScenarioView => {
    if (answer.status >= 300) throw new Error(`${answer.status}: ${answer.text}`);
    return answer.body as unknown as ScenarioView;
  };
  const get = async (id: string): Promise<ScenarioView> => view(await call('GET', `/api/v1/scenarios/${id}`));
  return {
    node,
    data,
    log,
    call,
    get,
    create: async body => view(await call('POST', '/api/v1/scenarios', body)),
    ended: async id => {
      const deadline = Date.now() + DEADLINE_MS;
      for (;;) {
        const now = view(await call('GET', `/api/v1/scenarios/${id}?wait=10`));
        if (now.state === 'inactive') return now;
        if (Date.now() > deadline) throw new Error(`${id} is still ${now.state}: ${JSON.stringify(now)}`);
      }
    },
    export: async (id, query = '') => {
      const answer = await call('GET', `/api/v1/scenarios/${id}/export${query}`);
      if (answer.status !== 200) throw new Error(`${answer.status}: ${answer.text}`);
      return answer.text;
    },
    [Symbol.asyncDispose]: async () => {
      await node.stop();
      await rm(temporary, { recursive: true, force: true });
    },
  };
}
