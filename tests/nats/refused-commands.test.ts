/**
 * What anybody may send who may publish: each bad command ends as one clear record under `troupe.rejected`, or is refused by the
 * server on the spot; and the next good command to the same partition is carried out.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LIMITS } from '../../src/domain/limits.ts';
import { partitionOf, STREAMS } from '../../src/domain/subjects.ts';
import { connect, type Nats } from '../../src/infra/nats/connection.ts';
import { hpub, pub, speak } from '../support/nats-wire.ts';
import { startTestNode, type TestNode } from '../support/node.ts';
import { waitUntil } from '../support/wait-until.ts';

const GOOD = { source: { uri: 'test_videos/test_video.mp4' }, model: 'shapes', start: false };
const good = (more: object): string => JSON.stringify({ ...GOOD, ...more });
const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
const head = (name: string, value: string): string => `NATS/1.0\r\n${name}: ${value}\r\n\r\n`;
const to = (id: string, verb = 'create'): string => `troupe.cmd.scenario.${id}.${verb}`;

interface Refused {
  /** Of the actor addressed, as the record's subject has it. */
  readonly as: string;
  readonly code?: string;
  readonly message: RegExp;
  readonly body?: unknown;
}

/** Name, id in it (or none), what is sent, the record expected. */
type Row = readonly [string, string, Buffer, Refused];
const row = (name: string, id: string, sent: Buffer, refused: Omit<Refused, 'as'> & { as?: string }): Row => [
  name,
  id,
  sent,
  { as: `scenario.${id}`, ...refused },
];
const body = (name: string, id: string, text: string | Buffer, message: RegExp, verb = 'create'): Row =>
  row(name, id, pub(to(id, verb), text), { message });

