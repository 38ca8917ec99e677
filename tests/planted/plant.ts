/**
 * `npm run planted [-- ID… | --all] [--hash H] [--jobs N] [--limit-ms N]`: plants bugs, one at a time, and looks whether the test
 * that was named in advance fails.
 *
 * PL1 Without ids it takes a share of the list: which one, the commit's hash tells, so that commits, one after another, come to meet it all.
 * PL2 Exit 0 only when every bug that was tried was caught by its test.
 */
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { BUGS } from './bugs.ts';
import type { PlantedBug } from './planted-bug.ts';
import { abandon, type Controls, trial } from './trial.ts';

const SHARES = 14;
const HELP = `npm run planted [-- ID… | --all] [--hash HASH] [--jobs N] [--limit-ms N]

Plants the bugs of tests/planted/bugs.ts, one at a time, and demands that the test named for each fails.

  ID…            these bugs, by id
  --all          all of them; without ids and --all: the commit's share, every ${SHARES}th
  --list         names them and what each would break, and tries nothing
  --hash HASH    instead of the commit's
  --jobs N       how many at a time (2)
  --limit-ms N   how long one test may take (60000)
`;

const { values, positionals: ids } = parseArgs({
  allowPositionals: true,
  options: {
    all: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
    hash: { type: 'string' },
    jobs: { type: 'string', default: '2' },
    'limit-ms': { type: 'string', default: '60000' },
  },
});

if (values.help) process.stdout.write(HELP);
else if (values.list) for (const { id, promise } of BUGS) console.log(`${id.padEnd(44)} ${promise}`);
else process.exitCode = await run(asked());

/** PL1 */
function asked(): readonly PlantedBug[] {
  const unknown = ids.filter(id => !BUGS.some(bug => bug.id === id));
  if (unknown.length > 0) {
    console.error(`no planted bug is called ${unknown.join(', ')}: see --list`);
    process.exit(2);
  }
  if (ids.length > 0) return BUGS.filter(bug => ids.includes(bug.id));
  const hash = values.hash ?? spawnSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8' }).stdout;
  if (values.all) return BUGS;
  const share = /^[0-9a-f]{8}/.test(hash) ? Number.parseInt(hash.slice(0, 8), 16) % SHARES : 0;
  return BUGS.filter((_, i) => i % SHARES === share);
}

/** PL2 */
async function run(bugs: readonly PlantedBug[]): Promise<number> {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      abandon();
      process.exit(1);
    });
  }
  const controls: Controls = new Map();
  const queue = bugs.values();
  let caught = 0;
  const work = async (): Promise<void> => {
    for (const bug of queue) if (await report(bug, controls)) caught += 1;
  };
  await Promise.all(Array.from({ length: Number(values.jobs) }, work));
  console.log(`\n${caught} of ${bugs.length} planted bugs caught`);
  return caught === bugs.length ? 0 : 1;
}

async function report(bug: PlantedBug, controls: Controls): Promise<boolean> {
  const { id, promise, file, caughtBy } = bug;
  const start = performance.now();
  const verdict = await trial(bug, Number(values['limit-ms']), controls);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  if (verdict.kind === 'caught') {
    console.log(`caught   ${id} (${seconds} s)`);
    return true;
  }
  console.log(`${verdict.kind === 'survived' ? 'SURVIVED' : 'VOID    '} ${id} (${seconds} s)`);
  console.log(`  promise: ${promise}\n  in ${file}\n  was to be caught by ${caughtBy.file}: "${caughtBy.name}"`);
  if (verdict.kind === 'void') console.log(`  ${verdict.why}\n${verdict.output.trimEnd()}`);
  return false;
}
