/** The program's one entry: a command line, or a role that another Troupe process started. */
import { enableCompileCache } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import { asset } from './infra/process/assets.ts';

// Every attempt starts a process: with the compiled code kept beside the sources it is there a quarter sooner (some 110 of
// 430 ms on 2 busy cores). Where the folder cannot be written nothing is kept.
enableCompileCache(asset('.troupe', 'code-cache'));

const roleFlag = process.argv.indexOf('--role');
const role = roleFlag > 1 && roleFlag <= 2 ? process.argv[roleFlag + 1] : undefined;

if (role === 'decoder-thread') {
  await (await import('./infra/video/wasm-thread.ts')).serve();
} else if (!isMainThread || role === 'inference-worker') {
  await (await import('./infra/inference/worker.ts')).serve();
} else if (role === 'runner') {
  await (await import('./runner-main.ts')).main();
} else if (role === 'model-trial') {
  await (await import('./infra/inference/trial-main.ts')).main();
} else {
  await (await import('./cli/main.ts')).main(process.argv.slice(2));
}
