// shared
/** Two API nodes of one cluster say the same, and one goes on where the other was cut off. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { RejectedPage, Timeline } from '../../src/api/schemas.ts';
import { type ClusterNode, TestCluster } from '../support/cluster.ts';
import { EventStream, type ReceivedEvent } from '../support/event-stream.ts';
import { startTestNats, type TestNats } from '../support/nats.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('two API nodes');
let nats: TestNats;
let cluster: TestCluster;
let a: ClusterNode;
let b: ClusterNode;

test.before(async () => {
  nats = await startTestNats();
  cluster = new TestCluster(nats.url);
  b = await cluster.start('b', 'api,orchestrator,runner');
  a = await cluster.start('a', 'api');
});
test.after(async () => {
  await cluster[Symbol.asyncDispose]();
  await nats.stop();
});

const lines = (events: readonly ReceivedEvent[]): string[] =>
  events
    .filter(({ event }) => event === 'prediction')
    .map(({ data }) => JSON.stringify(data).replace(/^{"run":\d+,/, '{'));

test('what was refused, and what happened, is the same at both', async () => {
  const create = { source: { uri: 'test_videos/test_video.mp4' }, model: 'shapes', sampling: { to: 20 } };
  await cluster.create(a, 'told', create);
  await cluster.completed(b, 'told');
  for (const node of [a, b]) {
    const answer = await fetch(`${node.url}/api/v1/scenarios/nobody/stop`, { method: 'POST' });
    assert.is(answer.status, 404);
  }
  await waitUntil('both refusals are stored', async () => {
    const { items } = await cluster.call<RejectedPage>(a, 'GET', '/api/v1/rejected');
    return items.length === 2;
  });
  const [refused, refusedToo] = await Promise.all(
    [a, b].map(node => cluster.call<RejectedPage>(node, 'GET', '/api/v1/rejected')),
  );
  assert.equal(refused, refusedToo);
  assert.equal(
    refused?.items.map(({ kind, id, verb, problem }) => [kind, id, verb, problem.code]),
    [1, 2].map(() => ['scenario', 'nobody', 'stop', 'scenario_not_found']),
  );
  assert.ok(refused?.items.every(({ requestId }) => requestId !== undefined));
  const read = (node: ClusterNode) => cluster.call<Timeline>(node, 'GET', '/api/v1/scenarios/told/timeline');
  await waitUntil(
    'the last fact is stored',
    async () => (await read(a)).items.at(-1)?.text.endsWith('inactive: completed') === true,
  );
  const timeline = await read(a);
  assert.equal(await read(b), timeline);
  assert.equal(
    timeline.items.map(({ type }) => type).filter(type => type !== 'state'),
    ['placed', 'began', 'exited'],
  );
});

const BODY = { source: { uri: 'test_videos/test_video.mp4' }, model: 'shapes', start: false };
const post = async (node: ClusterNode, request: object) => {
  const answer = await fetch(`${node.url}/api/v1/scenarios`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': 'order-66' },
    body: JSON.stringify(request),
  });
  const { id, code } = (await answer.json()) as { id?: string; code?: string };
  return [answer.status, id ?? code, answer.headers.get('location')] as const;
};

test('an idempotency key stands for one request at both', async () => {
  const both = await Promise.all([post(a, BODY), post(b, BODY)]);
  const [status, id] = both[0];
  assert.is(status, 201);
  assert.equal(both, [both[0], both[0]], 'two at once make one');
  assert.is(both[0][2], `/api/v1/scenarios/${id}`);
  const other = { ...BODY, threshold: 0.5 };
  for (const node of [a, b]) assert.equal((await post(node, other)).slice(0, 2), [409, 'idempotency_conflict']);
});

test('the node that streams is killed: at the other the stream goes on, and both together are the export', async () => {
  await cluster.create(a, 'streamed');
  const events = '/api/v1/scenarios/streamed/events';
  await using first = await EventStream.open(a.url + events);
  await waitUntil('predictions have come', () => first.of('prediction').length >= 50);
  a.signal('SIGKILL');
  await waitUntil('it is cut off', () => first.over);
  await using second = await EventStream.open(b.url + events, first.lastId);
  await waitUntil('the end is told', () => second.of('state').some(({ to }) => to === 'inactive'), 120_000);
  assert.ok(first.of('prediction').length < 600, 'it was cut off in the middle');
  const exported = await cluster.export(b, 'streamed');
  const streamed = [...lines(first.events), ...lines(second.events)];
  assert.is(streamed.length, 600);
  assert.ok(`${streamed.join('\n')}\n` === exported, 'byte for byte');
  const states = [...first.of('state'), ...second.of('state')].map(({ to }) => String(to));
  assert.equal(states.slice(-3), ['active', 'in_shutdown_processing', 'inactive']);
  assert.equal(states.slice(1), [...new Set(states.slice(1))], 'no transition is told twice');
});

test('the key still stands for it at a node that was killed and started anew', async () => {
  const [status, id] = await post(b, BODY);
  a = await cluster.start('a', 'api');
  assert.equal((await post(a, BODY)).slice(0, 2), [status, id]);
  assert.equal((await post(a, { ...BODY, threshold: 0.5 })).slice(0, 2), [409, 'idempotency_conflict']);
});

test.run();
