import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { evaluate, type TruthObject } from '../../src/domain/evaluation.ts';
import type { Detection, Prediction } from '../../src/domain/prediction.ts';

const test = suite('evaluation');

const CLASSES = ['circle', 'square'];
const seen = (name: string, score: number, box: Detection['box']): Detection => ({
  class: name,
  classId: CLASSES.indexOf(name),
  score,
  box,
});
const frame = (...detections: Detection[]): Prediction[] => [{ frame: 0, ptsMs: 0, detections }];
const truth = (...objects: TruthObject[]): { frame: number; objects: TruthObject[] }[] => [{ frame: 0, objects }];

test('E1: a prediction of the right class and place finds its object', () => {
  const result = evaluate(frame(seen('circle', 0.9, [1, 0, 10, 10])), truth({ class: 'circle', box: [0, 0, 10, 10] }));
  assert.equal([result.precision, result.recall], [1, 1]);
});

test('E1: the wrong class is a false alarm and a miss', () => {
  const result = evaluate(frame(seen('square', 0.9, [0, 0, 10, 10])), truth({ class: 'circle', box: [0, 0, 10, 10] }));
  assert.equal([result.precision, result.recall], [0, 0]);
  assert.is(result.perClass['square']?.falseAlarms, 1);
  assert.is(result.perClass['circle']?.objects, 1);
});

test('E1: an object is found once; the second prediction of it is a false alarm, the lower score loses', () => {
  const result = evaluate(
    frame(seen('circle', 0.5, [0, 0, 10, 10]), seen('circle', 0.9, [2, 0, 10, 10])),
    truth({ class: 'circle', box: [0, 0, 10, 10] }, { class: 'circle', box: [4, 0, 10, 10] }),
    0.9,
  );
  assert.equal([result.found, result.falseAlarms], [1, 1]);
});

test('E1: below the IoU asked for it is no match', () => {
  const box = { class: 'circle', box: [0, 0, 10, 10] };
  assert.is(evaluate(frame(seen('circle', 0.9, [3, 0, 10, 10])), truth(box), 0.5).found, 1);
  assert.is(evaluate(frame(seen('circle', 0.9, [4, 0, 10, 10])), truth(box), 0.5).found, 0);
});

test('E2: an object mostly outside the picture is neither missed nor a false alarm when predicted', () => {
  const sliver = { class: 'circle', box: [0, 0, 4, 10], visible: 0.4 };
  for (const predictions of [frame(), frame(seen('square', 0.9, [0, 1, 4, 8]))]) {
    const { objects, falseAlarms, precision, recall } = evaluate(predictions, truth(sliver));
    assert.equal({ objects, falseAlarms, precision, recall }, { objects: 0, falseAlarms: 0, precision: 1, recall: 1 });
  }
  assert.is(evaluate(frame(seen('circle', 0.9, [50, 50, 10, 10])), truth(sliver)).falseAlarms, 1);
});

test('E3: a frame without a prediction misses its objects', () => {
  assert.is(evaluate([], truth({ class: 'circle', box: [0, 0, 10, 10] })).recall, 0);
});

test.run();
