// serial
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
import { systemClock as clock } from '../../src/infra/process/system-clock.ts';
import { openProjection } from '../../src/infra/sqlite/projection-store.ts';
import { temporaryFolder } from '../projection/temporary-folder.ts';
import { nodeView } from '../scenario/node-view.ts';
import { openRecord } from '../support/log-records.ts';
import { startTestNode } from '../support/node.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('readiness');

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
  const directory = { alive: () => [], isGone: () => false, onCapacity: () => ({ close: () => {} }) };
  const look = () => new Pulse({ bus: server.bus(), clock, directory, log, projection }, 1_000).look();
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

test('PU1: an owner that does not answer, does not process or cannot renew its lease is told', async () => {
  using folder = temporaryFolder();
  const server = new MemoryServer({ clock, partitions: LIMITS.partitions });
  const projection = openProjection(path.join(folder.path, 'p.db'));
  const bus = server.bus();
  const views = ['well', 'stuck', 'silent', 'late'].map(id => nodeView(id, { partitions: [3] }));
  const directory = { alive: () => views, isGone: () => false, onCapacity: () => ({ close: () => {} }) };
  const say = (node: string, leaseAgeMs: number, stalledMs: number) =>
    bus.subscribe(SUBJECTS.control(node, 'pulse'), ({ reply }) => {
      if (reply !== null) bus.publish(reply, toJson({ leaseAgeMs, partitions: [{ partition: 3, stalledMs }] }));
    });
  say('well', 900, 1_000);
  say('stuck', 900, 2_500);
  say('late', 4_000, 0);
  bus.subscribe(SUBJECTS.control('silent', 'pulse'), () => {});
  const pulse = new Pulse({ bus, clock, directory, log: server.predictionLog(), projection }, 1_000);
  assert.equal(await pulse.look(), [
    'Partition 3 on node stuck has processed no message for 2500 ms.',
    'Node silent, which owns the partitions 3, does not answer.',
    'Node late could not renew its lease for 4000 ms.',
  ]);
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
  const directory = { alive: () => [], isGone: () => false, onCapacity: () => ({ close: () => {} }) };
  const pulse = new Pulse({ bus: server.bus(), clock, directory, log, projection }, 1_000);
  for (let i = 0; i < 20; i++) await pulse.look();
  assert.ok(asked < 20, `${asked} questions`);
  projection.close();
});

test.run();
