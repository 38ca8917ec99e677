// serial
// shared
/** Runner processes that are kept ready: what becomes of them in a node. */
import { readdirSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { TreeNode } from '../../src/domain/tree.ts';
import { startTestNode, type TestNode } from '../support/node.ts';
import { Workplace } from '../support/troupe-command.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('spares');
/** Enough frames that a runner is still at work when it is killed. */
const VIDEO = { source: { uri: 'test_videos/test_video.mp4' }, model: 'shapes', sampling: { to: 399 } };

const flatten = (node: TreeNode): TreeNode[] => [node, ...node.children.flatMap(flatten)];

const spareIn = (tree: TreeNode): number | null => flatten(tree).find(child => child.kind === 'spare')?.pid ?? null;

const spareOf = async (node: TestNode): Promise<number | null> =>
  spareIn((await node.call('GET', '/api/v1/tree')).body as unknown as TreeNode);

const runnerOf = async (node: TestNode): Promise<number | null> => (await node.get('cam')).runners[0]?.pid ?? null;

/** Living processes in the role of a runner. */
const runnerPids = (): number[] =>
  readdirSync('/proc')
    .map(Number)
    .filter(pid => {
      try {
        const isLive = !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
        return pid > 0 && isLive && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('--role\0runner');
      } catch {
        return false; // it ended while we looked
      }
    });

test('an attempt is given the spare, its successor the next one, and the result is that of a node without spares', async () => {
  const exports: string[] = [];
  for (const spares of [1, 0]) {
    await using node = await startTestNode({ workers: 1, spares });
    for (let kills = 0; kills < 2; kills++) {
      let spare: number | null = null;
      if (spares > 0) await waitUntil('there is a spare', async () => (spare = await spareOf(node)) !== null);
      const before = kills === 0 ? null : await runnerOf(node);
      if (before === null) await node.create({ id: 'cam', ...VIDEO });
      else process.kill(before, 'SIGKILL');
      let runner: number | null = null;
      await waitUntil('it runs', async () => {
        runner = await runnerOf(node);
        return runner !== null && runner !== before;
      });
      if (spares > 0) assert.is(runner, spare);
      else assert.is(await spareOf(node), null);
    }
    assert.is((await node.ended('cam')).outcome, 'completed');
    assert.is((await node.get('cam')).runners[0]?.restarts, 1);
    exports.push(await node.export('cam'));
  }
  assert.is(exports[0], exports[1]);
});

test('a spare that is killed is replaced, takes no slot, and ends with its node', async () => {
  const node = await startTestNode({ workers: 1, slots: 1 });
  let first: number | null = null;
  await waitUntil('there is a spare', async () => (first = await spareOf(node)) !== null);
  const nodes = (await node.call('GET', '/api/v1/nodes')).body as unknown as { items: { running: number }[] };
  assert.equal(
    nodes.items.map(view => view.running),
    [0],
  );
  process.kill(first ?? 0, 'SIGKILL');
  let second: number | null = null;
  await waitUntil('there is another', async () => {
    second = await spareOf(node);
    return second !== null && second !== first;
  });
  await node[Symbol.asyncDispose]();
  assert.not.ok(runnerPids().includes(second ?? 0));
});

test('SIGKILL of a node leaves neither spare nor runner', async () => {
  using workplace = new Workplace();
  const node = workplace.start(['up', '--port', '0', '--root', process.cwd(), '--spares', '2']);
  await waitUntil('it serves', () => node.stdout().includes('troupe ready'));
  let tree: TreeNode[] = [];
  await waitUntil('there are two spares', async () => {
    tree = flatten((await workplace.api('/api/v1/tree')) as TreeNode);
    return tree.filter(child => child.kind === 'spare' && child.pid !== null).length === 2;
  });
  const pids = tree.flatMap(child => (child.kind === 'spare' && child.pid !== null ? [child.pid] : []));
  assert.ok(pids.every(pid => runnerPids().includes(pid)));
  node.child.kill('SIGKILL');
  await waitUntil('they are gone', () => !runnerPids().some(pid => pids.includes(pid)));
});

test.run();
