/** The file that Node runs: `src/main.ts` in a checkout, the bundle itself in a bundle. */
import path from 'node:path';

/** Defined in bundles only: `scripts/bundle.ts`. */
declare const TROUPE_BUNDLE: true | undefined;

export function entry(): string {
  if (typeof TROUPE_BUNDLE !== 'undefined') return import.meta.filename;
  return path.resolve(import.meta.dirname, '../../main.ts');
}
