import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BUCKETS, kvStream, STREAMS } from '../../src/domain/subjects.ts';
import { connect, type Nats } from '../../src/infra/nats/connection.ts';
import { findNatsServer, refuseOlderThan } from '../../src/infra/nats/nats-binary.ts';
import { provision } from '../../src/infra/nats/provision.ts';
import { startForeignNats, startTestNats, type TestNats } from '../support/nats.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('provision');
let server: TestNats;
let nats: Nats;
test.before.each(async () => {
  server = await startTestNats();
  nats = await connect(server.url, { name: 'test' });
});
test.after.each(async () => {
  await nats.close();
  await server.stop();
});

const { signal } = new AbortController();
const asked = { replicas: 1, partitions: 16, logBytes: null, signal };
const allStreams = [...Object.values(STREAMS), ...Object.values(BUCKETS).map(kvStream)];
const configurations = async (): Promise<string> =>
  JSON.stringify(await Promise.all(allStreams.map(async name => (await nats.jsm.streams.info(name)).config)));

test('PR1: nodes that provision at once, and again, end in the same streams', async () => {
  const ends = await Promise.all(Array.from({ length: 6 }, () => provision(nats, asked)));
  assert.equal(new Set(ends.map(end => end.partitions)), new Set([16]));
  const before = await configurations();
  await provision(nats, asked);
  assert.is(await configurations(), before);
});

test('reads are the leader’s, the log has no age, a full mailbox refuses the newest', async () => {
  await provision(nats, { ...asked, logBytes: 1_000_000 });
  for (const name of allStreams) assert.is((await nats.jsm.streams.info(name)).config.allow_direct, false);
  const log = (await nats.jsm.streams.info(STREAMS.log)).config;
  assert.equal([log.max_age, log.max_bytes, log.discard, log.storage], [0, 1_000_000, 'new', 'file']);
  const mailbox = (await nats.jsm.streams.info(STREAMS.mailbox)).config;
  assert.equal([mailbox.discard, mailbox.discard_new_per_subject], ['new', true]);
  for (const bucket of Object.values(BUCKETS))
    assert.is((await nats.jsm.streams.info(kvStream(bucket))).config.max_msgs_per_subject, 1);
});

test('PR2: a stream that differs is updated, and keeps what is in it', async () => {
  await provision(nats, asked);
  await nats.js.publish('troupe.event.node.n1.started', 'fact');
  await nats.jsm.streams.update(STREAMS.event, { max_bytes: 1_000_000 });
  await provision(nats, asked);
  const { config, state } = await nats.jsm.streams.info(STREAMS.event);
  assert.is.not(config.max_bytes, 1_000_000);
  assert.is(state.messages, 1);
});

test('PR3: the number of partitions stays what the first node wrote', async () => {
  assert.equal(await provision(nats, { ...asked, partitions: 8 }), { partitions: 8 });
  assert.equal(await provision(nats, asked), { partitions: 8 });
  const { subject_transform: transform } = (await nats.jsm.streams.info(STREAMS.mailbox)).config;
  assert.match(transform?.dest ?? '', /partition\(8,2,3\)/);
});

test('PR4: it waits while the server is away', async () => {
  await server.kill();
  const provisioning = provision(nats, asked);
  await server.start();
  assert.equal(await provisioning, { partitions: 16 });
});

test('PR5: a node that may not create says what is missing, goes on when it is there, and creates nothing', async () => {
  const waited: string[] = [];
  const waiting = provision(nats, { ...asked, onMissing: what => waited.push(what) });
  await waitUntil('it says what it waits for', () => waited.length > 0);
  assert.match(
    waited[0] ?? '',
    /NATS lacks KV_troupe_state, KV_troupe_lease, TROUPE_MAILBOX, .*orchestrator or runner/,
  );
  assert.is((await nats.jsm.getAccountInfo()).streams, 0);
  await provision(nats, { ...asked, partitions: 8 });
  assert.equal(await waiting, { partitions: 8 });
});

test('PR4: a store that is too small is called so at once, in the server’s words and with what to raise', async () => {
  await using small = await startForeignNats(store => `jetstream { store_dir: "${store}", max_file_store: 100MB }\n`);
  const connected = await connect(small.url, { name: 'test' });
  const refused = await provision(connected, asked).catch((error: unknown) => error);
  await connected.close();
  assert.match(String(refused), /store is too small .*insufficient storage resources.* max_file_store .* 1088 MiB/);
});

test('a server that is too old is refused', () => {
  for (const version of ['2.9.25', '2.10.26', '1.99.99', 'unknown'])
    assert.throws(() => refuseOlderThan('2.10.27', version, 'x'), /Troupe needs 2\.10\.27/);
  for (const version of ['2.10.27', '2.10.28', '2.11.0', '3.0.0', '2.12.1-RC.2'])
    refuseOlderThan('2.10.27', version, 'x');
});

test('nats-server is looked for in TROUPE_NATS_SERVER, PATH, and where set-up puts it, in this order', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'troupe-find-'));
  const make = (name: string): string => {
    mkdirSync(path.join(folder, name));
    const file = path.join(folder, name, 'nats-server');
    writeFileSync(file, '', { mode: 0o755 });
    return file;
  };
  const [given, onPath, bundled] = [make('given'), make('path'), make('bundled')];
  const own = path.dirname(bundled);
  const searchPath = ['/nonexistent', path.dirname(onPath)].join(path.delimiter);
  assert.is(findNatsServer({ given, searchPath, own }), given);
  assert.is(findNatsServer({ given: undefined, searchPath, own }), onPath);
  assert.is(findNatsServer({ given: '', searchPath: '/nonexistent', own }), bundled);
  assert.throws(() => findNatsServer({ given: '/nonexistent/x', searchPath, own }), /nonexistent\/x is not a program/);
  assert.throws(() => findNatsServer({ given: undefined, searchPath: '', own: '/nonexistent' }), /npm run setup/);
  rmSync(folder, { recursive: true });
});

test.run();
