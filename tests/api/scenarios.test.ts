import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TroupeError } from '../../src/domain/errors.ts';
import { problemsOf } from '../../src/domain/parse.ts';
import { ScenarioView } from '../../src/domain/scenario.ts';
import { problemOf, REQUEST, serveApi } from './served-api.ts';

const test = suite('scenario routes');

async function scenarioOf(response: Response, status: number): Promise<ScenarioView> {
  const text = await response.text();
  assert.is(response.status, status, text);
  const view = JSON.parse(text) as ScenarioView;
  assert.equal(problemsOf(ScenarioView, view), []);
  return view;
}

test('POST creates a scenario, says where it is, and GET reads it', async () => {
  await using api = await serveApi();
  const response = await api.send('POST', '/api/v1/scenarios', {
    id: 'cam1',
    ...REQUEST,
    threshold: 0.5,
    start: false,
  });
  assert.is(response.headers.get('location'), '/api/v1/scenarios/cam1');
  const created = await scenarioOf(response, 201);
  assert.is(created.state, 'inactive');
  assert.equal(created, api.cluster.scenarios.get('cam1'), 'the answer is the whole scenario');
  assert.equal(await scenarioOf(await api.fetch('/api/v1/scenarios/cam1'), 200), created);
  assert.equal(
    api.cluster.commands[0]?.body,
    { ...REQUEST, threshold: 0.5, start: false },
    'the command has no id in its body',
  );
  assert.equal(api.cluster.probed, ['a.mp4']);
  await problemOf(await api.send('POST', '/api/v1/scenarios', { id: 'cam1', ...REQUEST }), 409, 'scenario_exists');
});

test('POST without an id makes one up, another each time', async () => {
  await using api = await serveApi();
  const ids = new Set<string>();
  for (let i = 0; i < 3; i++) ids.add((await scenarioOf(await api.send('POST', '/api/v1/scenarios', REQUEST), 201)).id);
  assert.is(ids.size, 3);
});

test('a source that a node cannot read is refused before anything is accepted', async () => {
  await using api = await serveApi();
  const body = { ...REQUEST, source: { uri: 'missing.mp4' } };
  await problemOf(await api.send('POST', '/api/v1/scenarios', body), 422, 'source_unreadable');
  assert.is(api.cluster.commands.length, 0);
});

test('the same Idempotency-Key and body answer the same scenario, even when its video is gone; another body 409', async () => {
  await using api = await serveApi();
  const key = { 'idempotency-key': 'order-66' };
  const first = await scenarioOf(await api.send('POST', '/api/v1/scenarios', REQUEST, key), 201);
  api.cluster.probe = () => Promise.reject(new TroupeError('source_unreadable', 'gone'));
  const second = await api.send('POST', '/api/v1/scenarios', REQUEST, key);
  assert.is(second.headers.get('location'), `/api/v1/scenarios/${first.id}`);
  assert.is((await scenarioOf(second, 201)).id, first.id);
  const other = { ...REQUEST, threshold: 0.9 };
  await problemOf(await api.send('POST', '/api/v1/scenarios', other, key), 409, 'idempotency_conflict');
  assert.is(api.cluster.scenarios.size, 1);
  const long = { 'idempotency-key': 'x'.repeat(256) };
  await problemOf(await api.send('POST', '/api/v1/scenarios', REQUEST, long), 400, 'invalid_request');
});

test('the list is paged by an opaque cursor, ordered by id, and filtered by state', async () => {
  await using api = await serveApi();
  const ids = Array.from({ length: 25 }, (_, i) => `s${String(i).padStart(2, '0')}`);
  for (const id of ids) api.have(id);
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const query = cursor === undefined ? '' : `&cursor=${cursor}`;
    const page = (await (await api.fetch(`/api/v1/scenarios?limit=10${query}`)).json()) as {
      items: ScenarioView[];
      nextCursor?: string;
    };
    for (const item of page.items) assert.equal(problemsOf(ScenarioView, item), []);
    seen.push(...page.items.map(s => s.id));
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  assert.equal(seen, ids);
  const none = await (await api.fetch('/api/v1/scenarios?state=active')).json();
  assert.equal(none, { items: [] });
  const exact = (await (await api.fetch('/api/v1/scenarios?limit=25')).json()) as { nextCursor?: string };
  assert.is(exact.nextCursor, undefined, 'a page that holds the last one has no next');
});

