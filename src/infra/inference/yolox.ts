/**
 * Output family `yolox`: [1, N, 5+C], a row per cell of the grids of strides 8, 16, 32, row-major and in that order:
 * x, y, w, h (undecoded), objectness, one score per class. From the reference implementation
 * (https://github.com/Megvii-BaseDetection/YOLOX, yolox/utils/demo_utils.py):
 * centre = (x + column, y + row) · stride, size = (e^w, e^h) · stride, score = objectness · class score.
 * A cell counts for its best class only; of equal scores, the lowest class id.
 */
import { type OutputDecoder, reaches } from './candidates.ts';

const STRIDES = [8, 16, 32] as const;

/** Cells of the three grids over an input. */
export const gridCells = (width: number, height: number): number =>
  STRIDES.reduce((sum, stride) => sum + Math.floor(width / stride) * Math.floor(height / stride), 0);

export function yoloxDecoder(classCount: number, width: number, height: number): OutputDecoder {
  const step = 5 + classCount;
  return ({ values }, threshold, into) => {
    into.count = 0;
    let anchor = 0;
    for (const stride of STRIDES) {
      const columns = Math.floor(width / stride);
      const rows = Math.floor(height / stride);
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++, anchor++) {
          const at = anchor * step;
          const objectness = values[at + 4] as number;
          // A class score is at most 1, so most cells end here.
          if (!reaches(objectness, threshold)) continue;
          let best = values[at + 5] as number;
          let bestClass = 0;
          for (let c = 1; c < classCount; c++) {
            const score = values[at + 5 + c] as number;
            if (score > best) {
              best = score;
              bestClass = c;
            }
          }
          if (!reaches(objectness * best, threshold)) continue;
          into.push(
            anchor,
            bestClass,
            objectness * best,
            ((values[at] as number) + column) * stride,
            ((values[at + 1] as number) + row) * stride,
            Math.exp(values[at + 2] as number) * stride,
            Math.exp(values[at + 3] as number) * stride,
          );
        }
      }
    }
  };
}
