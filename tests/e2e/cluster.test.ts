// serial
// shared
/** Several nodes as processes, each with some of the roles: joining, draining, vanishing, coming back as a zombie. */
import { rmSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Prediction } from '../../src/domain/prediction.ts';
import type { TreeNode } from '../../src/domain/tree.ts';
import { root } from '../../src/infra/process/assets.ts';
import { entry } from '../../src/infra/process/entry.ts';
import { startChild } from '../support/child.ts';
import { type ClusterNode, TestCluster } from '../support/cluster.ts';
import { startTestNats, type TestNats } from '../support/nats.ts';
import { isRunning } from '../support/processes.ts';
import { waitUntil } from '../support/wait-until.ts';

const FRAMES = 600;
const test = suite('cluster');
let nats: TestNats;
let cluster: TestCluster;
let api: ClusterNode;
/** The export of a run that nothing disturbed. */
let undisturbed: string;

test.before(async () => {
  nats = await startTestNats();
  cluster = new TestCluster(nats.url);
});
test.after(async () => {
  await cluster[Symbol.asyncDispose]();
  await nats.stop();
});

const assertUndisturbed = async (id: string): Promise<void> => {
  assert.ok((await cluster.export(api, id)) === undisturbed, `${id} is byte-identical to an undisturbed run`);
};
const isReady = async (): Promise<boolean> => (await fetch(`${api.url}/readyz`)).status === 200;
const flatten = (node: TreeNode): TreeNode[] => [node, ...node.children.flatMap(flatten)];

test('a node for each role is a cluster; a scenario waits, with the reason, until a runner node comes', async () => {
  // It waits for the streams, which another node makes.
  const starting = cluster.start('api', 'api');
  await cluster.start('o1', 'orchestrator');
  api = await starting;
  await waitUntil('it is ready', isReady);
  await cluster.create(api, 'first');
  await waitUntil('the reason is told', async () =>
    /no node with the runner role is alive/.test((await cluster.get(api, 'first')).reason ?? ''),
  );
  await cluster.start('r1', 'runner');
  const { runners } = await cluster.completed(api, 'first');
  assert.is(runners[0]?.attempt, 1);
  undisturbed = await cluster.export(api, 'first');
  const frames = undisturbed
    .trimEnd()
    .split('\n')
    .map(line => (JSON.parse(line) as Prediction).frame);
  assert.equal(
    frames,
    Array.from({ length: FRAMES }, (_, i) => i),
  );
  const views = await cluster.views(api);
  const roles = Object.fromEntries([...views].map(([id, view]) => [id, [...view.roles, view.partitions.length]]));
  assert.equal(roles, { api: ['api', 0], o1: ['orchestrator', 16], r1: ['runner', 0] });
});

test('a name that runs already is refused, with what to do', async () => {
  const other = new TestCluster(nats.url);
  try {
    await other.start('r1', 'runner');
    assert.unreachable();
  } catch (error) {
    assert.match(String(error), /node 'r1' runs elsewhere too: give this one another name with --node/);
  } finally {
    await other[Symbol.asyncDispose]();
  }
});

test('drain moves a runner to another node between two frames, and the drained node takes no more until it is undrained', async () => {
  await cluster.start('r2', 'runner');
  await cluster.create(api, 'drained');
  const from = (await cluster.midway(api, 'drained')).runners[0]?.node ?? '';
  const to = from === 'r1' ? 'r2' : 'r1';
  await cluster.call(api, 'POST', `/api/v1/nodes/${from}/drain`);
  await waitUntil(`${from} is empty`, async () => (await cluster.views(api)).get(from)?.running === 0);
  assert.is((await cluster.views(api)).get(from)?.draining, true);
  const ended = await cluster.completed(api, 'drained');
  assert.equal([ended.runners[0]?.restarts, ended.warnings], [1, []]);
  await assertUndisturbed('drained');
  const places = (await cluster.call<{ items: unknown[] }>(api, 'GET', '/api/v1/nodes')).items.length;
  assert.is(places, 4, 'the drained node is still there');

  await cluster.call(api, 'POST', `/api/v1/nodes/${to}/drain`);
  await cluster.create(api, 'nowhere');
  await waitUntil('both say why not', async () => {
    const { reason } = await cluster.get(api, 'nowhere');
    return ['r1', 'r2'].every(id => reason?.includes(`${id}: the node is draining`));
  });
  await cluster.call(api, 'POST', `/api/v1/nodes/${from}/undrain`);
  const { runners } = await cluster.completed(api, 'nowhere');
  await cluster.call(api, 'POST', `/api/v1/nodes/${to}/undrain`);
  assert.equal([runners[0]?.restarts, (await cluster.views(api)).get(from)?.draining], [0, false]);
});

