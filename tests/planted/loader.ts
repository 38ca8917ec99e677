/**
 * Loaded before the test file (`--import`), also into every process and thread of Node that the test starts: plants the bug
 * in the one source as it is read, and lets the one test through. Nothing on the disk changes.
 *
 * PB1 A source into which the bug does not fit ends the process: no verdict comes of it.
 * PB2 That the source with the bug was loaded at all is left word of: a test that never met it proves nothing.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type PlantedBug, plant } from './planted-bug.ts';

/** `trial.json`, beside which `met` and `begun` are written. */
export interface Orders {
  /** null: the same test without a bug. */
  readonly bug: PlantedBug | null;
  readonly only: PlantedBug['caughtBy'];
}

const root = path.resolve(import.meta.dirname, '../..');
const folder = new URL(import.meta.url).searchParams.get('trial') ?? '';
const { bug, only } = JSON.parse(readFileSync(path.join(folder, 'trial.json'), 'utf8')) as Orders;
const source = bug === null ? null : pathToFileURL(path.join(root, bug.file)).href;
const oneTest = new URL('one-test.ts', import.meta.url);
oneTest.searchParams.set('trial', folder);
oneTest.searchParams.set('name', only.name);
if (only.suite !== undefined) oneTest.searchParams.set('suite', only.suite);

registerHooks({
  resolve(specifier, context, nextResolve) {
    const isTest = specifier === 'uvu' && context.parentURL?.split('?')[0] !== oneTest.href.split('?')[0];
    return isTest ? nextResolve(oneTest.href, context) : nextResolve(specifier, context);
  },
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    if (bug === null || url !== source) return loaded;
    const planted = plant(readFileSync(fileURLToPath(url), 'utf8'), bug); // PB1
    writeFileSync(path.join(folder, 'met'), ''); // PB2
    return { ...loaded, format: 'module-typescript', source: planted };
  },
});
