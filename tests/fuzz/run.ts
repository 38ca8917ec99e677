/** `npm run fuzz -- --edge NAME [--cases N] [--seed N]`: tries one edge, or `all`, for as long as one likes. */
import { parseArgs } from 'node:util';
import { fuzz, told } from './edge.ts';
import { EDGES } from './edges.ts';

const USAGE = `npm run fuzz -- --edge NAME|all [--cases N] [--seed N] [--out FOLDER]

  --edge   one of those below, or all
  --cases  how many inputs are made and tried, after the corpus (default: 10 times those of a commit's run)
  --seed   of the first one; the same seed makes the same input (default: another one each time)
  --out    where failing inputs are written (default: troupe-fuzz in the folder for temporary files)

${EDGES.map(({ name, cases, promise }) => `  ${name.padEnd(16)} ${promise} (${cases} a commit)`).join('\n')}
`;

const { values } = parseArgs({
  options: {
    edge: { type: 'string' },
    cases: { type: 'string' },
    seed: { type: 'string' },
    out: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const edges = values.edge === 'all' ? EDGES : EDGES.filter(({ name }) => name === values.edge);
const isCount = (text: string | undefined): boolean => text === undefined || /^\d{1,9}$/.test(text);
if (values.help) {
  process.stdout.write(USAGE);
} else if (edges.length === 0 || !isCount(values.cases) || !isCount(values.seed)) {
  process.stderr.write(USAGE);
  process.exitCode = 2;
} else {
  const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9));
  for (const edge of edges) {
    const cases = Number(values.cases ?? 10 * edge.cases);
    process.stdout.write(`${edge.name}: ${cases} cases from seed ${seed}\n`);
    const report = await fuzz(edge, { cases, seed, ...(values.out === undefined ? {} : { folder: values.out }) });
    process.stdout.write(`${told(report)}\n`);
    if (report.failures.length > 0) process.exitCode = 1;
  }
}
