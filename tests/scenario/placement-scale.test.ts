// shared
/** Many scenarios of one partition: Y4 and Z4 with the whole of a partition around them. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LIMITS } from '../../src/domain/limits.ts';
import { Cluster, idsOf, PARTITION, RETRY_MS } from './cluster.ts';

const test = suite('placement at scale');

test('Y4: more scenarios of one partition than an orchestrator holds wait while no node lives, and are all placed when one comes', async () => {
  const cluster = new Cluster();
  const ids = idsOf(PARTITION, LIMITS.placementsWaiting + 100);
  for (const id of ids) cluster.start(id);
  await cluster.clock.advance(RETRY_MS / 2);
  assert.equal(cluster.defects, []);
  const reasons = new Map<string, number>();
  for (const id of ids) {
    const { state, reason } = await cluster.doc(id);
    assert.is(state, 'in_startup_processing');
    reasons.set(String(reason), (reasons.get(String(reason)) ?? 0) + 1);
  }
  assert.equal(Object.fromEntries(reasons), {
    'no node with the runner role is alive': LIMITS.placementsWaiting,
    [`${LIMITS.placementsWaiting} attempts wait for a node before this one`]: 100,
  });
  const node = cluster.join('n1', ids.length);
  await cluster.clock.runUntil(() => node.running.size === ids.length, cluster.clock.monotonic() + 10 * RETRY_MS);
  assert.is(node.running.size, ids.length);
  await cluster.clock.advance(1_000);
  for (const id of ids) assert.is((await cluster.doc(id)).segments[0]?.phase, 'running');
  assert.equal([node.asked.length, cluster.defects], [ids.length, []]);
});

test('round_robin: the scenarios of a partition go to one node after another, also when they come one by one', async () => {
  const cluster = new Cluster('round_robin');
  // By load the first two would have it all.
  const nodes = [cluster.join('n1', 1_000), cluster.join('n2', 1_000), cluster.join('n3', 100)];
  for (const id of idsOf(PARTITION, 12)) {
    cluster.start(id);
    await cluster.clock.advance(10);
  }
  assert.equal(
    nodes.map(({ running }) => running.size),
    [4, 4, 4],
  );
});

test('Z4: as slots become free, each goes to one more of those that wait, with one request and no word to the others', async () => {
  const cluster = new Cluster();
  const ids = idsOf(PARTITION, 200);
  const node = cluster.join('n1', 4);
  for (const id of ids) cluster.start(id);
  await cluster.clock.advance(1_000);
  assert.is(node.running.size, 4);
  const before = await cluster.writes();
  const [first = ''] = node.running;
  node.free(first);
  await cluster.clock.advance(RETRY_MS / 2);
  assert.equal([node.asked.length, node.running.size], [5, 4]);
  // The orchestrator's commit, and its scenario's: nobody else has written.
  assert.is((await cluster.writes()) - before, 2);
});

test.run();
