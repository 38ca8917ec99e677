/** The program's one entry: a command line, or a role that another Troupe process started. */
import { isMainThread } from 'node:worker_threads';

const roleFlag = process.argv.indexOf('--role');
const role = roleFlag > 1 && roleFlag <= 2 ? process.argv[roleFlag + 1] : undefined;

if (!isMainThread || role === 'inference-worker') {
  await (await import('./infra/inference/worker.ts')).serve();
} else if (role === 'runner') {
  await (await import('./runner-main.ts')).main();
} else {
  await (await import('./cli/main.ts')).main(process.argv.slice(2));
}
