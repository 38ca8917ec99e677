import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ModelInfo } from '../../src/domain/model.ts';
import { atThreshold, compareDetections, type Detection } from '../../src/domain/prediction.ts';
import type { OutputTensor } from '../../src/infra/inference/candidates.ts';
import { type DetectionOptions, detectionReader } from '../../src/infra/inference/detections.ts';
import { refusal } from './refusal.ts';

const test = suite('detections');

function model(family: ModelInfo['family'], width = 64, height = 64): ModelInfo {
  const input = {
    name: 'x',
    width,
    height,
    type: 'uint8',
    channels: 'rgb',
    mean: [0, 0, 0],
    scale: [1, 1, 1],
  } as const;
  return { name: 'm', sha256: '', family, input: { ...input, mean: [0, 0, 0], scale: [1, 1, 1] }, classes: ['a', 'b'] };
}

/** yolov8 output of boxes [cx, cy, w, h, score a, score b]. */
function yolov8(...boxes: readonly (readonly number[])[]): OutputTensor {
  const values = new Float32Array(6 * boxes.length);
  boxes.forEach((box, a) => {
    box.forEach((x, row) => {
      values[row * boxes.length + a] = x;
    });
  });
  return { dims: [1, 6, boxes.length], values };
}

const read = (output: OutputTensor, options: Partial<DetectionOptions> = {}): Detection[] =>
  detectionReader({
    model: model('yolov8'),
    picture: { width: 64, height: 64 },
    recordThreshold: 0.1,
    iou: 0.45,
    classIds: null,
    ...options,
  })(output);

test('yolov8: an anchor counts for its best class, of equal ones the lowest', () => {
  const found = read(yolov8([8, 8, 8, 8, 0.25, 0.5], [40, 40, 8, 8, 0.5, 0.5], [20, 40, 8, 8, 0.05, 0.0625]));
  assert.equal(found, [
    { class: 'a', classId: 0, score: 0.5, box: [36, 36, 8, 8] },
    { class: 'b', classId: 1, score: 0.5, box: [4, 4, 8, 8] },
  ]);
});

test('yolox: boxes are decoded on the grids of strides 8, 16, 32; score is objectness times class score', () => {
  const values = new Float32Array(84 * 7);
  values.set([0.5, 0.5, Math.log(2), 0, 0.5, 0.25, 0.75], 10 * 7); // stride 8, row 1, column 2
  values.set([0.25, 0.75, 0, Math.log(0.5), 1, 0.5, 0.25], (64 + 6) * 7); // stride 16, row 1, column 2
  values.set([0, 0, 0, 0, 0.09, 1, 1], 83 * 7); // below the threshold
  const found = read({ dims: [1, 84, 7], values }, { model: model('yolox') });
  assert.equal(found, [
    { class: 'a', classId: 0, score: 0.5, box: [28, 24, 16, 8] },
    { class: 'b', classId: 1, score: 0.375, box: [12, 8, 16, 8] },
  ]);
});

test('the letterbox is undone: boxes are in pixels of the displayed picture', () => {
  // 128 × 64 lies as 64 × 32 at (0, 16) in the input.
  const found = read(yolov8([16, 24, 8, 8, 0.5, 0]), { picture: { width: 128, height: 64 } });
  assert.equal(found[0]?.box, [24, 8, 16, 16]);
});

test('D2: a box is clipped to the picture, and dropped when it lies in the padding or rounds to nothing', () => {
  const boxes = yolov8(
    [0, 16, 20, 20, 0.5, 0],
    [32, 4, 8, 8, 0.5, 0],
    [32, 32, 0.004, 8, 0.4, 0],
    [9, 9, -4, 4, 0.3, 0],
  );
  assert.equal(
    read(boxes, { picture: { width: 128, height: 64 } }).map(d => d.box),
    [[0, 0, 20, 20]],
  );
});

