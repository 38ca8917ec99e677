// shared
/** A running node as an instance of the NATS service `troupe`, and the answers of its API as those of a service. */
import { headers, type Msg } from '@nats-io/transport-node';
import Type from 'typebox';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { problemsOf } from '../../src/domain/parse.ts';
import { SERVICE } from '../../src/domain/subjects.ts';
import { connect, type Nats } from '../../src/infra/nats/connection.ts';
import { pub, speak } from '../support/nats-wire.ts';
import { startTestNode, type TestNode } from '../support/node.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('service discovery');
let node: TestNode;
let nats: Nats;
test.before(async () => {
  node = await startTestNode({ spares: 0, relaxedSync: true, node: 'n1' });
  nats = await connect(node.node.natsUrl, { name: 'test' });
});
test.after(async () => {
  await nats.close();
  await node[Symbol.asyncDispose]();
});

// ADR-32's fields. `nats micro` refuses answers that lack one.
const SEMVER = '^(0|[1-9]\\d*)\\.(0|[1-9]\\d*)\\.(0|[1-9]\\d*)(-[0-9A-Za-z.-]+)?(\\+[0-9A-Za-z.-]+)?$';
const named = (verb: string) => ({
  type: Type.Literal(`io.nats.micro.v1.${verb}_response`),
  name: Type.String({ pattern: '^[a-zA-Z0-9_-]+$' }),
  id: Type.String({ pattern: '^[a-zA-Z0-9_-]+$' }),
  version: Type.String({ pattern: SEMVER }),
  metadata: Type.Record(Type.String(), Type.String()),
});
const Place = { name: Type.String({ minLength: 1 }), subject: Type.String(), queue_group: Type.String() };
const Metadata = Type.Record(Type.String(), Type.String());
const strict = { additionalProperties: false };
const SHAPES = {
  PING: Type.Object(named('ping'), strict),
  INFO: Type.Object(
    {
      ...named('info'),
      description: Type.String(),
      endpoints: Type.Array(Type.Object({ ...Place, metadata: Metadata }, strict)),
    },
    strict,
  ),
  STATS: Type.Object(
    {
      ...named('stats'),
      started: Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z$' }),
      endpoints: Type.Array(
        Type.Object(
          {
            ...Place,
            num_requests: Type.Integer(),
            num_errors: Type.Integer(),
            last_error: Type.String(),
            processing_time: Type.Integer(),
            average_processing_time: Type.Integer(),
            data: Type.Optional(Type.Unknown()),
          },
          strict,
        ),
      ),
    },
    strict,
  ),
} as const;

interface Stats {
  readonly id: string;
  readonly version: string;
  readonly metadata: Record<string, string>;
  readonly endpoints: readonly {
    name: string;
    subject: string;
    queue_group: string;
    num_requests: number;
    num_errors: number;
    last_error: string;
    processing_time: number;
    average_processing_time: number;
    data?: Record<string, unknown>;
  }[];
}
const all = async (subject: string, count: number): Promise<Stats[]> => {
  const found: Stats[] = [];
  for await (const answer of await nats.connection.requestMany(subject, '', {
    strategy: 'count',
    maxMessages: count,
    maxWait: 30_000,
  }))
    found.push(answer.json());
  return found;
};
const one = async (subject: string): Promise<Stats> => (await nats.connection.request(subject, '')).json();
const ask = (verb: string, body: unknown, more: Record<string, string> = {}): Promise<Msg> => {
  const header = headers();
  for (const [name, value] of Object.entries(more)) header.set(name, value);
  return nats.connection.request(`troupe.api.scenario.cam1.${verb}`, JSON.stringify(body), {
    timeout: 60_000,
    headers: header,
  });
};

for (const verb of ['PING', 'INFO', 'STATS'] as const) {
  test(`SD1, SD2: ${verb} is answered for all services, for this one and for this instance, in ADR-32's shape`, async () => {
    const { id } = await one(`$SRV.PING.${SERVICE}`);
    for (const subject of [`$SRV.${verb}`, `$SRV.${verb}.${SERVICE}`, `$SRV.${verb}.${SERVICE}.${id}`]) {
      const answer = await one(subject);
      assert.equal(problemsOf(SHAPES[verb], answer), [], subject);
      assert.equal([answer.id, answer.metadata], [id, { node: 'n1', roles: 'api,orchestrator,runner' }]);
    }
  });
}

test('SD3: another service, or another instance, has no responders', async () => {
  for (const subject of ['$SRV.PING.other', `$SRV.PING.${SERVICE}.other`]) {
    const error = await nats.connection.request(subject, '').catch((error: unknown) => error);
    assert.match(String(error), /no responders/i);
  }
});

