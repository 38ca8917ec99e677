// shared
/** The public commands over NATS, bare and asked: what each means, and what who sends it learns. */
import { headers } from '@nats-io/transport-node';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LIMITS } from '../../src/domain/limits.ts';
import type { ScenarioView } from '../../src/domain/scenario.ts';
import type { ScenarioDoc } from '../../src/domain/scenario-doc.ts';
import { BUCKETS, STREAMS } from '../../src/domain/subjects.ts';
import { connect, type Nats } from '../../src/infra/nats/connection.ts';
import { provision } from '../../src/infra/nats/provision.ts';
import { natsStateStore } from '../../src/infra/nats/state-store.ts';
import { startTestNats } from '../support/nats.ts';
import { hpub, pub, speak } from '../support/nats-wire.ts';
import { startTestNode, type TestNode } from '../support/node.ts';
import { waitUntil } from '../support/wait-until.ts';

/** What a run may take on a machine that does other things too. */
const RUN_MS = 120_000;

interface Answer {
  readonly scenario?: ScenarioView | null;
  readonly changed?: boolean;
  readonly problem?: { readonly code: string; readonly message: string };
}
const BODY = { source: { uri: 'test_videos/test_video.mp4' }, model: 'shapes', sampling: { to: 4 } };
const idle = { ...BODY, start: false };

async function ask(
  nats: Nats,
  id: string,
  verb: string,
  body: unknown,
  more: Record<string, string> = {},
): Promise<Answer> {
  const header = headers();
  for (const [name, value] of Object.entries(more)) header.set(name, value);
  const said = body === '' ? '' : JSON.stringify(body);
  const options = { timeout: 60_000, headers: header };
  return (await nats.connection.request(`troupe.api.scenario.${id}.${verb}`, said, options)).json();
}

const test = suite('commands over NATS');
let node: TestNode;
let nats: Nats;
const refusals: { subject: string; code: string }[] = [];
test.before(async () => {
  node = await startTestNode({ relaxedSync: true });
  nats = await connect(node.node.natsUrl, { name: 'test' });
  nats.connection.subscribe('troupe.rejected.>', {
    callback: (_, message) =>
      void refusals.push({
        subject: message.subject,
        code: message.json<{ problem: { code: string } }>().problem.code,
      }),
  });
  await nats.connection.flush();
});
test.after(async () => {
  await nats.close();
  await node[Symbol.asyncDispose]();
});

const bare = async (id: string, verb: string, body: unknown, head = ''): Promise<void> => {
  const said = body === '' ? '' : JSON.stringify(body);
  const subject = `troupe.cmd.scenario.${id}.${verb}`;
  const frame = head === '' ? pub(subject, said) : hpub(subject, `NATS/1.0\r\n${head}\r\n\r\n`, said);
  assert.is(await speak(node.node.natsUrl, frame), 'PONG\r\n');
};
const refused = async (id: string): Promise<string[]> => {
  const of = () => refusals.filter(({ subject }) => subject === `troupe.rejected.scenario.${id}`);
  await waitUntil(`a command to ${id} is refused`, () => of().length > 0);
  return of().map(({ code }) => code);
};
const becomes = (id: string, is: (view: ScenarioView) => boolean): Promise<void> =>
  waitUntil(
    `${id} is so`,
    async () => {
      const { status, body } = await node.call('GET', `/api/v1/scenarios/${id}`);
      return status === 200 && is(body as unknown as ScenarioView);
    },
    RUN_MS,
  );

test('bare: create, start, start again with the same body, a new run, stop, go on, delete; another body is rejected', async () => {
  await bare('cam', 'create', idle);
  await becomes('cam', ({ state, outcome }) => state === 'inactive' && outcome === null);
  await bare('cam', 'start', '');
  await becomes('cam', ({ outcome, run }) => outcome === 'completed' && run === 1);
  await bare('cam', 'start', { ...BODY, threshold: 0.25 }); // the same, with a default spelled out
  await bare('cam', 'start', { ...BODY, threshold: 0.5 });
  assert.equal(await refused('cam'), ['spec_conflict']);
  assert.equal([(await node.get('cam')).run, (await node.get('cam')).state], [1, 'inactive']);
  await bare('cam', 'start', { from: 'start' });
  await becomes('cam', ({ run }) => run === 2);
  await bare('cam', 'stop', '');
  await bare('cam', 'stop', {});
  await becomes('cam', ({ state }) => state === 'inactive');
  await bare('cam', 'start', '');
  await becomes('cam', ({ outcome, run }) => outcome === 'completed' && run === 2);
  await bare('cam', 'delete', '');
  await waitUntil('it is gone', async () => (await node.call('GET', '/api/v1/scenarios/cam')).status === 404);
  assert.equal(await refused('cam'), ['spec_conflict']);
});

