/** `npm run sim`: many seeds, or one with its trace. */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { runSeeds } from './crew.ts';
import { emptyCells, table, verdicts } from './report.ts';
import { shrink } from './shrink.ts';
import { type Outcome, simulate } from './simulate.ts';
import { planOf } from './storm.ts';

const HELP = `Runs the whole control plane in one process, on a virtual clock, under faults that a seed decides.

  npm run sim -- --seeds 100000             seeds 1 to 100,000, in as many processes as there are processors
  npm run sim -- --from 5000 --seeds 1000   seeds 5,000 to 5,999
  npm run sim -- --seed 1216                one seed, with its plan and its trace
  npm run sim -- --seed 1216 --shrink       its smallest plan that still breaks the same promise, with its trace

  --seeds N   how many (2000)      --from S   the first (1)      --jobs J   processes
  --seed S    one, with trace      --shrink   make it small      --help     this

Exits with 1 when a promise was broken, the last lines name the seeds; and when 2,000 seeds or more leave a fault or a strike unmet.`;

/** So many meet every fault at every operation. */
const ALL_CELLS_SEEDS = 2_000;

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '2000' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    shrink: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const numberOf = (name: string, text: string): number => {
  const number = Number(text);
  if (Number.isInteger(number) && number > 0) return number;
  console.error(`--${name} wants a whole number above 0, not '${text}'. --help has examples.`);
  process.exit(2);
};

if (values.help) console.log(HELP);
else if (values.seed !== undefined) await one(numberOf('seed', values.seed));
else await many();

async function one(seed: number): Promise<void> {
  let outcome: Outcome = await simulate(planOf(seed));
  if (values.shrink && outcome.violations.length > 0) {
    const shrunk = await shrink(outcome);
    outcome = shrunk.outcome;
    console.log(`after ${shrunk.runs} runs the smallest plan that breaks the same promise:\n`);
  }
  const { strikes, only, ...rest } = outcome.plan;
  console.log(`${JSON.stringify(rest)}\n`);
  for (const { atMs, deed } of strikes) console.log(`${(atMs / 1000).toFixed(3).padStart(9)}  ${JSON.stringify(deed)}`);
  if (only !== null) console.log(`\nfaults: ${only.join(', ') || 'none'}`);
  console.log('');
  for (const line of outcome.trace.text()) console.log(line);
  console.log(`\ntrace ${outcome.trace.hash}`);
  for (const { promise, what } of outcome.violations) console.log(`BROKEN ${promise}: ${what}`);
  if (outcome.violations.length === 0) console.log('every promise was kept');
  process.exitCode = outcome.violations.length === 0 ? 0 : 1;
}

async function many(): Promise<void> {
  const [seeds, from, jobs] = (['seeds', 'from', 'jobs'] as const).map(name => numberOf(name, values[name])) as [
    number,
    number,
    number,
  ];
  const beganAt = performance.now();
  let toldAt = beganAt;
  const told = new Set<number>();
  const report = await runSeeds({
    from,
    seeds,
    jobs,
    progress: ({ seeds: done, failures }) => {
      for (const { seed, violations } of failures) {
        const [first] = violations;
        if (!told.has(seed)) console.log(`seed ${seed} BROKE ${first?.promise}: ${first?.what.split('\n')[0]}`);
        told.add(seed);
      }
      if (performance.now() - toldAt < 10_000) return;
      toldAt = performance.now();
      const perSecond = (done * 1000) / (toldAt - beganAt);
      console.log(`${done} of ${seeds} seeds, ${perSecond.toFixed(1)} a second, ${failures.length} failed`);
    },
  });
  console.log('');
  for (const line of table(report)) console.log(line);
  const seconds = (performance.now() - beganAt) / 1000;
  const hours = report.virtualMs / 3_600_000;
  console.log(`\n${report.seeds} seeds, ${hours.toFixed(1)} virtual hours in ${seconds.toFixed(1)} s`);
  const empty = emptyCells(report);
  if (empty.length > 0) console.log(`never met: ${empty.join(', ')}`);
  for (const line of verdicts(report)) console.log(line);
  for (const { seed } of report.failures.slice(0, 10)) console.log(`npm run sim -- --seed ${seed} --shrink`);
  process.exitCode = report.failures.length === 0 && (empty.length === 0 || seeds < ALL_CELLS_SEEDS) ? 0 : 1;
}
