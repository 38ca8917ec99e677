import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ExitReason } from '../../src/actors/runtime/exit-reason.ts';
import { isAbnormal } from '../../src/actors/runtime/exit-reason.ts';
import {
  admitRestart,
  type PlannedChild,
  planRestart,
  type RestartType,
  type Strategy,
  type SupervisorFlags,
} from '../../src/actors/runtime/restart-plan.ts';

const test = suite('planRestart');

const STRATEGIES: readonly Strategy[] = ['one_for_one', 'one_for_all', 'rest_for_one', 'simple_one_for_one'];
const reasons = fc.constantFrom<ExitReason>('normal', 'shutdown', 'killed', 'fenced', {
  error: { code: 'internal', message: 'a defect' },
});
const restartTypes = fc.constantFrom<RestartType>('permanent', 'transient', 'temporary');
const strategies = fc.constantFrom(...STRATEGIES);
/** Children in order of start; the index of the one that ended. */
const families = fc
  .array(restartTypes, { minLength: 1, maxLength: 7 })
  .chain(types => fc.tuple(fc.constant(types), fc.nat(types.length - 1)))
  .map(([types, ended]) => ({ children: types.map((restart, i): PlannedChild => ({ id: `c${i}`, restart })), ended }));

const roomy = (strategy: Strategy): SupervisorFlags => ({ strategy, intensity: 1, periodMs: 1_000 });

/** What is alive after the plan, in order of start, by a model that only knows OTP's prose. */
function survivors(strategy: Strategy, children: readonly PlannedChild[], ended: number, reason: ExitReason): string[] {
  const isDown = (i: number): boolean => {
    if (strategy === 'one_for_all') return true;
    return strategy === 'rest_for_one' ? i >= ended : i === ended;
  };
  const type = children[ended]?.restart;
  const restarts = type === 'permanent' || (type === 'transient' && isAbnormal(reason));
  return children.flatMap(({ id, restart }, i) => {
    if (!restarts) return i === ended ? [] : [id];
    return isDown(i) && restart === 'temporary' ? [] : [id];
  });
}

test('S1, S2: for every strategy, restart type and reason the plan leaves alive whom OTP leaves alive', () => {
  fc.assert(
    fc.property(strategies, families, reasons, (strategy, { children, ended }, reason) => {
      const id = `c${ended}`;
      const plan = planRestart(roomy(strategy), children, id, reason, [], 0);
      const alive = new Set(children.map(child => child.id).filter(other => other !== id));
      if (plan.kind === 'restart') {
        for (const stopped of plan.stop) assert.ok(alive.delete(stopped), 'only what lives is stopped');
        for (const started of plan.start) {
          assert.not.ok(alive.has(started), 'only what is down is started');
          alive.add(started);
        }
        for (const forgotten of plan.forget) assert.not.ok(alive.has(forgotten), 'only what is down is forgotten');
      } else assert.is(plan.kind, 'leave');
      assert.equal(
        children.map(child => child.id).filter(other => alive.has(other)),
        survivors(strategy, children, ended, reason),
      );
    }),
  );
});

test('S1: a temporary child leaves the table when it ends and when it is taken down, any of a simple_one_for_one when it ends for good; no other ever leaves it', () => {
  fc.assert(
    fc.property(strategies, families, reasons, (strategy, { children, ended }, reason) => {
      const plan = planRestart(roomy(strategy), children, `c${ended}`, reason, [], 0);
      const typeOf = (id: string): RestartType | undefined => children.find(child => child.id === id)?.restart;
      if (plan.kind === 'leave')
        assert.is(plan.forget, typeOf(`c${ended}`) === 'temporary' || strategy === 'simple_one_for_one');
      if (plan.kind !== 'restart') return;
      for (const id of plan.forget) assert.is(typeOf(id), 'temporary');
      for (const id of [...plan.stop, `c${ended}`])
        assert.is(plan.forget.includes(id), typeOf(id) === 'temporary', `${id} is stopped for good or started again`);
    }),
  );
});

test('S2: siblings stop in reverse order of start and start in order', () => {
  fc.assert(
    fc.property(strategies, families, reasons, (strategy, { children, ended }, reason) => {
      const plan = planRestart(roomy(strategy), children, `c${ended}`, reason, [], 0);
      if (plan.kind !== 'restart') return;
      assert.equal(plan.start, [...plan.start].sort());
      assert.equal(plan.stop, [...plan.stop].sort().toReversed());
    }),
  );
});

test('S3: a restart is admitted as long as no more than `intensity` fall within any `period`', () => {
  const gaps = fc.array(fc.nat(50), { maxLength: 40 });
  fc.assert(
    fc.property(gaps, fc.nat(5), fc.integer({ min: 1, max: 100 }), (waits, intensity, periodMs) => {
      let kept: readonly number[] = [];
      const all: number[] = [];
      let now = 0;
      for (const wait of waits) {
        now += wait;
        const within = all.filter(at => at >= now - periodMs).length + 1;
        const admitted = admitRestart(kept, { intensity, periodMs }, now);
        assert.is(admitted === null, within > intensity);
        if (admitted === null) return;
        all.push(now);
        kept = admitted;
        assert.ok(kept.length <= Math.max(1, intensity), 'the history is bounded by the intensity');
      }
    }),
  );
});

test('S3: one restart too many stops every other child, in reverse order', () => {
  fc.assert(
    fc.property(strategies, families, (strategy, { children, ended }) => {
      const id = `c${ended}`;
      const plan = planRestart({ strategy, intensity: 0, periodMs: 1_000 }, children, id, 'killed', [], 0);
      if (children[ended]?.restart === 'temporary') {
        assert.equal(plan, { kind: 'leave', forget: true });
        return;
      }
      const stop = children.map(child => child.id).filter(other => other !== id);
      assert.equal(plan, { kind: 'give_up', stop: stop.toReversed() });
    }),
  );
});

test('the end of a child that is not in the table changes nothing', () => {
  const plan = planRestart(roomy('one_for_all'), [{ id: 'a', restart: 'permanent' }], 'b', 'killed', [], 0);
  assert.equal(plan, { kind: 'leave', forget: false });
});

test.run();
