/** What may reach a terminal. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { drawTree, json, plain, table } from '../../src/cli/terminal.ts';
import type { TreeNode } from '../../src/domain/tree.ts';

const test = suite('terminal');

const HOSTILE = 'a\u001b[2Jb\u009b31mc\u202ed\ne\u2028f\u{e0041}g';
const CONTROL = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

test('T1: a name loses its control, format and line characters', () => {
  assert.is(plain(HOSTILE), 'a[2Jb31mcdefg');
});

test('T1: a table has a line a row whatever is in its cells', () => {
  const lines = table(
    ['ID', 'N'],
    [
      [HOSTILE, 1],
      ['b', null],
    ],
  ).split('\n');
  assert.equal(lines, ['ID             N', 'a[2Jb31mcdefg  1', 'b              -']);
});

test('T1: JSON shows unsafe characters as escapes and means the same', () => {
  const text = json({ name: HOSTILE });
  assert.not.match(text.replaceAll('\n', ''), CONTROL);
  assert.is(JSON.parse(text).name, HOSTILE);
});

test('a tree is drawn with an actor a line', () => {
  const leaf = (id: string): TreeNode => ({
    id,
    kind: 'runner',
    type: 'worker',
    state: 'running',
    node: 'n',
    pid: 7,
    attempt: 2,
    restarts: 1,
    children: [],
  });
  const above = (id: string, children: TreeNode[]): TreeNode => ({
    id,
    kind: 'scenario',
    type: 'supervisor',
    state: 'running',
    strategy: 'one_for_one',
    node: null,
    pid: null,
    restarts: 0,
    children,
  });
  const tree = above('troupe', [above('a', [leaf('a1'), leaf(`a2${HOSTILE}`)]), above('b', [leaf('b1')])]);
  const runner = 'running  pid 7  attempt 2  restarts 1';
  assert.is(
    drawTree(tree),
    [
      'troupe  running  one_for_one',
      '├─ a  running  one_for_one',
      `│  ├─ a1  ${runner}`,
      `│  └─ a2a[2Jb31mcdefg  ${runner}`,
      '└─ b  running  one_for_one',
      `   └─ b1  ${runner}`,
    ].join('\n'),
  );
});

test.run();
