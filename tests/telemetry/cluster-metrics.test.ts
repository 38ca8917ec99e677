import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LIMITS } from '../../src/domain/limits.ts';
import { BOUNDS_MS, Tally } from '../../src/domain/stage.ts';
import { SUBJECTS } from '../../src/domain/subjects.ts';
import { MemoryServer } from '../../src/infra/memory/memory-server.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';
import { ClusterMetrics, serveMetrics } from '../../src/infra/telemetry/cluster-metrics.ts';
import { Metrics } from '../../src/infra/telemetry/metrics.ts';
import { nodeView } from '../scenario/node-view.ts';
import { readExposition } from './exposition.ts';

const test = suite('cluster metrics');

const node = (running: number) =>
  new Metrics({
    version: '1',
    runners: () => ({ running, slots: 4 }),
    partitions: () => null,
    leaseAgeMs: () => null,
    lag: async () => null,
  });

test('CM1, CM2: every node is shown with its name; one that does not answer, or is gone, is down', async () => {
  const clock = new VirtualClock();
  const bus = new MemoryServer({ clock, partitions: LIMITS.partitions }).bus();
  const own = node(1);
  const other = node(3);
  let alive = ['a', 'b', 'silent', 'absent'];
  const directory = {
    alive: () => alive.map(id => nodeView(id)),
    isGone: () => false,
    onCapacity: () => ({ close: () => {} }),
  };
  serveMetrics({ bus, metrics: own }, 'a');
  serveMetrics({ bus, metrics: other }, 'b');
  bus.subscribe(SUBJECTS.control('silent', 'metrics'), () => {});
  const cluster = new ClusterMetrics({ bus, clock, directory, metrics: own }, 'a');
  const read = async () => {
    const asked = cluster.text('cluster');
    for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve));
    await clock.advance(LIMITS.metricsMs + 1);
    const families = readExposition(await asked);
    const of = (name: string) => families.get(name)?.samples.map(({ labels, value }) => [labels['node'], value]);
    return [of('troupe_node_up'), of('troupe_runners_running')];
  };
  const running = [
    ['a', 1],
    ['b', 3],
  ];
  const up = [
    ['a', 1],
    ['b', 1],
    ['silent', 0],
    ['absent', 0],
  ];
  assert.equal(await read(), [up, running]);
  alive = ['a', 'b', 'silent'];
  assert.equal(await read(), [up, running], 'what is no longer heard of stays, as down');
  await clock.advance(LIMITS.nodeDownMs);
  assert.equal((await read())[0], up.slice(0, 3));
  assert.is(readExposition(await cluster.text('node')).get('troupe_node_up')?.samples.length, 1);
});

test('ST1, ST2: a passage counts in the first bound that it does not exceed, and is taken once', () => {
  const tally = new Tally();
  assert.is(tally.take(), null);
  for (const ms of [0, 0.25, 0.26, 10_000, 10_001]) tally.took(ms);
  const taken = tally.take();
  const counts = BOUNDS_MS.map(() => 0);
  assert.equal(taken?.counts, [2, 1, ...counts.slice(3), 1, 1]);
  assert.is(Math.round((taken?.sumMs ?? 0) * 100), 2_000_151);
  assert.is(tally.take(), null);
  const sum = new Tally();
  if (taken !== null) for (const _ of [1, 2]) sum.add(taken);
  assert.is(
    sum.now.counts.reduce((a, b) => a + b),
    10,
  );
});

test('MT1: a code or a kind that nobody knows is no label', async () => {
  const metrics = node(0);
  metrics.rejected('x'.repeat(50), 'hm');
  metrics.restarted('hm');
  metrics.ended('hm');
  metrics.answered(null, 'BREW', 418, 1);
  const text = JSON.stringify(await metrics.families());
  assert.not.match(text, /xxx|"hm"|BREW/);
  assert.match(text, /"kind":"other","code":"other"/);
});

test.run();
