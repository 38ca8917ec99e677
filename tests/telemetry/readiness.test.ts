// serial
// shared
/** `/readyz` against what only looks alive. */
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Pulse } from '../../src/actors/gateway/pulse.ts';
import { Projector } from '../../src/actors/projector/projector.ts';
import { toJson } from '../../src/domain/json.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { SUBJECTS } from '../../src/domain/subjects.ts';
import type { TreeNode } from '../../src/domain/tree.ts';
import { MemoryServer } from '../../src/infra/memory/memory-server.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';
import { natsBus } from '../../src/infra/nats/bus.ts';
import { connect } from '../../src/infra/nats/connection.ts';
import { systemClock as clock } from '../../src/infra/process/system-clock.ts';
import { openProjection } from '../../src/infra/sqlite/projection-store.ts';
import { temporaryFolder } from '../projection/temporary-folder.ts';
import { nodeView } from '../scenario/node-view.ts';
import { openRecord } from '../support/log-records.ts';
import { startTestNode } from '../support/node.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('readiness');
const idle = () => ({ leaseAgeMs: null, partitions: [] });

/** A connection that is silent this long is tried, and given up at the second silence: what a frozen server was noticed by before. */
const BROKEN_MS = 2 * LIMITS.natsPingMs;

test('PU1: a nats-server that is frozen makes the node unready while its connection still stands', async () => {
  await using node = await startTestNode({ spares: 0 });
  const tree = (await node.call('GET', '/api/v1/tree')).body as unknown as TreeNode;
  const server = tree.children[0]?.children.find(child => child.kind === 'nats-server')?.pid ?? 0;
  assert.ok(server > 0);
  assert.is((await node.call('GET', '/readyz')).status, 200);
  process.kill(server, 'SIGSTOP');
  try {
    const frozen = performance.now();
    await waitUntil('it is unready', async () => (await node.call('GET', '/readyz')).status === 503);
    const tookMs = performance.now() - frozen;
    assert.ok(tookMs < BROKEN_MS - 1_000, `${tookMs} ms`);
    const { body } = await node.call('GET', '/readyz');
    assert.is(body['code'], 'not_ready');
    assert.match(String(body['detail']), /NATS has not answered within 1800 ms/);
    assert.is((await node.call('GET', '/healthz')).status, 200);
  } finally {
    process.kill(server, 'SIGCONT');
  }
  await waitUntil('it is ready again', async () => (await node.call('GET', '/readyz')).status === 200);
});

test('PU1, PU2: a projector that does not go on while the log grows is told; one that does is well', async () => {
  using folder = temporaryFolder();
  const server = new MemoryServer({ clock, partitions: LIMITS.partitions });
  const log = server.predictionLog();
  const projection = openProjection(path.join(folder.path, 'p.db'));
  const look = () => new Pulse({ clock, log, projection, hands: idle }, 1_000).look();
  const key = { scenario: 'cam', run: 1, segment: 0 };
  assert.equal(await look(), []);

  const seq = await log.append(key, openRecord(1), 0);
  assert.match((await look()).join(), new RegExp(`projector stalls: .*record ${seq}\\b`));
  const over = new AbortController();
  const running = new Projector({ log, store: projection, clock }).run(over.signal);
  await waitUntil('it has caught up', () => projection.appliedSeq === seq);
  assert.equal(await look(), []);
  over.abort();
  await running;

  // What is purged need not be applied, and what is no record cannot.
  await log.append(key, openRecord(2), seq);
  await log.purge('cam');
  assert.equal(await look(), []);
  projection.close();
});

test('PU1: a partition of the node that processes nothing and a lease that it cannot renew are told', async () => {
  using folder = temporaryFolder();
  const server = new MemoryServer({ clock, partitions: LIMITS.partitions });
  const projection = openProjection(path.join(folder.path, 'p.db'));
  const look = (leaseAgeMs: number, stalledMs: number) => {
    const hands = () => ({ leaseAgeMs, partitions: [{ partition: 3, stalledMs }] });
    return new Pulse({ clock, log: server.predictionLog(), projection, hands }, 1_000).look();
  };
  assert.equal(await look(900, 1_000), []);
  assert.equal(await look(900, 2_500), ['Partition 3 of this node has processed no message for 2500 ms.']);
  assert.equal(await look(4_000, 0), ['This node could not renew its lease for 4000 ms.']);
  projection.close();
});

test('PU1: a node that others call sick makes no other one unready, and keeps none from starting', async () => {
  await using node = await startTestNode({ spares: 0 });
  await using nats = await connect(node.node.natsUrl, { name: 'test' });
  const bus = natsBus(nats);
  const sick = toJson(nodeView('sick', { roles: ['orchestrator'], partitions: [3] }));
  // As a node of an older version answers who asks for its pulse.
  const said = toJson({ leaseAgeMs: 0, partitions: [{ partition: 3, stalledMs: 60_000 }] });
  bus.subscribe(SUBJECTS.control('sick', 'pulse'), ({ reply }) => {
    if (reply !== null) bus.publish(reply, said);
  });
  const beats = setInterval(() => bus.publish(SUBJECTS.heartbeat('sick', 'node', 'sick'), sick), 100);
  try {
    await waitUntil('it is heard of', async () => /"sick"/.test((await node.call('GET', '/api/v1/nodes')).text));
    assert.is((await node.call('GET', '/readyz')).status, 200);
    await using other = await startTestNode({
      nats: { url: node.node.natsUrl, credsFile: null },
      node: 'other',
      roles: ['api'],
      spares: 0,
    });
    await waitUntil('it is heard of', async () => /"sick"/.test((await other.call('GET', '/api/v1/nodes')).text));
    assert.is((await other.call('GET', '/readyz')).status, 200);
  } finally {
    clearInterval(beats);
  }
});

test('PU3: NATS and the projector have the time of one look together', async () => {
  const virtual = new VirtualClock();
  const log = new MemoryServer({ clock: virtual, partitions: LIMITS.partitions }).predictionLog();
  await log.append({ scenario: 'cam', run: 1, segment: 0 }, openRecord(1), 0);
  const slow = {
    ...log,
    identity: () => virtual.sleep(LIMITS.pulseMs / 2 - 100).then(() => log.identity()),
    next: (seq: number) => virtual.sleep(LIMITS.pulseMs / 2 - 100).then(() => log.next(seq)),
  };
  using folder = temporaryFolder();
  const projection = openProjection(path.join(folder.path, 'p.db'));
  const over: string[][] = [];
  void new Pulse({ clock: virtual, log: slow, projection, hands: idle }, 1_000)
    .look()
    .then(found => over.push([...found]));
  await virtual.advance(LIMITS.pulseLookMs + 100);
  await virtual.settle();
  assert.match(String(over[0]), /^The projector stalls: /);
  projection.close();
});

test('PU3: looks in the same moment are one', async () => {
  using folder = temporaryFolder();
  const server = new MemoryServer({ clock, partitions: LIMITS.partitions });
  const projection = openProjection(path.join(folder.path, 'p.db'));
  let asked = 0;
  const real = server.predictionLog();
  const log = {
    ...real,
    identity: async () => {
      asked += 1;
      return real.identity();
    },
  };
  const pulse = new Pulse({ clock, log, projection, hands: idle }, 1_000);
  for (let i = 0; i < 20; i++) await pulse.look();
  assert.ok(asked < 20, `${asked} questions`);
  projection.close();
});

test.run();
