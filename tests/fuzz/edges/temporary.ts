/** A folder of an edge's own, which goes with it. */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export interface Temporary extends AsyncDisposable {
  at(name: string): string;
}

export function temporary(): Temporary {
  const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'troupe-fuzz-')));
  return {
    at: name => path.join(folder, name),
    async [Symbol.asyncDispose]() {
      rmSync(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 20 });
    },
  };
}
