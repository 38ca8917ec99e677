/** Tells whether a file is still the one that was probed, without reading all of it. */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { SourceIdentity } from '../../domain/source.ts';

const MIB = 1024 * 1024;

/** Size and SHA-256 of the first and the last MiB (which overlap in a file below 2 MiB). */
export async function sourceIdentity(path: string): Promise<SourceIdentity> {
  await using file = await open(path);
  const { size } = await file.stat();
  const hash = createHash('sha256');
  const block = Buffer.alloc(MIB);
  for (const start of [0, Math.max(0, size - MIB)]) {
    for (let at = start; at < start + MIB; ) {
      const { bytesRead } = await file.read(block, 0, start + MIB - at, at);
      if (bytesRead === 0) break;
      hash.update(block.subarray(0, bytesRead));
      at += bytesRead;
    }
  }
  return { size, sha256: hash.digest('hex') };
}