const refusedRows: readonly Row[] = [
  body('text that is no JSON', 'j1', '{"source":', /the body is not JSON/),
  row('bytes that are no UTF-8', 'j2', pub(to('j2'), Buffer.from([0, 1, 255, 254, 128])), {
    message: /not UTF-8/,
    body: { base64: 'AAH//oA=' },
  }),
  body('JSON nested 100,000 deep', 'j3', nested(100_000), /nested deeper than 32/),
  body('a field nested too deep', 'j4', `{"classes":${nested(LIMITS.bodyDepth)}}`, /nested deeper than 32/),
  body('nothing, where a body is wanted', 'j5', '', /source is required.*model is required/),
  body('null', 'j6', 'null', /must be object/),
  body('an array to start', 'j7', '[]', /must be object/, 'start'),
  body('a string to start', 'j8', '"cam1"', /must be object/, 'start'),
  body('an unknown field', 'f1', good({ sauce: 1 }), /sauce is not a known field/),
  body('an unknown field to start', 'f2', '{"sauce":1}', /sauce is not a known field/, 'start'),
  body('half a request to start', 'f3', '{"model":"shapes"}', /source is required/, 'start'),
  body(
    'a field of the prototype',
    'f4',
    `{"__proto__":{"model":"shapes"},${good({}).slice(1)}`,
    /__proto__ is not a known/,
  ),
  body('the id a second time', 'f5', good({ id: 'f5' }), /id is not a known field/),
  body('every:0', 'f6', good({ sampling: { every: 0 } }), /sampling\.every must be >= 1/),
  body('every with fps', 'f7', good({ sampling: { every: 2, fps: 1 } }), /must not have both every and fps/),
  body(
    'a number beyond all',
    'f8',
    '{"source":{"uri":"a"},"model":"m","sampling":{"to":1e400}}',
    /sampling\.to must be int/,
  ),
  body('huge limits', 'f9', good({ restart: { intensity: 1e12 } }), /restart\.intensity must be <= 1000/),
  body('a name of 250 kB', 'f10', good({ ['k'.repeat(250_000)]: 1 }), /k{100}… is not a known field/),
  body(
    '20,000 unknown fields',
    'f11',
    good(Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`k${i}`, 1]))),
    /k0 is not/,
  ),
  body('another from', 'f12', '{"from":"middle"}', /from must be "start"/, 'start'),
  body('a body to stop', 'f13', '{"now":true}', /now is not a known field/, 'stop'),
  row('a segment count to come', 'f14', pub(to('f14'), good({ segments: 2 })), {
    code: 'not_supported_yet',
    message: /segment/,
  }),
  row('a start of what is not there', 'v1', pub(to('v1', 'start'), ''), {
    code: 'scenario_not_found',
    message: /no scenario 'v1'/,
  }),
  row('a stop of what is not there', 'v2', pub(to('v2', 'stop'), ''), {
    code: 'scenario_not_found',
    message: /no scenario/,
  }),
  row('a delete of what is not there', 'v3', pub(to('v3', 'delete'), '{}'), {
    code: 'scenario_not_found',
    message: /no scenario/,
  }),
  body('an unknown verb', 'v4', '{}', /scenario knows no cmd verb 'sing'/, 'sing'),
  body('a verb of every object', 'v5', '{}', /no cmd verb 'constructor'/, 'constructor'),
  body('an internal verb', 'v6', '{}', /no cmd verb 'exited'/, 'exited'),
  body('a verb of 3,000 characters', 'v7', '{}', /no cmd verb 'v{3000}'/, 'v'.repeat(3000)),
  row('an unknown kind', '', pub('troupe.cmd.nobody.x.start', '{}'), {
    as: 'nobody.x',
    message: /There is no actor kind 'nobody'/,
    body: {},
  }),
  row('a kind of every object', '', pub('troupe.cmd.constructor.x.start', '{}'), {
    as: 'constructor.x',
    message: /no actor kind 'constructor'/,
  }),
  row('an actor that takes no commands', '', pub('troupe.cmd.idempotency.x.claim', '{}'), {
    as: 'idempotency.x',
    message: /idempotency knows no cmd verb 'claim'/,
  }),
  ...[
    ['65 characters', 'x'.repeat(65), 'x'.repeat(65)],
    ['3,900 characters', 'y'.repeat(3900), 'y'.repeat(128)],
    ['umlauts', 'kamera-ü', 'kamera-ü'],
    ['a path', '%2e%2e%2f', '%2e%2e%2f'],
    ['a slash', '/etc/passwd', '/etc/passwd'],
    ['control characters', 'a\u0001b', 'a\u0001b'],
  ].map(([what = '', id = '', as = '']) =>
    row(`an id of ${what}`, '', pub(to(id), good({})), {
      as: `scenario.${as}`,
      message: /is no id: an id is 1 to 64 of/,
    }),
  ),
  row(
    'an answer wanted by 5,000 characters',
    'h1',
    hpub(to('h1'), head('Troupe-Reply', `_INBOX.${'r'.repeat(5000)}`), good({})),
    {
      message: /header Troupe-Reply has more than 512 characters/,
    },
  ),
  row(
    'a key of 10,000 characters',
    'h2',
    hpub(to('h2'), head('Troupe-Idempotency-Key', 'k'.repeat(10_000)), good({})),
    {
      message: /header Troupe-Idempotency-Key has more than 512/,
    },
  ),
];

/** Nothing of these gets into a mailbox. */
const serversOwn: readonly (readonly [string, Buffer, RegExp])[] = [
  ['an empty id', pub(to(''), good({})), /-ERR 'Invalid Publish Subject'/],
  ['../ as an id', pub(to('../'), good({})), /-ERR 'Invalid Publish Subject'/],
  ['a space in an id', pub('troupe.cmd.scenario.a b.start', good({})), /^PONG/],
  ['an id of 1 MB', pub(to('z'.repeat(1 << 20)), good({})), /hung up$/],
  ['a body over 1 MiB', pub(to('big'), Buffer.alloc(LIMITS.payloadBytes + 1, 32)), /hung up$/],
  ['a body over 256 KiB', pub(to('big'), Buffer.alloc(LIMITS.messageBytes + 1, 32)), /^PONG/],
  ['headers over 64 KiB', hpub(to('big'), head('X', 'x'.repeat(70_000)), good({})), /^PONG/],
];

/** A message without headers is as good as one with these. */
const odd: readonly (readonly [string, string | Buffer])[] = [
  ['that are none', Buffer.from('\xff\xfe\r\n\r\n', 'latin1')],
  ['with a name that is none', 'NATS/1.0\r\nbad name: v\r\n: nameless\r\nno colon\r\n\r\n'],
  ['of the server, about a consumer that is gone', 'NATS/1.0 409 Consumer Deleted\r\n\r\n'],
  ['of the server, about flow control', 'NATS/1.0 100 FlowControl Request\r\n\r\n'],
];

