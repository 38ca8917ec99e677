import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { problemsOf } from '../../src/domain/parse.ts';
import { serveApi } from './served-api.ts';

const test = suite('openapi');

interface Media {
  schema?: object;
  example?: unknown;
}
interface Parameter {
  in: string;
  name: string;
  schema: object;
  example?: unknown;
}
interface Operation {
  operationId?: string;
  summary?: string;
  description?: string;
  tags?: string[];
  security?: unknown;
  parameters?: Parameter[];
  requestBody?: { content: Record<string, Media> };
  responses: Record<string, { description: string; content?: Record<string, Media> }>;
}
interface Document {
  openapi: string;
  info: { title: string; version: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, object>; securitySchemes?: object };
  security?: unknown;
}

async function document(): Promise<Document> {
  await using api = await serveApi();
  const response = await api.fetch('/docs/json');
  assert.is(response.status, 200);
  return (await response.json()) as Document;
}

const operations = (doc: Document): [string, Operation][] =>
  Object.entries(doc.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]): [string, Operation] => [
      `${method.toUpperCase()} ${path}`,
      operation,
    ]),
  );

/** Every `$ref` in a document. */
function refs(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, below]) => (key === '$ref' ? [String(below)] : refs(below)));
}

test('the document is OpenAPI 3.1 and lists exactly what is served', async () => {
  const doc = await document();
  assert.match(doc.openapi, /^3\.1\.\d$/);
  assert.equal(
    operations(doc)
      .map(([name]) => name)
      .sort(),
    [
      'DELETE /api/v1/scenarios/{id}',
      'GET /api/v1/models',
      'GET /api/v1/nodes',
      'GET /api/v1/rejected',
      'GET /api/v1/scenarios',
      'GET /api/v1/scenarios/{id}',
      'GET /api/v1/scenarios/{id}/events',
      'GET /api/v1/scenarios/{id}/export',
      'GET /api/v1/scenarios/{id}/manifest',
      'GET /api/v1/scenarios/{id}/predictions',
      'GET /api/v1/scenarios/{id}/timeline',
      'GET /api/v1/tree',
      'GET /healthz',
      'GET /metrics',
      'GET /readyz',
      'POST /api/v1/nodes/{node}/drain',
      'POST /api/v1/nodes/{node}/undrain',
      'POST /api/v1/scenarios',
      'POST /api/v1/scenarios/{id}/start',
      'POST /api/v1/scenarios/{id}/stop',
    ],
  );
});

test('every operation has an id of its own, words, tags, and described answers; refusals are problems', async () => {
  const doc = await document();
  const ids = operations(doc).map(([, operation]) => operation.operationId);
  assert.is(new Set(ids).size, ids.length);
  for (const [name, operation] of operations(doc)) {
    for (const text of [operation.operationId, operation.summary, operation.description, operation.tags?.[0]]) {
      assert.ok(typeof text === 'string' && text.length > 0, name);
    }
    for (const [status, response] of Object.entries(operation.responses)) {
      assert.ok(response.description.length > 0 && response.description !== 'Default Response', `${name} ${status}`);
      const types = Object.keys(response.content ?? {});
      if (Number(status) >= 400) assert.equal(types, ['application/problem+json'], `${name} ${status}`);
      else if (status !== '204') assert.is(types.length, name.endsWith('/export') ? 2 : 1, `${name} ${status}`);
    }
    for (const parameter of operation.parameters ?? []) {
      if (parameter.in === 'path') assert.ok(name.includes(`{${parameter.name}}`), name);
    }
    const places = (operation.parameters ?? []).map(parameter => parameter.in);
    assert.ok(places.lastIndexOf('path') <= places.filter(place => place === 'path').length - 1, `O2: ${name}`);
  }
});

test('every reference leads to a component', async () => {
  const doc = await document();
  const all = refs(doc);
  assert.ok(all.length > 20);
  for (const ref of all) {
    const name = /^#\/components\/schemas\/(\w+)$/.exec(ref)?.[1];
    assert.ok(name !== undefined && doc.components.schemas[name] !== undefined, ref);
  }
  assert.equal(Object.keys(doc.components.schemas).sort(), [
    'DeletedEvent',
    'Model',
    'Node',
    'Prediction',
    'Problem',
    'ProgressEvent',
    'Rejection',
    'Scenario',
    'StateEvent',
    'TimelineItem',
    'TreeNode',
  ]);
});

test('every example fits its own schema, and the examples work together on a fresh node', async () => {
  const doc = await document();
  let seen = 0;
  for (const [name, operation] of operations(doc)) {
    for (const { schema, example } of [
      ...(operation.parameters ?? []),
      ...Object.values(operation.requestBody?.content ?? {}),
    ]) {
      if (example === undefined) continue;
      seen++;
      assert.equal(problemsOf(schema ?? {}, example), [], name);
    }
  }
  assert.ok(seen >= 8, `${seen} examples`);

  await using api = await serveApi();
  const example = doc.paths['/api/v1/scenarios']?.['post']?.requestBody?.content['application/json']?.example;
  assert.is((await api.send('POST', '/api/v1/scenarios', example)).status, 201);
  assert.is((await api.send('POST', '/api/v1/scenarios', example)).status, 409);
  for (const [name, operation] of operations(doc)) {
    const [method = '', path = ''] = name.split(' ');
    if (method !== 'GET') continue;
    const id = operation.parameters?.find(p => p.in === 'path')?.example;
    const response = await api.fetch(path.replace('{id}', String(id)));
    const isEndless = response.headers.get('content-type') === 'text/event-stream';
    assert.is(response.status, 200, `${name}: ${isEndless ? '' : await response.text()}`);
    if (isEndless) await response.body?.cancel();
  }
});

test('O1: the page at /docs and what it loads are served under a content security policy', async () => {
  await using api = await serveApi();
  const page = await api.fetch('/docs');
  assert.is(page.status, 200);
  const policy = String(page.headers.get('content-security-policy'));
  assert.match(policy, /default-src 'self'/);
  assert.not.match(policy, /unsafe|https?:|upgrade/, 'O1');
  const html = await page.text();
  const loaded = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(m => new URL(String(m[1]), page.url).pathname);
  assert.ok(loaded.some(p => p.endsWith('swagger-ui-bundle.js')));
  for (const path of loaded) assert.is((await api.fetch(path)).status, 200, path);
});

test('with a token the document says so', async () => {
  assert.is((await document()).security, undefined);
  await using api = await serveApi({ token: 'sesame' });
  const doc = (await (
    await api.fetch('/docs/json', { headers: { authorization: 'Bearer sesame' } })
  ).json()) as Document;
  assert.equal(doc.security, [{ token: [] }]);
  assert.equal(doc.components.securitySchemes, { token: { type: 'http', scheme: 'bearer' } });
  assert.equal(doc.paths['/healthz']?.['get']?.security, []);
});

test("a node's bare address leads to the page that describes it", async () => {
  await using api = await serveApi();
  const answer = await api.fetch('/', { redirect: 'manual' });
  assert.equal([answer.status, answer.headers.get('location')], [302, '/docs']);
});

test.run();
