/** Seeded mutations of files: the same seed, the same mutant. */
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';

/**
 * One to four changes, each of a kind that has broken parsers: lengths that lie, blocks missing, doubled, or of noise.
 * @param inPlace nothing moves: in a format of nested lengths everything else ends at the outermost one
 */
export function mutant(original: Uint8Array, seed: number, inPlace = false): Buffer {
  const random = new SeededRandom(seed);
  const below = (n: number): number => Math.floor(random.float() * n);
  let bytes = Buffer.from(original);
  for (let changes = 1 + below(4); changes > 0; changes--) {
    // Half of them near the start, where headers and indexes lie.
    const at = below(random.float() < 0.5 ? Math.min(512, bytes.length) : bytes.length);
    const size = 1 + below(64);
    const before = bytes.subarray(0, at);
    switch (below(inPlace ? 3 : 7)) {
      case 0:
        for (let i = 0; i < 1 + size / 8; i++) bytes[below(bytes.length)] = below(256);
        break;
      case 1:
        bytes.writeUInt32BE(
          [0xff_ff_ff_ff, 0x7f_ff_ff_ff, 0x80_00_00_00, 0][below(4)] ?? 0,
          Math.max(0, Math.min(at, bytes.length - 4)),
        );
        break;
      case 2:
        bytes.fill(0, at, Math.min(at + size, bytes.length));
        break;
      case 3:
        bytes = Buffer.concat([before, bytes.subarray(at, at + size), bytes.subarray(at)]);
        break;
      case 4:
        bytes = Buffer.concat([
          before,
          Buffer.from(Array.from({ length: size }, () => below(256))),
          bytes.subarray(at),
        ]);
        break;
      case 5:
        bytes = Buffer.concat([before, bytes.subarray(at + size)]);
        break;
      case 6:
        bytes = Buffer.from(bytes.subarray(0, Math.max(8, at)));
    }
    if (bytes.length < 8) bytes = Buffer.concat([bytes, Buffer.alloc(8)]);
  }
  return bytes;
}

export interface Verdict {
  readonly seed: number;
  readonly what: string;
  readonly ms: number;
}

/** Judges the seeds 1 to `count`, `together` at a time. */
export async function judgeAll(
  count: number,
  together: number,
  judge: (seed: number) => Promise<string>,
): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  const seeds = Array.from({ length: count }, (_, i) => i + 1).values();
  const work = async (): Promise<void> => {
    for (const seed of seeds) {
      const start = performance.now();
      const what = await judge(seed);
      verdicts.push({ seed, what, ms: performance.now() - start });
    }
  };
  await Promise.all(Array.from({ length: together }, work));
  return verdicts;
}
