/**
 * Measures what Troupe costs and how fast it is; what was found is in RESULTS.md.
 *
 *   npm run bench                          every bench, one after the other
 *   npm run bench -- recovery [OPTIONS…]   one of them
 *   npm run bench -- --help                which there are, with their options
 */
import { availableParallelism, cpus, totalmem } from 'node:os';
import type { Bench } from './bench.ts';

const BENCHES: Readonly<Record<string, () => Promise<Bench>>> = {
  throughput: async () => (await import('./throughput.ts')).throughput,
  recovery: async () => (await import('./recovery.ts')).recovery,
  decoders: async () => (await import('./decoders.ts')).decoders,
  cost: async () => (await import('./cost.ts')).cost,
};

const [first, ...args] = process.argv.slice(2);
if (first === '--help' || first === '-h') {
  for (const [name, load] of Object.entries(BENCHES)) {
    const { summary, usage } = await load();
    console.log(`${name}: ${summary}\n  npm run bench -- ${`${name} ${usage}`.trim()}`);
  }
} else if (first !== undefined && !Object.hasOwn(BENCHES, first)) {
  console.error(`there is no bench '${first}': ${Object.keys(BENCHES).join(', ')}`);
  process.exitCode = 2;
} else {
  const machine = `${cpus()[0]?.model ?? 'unknown CPU'}, ${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GiB`;
  console.log(`${machine}, Node ${process.version}`);
  for (const [name, load] of Object.entries(BENCHES)) {
    if (first !== undefined && first !== name) continue;
    const bench = await load();
    console.log(`\n${name}: ${bench.summary}\n`);
    await bench.run(args);
  }
}
