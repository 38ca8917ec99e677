/**
 * Class-wise greedy non-maximum suppression.
 *
 * N1 The best box goes first and removes every other of its class that overlaps it by more than `iou`
 *    (intersection > iou · union); then the best that is left. Equal scores: the lower anchor first.
 * N2 Kept boxes at a higher threshold are the first of those kept at a lower one: no box is ever removed by a lesser.
 *    Bounding what is considered and what is kept therefore only cuts the tail.
 * N3 Boxes are compared as the model gave them: before clipping and rounding.
 */
import { LIMITS } from '../../domain/limits.ts';
import type { Candidates } from './candidates.ts';

/**
 * @param classIds classes to keep; null keeps all
 * @returns indices into `boxes`, best first, at most `LIMITS.detectionsPerFrame`
 */
export function nonMaximumSuppression(boxes: Candidates, iou: number, classIds: ReadonlySet<number> | null): number[] {
  const { score, classId, anchor } = boxes;
  const order: number[] = [];
  for (let i = 0; i < boxes.count; i++) if (classIds === null || classIds.has(classId[i] as number)) order.push(i);
  order.sort((a, b) => (score[b] as number) - (score[a] as number) || (anchor[a] as number) - (anchor[b] as number));
  if (order.length > LIMITS.candidatesPerFrame) order.length = LIMITS.candidatesPerFrame; // N2
  const kept: number[] = [];
  for (const i of order) {
    if (kept.some(k => classId[k] === classId[i] && overlaps(boxes, k, i, iou))) continue;
    kept.push(i);
    if (kept.length === LIMITS.detectionsPerFrame) break; // N2
  }
  return kept;
}

function overlaps({ x1, y1, x2, y2 }: Candidates, a: number, b: number, iou: number): boolean {
  const width = Math.min(x2[a] as number, x2[b] as number) - Math.max(x1[a] as number, x1[b] as number);
  const height = Math.min(y2[a] as number, y2[b] as number) - Math.max(y1[a] as number, y1[b] as number);
  if (width <= 0 || height <= 0) return false;
  const intersection = width * height;
  const areaA = ((x2[a] as number) - (x1[a] as number)) * ((y2[a] as number) - (y1[a] as number));
  const areaB = ((x2[b] as number) - (x1[b] as number)) * ((y2[b] as number) - (y1[b] as number));
  return intersection > iou * (areaA + areaB - intersection);
}
