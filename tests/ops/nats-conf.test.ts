// shared
/**
 * nats.conf on a real nats-server: each user's rights one by one, and a whole cluster of nodes within them.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { errors } from '@nats-io/transport-node';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TroupeError } from '../../src/domain/errors.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { BUCKETS, kvStream, STREAMS } from '../../src/domain/subjects.ts';
import { connect, type Nats, withoutPassword } from '../../src/infra/nats/connection.ts';
import { provision } from '../../src/infra/nats/provision.ts';
import { natsStateStore } from '../../src/infra/nats/state-store.ts';
import { asset } from '../../src/infra/process/assets.ts';
import { natsServerBinary } from '../support/nats.ts';
import { startTestNode } from '../support/node.ts';
import { waitUntil } from '../support/wait-until.ts';

const USERS = ['node', 'api', 'client'] as const;
type User = (typeof USERS)[number];

const test = suite('nats.conf');
const folder = mkdtempSync(path.join(tmpdir(), 'troupe-nats-conf-'));
const started: ChildProcess[] = [];
const passwords = { NATS_NODE_PASSWORD: 'n0de', NATS_API_PASSWORD: '"1234"', NATS_CLIENT_PASSWORD: 'client/pass' };
const plain: Record<User, string> = { node: 'n0de', api: '1234', client: 'client/pass' };
const membership = {
  NATS_SERVER_NAME: 'nats-1',
  NATS_ROUTE_PASSWORD: 'r0ute',
  NATS_ROUTES: '["nats-route://route:r0ute@nats-1:6222", "nats-route://route:r0ute@nats-2:6222"]',
};
const check = (file: string, env: Readonly<Record<string, string>>) =>
  spawnSync(natsServerBinary(), ['-t', '-c', asset(file)], { env, encoding: 'utf8' });

interface Server extends AsyncDisposable {
  readonly port: number;
  url(user: User): string;
  log(): string;
}

/** A server on a free port, its store in a new folder. */
async function serve(config: string): Promise<Server> {
  const cwd = mkdtempSync(path.join(folder, 'server-'));
  const child = spawn(natsServerBinary(), ['-c', config, '-p', '-1'], {
    cwd,
    env: passwords,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  started.push(child);
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    log += chunk;
  });
  await waitUntil('the server is ready', () => log.includes('Server is ready') || child.exitCode !== null);
  const port = Number(/Listening for client connections on 127\.0\.0\.1:(\d+)/.exec(log)?.[1]);
  assert.ok(port > 0, log);
  return {
    port,
    url: user => `nats://${user}:${encodeURIComponent(plain[user])}@127.0.0.1:${port}`,
    log: () => log,
    [Symbol.asyncDispose]: async () => {
      const ended = new Promise(resolve => child.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
    },
  };
}

test.after(() => {
  for (const child of started) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 20 });
});

test('nats.conf is valid alone, and as a member of a cluster; without its passwords it is not', () => {
  assert.match(check('nats.conf', passwords).stderr, /is valid/);
  assert.match(check('ops/nats-cluster.conf', { ...passwords, ...membership }).stderr, /is valid/);
  for (const [file, env] of [
    ['nats.conf', {}],
    ['ops/nats-cluster.conf', passwords],
  ] as const) {
    const { status, stderr } = check(file, env);
    assert.is(status, 1);
    assert.match(stderr, /variable reference for 'NATS_\w+' .* can not be found/);
  }
});

