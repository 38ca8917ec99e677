/** A small file system of a test's own, in memory, that can really be full. */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmdirSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as assert from 'uvu/assert';

export class SmallDisk implements Disposable {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'troupe-disk-'));
  readonly #ballast = path.join(this.folder, 'ballast');

  /** @throws where this user may not mount */
  constructor(megabytes: number) {
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'troupe-test', this.folder], { stdio: 'pipe' });
    } catch (error) {
      rmdirSync(this.folder);
      throw error;
    }
  }

  /** To the last page, also what was freed since the last time. */
  fill(): void {
    const ballast = openSync(this.#ballast, 'a');
    try {
      for (const page = Buffer.alloc(4096); ; ) writeSync(ballast, page);
    } catch (error) {
      assert.is((error as NodeJS.ErrnoException).code, 'ENOSPC');
    } finally {
      closeSync(ballast);
    }
  }

  makeRoom(): void {
    rmSync(this.#ballast);
  }

  [Symbol.dispose](): void {
    execFileSync('umount', ['-l', this.folder]);
    rmdirSync(this.folder);
  }
}

/** Why this machine has none to offer; null when it has. */
export function whyNoSmallDisk(): string | null {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'only root on Linux mounts a file system';
  try {
    using _ = new SmallDisk(1);
    return null;
  } catch {
    return 'root may not mount a file system here';
  }
}