test('INFO names the endpoints: troupe.api verb by verb, in the queue group that API nodes share, and the tree of the node', async () => {
  const { endpoints } = await one(`$SRV.INFO.${SERVICE}`);
  const verbs = ['create', 'start', 'stop', 'delete', 'get'];
  assert.equal(
    endpoints.map(({ name, subject, queue_group }) => [name, subject, queue_group]),
    [['tree', 'troupe.ctl.n1.tree', ''], ...verbs.map(verb => [verb, `troupe.api.scenario.*.${verb}`, 'troupe-api'])],
  );
});

test('STATS counts requests, errors and time of each endpoint, and tells the node in numbers', async () => {
  await ask('get', {});
  await ask('create', { source: { uri: 'test_videos/test_video.mp4' }, model: 'shapes', start: false });
  await nats.connection.request('troupe.ctl.n1.tree', '');
  const { endpoints } = await one(`$SRV.STATS.${SERVICE}`);
  const of = (name: string) => endpoints.find(endpoint => endpoint.name === name);
  const [tree, get, create, start] = ['tree', 'get', 'create', 'start'].map(of);
  assert.equal([get?.num_requests, get?.num_errors], [1, 1]);
  assert.match(get?.last_error ?? '', /no scenario 'cam1'/);
  assert.equal([create?.num_requests, create?.num_errors, create?.last_error], [1, 0, '']);
  assert.is(create?.average_processing_time, create?.processing_time);
  assert.ok((create?.processing_time ?? 0) > 1_000, 'nanoseconds');
  assert.equal([start?.num_requests, start?.average_processing_time], [0, 0]);
  assert.is(tree?.num_requests, 1);
  const { id, slots, running, partitions, scenarios, restarts, draining } = tree?.data ?? {};
  assert.equal([id, slots, running, scenarios, restarts, draining], ['n1', 4, 0, 1, 0, false]);
  assert.is((partitions as number[]).length, 16);
  assert.ok(endpoints.every(({ name, data }) => (data === undefined) === (name !== 'tree')));
});

test('two nodes are two instances, each found; one that has ended is not', async () => {
  const second = await startTestNode({
    node: 'n2',
    roles: ['orchestrator'],
    nats: { url: node.node.natsUrl, credsFile: null },
  });
  const found = await all(`$SRV.PING.${SERVICE}`, 2);
  assert.equal(new Set(found.map(({ metadata }) => metadata['node'])), new Set(['n1', 'n2']));
  assert.is(new Set(found.map(({ id }) => id)).size, 2);
  const { id = '' } = found.find(({ metadata }) => metadata['node'] === 'n2') ?? {};
  const { endpoints } = await one(`$SRV.STATS.${SERVICE}.${id}`);
  assert.equal(
    endpoints.map(({ name }) => name),
    ['tree'],
  );
  await second[Symbol.asyncDispose]();
  const error = await nats.connection.request(`$SRV.PING.${SERVICE}.${id}`, '').catch((error: unknown) => error);
  assert.match(String(error), /no responders/i);
});

test('NA1: a problem is in the headers of a service error too, in one line; what succeeds has none', async () => {
  const refused = await ask('start', { ['a\nb']: 1 }, { 'Troupe-Request-Id': 'mine-1' });
  assert.is(refused.headers?.get('Nats-Service-Error-Code'), '400');
  assert.is(refused.headers?.get('Nats-Service-Error'), "The body of 'start' is not valid: a b is not a known field.");
  assert.match(refused.json<{ problem: { message: string } }>().problem.message, /a\nb is not a known field/);
  assert.is(refused.headers?.get('Troupe-Request-Id'), 'mine-1');
  const got = await ask('get', {}, { 'Troupe-Request-Id': 'no id\u00e4' });
  assert.is(got.headers?.get('Nats-Service-Error'), '');
  assert.match(got.headers?.get('Troupe-Request-Id') ?? '', /^[A-Za-z0-9]{16}$/);
  assert.is((await ask('sing', {})).headers?.get('Nats-Service-Error-Code'), '400');
  const missing = await nats.connection.request('troupe.api.scenario.nobody.get', '');
  assert.is(missing.headers?.get('Nats-Service-Error-Code'), '404');
});

test('BU2: a reply subject that is no inbox is answered by nobody, on any subject; an inbox of any user is', async () => {
  const heard: string[] = [];
  const watch = nats.connection.subscribe('>', { callback: (_, message) => void heard.push(message.subject) });
  await nats.connection.flush();
  const asked = ['troupe.api.scenario.cam1.get', `$SRV.PING.${SERVICE}`, 'troupe.ctl.n1.tree'];
  const forged = asked.map((subject, i) => pub(subject, '', `troupe.cmd.scenario.victim${i}.stop`));
  await speak(node.node.natsUrl, ...forged, ...asked.map((subject, i) => pub(subject, '', `_INBOX_me.a.${i}`)));
  await waitUntil('the honest are answered', () => asked.every((_, i) => heard.includes(`_INBOX_me.a.${i}`)));
  assert.equal(
    heard.filter(subject => subject.includes('victim')),
    [],
  );
  watch.unsubscribe();
});

test.run();
