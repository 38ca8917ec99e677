/** In which order nodes are asked, and what is told of those that refuse. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isPermanent, rankNodes, tellable } from '../../src/actors/orchestrator/placement.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { type NodeRole, type NodeView, unfit } from '../../src/domain/node.ts';
import { nodeView } from './node-view.ts';
import { ENGINE } from './play.ts';

const test = suite('placement');
const SEED = { seed: 3 };

const anyNode = fc
  .record({
    roles: fc.constantFrom<NodeRole[]>(['runner'], ['api', 'runner'], ['api', 'orchestrator']),
    slots: fc.nat(8),
    running: fc.nat(8),
    models: fc.subarray(['m', 'other']),
    warm: fc.subarray(['m', 'other']),
    draining: fc.boolean(),
  })
  .map(({ running, ...view }) => ({ ...view, running: Math.min(running, view.slots) }));

/** Nodes `n0`, `n1`, … in any order. */
const anyNodes = fc.array(anyNode, { maxLength: 8 }).chain(views =>
  fc.shuffledSubarray(
    views.map((view, i) => nodeView(`n${i}`, view)),
    { minLength: views.length },
  ),
);

const idsOf = (nodes: readonly NodeView[]): string[] => nodes.map(({ id }) => id);
const runnersOf = (nodes: readonly NodeView[]): NodeView[] => nodes.filter(node => node.roles.includes('runner'));
const isSorted = <T>(items: readonly T[], inOrder: (a: T, b: T) => boolean): boolean =>
  items.every((item, i) => items.slice(i + 1).every(later => inOrder(item, later)));

for (const strategy of ['least_loaded', 'round_robin', 'hot_model'] as const) {
  test(`${strategy}: every runner node once and nobody else, those that are draining last, whoever lists them how`, () => {
    fc.assert(
      fc.property(anyNodes, fc.nat(50), (nodes, turn) => {
        const ranked = rankNodes(strategy, nodes, { model: 'm', turn });
        assert.equal(idsOf(ranked).sort(), idsOf(runnersOf(nodes)).sort());
        assert.ok(isSorted(ranked, (a, b) => Number(a.draining) <= Number(b.draining)));
        assert.equal(idsOf(rankNodes(strategy, nodes.toReversed(), { model: 'm', turn })), idsOf(ranked));
      }),
      SEED,
    );
  });
}

test('least_loaded: the smallest share of slots taken first, ties by id', () => {
  fc.assert(
    fc.property(anyNodes, fc.nat(50), (nodes, turn) => {
      const open = rankNodes('least_loaded', nodes, { model: 'm', turn }).filter(node => !node.draining);
      assert.ok(isSorted(open, (a, b) => a.load < b.load || (a.load === b.load && a.id < b.id)));
    }),
    SEED,
  );
});

test('round_robin: in order of id, each turn beginning one further: n turns begin with each of n nodes once', () => {
  fc.assert(
    fc.property(anyNodes, fc.nat(50), (nodes, turn) => {
      const open = idsOf(runnersOf(nodes).filter(node => !node.draining)).sort();
      const orders = open.map((_, i) =>
        idsOf(rankNodes('round_robin', nodes, { model: 'm', turn: turn + i })).slice(0, open.length),
      );
      assert.equal(orders.map(([first = '']) => first).toSorted(), open);
      for (const order of orders) {
        const at = order.indexOf(open[0] ?? '');
        assert.equal([...order.slice(at), ...order.slice(0, at)], open);
      }
    }),
    SEED,
  );
});

test('hot_model: where the model is warm first, then where it is registered, then the others; within each by load', () => {
  const coldness = ({ warm, models }: NodeView): number => (warm.includes('m') ? 0 : models.includes('m') ? 1 : 2);
  fc.assert(
    fc.property(anyNodes, fc.nat(50), (nodes, turn) => {
      const open = rankNodes('hot_model', nodes, { model: 'm', turn }).filter(node => !node.draining);
      assert.ok(isSorted(open, (a, b) => coldness(a) <= coldness(b)));
      assert.ok(isSorted(open, (a, b) => coldness(a) < coldness(b) || a.load <= b.load));
    }),
    SEED,
  );
});

test('a node that drains, is full or has another engine says so in its view, in a sentence', () => {
  const other = { ...ENGINE, cpu: 'arm64' };
  assert.is(unfit(nodeView('n', { draining: true }), ENGINE), 'the node is draining');
  assert.is(unfit(nodeView('n', { running: 4 }), ENGINE), 'all 4 slots are taken');
  assert.is(
    unfit(nodeView('n'), other),
    "the run began with another engine (ffmpeg 5, onnxruntime 1.30, cpu, arm64) than the node's (ffmpeg 5, onnxruntime 1.30, cpu, x64)",
  );
  assert.equal([unfit(nodeView('n'), ENGINE), unfit(nodeView('n'), null)], [null, null]);
});

test('what is told of refusals is bounded, the node that had it last first, then those that refuse for now, in a stable order', () => {
  const anyRefusals = fc.uniqueArray(fc.nat(99), { maxLength: 40 }).chain(ids =>
    fc.tuple(
      ...ids.map(id =>
        fc.record({
          node: fc.constant(`n${id}`),
          code: fc.constantFrom('unavailable', 'source_unreadable'),
          message: fc.string({ maxLength: 400 }),
        }),
      ),
    ),
  );
  fc.assert(
    fc.property(anyRefusals, fc.nat(99), (refusals, last) => {
      const { refusals: told, more } = tellable(refusals, `n${last}`);
      assert.is(told.length, Math.min(refusals.length, LIMITS.refusalsTold));
      assert.is(told.length + more, refusals.length);
      assert.ok(told.every(({ message }) => message.length <= LIMITS.refusalChars));
      const [first, ...rest] = refusals.some(r => r.node === `n${last}`) ? told : [{ node: `n${last}` }, ...told];
      assert.is(first?.node, `n${last}`);
      assert.ok(isSorted(rest, (a, b) => !isPermanent(a as never) || isPermanent(b as never)));
      assert.equal(tellable(refusals.toReversed(), `n${last}`).refusals, told);
    }),
    SEED,
  );
});

test.run();
