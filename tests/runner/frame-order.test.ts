/** F1–F3: results back in the order of the source, batches within their bounds (L7), a memory that sampling does not fill. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Batch, FrameOrder } from '../../src/actors/runner/frame-order.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { encodeLogRecord, type Position } from '../../src/domain/log-record.ts';
import type { Detection, Prediction } from '../../src/domain/prediction.ts';

const test = suite('frame order');

const result = (frame: number, detections: Detection[] = []): Prediction => ({ frame, ptsMs: frame * 40, detections });
const detection: Detection = {
  class: 'triangle',
  classId: 79,
  score: 0.1234,
  box: [1234.56, 1234.56, 1234.56, 1234.56],
};

/** Drains what is there. */
function taken(order: FrameOrder): Batch[] {
  const batches: Batch[] = [];
  for (let batch = order.take(); batch !== null; batch = order.take()) batches.push(batch);
  return batches;
}

test('F1: whatever the order of the results, frames leave in the order of the source, each once, and positions join up', () => {
  const frames = fc.array(fc.record({ selected: fc.boolean(), rank: fc.nat(), pts: fc.boolean() }), { maxLength: 120 });
  fc.assert(
    fc.property(frames, fc.nat(), fc.nat(40), (script, takes, from) => {
      const order = new FrameOrder(null, index => index >= from);
      const batches: Batch[] = [];
      const waiting: { rank: number; settle: () => void }[] = [];
      const times = script.map((frame, i) => (frame.pts ? i * 40 : null));
      script.forEach((frame, i) => {
        const ptsMs = times[i] ?? null;
        if (!frame.selected) order.pass(i, ptsMs);
        else {
          const settle = order.expect(i, ptsMs);
          waiting.push({ rank: frame.rank, settle: () => settle(result(i)) });
        }
        if (frame.rank % 3 === takes % 3) batches.push(...taken(order));
      });
      waiting.sort((a, b) => a.rank - b.rank);
      waiting.forEach(({ settle, rank }) => {
        settle();
        if (rank % 5 === takes % 5) batches.push(...taken(order));
      });
      batches.push(...taken(order));
      const selected = script.flatMap((frame, i) => (frame.selected ? [i] : []));
      assert.equal(
        batches.flatMap(batch => batch.predictions.map(p => p.frame)),
        selected,
      );
      let before: Position | null = null;
      let next = 0;
      for (const batch of batches) {
        const { to, prevPts, lastPts, startPts, selectedPts, frames: count } = batch.position;
        assert.is(batch.from, next);
        assert.ok(to >= batch.from);
        assert.equal([prevPts, lastPts], [times[to - 1] ?? null, times[to] ?? null]);
        assert.is(startPts, times.slice(from, to + 1).find(at => at !== null) ?? null);
        assert.is(selectedPts, times[selected.findLast(frame => frame <= to) ?? -1] ?? null);
        assert.is(count, (before?.frames ?? 0) + batch.predictions.length);
        [before, next] = [batch.position, to + 1];
      }
      assert.is(next, script.length);
      assert.equal(order.position, before);
      assert.equal([order.waiting, order.backlog], [0, 0]);
    }),
    { seed: 7, numRuns: 500 },
  );
});

test('F1: one missing result holds back everything after it', () => {
  const order = new FrameOrder(null, () => true);
  const settles = Array.from({ length: 5 }, (_, i) => order.expect(i, null));
  settles.forEach((settle, i) => {
    if (i !== 2) settle(result(i));
  });
  assert.equal(
    order.take()?.predictions.map(p => p.frame),
    [0, 1],
  );
  assert.is(order.take(), null);
  settles[2]?.(result(2));
  assert.equal(
    order.take()?.predictions.map(p => p.frame),
    [2, 3, 4],
  );
});

test('F2: a batch is full at 32 predictions and takes no more', () => {
  const order = new FrameOrder(null, () => true);
  for (let i = 0; i < 100; i++) {
    order.expect(i, null)(result(i));
    assert.is(order.full, i >= LIMITS.batchFrames - 1);
  }
  assert.equal(
    taken(order).map(batch => batch.predictions.length),
    [32, 32, 32, 4],
  );
});

test('F2: a batch of the largest frames is full at 256 KiB, and the record fits into one NATS message', () => {
  const order = new FrameOrder(null, () => true);
  const crowded = Array.from({ length: LIMITS.detectionsPerFrame }, () => detection);
  for (let i = 0; i < 40; i++) order.expect(i, null)(result(i, crowded));
  const batches = taken(order);
  assert.is(
    batches.reduce((sum, batch) => sum + batch.predictions.length, 0),
    40,
  );
  for (const { from, position, predictions } of batches) {
    const bytes = encodeLogRecord({
      v: 1,
      kind: 'frames',
      attempt: 1,
      nonce: 'n',
      n: 1,
      at: '',
      from,
      position,
      predictions,
    }).byteLength;
    assert.ok(bytes < LIMITS.batchBytes + LIMITS.detectionsPerFrame * 160, `${bytes}`);
    assert.ok(bytes < LIMITS.payloadBytes);
  }
  assert.ok((batches[0]?.predictions.length ?? 99) < LIMITS.batchFrames);
});

test('F3: frames that were not selected move the position and need no memory of their own', () => {
  const order = new FrameOrder(null, () => true);
  const settle = order.expect(0, 0);
  const before = process.memoryUsage().heapUsed;
  for (let i = 1; i <= 1_000_000; i++) order.pass(i, i * 40);
  assert.ok(process.memoryUsage().heapUsed - before < 50_000_000);
  settle(result(0));
  assert.equal(order.take()?.position, {
    to: 1_000_000,
    prevPts: 39_999_960,
    lastPts: 40_000_000,
    startPts: 0,
    selectedPts: 0,
    frames: 1,
  });
});

test('a resumed order goes on after its position', () => {
  const position: Position = { to: 9, prevPts: 320, lastPts: 360, startPts: 0, frames: 4 };
  const order = new FrameOrder(position, () => true);
  assert.is(order.take(), null);
  order.expect(10, 400)(result(10));
  assert.equal(order.take(), {
    from: 10,
    position: { to: 10, prevPts: 360, lastPts: 400, startPts: 0, selectedPts: 400, frames: 5 },
    predictions: [result(10)],
  });
});

test.run();