const anyFrame = fc
  .array(
    fc.record({
      at: fc.tuple(...Array.from({ length: 4 }, () => fc.float({ min: -20, max: 90, noNaN: true }))),
      scores: fc.tuple(...Array.from({ length: 2 }, () => fc.float({ min: 0, max: 1, noNaN: true }))),
    }),
    { maxLength: 30 },
  )
  .map(boxes => yolov8(...boxes.map(({ at, scores }) => [...at, ...scores])));
const picture = fc.record({ width: fc.integer({ min: 1, max: 999 }), height: fc.integer({ min: 1, max: 999 }) });

test('D2: every box lies inside the picture and has a size; detections are in their order', () => {
  fc.assert(
    fc.property(anyFrame, picture, (output, size) => {
      const found = read(output, { picture: size });
      for (const { box, score } of found) {
        const [x = -1, y = -1, w = -1, h = -1] = box;
        assert.ok(x >= 0 && y >= 0 && w > 0 && h > 0 && score >= 0.1 && score <= 1);
        assert.ok(Math.round((x + w) * 100) <= size.width * 100 && Math.round((y + h) * 100) <= size.height * 100);
      }
      assert.equal(found, found.toSorted(compareDetections));
    }),
  );
});

test('P2: recording from a threshold on is reading at it, rounding of scores included', () => {
  const threshold = fc.oneof(
    fc.nat(100).map(n => n / 100),
    fc.double({ min: 0, max: 1, noNaN: true }),
  );
  fc.assert(
    fc.property(anyFrame, threshold, (output, t) => {
      const all = { frame: 0, ptsMs: 0, detections: read(output, { recordThreshold: 0 }) };
      assert.equal({ ...all, detections: read(output, { recordThreshold: t }) }, atThreshold(all, t));
    }),
  );
  const nearly = yolov8([8, 8, 8, 8, 0.24996, 0]);
  assert.equal(read(nearly, { recordThreshold: 0.25 })[0]?.score, 0.25);
});

test('only the classes asked for are answered', () => {
  const both = yolov8([8, 8, 8, 8, 0.9, 0], [8, 8, 8, 8, 0, 0.8]);
  assert.equal(
    read(both, { classIds: [1] }).map(d => d.class),
    ['b'],
  );
  assert.equal(read(both, { classIds: [] }), []);
});

test('D1: what is not finite, or no score of 0 to 1, fails the frame', () => {
  const fine = [8, 8, 8, 8, 0.5, 0];
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    for (const row of [0, 2, 4, 5]) {
      // Also where the score is far below the threshold: the model is broken.
      const error = refusal(() => read(yolov8([9, 9, 9, 9, 0.01, 0].with(row, bad), fine, fine, fine, fine)));
      assert.is(error.code, 'inference_failed');
      assert.match(error.message, /not finite/);
    }
  }
  assert.match(refusal(() => read(yolov8([8, 8, 8, 8, 3.5, 0]))).message, /score of 3\.5/);
  const values = new Float32Array(84 * 7);
  values.set([0, 0, 800, 0, 1, 1, 0], 0);
  assert.match(refusal(() => read({ dims: [1, 84, 7], values }, { model: model('yolox') })).message, /not finite/);
});

test('D1: an output of another shape fails the frame', () => {
  for (const dims of [
    [1, 6, 2],
    [1, 7, 1],
    [6, 1],
    [1, 6, 1, 1],
  ]) {
    const error = refusal(() => read({ dims, values: new Float32Array(6) }));
    assert.is(error.code, 'inference_failed');
    assert.match(error.message, /which is not yolov8 with 2 classes/);
  }
});

test('D3: a frame’s answer does not depend on the frames before it, nor on their number of boxes', () => {
  fc.assert(
    fc.property(fc.array(anyFrame, { minLength: 1, maxLength: 4 }), frames => {
      const options = { picture: { width: 64, height: 64 }, recordThreshold: 0.1, iou: 0.45, classIds: null };
      const reused = detectionReader({ model: model('yolov8'), ...options });
      for (const frame of frames) assert.equal(reused(frame), read(frame));
    }),
  );
});

test.run();
