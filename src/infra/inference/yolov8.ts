/**
 * Output family `yolov8`: [1, 4+C, N], rows cx, cy, w, h in input pixels, then one row of scores per class.
 * An anchor counts for its best class only; of equal scores, the lowest class id.
 */
import { type OutputDecoder, reaches } from './candidates.ts';

/** @param anchors the largest N to come: the size of the decoder's own memory */
export function yolov8Decoder(classCount: number, anchors: number): OutputDecoder {
  const best = new Float32Array(anchors);
  const bestClass = new Int32Array(anchors);
  return ({ dims, values }, threshold, into) => {
    const n = dims[2] ?? 0;
    // Row by row, as the scores lie in memory: one pass per class, no jumps.
    best.set(values.subarray(4 * n, 5 * n));
    bestClass.fill(0, 0, n);
    for (let c = 1; c < classCount; c++) {
      const row = (4 + c) * n;
      for (let a = 0; a < n; a++) {
        const score = values[row + a] as number;
        if (score > (best[a] as number)) {
          best[a] = score;
          bestClass[a] = c;
        }
      }
    }
    into.count = 0;
    for (let a = 0; a < n; a++) {
      const score = best[a] as number;
      if (!reaches(score, threshold)) continue;
      into.push(
        a,
        bestClass[a] as number,
        score,
        values[a] as number,
        values[n + a] as number,
        values[2 * n + a] as number,
        values[3 * n + a] as number,
      );
    }
  };
}
