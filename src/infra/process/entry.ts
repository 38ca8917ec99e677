/** The file that Node runs: `src/main.ts` in a checkout, the bundle itself in a bundle. */
import path from 'node:path';

declare const TROUPE_BUNDLE: string | undefined;

export function entry(): string {
  if (typeof TROUPE_BUNDLE === 'string') return path.join(import.meta.dirname, TROUPE_BUNDLE);
  return path.resolve(import.meta.dirname, '../../main.ts');
}
