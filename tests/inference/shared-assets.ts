/** Models and videos that are not part of the project, for tests that pass without them. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Test } from 'uvu';
import { root } from '../../src/infra/process/assets.ts';

export const shared = (...parts: readonly string[]): string => path.join(root, '../shared/assets', ...parts);

/** Registers a test that is skipped, and says why, where one of its files is missing. */
export function testWith(test: Test, files: readonly string[], name: string, run: () => Promise<void>): void {
  const missing = files.filter(file => !existsSync(file)).map(file => path.relative(root, file));
  if (missing.length === 0) test(name, run);
  else test.skip(`${name} [skipped: ${missing.join(', ')} is not there]`, run);
}