test('a node that is added gets its share of the partitions, and every command meanwhile is answered', async () => {
  const first = [...(await cluster.views(api)).values()].find(view => view.partitions.length === 16);
  assert.is(first?.id, 'o1');
  await cluster.start('o2', 'orchestrator');
  let commands = 0;
  await waitUntil(
    'the partitions are shared out',
    async () => {
      // Refused or late would throw.
      await cluster.create(api, `c${commands++}`, { start: false });
      const views = await cluster.views(api);
      const shares = ['o1', 'o2'].map(id => views.get(id)?.partitions.length ?? 0);
      return shares.every(share => share >= 4) && shares.reduce((sum, share) => sum + share) === 16;
    },
    60_000,
  );
  assert.ok(commands > 1);
});

test('drain hands every partition over, and every command meanwhile is answered', async () => {
  const command = ['drain', 'o1', '--url', api.url];
  const draining = startChild(process.execPath, [entry(), ...command], { cwd: root, env: {} });
  let slowestMs = 0;
  let commands = 0;
  await waitUntil(
    'o2 has them all',
    async () => {
      const startedAt = performance.now();
      await cluster.create(api, `d${commands++}`, { start: false });
      slowestMs = Math.max(slowestMs, performance.now() - startedAt);
      return (await cluster.views(api)).get('o2')?.partitions.length === 16;
    },
    60_000,
  );
  assert.is(await draining.exited, 0, draining.stderr());
  assert.is(draining.stdout(), 'o1 is drained: it can be stopped\n');
  console.log(`${commands} commands while partitions moved, the slowest answered after ${Math.round(slowestMs)} ms`);
  const undone = startChild(process.execPath, [entry(), ...command, '--undo'], { cwd: root, env: {} });
  assert.equal([await undone.exited, undone.stdout()], [0, 'o1 takes part\n']);
});

test('a node that vanishes is replaced, and its loss counts against nobody', async () => {
  await cluster.create(api, 'orphaned', { restart: { intensity: 0, periodMs: 60_000 } });
  const { runners } = await cluster.midway(api, 'orphaned');
  const node = cluster.nodes.get(runners[0]?.node ?? '');
  node?.signal('SIGKILL');
  const pid = runners[0]?.pid ?? 0;
  await waitUntil('its runner dies with it', () => !isRunning(pid));
  const ended = await cluster.completed(api, 'orphaned');
  assert.not.equal(ended.runners[0]?.attempt, 1);
  await assertUndisturbed('orphaned');
  assert.not.ok((await cluster.views(api)).has(node?.id ?? ''));
  await cluster.start(node?.id ?? '', 'runner');
});

test('an owner that vanishes is replaced: its scenarios are adopted, their runners go on undisturbed', async () => {
  await cluster.create(api, 'adopted');
  await cluster.midway(api, 'adopted');
  const owners = ['o1', 'o2'].map(id => cluster.nodes.get(id));
  owners[0]?.signal('SIGKILL');
  await waitUntil('readyz tells', async () => !(await isReady()));
  await waitUntil('every partition has an owner again', async () => {
    const views = await cluster.views(api);
    return views.get('o2')?.partitions.length === 16 && !views.has('o1');
  });
  await waitUntil('readyz tells', isReady);
  const ended = await cluster.completed(api, 'adopted');
  assert.equal([ended.runners[0]?.attempt, ended.runners[0]?.restarts], [1, 0]);
  await assertUndisturbed('adopted');
  await cluster.start('o1', 'orchestrator');
});

