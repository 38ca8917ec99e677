// shared
/** `/tree` is read from the supervisors' own child tables: what it shows is what runs, and nothing runs beside it. */
import { readdirSync, readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { TreeNode } from '../../src/domain/tree.ts';
import { startTestNode, type TestNode } from '../support/node.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('tree');

const flatten = (node: TreeNode): TreeNode[] => [node, ...node.children.flatMap(flatten)];

async function treeOf(node: TestNode): Promise<TreeNode[]> {
  return flatten((await node.call('GET', '/api/v1/tree')).body as unknown as TreeNode);
}

/** A runner stands in the tree twice: as a process of its node, and as an attempt of its scenario. */
const isProcess = (id: string): boolean => /^[^/]+\.\d+$/.test(id);

/** Live processes of this program in the role of a runner, by what the kernel says. */
function runnerPids(parent: number): number[] {
  return readdirSync('/proc')
    .filter(entry => /^\d+$/.test(entry))
    .map(Number)
    .filter(pid => {
      try {
        const parentPid = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
        return parentPid === parent && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('--role\0runner');
      } catch {
        return false; // it ended while we looked
      }
    });
}

const slow = { source: { uri: 'test_videos/test_video.mp4' }, model: 'shapes' };

test('every process of a node is a child in its tree, and every child with a pid is a process', async () => {
  await using node = await startTestNode({ workers: 1 });
  await Promise.all([node.create({ id: 'one', ...slow }), node.create({ id: 'two', ...slow })]);
  await waitUntil('both run', async () => {
    const views = await Promise.all([node.get('one'), node.get('two')]);
    return views.every(view => view.runners[0]?.pid !== null);
  });
  const tree = await treeOf(node);
  const processes = tree.filter(
    child => child.kind === 'runner' && /\.\d+$/.test(child.id) && child.attempt !== undefined,
  );
  const [underNode = [], underScenario = []] = [false, true].map(ofScenario =>
    processes.filter(child => child.id.startsWith('runner/') === ofScenario).map(child => child.pid),
  );
  assert.is(underNode.length, 2);
  await waitUntil('a spare is there, too, and every runner’s process is in the tree', async () => {
    const now = (await treeOf(node)).filter(({ kind, id }) => kind === 'spare' || (kind === 'runner' && isProcess(id)));
    const inTree = new Set(now.map(child => child.pid));
    return now.some(({ kind }) => kind === 'spare') && isDeepStrictEqual(inTree, new Set(runnerPids(process.pid)));
  });
  assert.equal(new Set(underScenario), new Set(underNode), 'scenario supervisors and the node speak of the same');
  const nats = tree.find(child => child.kind === 'nats-server');
  assert.ok(readFileSync(`/proc/${nats?.pid}/comm`, 'utf8').startsWith('nats-server'));
});

test('no process of a node is handed its secrets', async () => {
  process.env['TROUPE_TOKEN'] = 'a-secret-of-this-test';
  try {
    await using node = await startTestNode({ workers: 1 });
    await node.create({ id: 'secret', ...slow });
    await waitUntil('it runs', async () => typeof (await node.get('secret')).runners[0]?.pid === 'number');
    const pids = (await treeOf(node)).flatMap(child =>
      child.pid === null || child.pid === process.pid ? [] : [child.pid],
    );
    assert.ok(pids.length >= 3, 'nats-server, and the runner twice');
    for (const pid of pids) {
      const environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
      assert.ok(environment.includes('PATH='));
      assert.not.ok(environment.includes('a-secret-of-this-test'), `process ${pid}`);
    }
  } finally {
    delete process.env['TROUPE_TOKEN'];
  }
});

test('scenarios stand under the orchestrator of their partition, restarts are counted, a deleted one leaves the tree', async () => {
  await using node = await startTestNode({ workers: 1 });
  await node.create({ id: 'counted', ...slow });
  await waitUntil('it runs', async () => (await node.get('counted')).runners[0]?.state === 'running');
  const pid = (await node.get('counted')).runners[0]?.pid;
  process.kill(pid ?? 0, 'SIGKILL');
  await waitUntil('the restart is in the tree', async () => {
    const runner = (await treeOf(node)).find(child => child.id === 'runner/counted.1.0');
    return runner?.restarts === 1 && runner.attempt === 2 && runner.pid !== null && runner.pid !== pid;
  });
  const orchestrators = (await treeOf(node)).filter(child => child.kind === 'orchestrator');
  assert.is(orchestrators.length, 16, 'one per partition');
  const owners = orchestrators.filter(child => child.children.some(scenario => scenario.id === 'scenario/counted'));
  assert.is(owners.length, 1);
  await node.call('POST', '/api/v1/scenarios/counted/stop');
  await node.ended('counted');
  assert.is((await node.call('DELETE', '/api/v1/scenarios/counted')).status, 204);
  await waitUntil('it has left the tree', async () => !(await treeOf(node)).some(c => c.id === 'scenario/counted'));
});

test('a nats-server that is killed is restarted by its supervisor on the same port, and the video goes on', async () => {
  await using node = await startTestNode({ workers: 1 });
  await node.create({ id: 'undisturbed', ...slow });
  await node.ended('undisturbed');
  await node.create({ id: 'cut', ...slow });
  await waitUntil('it has results', async () => (await node.get('cut')).progress.framesDone > 0);
  const before = (await treeOf(node)).find(child => child.kind === 'nats-server');
  process.kill(before?.pid ?? 0, 'SIGKILL');
  await waitUntil('another nats-server runs', async () => {
    try {
      const now = (await treeOf(node)).find(child => child.kind === 'nats-server');
      return now?.state === 'running' && now.pid !== before?.pid && now.restarts === 1;
    } catch {
      return false; // 503 while there is no server
    }
  });
  const ended = await node.ended('cut');
  assert.is(ended.outcome, 'completed', JSON.stringify(ended.error));
  assert.is(await node.export('cut'), await node.export('undisturbed'));
});

test.run();