const test = suite('refused commands');
let node: TestNode;
let nats: Nats;
let wire: string;
const heard: { subject: string; text: string }[] = [];
let made = 0;
/** By name: resolves when it was refused and the next command carried out. All are sent at once. */
const outcomes = new Map<string, Promise<void>>();

test.before(async () => {
  node = await startTestNode({ spares: 0, relaxedSync: true });
  wire = node.node.natsUrl;
  nats = await connect(wire, { name: 'test' });
  nats.connection.subscribe('troupe.rejected.>', {
    callback: (_, message) => void heard.push({ subject: message.subject, text: message.string() }),
  });
  await nats.connection.flush();
  for (const [name, , sent, { as }] of refusedRows) outcomes.set(name, refused(sent, as));
});
test.after(async () => {
  await nats.close();
  await node[Symbol.asyncDispose]();
});

async function refused(sent: Buffer, as: string): Promise<void> {
  assert.is(await speak(wire, sent), 'PONG\r\n');
  await waitUntil(`${as} is refused`, () => heard.some(({ subject }) => subject === `troupe.rejected.${as}`));
  await carriesOn(as.slice(as.indexOf('.') + 1));
}

/** A good command to an actor of the same partition. */
async function carriesOn(like: string): Promise<void> {
  const partition = partitionOf('scenario', like, LIMITS.partitions);
  let id: string;
  do id = `good-${made++}`;
  while (partitionOf('scenario', id, LIMITS.partitions) !== partition);
  const answer = await nats.connection.request(`troupe.api.scenario.${id}.create`, good({}), { timeout: 60_000 });
  assert.is(answer.json<{ scenario?: { id: string } }>().scenario?.id, id);
}

for (const [name, , , { as, code = 'invalid_request', message, body }] of refusedRows) {
  test(`${name}: one record under troupe.rejected, and the next command is carried out`, async () => {
    await outcomes.get(name);
    const records = heard.filter(({ subject }) => subject === `troupe.rejected.${as}`);
    assert.is(records.length, 1);
    const { text = '' } = records[0] ?? {};
    assert.ok(text.length < 32_768, `${text.length} characters`);
    const record = JSON.parse(text);
    assert.is(record.problem.code, code, text);
    assert.match(record.problem.message, message);
    assert.ok((record.problem.errors ?? []).length <= LIMITS.problemPlaces);
    assert.equal([record.v, typeof record.id, typeof record.verb], [1, 'string', 'string']);
    if (body !== undefined) assert.equal(record.body, body);
    const stored = await nats.jsm.streams.getMessage(STREAMS.rejected, { last_by_subj: `troupe.rejected.${as}` });
    assert.is(stored?.string(), text);
  });
}

test('nothing but these was refused', () => {
  assert.is(heard.length, refusedRows.length);
});

for (const [name, sent, answer] of serversOwn) {
  test(`${name}: the server itself lets nothing through`, async () => {
    const before = (await nats.jsm.streams.info(STREAMS.mailbox)).state.last_seq;
    assert.match(await speak(wire, sent), answer);
    assert.is((await nats.jsm.streams.info(STREAMS.mailbox)).state.last_seq, before);
  });
}

test('a wildcard as an id: the server complains, and nobody hears of it', async () => {
  const from = heard.length;
  for (const subject of [to('*'), to('>'), 'troupe.cmd.*.x.create'])
    assert.match(await speak(wire, pub(subject, good({}))), /-ERR 'Invalid Publish Subject'/);
  await Promise.all(Array.from({ length: LIMITS.partitions }, (_, i) => carriesOn(`${i}`)));
  assert.is(heard.length, from);
});

for (const [i, [name, headers]] of odd.entries()) {
  test(`headers ${name}: the command is carried out as without any, on both ways`, async () => {
    const id = `odd-${i}`;
    const asked = hpub(`troupe.api.scenario.${id}.get`, headers, '');
    assert.is(await speak(wire, asked, hpub(to(id), headers, good({}))), 'PONG\r\n');
    await waitUntil('it is there', async () => (await node.call('GET', `/api/v1/scenarios/${id}`)).status === 200);
  });
}

test('nothing of all this was a defect of the node', () => {
  assert.equal(
    node.log.filter(line => !line.startsWith('sandbox: ')),
    [],
  );
});

test.run();