test('a zombie is fenced: node and runner are paused, replaced, and add nothing when they wake', async () => {
  const zombie = await cluster.start('z', 'orchestrator,runner');
  for (const id of ['r1', 'r2']) await cluster.call(api, 'POST', `/api/v1/nodes/${id}/drain`);
  await cluster.create(api, 'undead');
  const pid = (await cluster.midway(api, 'undead')).runners[0]?.pid ?? 0;
  zombie.signal('SIGSTOP');
  process.kill(pid, 'SIGSTOP');
  for (const id of ['r1', 'r2']) await cluster.call(api, 'POST', `/api/v1/nodes/${id}/undrain`);
  await waitUntil('the runner is replaced', async () => {
    const { attempt, node } = (await cluster.get(api, 'undead')).runners[0] ?? {};
    return (attempt ?? 1) > 1 && node !== null && node !== 'z';
  });
  await waitUntil('every partition has another owner', async () => {
    const views = await cluster.views(api);
    return (views.get('o1')?.partitions.length ?? 0) + (views.get('o2')?.partitions.length ?? 0) === 16;
  });
  process.kill(pid, 'SIGCONT');
  zombie.signal('SIGCONT');
  await waitUntil('the paused runner is gone', () => !isRunning(pid));
  await cluster.completed(api, 'undead');
  await assertUndisturbed('undead');
  await waitUntil('the node takes part again', async () => (await cluster.views(api)).has('z'));
  assert.is(zombie.log().includes('gave_up'), false, zombie.log());
  zombie.signal('SIGTERM');
  assert.is(await zombie.exited, 0);
});

test('API nodes answer alike, each from its own projection; one that lost its database builds it again', async () => {
  const other = await cluster.start('api2', 'api');
  const ask = async (node: ClusterNode): Promise<unknown[]> => {
    const answers = [];
    for (const id of ['first', 'drained', 'orphaned', 'undead']) {
      const { runs: _, ...view } = await cluster.get(node, id);
      answers.push(view, await cluster.export(node, id));
      answers.push(
        await cluster.call(node, 'GET', `/api/v1/scenarios/${id}/predictions?class=circle&minScore=0.9&limit=50`),
      );
      answers.push(await cluster.call(node, 'GET', `/api/v1/scenarios/${id}/manifest`));
    }
    return answers;
  };
  const expected = await ask(api);
  assert.equal(await ask(other), expected);
  const listed = await cluster.call<{ items: { id: string }[] }>(other, 'GET', '/api/v1/scenarios?limit=1000');
  assert.ok(listed.items.some(({ id }) => id === 'undead'));

  other.signal('SIGKILL');
  await other.exited;
  rmSync(other.data, { recursive: true });
  assert.equal(await ask(await cluster.start('api2', 'api')), expected);
});

test('the tree shows every node with what it owns and runs', async () => {
  const tree = await cluster.call<TreeNode>(api, 'GET', '/api/v1/tree');
  assert.equal(
    tree.children.map(child => child.id).sort(),
    ['api', 'api2', 'o1', 'o2', 'r1', 'r2'].map(id => `node/${id}`),
  );
  const orchestrators = flatten(tree).filter(child => child.kind === 'orchestrator');
  assert.is(new Set(orchestrators.map(child => child.id)).size, 16);
  assert.is(orchestrators.length, 16);
});

test('SIGTERM ends every node in good order: nobody waits for a dead lease', async () => {
  const o2 = cluster.nodes.get('o2');
  o2?.signal('SIGTERM');
  assert.is(await o2?.exited, 0);
  await cluster.create(api, 'last', { start: false });
  for (const id of ['api', 'api2', 'o1', 'r1', 'r2']) {
    const node = cluster.nodes.get(id);
    node?.signal('SIGTERM');
    assert.is(await node?.exited, 0, `${id}: ${node?.log()}`);
  }
});

test.run();
