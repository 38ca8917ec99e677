/** `npm run chaos -- --minutes 60`: storms over one cluster after another until the time is over. Exit 1 when a promise did not hold. */
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import { SmallDisk, whyNoSmallDisk } from '../support/small-disk.ts';
import type { Harness } from './harness.ts';
import { type Cell, cellsOf, type Shape } from './plan.ts';
import { sum, type Tally, written } from './report.ts';
import { weathered } from './storm.ts';

const HELP = `npm run chaos -- [--minutes N] [--seed N] [--nats one|three|embedded] [--volleys N] [--quiet]

Real nodes, runners, decoders and nats-servers, struck at random: SIGKILL, SIGSTOP, links that are cut or half open, users who
stop and start. Everything goes on by itself, and in the end every export is compared with that of an undisturbed run and every
promise is looked for in the log.

  --minutes N   how long (10); the last storm ends in good order
  --seed N      of the first storm; each has its own, which is printed
  --nats SHAPE  one nats-server, three of them, or a node with an embedded one; without it one after the other
  --volleys N   of a storm (30)
  --quiet       only the reports`;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string' },
    nats: { type: 'string' },
    volleys: { type: 'string', default: '30' },
    quiet: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}

const SHAPES: readonly Shape[] = ['one', 'three', 'embedded'];
const wanted = SHAPES.filter(shape => values.nats === undefined || values.nats === shape);
const untilMs = performance.now() + Number(values.minutes) * 60_000;
if (wanted.length === 0 || !(untilMs > 0) || !(Number(values.volleys) > 0)) {
  console.error(HELP);
  process.exit(2);
}
const DISK_MB = 400;
const began = performance.now();
const say = (line: string): void => {
  const seconds = ((performance.now() - began) / 1000).toFixed(1).padStart(8);
  if (!values.quiet) console.log(`${seconds}  ${line}`);
};

/** Ctrl-C: every process of a storm goes with it. */
let current: Harness | null = null;
for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.once(name, () => {
    void Promise.resolve(current?.[Symbol.asyncDispose]()).finally(() => process.exit(130));
  });

const tallies: Tally[] = [];
const seeds = new SeededRandom(Number(values.seed ?? Math.floor(Math.random() * 1e9)));
for (let i = 0; performance.now() < untilMs; i++) {
  const shape = wanted[i % wanted.length] ?? 'one';
  const seed = i === 0 && values.seed !== undefined ? Number(values.seed) : Math.floor(seeds.float() * 1e9);
  tallies.push(await storm(shape, seed));
}
const all = sum(tallies);
console.log(
  `\n${tallies.length} storms, ${Math.round((performance.now() - began) / 60_000)} minutes, load ${loadavg()[0]?.toFixed(1)}`,
);
console.log(written(all));
process.exit(all.findings.length === 0 ? 0 : 1);

/** Twice as often a kill, but for that of all at once, which costs as much as ten. */
function again({ fault, victim }: Cell): number {
  return fault === 'kill' && victim !== 'everything' ? 2 : 1;
}

async function storm(shape: Shape, seed: number): Promise<Tally> {
  console.log(`\nstorm over ${shape}: --nats ${shape} --seed ${seed} --volleys ${values.volleys}`);
  using disk = shape === 'embedded' && whyNoSmallDisk() === null ? new SmallDisk(DISK_MB) : null;
  const size = { volleys: Number(values.volleys), most: 5, longestMs: 8_000, again, alone: 0.4 };
  const cells = cellsOf(shape, disk !== null);
  const isEnough = (): boolean => performance.now() > untilMs;
  const began = (harness: Harness) => void (current = harness);
  const { findings, ...rest } = await weathered({ shape, cells, size, seed, say, disk, isEnough, began });
  const tally = { ...rest, findings: findings.map(finding => `${finding} (--nats ${shape} --seed ${seed})`) };
  console.log(written(tally));
  return tally;
}
