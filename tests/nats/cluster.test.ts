// shared
/**
 * What only a cluster can show: leaders that die or hang in mid-stream, copies that lag, a lost quorum, servers that come
 * late. An election takes nats-server 4 to 9 s on any machine, and these tests wait for some ten of them.
 */
import { JetStreamApiError, type StreamInfo } from '@nats-io/jetstream';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { LogEntry, PredictionLog } from '../../src/actors/ports/prediction-log.ts';
import type { StateStore } from '../../src/actors/ports/state-store.ts';
import { isPassing, WriteConflict, WriteRetry, WriteUnknown } from '../../src/actors/ports/write-outcome.ts';
import { TroupeError } from '../../src/domain/errors.ts';
import type { LogKey } from '../../src/domain/log-record.ts';
import { BUCKETS, kvStream, STREAMS } from '../../src/domain/subjects.ts';
import { connect, type Nats } from '../../src/infra/nats/connection.ts';
import { natsPredictionLog } from '../../src/infra/nats/prediction-log.ts';
import { provision } from '../../src/infra/nats/provision.ts';
import { natsStateStore } from '../../src/infra/nats/state-store.ts';
import {
  answered,
  bytes,
  type ClusterBackend,
  clusterBackend,
  collect,
  judged,
  refusal,
  take,
  text,
} from '../contract/backends.ts';
import { batch, writerOf } from '../runner/log-rules.ts';
import { framesRecord, openRecord } from '../support/log-records.ts';
import { SERVERS, type ServerIndex, startNatsCluster, type TestCluster } from '../support/nats-cluster.ts';
import { waitUntil } from '../support/wait-until.ts';

const { signal } = new AbortController();
const asked = { replicas: 3, partitions: 16, logBytes: null, signal };
const allStreams = [...Object.values(STREAMS), ...Object.values(BUCKETS).map(kvStream)];
/** An election and its repetition, a restart, a client's time-outs, on a slow machine. */
const PATIENCE_MS = 90_000;

/** "no suitable peers for placement" */
const NO_PEERS = 10005;

const test = suite('cluster');
let backend: ClusterBackend;
let logs = 0;
test.before(async () => {
  backend = await clusterBackend();
});
test.after(() => backend.close());

const fresh = (): LogKey => ({ scenario: `video${logs++}`, run: 1, segment: 0 });
const other = (than: ServerIndex): ServerIndex => SERVERS.find(server => server !== than) ?? than;
const connectTo = (server: ServerIndex): Promise<Nats> =>
  connect(backend.cluster.urls[server] ?? '', { name: `test of ${server}` });
const logOf = (nats: Nats): PredictionLog => natsPredictionLog(nats, () => {});
/** The log as it is, and how often it was in trouble. */
function counted(log: PredictionLog): PredictionLog & { troubles: number } {
  return {
    ...log,
    troubles: 0,
    async append(key, record, expected) {
      try {
        return await log.append(key, record, expected);
      } catch (error) {
        if (isPassing(error)) this.troubles += 1;
        throw error;
      }
    },
  };
}
const numbers = (entries: readonly LogEntry[], key: LogKey): number[] =>
  entries.flatMap(({ key: { scenario }, record }) =>
    scenario === key.scenario && record.kind !== 'closed' ? [record.n] : [],
  );

test('L2: of writers that race with one expectation at most one wins, and 10164 says that the same write may be sent again', async () => {
  const { a, b } = backend;
  const [one, two] = [await a.bucket('races'), await b.bucket('races')];
  let expected = 0;
  let undecided = 0;
  for (let race = 0; race < 200; race++) {
    const racers = Array.from(
      { length: 8 },
      (_, i) => () => (i % 2 === 0 ? one : two).put('actor.x', bytes(`${race}.${i}`), expected),
    );
    const ends = await Promise.allSettled(
      racers.map(async put => {
        try {
          return await put();
        } catch (error) {
          if (!(error instanceof WriteRetry)) throw error;
          const { cause } = error;
          assert.ok(cause instanceof JetStreamApiError && cause.code === 10164);
          undecided += 1;
          return await judged(put);
        }
      }),
    );
    const won = ends.flatMap((end, i) => (end.status === 'fulfilled' ? [{ revision: end.value, i }] : []));
    for (const end of ends) if (end.status === 'rejected') assert.instance(end.reason, WriteConflict);
    assert.is(won.length, 1);
    const entry = await one.get('actor.x');
    expected = won[0]?.revision ?? 0;
    assert.equal([entry?.revision, text(entry?.value ?? bytes(''))], [expected, `${race}.${won[0]?.i}`]);
  }
  assert.ok(undecided > 0);
});

