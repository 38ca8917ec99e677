/** The API on a port of its own, over a fake cluster and a real projection. */
import { randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import type { FastifyInstance } from 'fastify';
import * as assert from 'uvu/assert';
import type { Journal } from '../../src/actors/ports/journal.ts';
import type { ProjectionStore } from '../../src/actors/ports/projection.ts';
import { type ApiDeps, buildApi } from '../../src/api/api.ts';
import type { ProblemDocument } from '../../src/api/problem.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { MemoryServer } from '../../src/infra/memory/memory-server.ts';
import { openProjection } from '../../src/infra/sqlite/projection-store.ts';
import { temporaryFolder } from '../projection/temporary-folder.ts';
import { FakeCluster, scenarioView } from './fake-cluster.ts';

export const REQUEST = { source: { uri: 'a.mp4' }, model: 'shapes' };

export const clock: ApiDeps['clock'] = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  timer: (delayMs, fire) => {
    const timer = setTimeout(fire, delayMs).unref();
    return { cancel: () => clearTimeout(timer) };
  },
  sleep: () => Promise.reject(new Error('the API does not sleep')),
};
const random: ApiDeps['random'] = {
  float: () => Math.random(),
  token: n => randomBytes(n).toString('hex').slice(0, n),
};

export interface ServedApi extends AsyncDisposable {
  readonly app: FastifyInstance;
  readonly cluster: FakeCluster;
  readonly projection: ProjectionStore;
  readonly journal: Journal;
  readonly port: number;
  readonly url: string;
  readonly defects: unknown[];
  /** What the telemetry heard, as `GET /route 200`. */
  readonly answered: readonly string[];
  fetch(path: string, init?: RequestInit): Promise<Response>;
  send(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Response>;
  /** A scenario that exists already. */
  have(id: string): void;
}

export async function serveApi(
  options: Partial<ApiDeps['options']> = {},
  parts: Partial<Pick<ApiDeps, 'events' | 'clock'>> = {},
): Promise<ServedApi> {
  const folder = temporaryFolder();
  const cluster = new FakeCluster();
  const projection = openProjection(path.join(folder.path, 'p.db'));
  const defects: unknown[] = [];
  const journal = new MemoryServer({ clock, partitions: LIMITS.partitions }).journal();
  const answered: string[] = [];
  const app = await buildApi({
    gateway: cluster,
    cluster,
    events: cluster,
    projection,
    journal,
    metrics: { contentType: 'text/plain; charset=utf-8', text: async scope => `# of the ${scope}\n` },
    telemetry: { answered: (route, method, status) => void answered.push(`${method} ${route} ${status}`) },
    clock,
    random,
    ...parts,
    options: { host: '127.0.0.1', token: null, version: '0.1.0', onDefect: error => defects.push(error), ...options },
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const request = (at: string, init?: RequestInit): Promise<Response> => fetch(url + at, init);
  return {
    app,
    cluster,
    projection,
    journal,
    port,
    url,
    defects,
    answered,
    fetch: request,
    send: (method, at, body, headers = {}) =>
      request(at, {
        method,
        headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      }),
    have: id => {
      cluster.put(scenarioView(id, REQUEST));
    },
    [Symbol.asyncDispose]: async () => {
      await app.close();
      projection.close();
      folder[Symbol.dispose]();
    },
  };
}

/** Asserts that the answer is a whole problem document with this code, and returns it. */
export async function problemOf(response: Response, status: number, code: string): Promise<ProblemDocument> {
  const text = await response.text();
  assert.is(`${response.status} ${response.headers.get('content-type')}`, `${status} application/problem+json`, text);
  const problem = JSON.parse(text) as ProblemDocument;
  assert.is(problem.code, code, text);
  assert.is(problem.status, status);
  assert.is(problem.type, `urn:troupe:problem:${code}`);
  assert.ok(problem.title.length > 0 && problem.detail.length > 0);
  assert.ok(problem.requestId.length > 0);
  assert.is(problem.requestId, response.headers.get('x-request-id'));
  if (status === 503 || status === 429) assert.match(String(response.headers.get('retry-after')), /^\d+$/);
  return problem;
}
