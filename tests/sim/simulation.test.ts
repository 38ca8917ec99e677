// serial
/**
 * The simulation as a test run has it: 2,000 seeds in two processes, a test a promise. `TROUPE_SIM_SEEDS=100` runs fewer,
 * `TROUPE_SIM_FROM=5000` begins elsewhere; `npm run sim -- --seed N --shrink` replays one.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PROMISES } from './checkers.ts';
import { runSeeds } from './crew.ts';
import { emptyCells, emptyReport, failuresOf, type Report, table } from './report.ts';
import { simulate } from './simulate.ts';
import { planOf } from './storm.ts';

/** So many meet every cell of the table. */
const ALL_SEEDS = 2_000;
const SEEDS = Number(process.env['TROUPE_SIM_SEEDS'] ?? ALL_SEEDS);
const FROM = Number(process.env['TROUPE_SIM_FROM'] ?? 1);

const test = suite(`simulation of seeds ${FROM} to ${FROM + SEEDS - 1}`);
let report: Report = emptyReport();

test.before(async () => {
  report = await runSeeds({ from: FROM, seeds: SEEDS, jobs: 2 });
});

test('every seed was run', () => {
  assert.is(report.seeds, SEEDS);
});

for (const promise of PROMISES) {
  test(`${promise}, whatever is lost, late, repeated, frozen, cut off, restored or killed`, () => {
    const broken = failuresOf(report, promise).map(({ seed, violations }) => {
      const what = violations.find(violation => violation.promise === promise)?.what;
      return `npm run sim -- --seed ${seed} --shrink   # ${what}`;
    });
    assert.equal(broken, []);
  });
}

test('every fault was met at every operation where it can be met', () => {
  if (SEEDS < ALL_SEEDS) return;
  assert.equal(emptyCells(report), [], [...table(report)].join('\n'));
});

test('SI1: a seed is one run: again, in another process and behind others, every event of it comes at the same instant', async () => {
  const seeds = Array.from({ length: Math.min(SEEDS, 12) }, (_, i) => FROM + i);
  for (const seed of seeds.toReversed()) {
    const { trace } = await simulate(planOf(seed));
    assert.is(trace.hash, report.hashes[seed], `seed ${seed}`);
  }
});

test.run();
