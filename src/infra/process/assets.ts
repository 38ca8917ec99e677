/** Where the files beside the code are: the one place that knows, so that a bundle or a single binary only changes this. */
import { existsSync } from 'node:fs';
import path from 'node:path';

/** Defined in bundles only: `scripts/bundle.ts`. */
declare const TROUPE_BUNDLE: true | undefined;

/**
 * The folder that holds `models/`, `test_videos/` and `package.json`: found upwards from this file, which in a bundle
 * is the bundle itself.
 */
export const root: string = (() => {
  for (let dir = import.meta.dirname; ; dir = path.dirname(dir)) {
    if (existsSync(path.join(dir, 'models')) && existsSync(path.join(dir, 'package.json'))) return dir;
    if (path.dirname(dir) === dir)
      throw new Error(`no folder with models/ and package.json above ${import.meta.dirname}`);
  }
})();

/** Absolute path of a file that ships with Troupe. */
export const asset = (...parts: readonly string[]): string => path.join(root, ...parts);

/** Absolute path of a file of an npm package that is not imported but read. */
export const part = (name: string, ...parts: readonly string[]): string =>
  asset(typeof TROUPE_BUNDLE === 'undefined' ? 'node_modules' : 'parts', name, ...parts);

/** What a process of ours reads to run: its code and its packages; no settings, which may hold secrets. */
export const programFiles = (): string[] =>
  ['package.json', 'src', 'models', 'node_modules', '.troupe/code-cache', 'troupe.mjs', 'parts']
    .map(name => asset(name))
    .filter(existsSync);