test('the monitoring port is on loopback, and only members of a cluster have one', () => {
  const code = (file: string): string => readFileSync(asset(file), 'utf8').replaceAll(/^\s*#.*$/gm, '');
  assert.not.match(code('nats.conf'), /\b(http|https|http_port|https_port|monitor_port)\b/);
  assert.equal(
    [...code('ops/nats-cluster.conf').matchAll(/^\s*(https?\w*|monitor_port)\s*[:=]\s*(.*)$/gm)].map(m => m.slice(1)),
    [['http', '"127.0.0.1:8222"']],
  );
});

test('nats.conf names the streams and buckets that there are, and no others', () => {
  const named = readFileSync(asset('nats.conf'), 'utf8').matchAll(/\b(?:TROUPE_[A-Z]+|KV_\w+)/g);
  const streams = [...Object.values(STREAMS), ...Object.values(BUCKETS).map(kvStream)];
  assert.equal([...new Set([...named].map(([name]) => name))].toSorted(), streams.toSorted());
});

type Row = readonly [User, 'publish' | 'subscribe', string, boolean];
const rows: readonly Row[] = [
  // Public commands, verb by verb.
  ...(['node', 'api', 'client'] as const).flatMap(user =>
    ['create', 'start', 'stop', 'delete'].map((verb): Row => [user, 'publish', `troupe.cmd.scenario.x.${verb}`, true]),
  ),
  ['api', 'publish', 'troupe.cmd.scenario.x.exited', false],
  ['client', 'publish', 'troupe.cmd.scenario.x.exited', false],
  ['client', 'publish', 'troupe.cmd.orchestrator.x.start', false],
  // Internal messages.
  ['node', 'publish', 'troupe.sys.scenario.x.exited', true],
  ['api', 'publish', 'troupe.sys.scenario.x.exited', false],
  ['api', 'publish', 'troupe.sys.idempotency.x.claim', true],
  ['api', 'publish', 'troupe.sys.idempotency.x.release', false],
  ['client', 'publish', 'troupe.sys.idempotency.x.claim', false],
  ['client', 'publish', 'troupe.sys.scenario.x.exited', false],
  ['api', 'publish', 'troupe.mbx.0.scenario.x.sys.exited', false],
  ['client', 'subscribe', 'troupe.sys.>', false],
  ['api', 'subscribe', 'troupe.cmd.>', false],
  // Requests to the API.
  ['client', 'publish', 'troupe.api.scenario.x.stop', true],
  ['api', 'subscribe', 'troupe.api.scenario.*.*', true],
  ['client', 'subscribe', 'troupe.api.>', false],
  // Service discovery: nodes and API nodes are found, a client finds them, and nobody passes for another service.
  ...['$SRV.PING', '$SRV.INFO.troupe', '$SRV.STATS.troupe.i1'].flatMap((subject): Row[] => [
    ['node', 'subscribe', subject, true],
    ['api', 'subscribe', subject, true],
    ['client', 'subscribe', subject, false],
    ['client', 'publish', subject, true],
    ['api', 'publish', subject, false],
  ]),
  ['api', 'subscribe', '$SRV.PING.other', false],
  ['client', 'publish', '$SRV.PING.other', false],
  // Control of nodes.
  ['node', 'publish', 'troupe.ctl.n1.start', true],
  ['node', 'subscribe', 'troupe.ctl.n1.start', true],
  ['api', 'publish', 'troupe.ctl.n1.tree', true],
  ['api', 'publish', 'troupe.ctl.n1.probe', true],
  ['api', 'publish', 'troupe.ctl.n1.drain', true],
  ['api', 'publish', 'troupe.ctl.n1.metrics', true],
  ['api', 'publish', 'troupe.ctl.n1.pulse', true],
  ['api', 'publish', 'troupe.ctl.n1.has', false],
  ['api', 'publish', 'troupe.ctl.n1.start', false],
  ['api', 'publish', 'troupe.ctl.n1.stop', false],
  ['api', 'subscribe', 'troupe.ctl.n1.tree', true],
  ['api', 'subscribe', 'troupe.ctl.*.start', false],
  ['client', 'publish', 'troupe.ctl.n1.tree', false],
  ['client', 'subscribe', 'troupe.ctl.>', false],
  // Heartbeats.
  ['node', 'publish', 'troupe.heartbeat.n1.runner.x', true],
  ['api', 'publish', 'troupe.heartbeat.a1.node.a1', true],
  ['api', 'publish', 'troupe.heartbeat.a1.runner.x', false],
  ['client', 'publish', 'troupe.heartbeat.n1.node.n1', false],
  ['api', 'subscribe', 'troupe.heartbeat.*.node.*', true],
  ['client', 'subscribe', 'troupe.heartbeat.>', true],
  // The log, facts, refusals.
  ['node', 'publish', 'troupe.prediction.x.1.0', true],
  ['api', 'publish', 'troupe.prediction.x.1.0', false],
  ['client', 'publish', 'troupe.prediction.x.1.0', false],
  ['client', 'publish', 'troupe.event.scenario.x.state', false],
  ['client', 'publish', 'troupe.rejected.scenario.x', false],
  ['client', 'subscribe', 'troupe.prediction.>', true],
  ['client', 'subscribe', 'troupe.event.>', true],
  ['client', 'subscribe', 'troupe.rejected.>', true],
  // Buckets.
  ['node', 'publish', '$KV.troupe_state.scenario.x', true],
  ['node', 'publish', '$KV.troupe_lease.node.x', true],
  ['node', 'publish', '$KV.other.x', false],
  ['api', 'publish', '$KV.troupe_state.scenario.x', false],
  ['api', 'publish', '$KV.troupe_lease.node.x', false],
  ['client', 'publish', '$KV.troupe_state.scenario.x', false],
  ['client', 'subscribe', '$KV.>', false],
  // JetStream's API.
  ['node', 'publish', '$JS.API.STREAM.CREATE.TROUPE_EVENT', true],
  ['node', 'publish', '$JS.API.STREAM.PURGE.TROUPE_MAILBOX', true],
  ['node', 'publish', '$JS.API.STREAM.DELETE.TROUPE_PREDICTION', false],
  ['node', 'publish', '$JS.API.STREAM.MSG.DELETE.TROUPE_PREDICTION', false],
  ['node', 'publish', '$JS.API.STREAM.MSG.DELETE.KV_troupe_state', true],
  ['api', 'publish', '$JS.API.STREAM.MSG.DELETE.KV_troupe_state', false],
  ['api', 'publish', '$JS.API.STREAM.INFO.TROUPE_PREDICTION', true],
  ['api', 'publish', '$JS.API.STREAM.MSG.GET.KV_troupe_state', true],
  ['api', 'publish', '$JS.API.CONSUMER.CREATE.TROUPE_PREDICTION.c.troupe.prediction.>', true],
  ['api', 'publish', '$JS.API.CONSUMER.CREATE.TROUPE_MAILBOX.c.troupe.mbx.>', false],
  ['api', 'publish', '$JS.API.STREAM.MSG.GET.TROUPE_MAILBOX', false],
  ['api', 'publish', '$JS.API.STREAM.CREATE.TROUPE_EVENT', false],
  ['api', 'publish', '$JS.API.STREAM.UPDATE.TROUPE_EVENT', false],
  ['api', 'publish', '$JS.API.STREAM.PURGE.TROUPE_PREDICTION', false],
  ['api', 'publish', '$JS.API.STREAM.DELETE.TROUPE_PREDICTION', false],
  ['client', 'publish', '$JS.API.STREAM.MSG.GET.KV_troupe_state', true],
  ['client', 'publish', '$JS.API.STREAM.MSG.GET.TROUPE_MAILBOX', false],
  ['client', 'publish', '$JS.API.STREAM.MSG.GET.TROUPE_REJECTED', true],
  ['client', 'publish', '$JS.API.CONSUMER.CREATE.TROUPE_EVENT.c.troupe.event.>', false],
  ['client', 'publish', '$JS.API.STREAM.PURGE.TROUPE_PREDICTION', false],
  ['client', 'publish', '$JS.API.STREAM.CREATE.MINE', false],
  // Answers: everybody hears their own.
  ...USERS.flatMap(user => USERS.map((owner): Row => [user, 'subscribe', `_INBOX_${owner}.>`, user === owner])),
  ['client', 'subscribe', '_INBOX.>', false],
  ['node', 'subscribe', '>', false],
  ['node', 'publish', '_INBOX_api.a.1', true],
  ['node', 'publish', '_INBOX_client.a.1', true],
  ['api', 'publish', '_INBOX_client.a.1', true],
  ['api', 'publish', '_INBOX_node.a.1', false],
  ['client', 'publish', '_INBOX_node.a.1', false],
  ['client', 'publish', '_INBOX_api.a.1', false],
];

test(`users may do what they need and nothing else: ${rows.length} rights, each asked of the server`, async () => {
  // nats.conf, and one user more, who sees and says everything.
  const config = path.join(folder, 'witnessed.conf');
  const text = readFileSync(asset('nats.conf'), 'utf8').replace('users = [', 'users = [{user: witness, password: w}');
  writeFileSync(config, text);
  await using server = await serve(config);
  await using witness = await connect(`nats://witness:w@127.0.0.1:${server.port}`, { name: 'witness' });
  const arrived = new Set<string>();
  witness.connection.subscribe('>', { callback: (_, message) => void arrived.add(message.string()) });
  const refused = new Set<string>();
  const connections = new Map<User, Nats>();
  await using open = new AsyncDisposableStack();
  for (const user of USERS) {
    const nats = open.use(await connect(server.url(user), { name: user }));
    connections.set(user, nats);
    nats.onStatus(({ type, ...status }) => {
      if (type !== 'error' || !('error' in status)) return;
      const { error } = status;
      if (error instanceof errors.PermissionViolationError) refused.add(`${user} ${error.operation} ${error.subject}`);
    });
  }

  const wrong: string[] = [];
  for (const [i, [user, verb, subject, allowed]] of rows.entries()) {
    const nats = connections.get(user);
    assert.ok(nats !== undefined);
    const token = `row ${i}`;
    const said = `${user} ${verb === 'publish' ? 'publish' : 'subscription'} ${subject}`;
    const heard = new Set<string>();
    if (verb === 'publish') {
      nats.connection.publish(subject, token);
    } else {
      nats.connection.subscribe(subject, {
        callback: (error, message) => {
          if (error === null) heard.add(message.string());
        },
      });
      await nats.connection.flush();
      witness.connection.publish(subject.replaceAll(/[*>]/g, 'x'), token);
    }
    await witness.connection.flush();
    await nats.connection.flush();
    await witness.connection.flush();
    const reached = (): boolean => (verb === 'publish' ? arrived : heard).has(token);
    await waitUntil(`${said}: refused or arrived`, () => refused.has(said) || reached());
    if (refused.has(said) === allowed || reached() !== allowed) wrong.push(said);
  }
  assert.equal(wrong, []);
  assert.ok(rows.length >= 40);
  assert.is(new Set(rows.map(row => row.join(' '))).size, rows.length);
});

test('limits: the payload is what limits.ts says, and one byte more is refused', async () => {
  await using server = await serve(asset('nats.conf'));
  await using nats = await connect(server.url('node'), { name: 'test' });
  assert.is(nats.connection.info?.max_payload, LIMITS.payloadBytes);
  assert.throws(() => nats.connection.publish('troupe.event.x', new Uint8Array(LIMITS.payloadBytes + 1)), /payload/);
});

test('a user who may make consumers cannot have them deliver into a bucket or a mailbox', async () => {
  await using server = await serve(asset('nats.conf'));
  await using node = await connect(server.url('node'), { name: 'node' });
  await using api = await connect(server.url('api'), { name: 'api' });
  const { signal } = new AbortController();
  await provision(node, { replicas: 1, partitions: 16, logBytes: null, signal });
  await node.js.publish('troupe.event.node.n1.started', 'smuggled');
  const stored = async (stream: string): Promise<number> => (await node.jsm.streams.info(stream)).state.messages;
  const before = [await stored(kvStream(BUCKETS.state)), await stored(STREAMS.mailbox)];
  const heard: string[] = [];
  api.connection.subscribe('_INBOX_api.here', { callback: (_, message) => void heard.push(message.string()) });
  for (const [name, to] of [
    ['bucket', '$KV.troupe_state.scenario.x'],
    ['mailbox', 'troupe.sys.scenario.x.exited'],
    ['own', '_INBOX_api.here'],
  ] as const) {
    const config = { name, durable_name: name, deliver_subject: to, ack_policy: 'none', deliver_policy: 'all' };
    const subject = `$JS.API.CONSUMER.CREATE.${STREAMS.event}.${name}`;
    await api.connection.request(subject, JSON.stringify({ stream_name: STREAMS.event, config }));
  }
  // What was asked for last has been delivered: so would have been what was asked for before.
  await waitUntil('the honest consumer delivers', () => heard.includes('smuggled'));
  assert.equal([await stored(kvStream(BUCKETS.state)), await stored(STREAMS.mailbox)], before);
});

test('NC3: a user of a URL is answered in inboxes of its own, whichever server comes first; nobody else is named', async () => {
  await using server = await serve(asset('nats.conf'));
  const { port } = server;
  await using nats = await connect(`nats://client:client%2Fpass@127.0.0.1:${port},127.0.0.1:${port}`, { name: 'test' });
  assert.match(nats.newInbox(), /^_INBOX_client\.\w+$/);
  assert.is.not(nats.newInbox(), nats.newInbox());
  assert.is(withoutPassword('nats://a:b@one:1,nats://a:b@two:2,a:b@three:3'), 'nats://one:1,nats://two:2,three:3');
  assert.is(withoutPassword('nats://a:b/c,d@one:1'), 'nats://one:1');
});

test('PR5: a node whose user is one for other roles says so at once', async () => {
  await using server = await serve(asset('nats.conf'));
  const given = { nats: { url: server.url('api'), credsFile: null } };
  try {
    await startTestNode(given);
    assert.unreachable();
  } catch (error) {
    assert.ok(error instanceof TroupeError && error.code === 'forbidden', String(error));
    assert.match(error.message, /may not publish to \$JS\.API\..*another user/);
  }
});

test('PR5: an API-only node that came first and a node work together, each as its own user, and no right is missing', async () => {
  await using server = await serve(asset('nats.conf'));
  const as = (user: 'node' | 'api') => ({ url: server.url(user), credsFile: null });
  const said: string[] = [];
  const apiStarts = startTestNode({ nats: as('api'), roles: ['api'], node: 'api' }, {}, said);
  apiStarts.catch(error => said.push(String(error)));
  await waitUntil('the API node says what is missing', () =>
    said.some(line => line.includes('NATS lacks KV_troupe_state')),
  );
  await using node = await startTestNode({ nats: as('node'), roles: ['orchestrator', 'runner'], node: 'worker' });
  await using api = await apiStarts;
  await using client = await connect(server.url('client'), { name: 'client' });

  const heard = new Set<string>();
  for (const subject of ['troupe.event.>', 'troupe.prediction.>', 'troupe.heartbeat.>', 'troupe.rejected.>'])
    client.connection.subscribe(subject, { callback: (_, message) => void heard.add(message.subject) });
  await client.connection.flush();
  const body = { id: 'first', source: { uri: 'test_videos/test_video.mp4' }, model: 'shapes', sampling: { every: 20 } };
  const created = await api.call('POST', '/api/v1/scenarios', body, { 'idempotency-key': 'once' });
  assert.is(created.status, 201, created.text);
  assert.is((await api.ended('first')).outcome, 'completed');
  assert.is((await api.export('first')).trimEnd().split('\n').length, 30);
  for (const at of ['/api/v1/nodes', '/api/v1/tree', '/api/v1/scenarios', '/api/v1/models', '/readyz'])
    assert.is((await api.call('GET', at)).status, 200, at);
  assert.match((await api.call('GET', '/api/v1/tree')).text, /"orchestrator\/0/);

  const ask = async (verb: string, said: unknown) =>
    (
      await client.connection.request(`troupe.api.scenario.second.${verb}`, JSON.stringify(said), { timeout: 10_000 })
    ).json();
  const { id: _, ...spec } = body;
  assert.match(JSON.stringify(await ask('start', spec)), /"id":"second"/);
  client.connection.publish('troupe.cmd.scenario.third.start', JSON.stringify(spec));
  client.connection.publish('troupe.cmd.scenario.nobody.stop', '{}');
  assert.is((await api.ended('second')).outcome, 'completed');
  await waitUntil(
    'the bare command is a scenario',
    async () => (await api.call('GET', '/api/v1/scenarios/third')).status === 200,
  );
  assert.is((await api.ended('third')).outcome, 'completed');
  assert.is((await api.call('DELETE', '/api/v1/scenarios/third')).status, 204);
  const seen = await natsStateStore(client, BUCKETS.state).get('scenario.first');
  assert.ok(seen !== null, 'the client reads a committed state');
  const kinds = () => new Set([...heard].map(subject => subject.split('.')[1]));
  await waitUntil('the client has heard of everything', () => kinds().size === 4);
  const found = new Set<string>();
  for await (const answer of await client.connection.requestMany('$SRV.PING.troupe', '', {
    strategy: 'count',
    maxMessages: 2,
    maxWait: 30_000,
  }))
    found.add(answer.json<{ metadata: { node: string } }>().metadata.node);
  assert.equal([...found].toSorted(), ['api', 'worker']);
  assert.is(node.node.natsUrl, `nats://127.0.0.1:${server.port}`, 'no password is shown');
  assert.match(
    readFileSync(path.join(node.data, 'endpoint.json'), 'utf8'),
    /^\{"nats":"nats:\/\/127[^@]*"worker"\}\n$/,
  );

  await client.close();
  await api[Symbol.asyncDispose]();
  await node[Symbol.asyncDispose]();
  assert.equal(
    server
      .log()
      .split('\n')
      .filter(line => /violation|\[ERR\]/i.test(line)),
    [],
  );
});

test.run();