test('start and stop answer 202 for a change, 200 when there is nothing to do, 409 while it shuts down', async () => {
  await using api = await serveApi();
  api.have('cam');
  const post = (verb: string) => api.send('POST', `/api/v1/scenarios/cam/${verb}`);
  await scenarioOf(await post('start'), 200);
  assert.is((await scenarioOf(await post('stop'), 202)).state, 'init_shutdown');
  await scenarioOf(await post('stop'), 202);
  await problemOf(await post('start'), 409, 'illegal_transition');
  const stopping = api.cluster.scenarios.get('cam');
  assert.ok(stopping !== undefined);
  api.cluster.put({ ...stopping, state: 'inactive', outcome: 'stopped' });
  await scenarioOf(await post('stop'), 200);
  await scenarioOf(await post('start?from=start'), 202);
  assert.equal(api.cluster.commands.at(-1)?.body, { from: 'start' });
  const empty = await api.send('POST', '/api/v1/scenarios/cam/stop', '');
  await scenarioOf(empty, 202);
});

test('DELETE answers 204 for an inactive scenario and 409 while it runs', async () => {
  await using api = await serveApi();
  api.have('cam');
  await problemOf(await api.send('DELETE', '/api/v1/scenarios/cam'), 409, 'scenario_running');
  const running = api.cluster.scenarios.get('cam');
  assert.ok(running !== undefined);
  api.cluster.put({ ...running, state: 'inactive' });
  const gone = await api.send('DELETE', '/api/v1/scenarios/cam');
  assert.is(gone.status, 204);
  assert.is(await gone.text(), '');
  await problemOf(await api.fetch('/api/v1/scenarios/cam'), 404, 'scenario_not_found');
});

test('wait answers when its time is over, at once for an inactive one, and is given up with its client', async () => {
  await using api = await serveApi();
  api.have('cam');
  assert.is((await scenarioOf(await api.fetch('/api/v1/scenarios/cam?wait=0.01'), 200)).state, 'init_startup');
  const client = new AbortController();
  const asked = api.fetch('/api/v1/scenarios/cam?wait=60', { signal: client.signal });
  await waitUntil('the wait has begun', () => api.cluster.waiting === 1);
  client.abort();
  await asked.catch(() => null);
  await waitUntil('the wait is given up', () => api.cluster.waiting === 0);
});

test('H2: closing ends long waits with the scenario as it is, and idle connections', async () => {
  const api = await serveApi();
  api.have('cam');
  await (await api.fetch('/healthz')).text();
  const asked = api.fetch('/api/v1/scenarios/cam?wait=60');
  await waitUntil('the wait has begun', () => api.cluster.waiting === 1);
  await api[Symbol.asyncDispose]();
  assert.is((await scenarioOf(await asked, 200)).id, 'cam');
});

test('refusals of the cluster keep their code; 429 and 503 say when to come back', async () => {
  await using api = await serveApi();
  for (const [code, status] of [
    ['unavailable', 503],
    ['mailbox_full', 429],
    ['spec_conflict', 409],
    ['class_unknown', 422],
  ] as const) {
    api.cluster.fault = new TroupeError(code, 'because', {
      errors: [{ path: 'classes[0]', message: 'is not one of its classes' }],
    });
    const problem = await problemOf(await api.send('POST', '/api/v1/scenarios', { id: 'x', ...REQUEST }), status, code);
    assert.is(problem.detail, 'because');
    assert.equal(problem.errors, [{ path: 'classes[0]', message: 'is not one of its classes' }]);
  }
});

test('nodes, models and the whole depth of the tree are answered', async () => {
  await using api = await serveApi();
  const read = async (path: string) => (await api.fetch(`/api/v1/${path}`)).json();
  assert.equal(await read('nodes'), { items: await api.cluster.nodes() });
  assert.equal(await read('models'), { items: await api.cluster.models() });
  assert.equal(await read('tree'), await api.cluster.tree());
});

test('readyz names what is missing', async () => {
  await using api = await serveApi();
  assert.equal(await (await api.fetch('/readyz')).json(), { status: 'ready' });
  api.cluster.reasons = ['NATS is not reachable.', 'Partition 3 has no owner.'];
  const problem = await problemOf(await api.fetch('/readyz'), 503, 'not_ready');
  assert.is(problem.detail, 'NATS is not reachable. Partition 3 has no owner.');
  assert.equal(await (await api.fetch('/healthz')).json(), { status: 'ok' });
});

async function waitUntil(sentence: string, predicate: () => boolean, deadlineMs = 10_000): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!predicate()) {
    if (performance.now() > end) throw new Error(`not within ${deadlineMs} ms: ${sentence}`);
    await new Promise(resolve => setTimeout(resolve, 2));
  }
}

test.run();