test('OR1, L2: through three kills of the leader a writer of 2,000 appends and its readers lose and repeat nothing', async () => {
  const { a, b, cluster } = backend;
  const key = fresh();
  const fromSeq = (await a.log.identity()).lastSeq + 1;
  const readers = [a, b].map(({ log }) => collect(reading => log.read(fromSeq, reading)));
  const log = counted(a.log);
  const writer = await writerOf(log, key, 1);
  const seqs = [(await answered(() => a.log.last(key))).seq];
  let back = Promise.resolve();
  const troubles: number[] = [];
  for (let n = 1; n <= 2_000; n++) {
    if (n % 500 === 0 && n < 2_000) {
      await back;
      await cluster.settled(STREAMS.log);
      const leader = await cluster.leaderOf(STREAMS.log);
      troubles.push(log.troubles);
      back = cluster.kill(leader).then(() => cluster.start(leader));
    }
    seqs.push(await batch(writer, n));
  }
  await back;
  troubles.push(log.troubles);
  // Each kill met the writer.
  assert.is(new Set(troubles).size, 4);
  const expected = Array.from({ length: 2_001 }, (_, n) => n);
  for (const reader of readers) {
    await waitUntil('everything is read', () => reader.items.at(-1)?.seq === seqs.at(-1), PATIENCE_MS);
    await reader.stop();
    assert.equal(numbers(reader.items, key), expected);
    assert.equal(
      reader.items.map(entry => entry.seq),
      seqs,
    );
  }
});

test('L2: what lay before a leader that hung is not stored once others have written, and readers go on', async () => {
  const { cluster } = backend;
  await cluster.settled(STREAMS.log);
  const leader = await cluster.leaderOf(STREAMS.log);
  await using cutOff = await connectTo(leader);
  await using well = await connectTo(other(leader));
  const [stale, log] = [logOf(cutOff), logOf(well)];
  const key = fresh();
  const opened = await log.append(key, openRecord(1), 0);
  const reader = collect(reading => log.read(opened, reading));
  cluster.freeze(leader);
  // Waits in the socket of the server that hangs.
  const late = refusal(stale.append(key, framesRecord(1, 1, 0, 1), opened));
  const writer = await writerOf(log, key, 2);
  for (let n = 1; n <= 50; n++) await batch(writer, n);
  const { seq } = await answered(() => log.last(key));
  cluster.thaw(leader);
  const error = await late;
  assert.ok(error instanceof WriteUnknown || error instanceof WriteConflict || error instanceof WriteRetry);
  await cluster.settled(STREAMS.log);
  // The leader that was woken may still speak for itself, and the others elect again.
  assert.is((await answered(() => log.last(key))).seq, seq);
  await waitUntil('everything is read', () => reader.items.at(-1)?.seq === seq, PATIENCE_MS);
  await reader.stop();
  assert.equal(
    reader.items.map(({ record }) => record.attempt),
    [1, ...Array.from({ length: 51 }, () => 2)],
  );
  assert.equal(numbers(reader.items, key), [0, ...Array.from({ length: 51 }, (_, n) => n)]);
});

