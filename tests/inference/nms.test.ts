import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LIMITS } from '../../src/domain/limits.ts';
import { Candidates } from '../../src/infra/inference/candidates.ts';
import { nonMaximumSuppression } from '../../src/infra/inference/nms.ts';

const test = suite('nms');

interface Box {
  classId: number;
  score: number;
  cx: number;
  cy: number;
  w: number;
  h: number;
}

function candidates(boxes: readonly Box[]): Candidates {
  const into = new Candidates(boxes.length);
  boxes.forEach(({ classId, score, cx, cy, w, h }, anchor) => {
    into.push(anchor, classId, score, cx, cy, w, h);
  });
  return into;
}

const keptOf = (boxes: readonly Box[], iou: number, classIds: ReadonlySet<number> | null = null): number[] =>
  nonMaximumSuppression(candidates(boxes), iou, classIds);

const box: fc.Arbitrary<Box> = fc.record({
  classId: fc.nat(2),
  score: fc.nat(20).map(n => n / 20),
  cx: fc.nat(40),
  cy: fc.nat(40),
  w: fc.integer({ min: 1, max: 30 }),
  h: fc.integer({ min: 1, max: 30 }),
});
const boxes = fc.array(box, { maxLength: 40 });
const iou = fc.nat(10).map(n => n / 10);

function iouOf(a: Box, b: Box): number {
  const width = Math.min(a.cx + a.w / 2, b.cx + b.w / 2) - Math.max(a.cx - a.w / 2, b.cx - b.w / 2);
  const height = Math.min(a.cy + a.h / 2, b.cy + b.h / 2) - Math.max(a.cy - a.h / 2, b.cy - b.h / 2);
  const both = Math.max(0, width) * Math.max(0, height);
  return both / (a.w * a.h + b.w * b.h - both);
}

test('N1: a box is kept exactly when no better kept one of its class overlaps it by more than iou', () => {
  fc.assert(
    fc.property(boxes, iou, (all, limit) => {
      const kept = keptOf(all, limit);
      const better = (a: number, b: number): boolean =>
        (all[a]?.score ?? 0) > (all[b]?.score ?? 0) || (all[a]?.score === all[b]?.score && a < b);
      all.forEach((one, i) => {
        const rivals = kept.filter(k => k !== i && better(k, i) && all[k]?.classId === one.classId);
        // Integer coordinates and tenths: differences below 1e-9 are the quotient's rounding.
        const worst = Math.max(0, ...rivals.map(k => iouOf(all[k] ?? one, one)));
        if (Math.abs(worst - limit) > 1e-9) assert.is(kept.includes(i), worst < limit);
      });
      assert.equal(
        kept,
        kept.toSorted((a, b) => (better(a, b) ? -1 : 1)),
      );
    }),
  );
});

test('N1: an overlap of exactly iou is no reason to remove a box', () => {
  const half = { classId: 0, cy: 0, h: 1, w: 3 };
  const pair = [
    { ...half, score: 0.9, cx: 0 },
    { ...half, score: 0.8, cx: 1 },
  ]; // 2 of 4
  assert.equal(keptOf(pair, 0.5), [0, 1]);
  assert.equal(keptOf(pair, 0.49), [0]);
});

test('N2, P2: NMS above a threshold is NMS of everything, filtered by it', () => {
  fc.assert(
    fc.property(boxes, iou, fc.nat(20), (all, limit, n) => {
      const over = (index: number): boolean => (all[index]?.score ?? 0) >= n / 20;
      const strong = all.map((_, i) => i).filter(over);
      const filteredFirst = keptOf(
        strong.flatMap(i => all[i] ?? []),
        limit,
      ).map(k => strong[k]);
      assert.equal(filteredFirst, keptOf(all, limit).filter(over));
    }),
  );
});

test('N2: choosing classes before NMS is choosing them after it', () => {
  fc.assert(
    fc.property(boxes, iou, fc.uniqueArray(fc.nat(2)), (all, limit, ids) => {
      const wanted = new Set(ids);
      const after = keptOf(all, limit).filter(k => wanted.has(all[k]?.classId ?? -1));
      assert.equal(keptOf(all, limit, wanted), after);
    }),
  );
});

test('of more boxes than a frame may have, the best are kept', () => {
  const apart = Array.from({ length: LIMITS.detectionsPerFrame + 5 }, (_, i) => ({
    classId: 0,
    score: (i + 1) / 1000,
    cx: i * 2,
    cy: 0,
    w: 1,
    h: 1,
  }));
  const kept = keptOf(apart, 0.5);
  assert.is(kept.length, LIMITS.detectionsPerFrame);
  assert.equal([kept[0], kept.at(-1)], [apart.length - 1, 5]);
});

test('of more candidates than NMS considers, the best are considered', () => {
  const same = { classId: 0, cx: 0, cy: 0, w: 1, h: 1 };
  const many = Array.from({ length: LIMITS.candidatesPerFrame }, () => ({ ...same, score: 0.5 }));
  const apart = { ...same, cx: 9 };
  assert.equal(keptOf([...many, { ...apart, score: 0.4 }], 0.5), [0]);
  assert.equal(keptOf([...many, { ...apart, score: 0.6 }], 0.5), [many.length, 0]);
});

test('N3: boxes turned inside out or of no size neither remove others nor fail', () => {
  const odd = { classId: 0, score: 0.9, cx: 5, cy: 5 };
  assert.equal(
    keptOf(
      [
        { ...odd, w: -4, h: 4 },
        { ...odd, w: 0, h: 0 },
        { ...odd, w: 4, h: 4 },
      ],
      0,
    ),
    [0, 1, 2],
  );
});

test.run();