test('asked: each verb is answered after its commit, a refusal with its problem, and what changes nothing says so', async () => {
  const state = natsStateStore(nats, BUCKETS.state);
  const committed = async (): Promise<ScenarioDoc | null> => {
    const entry = await state.get('scenario.asked');
    return entry === null ? null : JSON.parse(Buffer.from(entry.value).toString()).state;
  };
  assert.is((await ask(nats, 'asked', 'get', '')).problem?.code, 'scenario_not_found');
  const created = await ask(nats, 'asked', 'create', idle);
  assert.equal([created.scenario?.id, created.scenario?.state, created.changed], ['asked', 'inactive', true]);
  assert.is((await committed())?.state, 'inactive');
  assert.is((await ask(nats, 'asked', 'create', idle)).problem?.code, 'scenario_exists');
  assert.is((await ask(nats, 'asked', 'start', '')).scenario?.state, 'init_startup');
  assert.is.not((await committed())?.state, 'inactive');
  assert.is((await ask(nats, 'asked', 'start', BODY)).changed, false);
  assert.is((await ask(nats, 'asked', 'start', { ...BODY, iou: 0.9 })).problem?.code, 'spec_conflict');
  assert.is((await ask(nats, 'asked', 'delete', '')).problem?.code, 'scenario_running');
  await node.ended('asked');
  assert.equal(await ask(nats, 'asked', 'stop', ''), { ...(await ask(nats, 'asked', 'get', '')), changed: false });
  assert.is((await ask(nats, 'asked', 'start', { from: 'start' })).scenario?.run, 2);
  assert.is((await ask(nats, 'asked', 'start', { from: 'start' })).problem?.code, 'illegal_transition');
  assert.is((await ask(nats, 'asked', 'stop', '')).changed, true);
  await node.ended('asked');
  assert.equal(await ask(nats, 'asked', 'delete', ''), { scenario: null, changed: true });
  assert.is(await committed(), null);
  assert.is((await ask(nats, 'asked', 'get', { wait: 1 })).problem?.code, 'invalid_request');
});

test('a request without a reply subject is carried out, and answered to nobody', async () => {
  const frame = pub('troupe.api.scenario.silent.create', JSON.stringify(idle));
  assert.is(await speak(node.node.natsUrl, frame), 'PONG\r\n');
  await becomes('silent', ({ state }) => state === 'inactive');
});

test('Troupe-Reply: a bare command is answered after its commit, with the committed document or the problem', async () => {
  const heard: Record<string, unknown>[] = [];
  nats.connection.subscribe('_INBOX.mine.*', { callback: (_, message) => void heard.push(message.json()) });
  await nats.connection.flush();
  await bare('replied', 'create', idle, 'Troupe-Reply: _INBOX.mine.1');
  await waitUntil('it is answered', () => heard.length === 1);
  await bare('replied', 'create', idle, 'Troupe-Reply: _INBOX.mine.2');
  await waitUntil('it is answered again', () => heard.length === 2);
  const [made, again] = heard as { scenario?: { id: string }; revision: number; problem?: { code: string } }[];
  assert.equal([made?.scenario?.id, again?.problem?.code], ['replied', 'scenario_exists']);
  assert.ok((made?.revision ?? 0) > 0);
});

test('NA3: the same key and body create one scenario; another body, or another id, is a conflict', async () => {
  const key = { 'Troupe-Idempotency-Key': 'once' };
  const first = await ask(nats, 'key', 'create', idle, key);
  assert.is(first.changed, true);
  const again = await ask(nats, 'key', 'create', idle, key);
  assert.equal([again.changed, again.scenario?.createdAt], [false, first.scenario?.createdAt]);
  assert.is((await ask(nats, 'key', 'create', { ...idle, iou: 0.9 }, key)).problem?.code, 'idempotency_conflict');
  assert.is((await ask(nats, 'key2', 'create', idle, key)).problem?.code, 'idempotency_conflict');
  const spaced = { 'Troupe-Idempotency-Key': 'with space' };
  assert.is((await ask(nats, 'key3', 'create', idle, spaced)).problem?.code, 'invalid_request');
  for (const id of ['key2', 'key3']) assert.is((await ask(nats, id, 'get', '')).problem?.code, 'scenario_not_found');
});

test('bare with a key: a repeat is no refusal; without one it is', async () => {
  for (let i = 0; i < 2; i++) await bare('twice', 'create', idle, 'Troupe-Idempotency-Key: twice');
  await bare('twice', 'create', idle);
  assert.equal(await refused('twice'), ['scenario_exists']);
});

test('a full mailbox: a bare publish learns nothing, one with a reply hears the server, a request is refused as 429', async () => {
  await using resources = new AsyncDisposableStack();
  const server = await startTestNats();
  resources.defer(() => server.stop());
  const other = resources.use(await connect(server.url, { name: 'test' }));
  const given = { nats: { url: server.url, credsFile: null } };
  await provision(other, {
    replicas: 1,
    partitions: LIMITS.partitions,
    logBytes: null,
    signal: new AbortController().signal,
  });
  const api = resources.use(await startTestNode({ ...given, roles: ['api'], node: 'api' }));
  const stop = pub('troupe.cmd.scenario.full.stop', '');
  await speak(server.url, ...Array.from({ length: LIMITS.mailboxPerSubject }, () => stop));
  const stored = async () => (await other.jsm.streams.info(STREAMS.mailbox)).state.messages;
  await waitUntil('it is full', async () => (await stored()) === LIMITS.mailboxPerSubject);

  assert.is(await speak(server.url, stop), 'PONG\r\n');
  const ack = (await other.connection.request('troupe.cmd.scenario.full.stop', '')).json<{
    error: { description: string };
  }>();
  assert.match(ack.error.description, /maximum messages per subject exceeded/);
  const answer = await other.connection.request('troupe.api.scenario.full.stop', '', { timeout: 60_000 });
  assert.is(answer.headers?.get('Nats-Service-Error-Code'), '429');
  assert.is(answer.json<Answer>().problem?.code, 'mailbox_full');
  assert.is(await stored(), LIMITS.mailboxPerSubject);

  // Other verbs have room, and everything is taken up when there is an orchestrator.
  await speak(server.url, pub('troupe.cmd.scenario.full.create', JSON.stringify(idle)));
  resources.use(await startTestNode({ ...given, roles: ['orchestrator'], node: 'worker' }));
  await waitUntil('it is there', async () => (await api.call('GET', '/api/v1/scenarios/full')).status === 200);
  await waitUntil('nothing waits', async () => (await stored()) === 0);
  assert.is((await ask(other, 'full', 'stop', '')).changed, false);
});

test.run();