test('OR3: without a quorum a copy that lags speaks for nobody: writes wait, reads are unavailable; with it all goes on', async () => {
  const { a, cluster } = backend;
  await a.bucket('quorum');
  const stream = kvStream('quorum');
  for (const name of [stream, STREAMS.log]) await cluster.settled(name);
  const leader = await cluster.leaderOf(stream);
  // One that leads nothing that is read below: a leader that is woken speaks for itself until it knows better.
  const leaders = [leader, await cluster.leaderOf(STREAMS.log)];
  const laggard = SERVERS.find(server => !leaders.includes(server)) ?? leader;
  const dead = SERVERS.filter(server => server !== laggard);
  await using nats = await connectTo(leader);
  const store = natsStateStore(nats, 'quorum');
  const first = await store.put('actor.first', bytes('1'), 0);
  await cluster.settled(stream);
  const reader = collect(reading => store.watch(reading));
  const revisions = (): number[] =>
    reader.items.flatMap(change => (change.kind === 'entry' ? [change.entry.revision] : []));
  cluster.freeze(laggard);
  const acknowledged = [first];
  // More than sockets hold: what is beyond dies with its senders.
  const big = new Uint8Array(128 * 1024);
  for (let n = 0; n < 600; n++) acknowledged.push(await store.put(`actor.big${n}`, big, 0));
  await waitUntil('everything is read', () => reader.items.length > acknowledged.length, PATIENCE_MS);
  await Promise.all(dead.map(server => cluster.kill(server)));
  cluster.thaw(laggard);
  // The others may have taken it off the list that they give their clients: who is to speak with it is told of it.
  await using aside = await connectTo(laggard);
  const copy = natsStateStore(aside, 'quorum');
  const described = await leaderless(aside, stream);
  assert.ok(described.state.last_seq < (acknowledged.at(-1) ?? 0));
  const written = await refusal(copy.put('actor.small', bytes('1'), 0));
  assert.ok(written instanceof WriteRetry || written instanceof WriteUnknown);
  const reads = [() => copy.get('actor.first'), logOf(aside).identity, () => take(1, reading => copy.watch(reading))];
  for (const read of reads) {
    const error = await refusal(read());
    assert.ok(error instanceof TroupeError && error.code === 'unavailable' && error.retryable);
  }
  await Promise.all(dead.map(server => cluster.start(server)));
  acknowledged.push(await stored(store, 'actor.last'));
  await waitUntil('everything is read', () => revisions().at(-1) === acknowledged.at(-1), PATIENCE_MS);
  await reader.stop();
  const read = revisions();
  // The write whose end was unknown may have been stored after all.
  assert.equal(
    read.filter(revision => acknowledged.includes(revision)),
    acknowledged,
  );
  assert.ok(read.length <= acknowledged.length + 1 && read.every((revision, i) => revision > (read[i - 1] ?? 0)));
});

test('PR1, PR4: nodes that provision at once wait for servers that come late', async () => {
  await using late = await lateCluster([0]);
  const { cluster, nats } = late;
  const ends = Promise.allSettled(Array.from({ length: 4 }, () => provision(nats, asked)));
  await cluster.start(1);
  await waitUntil(
    'two servers are found too few for three copies',
    async () => {
      const error = await refusal(nats.jsm.streams.add({ name: 'probe', num_replicas: 3 }));
      return error instanceof JetStreamApiError && error.code === NO_PEERS;
    },
    PATIENCE_MS,
  );
  await cluster.start(2);
  for (const end of await ends) assert.equal(end, { status: 'fulfilled', value: { partitions: 16 } });
  assert.equal(await copies(nats), new Set([3]));
});

test('PR2, PR4: copies are raised when there are servers enough, keep what is stored, and are never lowered', async () => {
  await using late = await lateCluster([0, 1]);
  const { cluster, nats } = late;
  await provision(nats, { ...asked, replicas: 1 });
  const log = logOf(nats);
  const key = fresh();
  const opened = await log.append(key, openRecord(1), 0);
  await Promise.all([provision(nats, asked), cluster.start(2)]);
  assert.equal(await copies(nats), new Set([3]));
  assert.is((await log.last(key)).seq, opened);
  await provision(nats, { ...asked, replicas: 1 });
  assert.equal(await copies(nats), new Set([3]));
});

/** A new cluster of which only some servers run yet, and a client. */
async function lateCluster(
  running: readonly ServerIndex[],
): Promise<{ readonly cluster: TestCluster; readonly nats: Nats } & AsyncDisposable> {
  const cluster = await startNatsCluster(running);
  const nats = await connect(cluster.urls[0] ?? '', { name: 'early' });
  return {
    cluster,
    nats,
    [Symbol.asyncDispose]: async () => {
      await nats.close();
      await cluster.stop();
    },
  };
}

/** Creates a key, however long it takes. @returns its revision */
async function stored(store: StateStore, key: string): Promise<number> {
  for (;;) {
    try {
      return await store.put(key, bytes(key), 0);
    } catch (error) {
      const found = await store.get(key).catch(() => null);
      if (found !== null) return found.revision;
      if (!isPassing(error)) throw error;
    }
  }
}

/** What a server says of its own copy once it knows of no leader. */
async function leaderless(nats: Nats, stream: string): Promise<StreamInfo> {
  const found: StreamInfo[] = [];
  await waitUntil(
    'a server speaks of a stream without a leader',
    async () => {
      const info = await nats.jsm.streams.info(stream).catch(() => null);
      if (info !== null && info.cluster?.leader === undefined) found.push(info);
      return found.length > 0;
    },
    PATIENCE_MS,
  );
  const [info] = found;
  if (info === undefined) throw new Error('no server spoke');
  return info;
}

/** How many copies the streams and buckets have. */
async function copies(nats: Nats): Promise<Set<number>> {
  const infos = await Promise.all(allStreams.map(name => nats.jsm.streams.info(name)));
  return new Set(infos.map(({ config }) => config.num_replicas));
}

test.run();
