import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LIMITS } from '../../src/domain/limits.ts';
import type { ModelInfo } from '../../src/domain/model.ts';
import { adapt, type ModelSettings } from '../../src/infra/inference/adapt.ts';
import { readOnnx } from '../../src/infra/inference/onnx-file.ts';
import { gridCells } from '../../src/infra/inference/yolox.ts';
import { FLOAT, FLOAT16, onnxModel, type Parts, UINT8 } from './onnx-model.ts';
import { refusal } from './refusal.ts';

const test = suite('adapt');

const adapted = (parts: Partial<Parts>, settings?: ModelSettings): ModelInfo =>
  adapt('m', 'hash', readOnnx(onnxModel(parts)), settings);

type Dims = readonly (number | string)[] | null;
const io = (input: Dims, output: Dims, type = FLOAT): Partial<Parts> => ({
  inputs: [{ name: 'x', type, dims: input }],
  outputs: [{ name: 'y', type: FLOAT, dims: output }],
});

test('yolov8 with a uint8 input takes RGB pixels as they are', () => {
  assert.equal(adapted(io([1, 3, 320, 480], [1, 7, 999], UINT8)), {
    name: 'm',
    sha256: 'hash',
    family: 'yolov8',
    input: { name: 'x', width: 480, height: 320, type: 'uint8', channels: 'rgb', mean: [0, 0, 0], scale: [1, 1, 1] },
    classes: ['class_0', 'class_1', 'class_2'],
  });
});

test('yolov8 with a float32 input takes RGB in 0..1', () => {
  const { family, input } = adapted(io([1, 3, 640, 640], [1, 84, 8400]));
  assert.equal([family, input.channels, input.mean, input.scale], ['yolov8', 'rgb', [0, 0, 0], Array(3).fill(1 / 255)]);
});

test('yolox with a float32 input takes BGR in 0..255', () => {
  const { family, input, classes } = adapted(io([1, 3, 416, 416], [1, 3549, 85]));
  assert.equal([family, input.channels, input.mean, input.scale], ['yolox', 'bgr', [0, 0, 0], [1, 1, 1]]);
  assert.equal([classes.length, classes[0], classes[79]], [80, 'person', 'toothbrush']);
});

test('settings beside the model decide over channels and normalisation', () => {
  const { input } = adapted(io([1, 3, 416, 416], [1, 3549, 85]), {
    channels: 'rgb',
    mean: [123.675, 116.28, 103.53],
    scale: [0.0171, 0.0175, 0.0174],
  });
  assert.equal([input.channels, input.mean, input.scale], ['rgb', [123.675, 116.28, 103.53], [0.0171, 0.0175, 0.0174]]);
});

test('an open size is the one noted as imgsz, else 640', () => {
  const open = io(['n', 3, 'h', 'w'], ['n', 84, 'boxes']);
  const size = ({ input }: ModelInfo): number[] => [input.width, input.height];
  assert.equal(size(adapted(open)), [640, 640]);
  assert.equal(size(adapted({ ...open, metadata: { imgsz: '[384, 672]' } })), [672, 384]);
});

test('an output that leaves everything open needs family and classes', () => {
  const open = io([1, 3, 64, 64], null);
  assert.match(refusal(() => adapted(open)).message, /family = "yolov8"/);
  assert.match(refusal(() => adapted(open, { family: 'yolov8' })).message, /classes = \[/);
  assert.equal(adapted(open, { family: 'yolov8', classes: ['a', 'b'] }).classes, ['a', 'b']);
});

test('A1: an output that fits both families is refused until the settings say which it is', () => {
  // 64 × 64 pixels have 64 + 16 + 4 = 84 cells: [1, 84, 85] is 80 classes for 84 cells, or for 85 boxes.
  const both = io([1, 3, 64, 64], [1, 84, 85]);
  assert.match(refusal(() => adapted(both)).message, /both yolov8 and yolox.*family = "yolov8" or family = "yolox"/);
  assert.is(adapted(both, { family: 'yolox' }).family, 'yolox');
  assert.is(adapted(both, { family: 'yolov8' }).family, 'yolov8');
});

test('class names: metadata, else settings, else COCO for 80, else class_<id>', () => {
  const three = io([1, 3, 64, 64], [1, 7, 99], UINT8);
  const named = (names: string, classes?: string[]): string[] =>
    adapted({ ...three, metadata: { names } }, classes === undefined ? {} : { classes }).classes;
  assert.equal(named(`{0: 'a', 1: "it's", 2: 'q\\'s'}`), ['a', "it's", "q's"]);
  assert.equal(named("{0:'a',1:'b, c: {d}',2:'e'}", ['x', 'y', 'z']), ['a', 'b, c: {d}', 'e']);
  for (const bad of ["{0: 'a'}", "{1: 'a', 2: 'b', 3: 'c'}", 'a,b,c', '{', "{0: 'a' 1: 'b' 2: 'c'}"]) {
    assert.equal(named(bad, ['x', 'y', 'z']), ['x', 'y', 'z'], bad);
    assert.equal(named(bad), ['class_0', 'class_1', 'class_2'], bad);
  }
});

const REFUSED: readonly (readonly [what: string, parts: Partial<Parts>, why: RegExp, settings?: ModelSettings])[] = [
  ['no input', { inputs: [] }, /0 inputs/],
  [
    'two inputs',
    {
      inputs: [
        { name: 'a', type: UINT8, dims: [1, 3, 64, 64] },
        { name: 'b', type: FLOAT, dims: [1, 2] },
      ],
    },
    /2 inputs \(a \[1,3,64,64\], b \[1,2\]\)/,
  ],
  [
    'two outputs',
    {
      outputs: [
        { name: 'a', type: FLOAT, dims: [1, 2, 3] },
        { name: 'b', type: FLOAT, dims: [1] },
      ],
    },
    /2 outputs/,
  ],
  ['a float16 input', io([1, 3, 64, 64], [1, 7, 99], FLOAT16), /element type 10; uint8 and float32/],
  ['NHWC', io([1, 320, 320, 3], [1, 7, 99]), /NHWC; export the model as NCHW/],
  ['one channel', io([1, 1, 320, 320], [1, 7, 99]), /\[1, 3, H, W\] is needed/],
  ['a flat input', io([1, 3072], [1, 7, 99]), /\[1, 3, H, W\] is needed/],
  ['an input without a shape', io(null, [1, 7, 99]), /shape \[unknown\]/],
  ['a batch of 4', io([4, 3, 64, 64], [4, 7, 99]), /fixed batch of 4/],
  ['a huge input', io([1, 3, 64, LIMITS.modelSide + 1], [1, 7, 99]), /sides of 1 to 4096/],
  ['a float16 output', { outputs: [{ name: 'y', type: FLOAT16, dims: [1, 7, 99] }] }, /not float32/],
  ['a classifier', io([1, 3, 224, 224], [1, 1000]), /shape \[1,1000\]; supported are/],
  ['YOLOv5: three anchors a cell', io([1, 3, 640, 640], [1, 25200, 85]), /matches no supported layout/],
  ['boxes after NMS', io([1, 3, 640, 640], [1, 300, 6]), /matches no supported layout/],
  [
    'yolox of another grid',
    io([1, 3, 416, 416], [1, 3548, 85]),
    /would be \[1, 3549, 5 \+ classes\]/,
    { family: 'yolox' },
  ],
  [
    'yolov8 without classes',
    io([1, 3, 64, 64], [1, 4, 84]),
    /would be \[1, 4 \+ classes, boxes\]/,
    { family: 'yolov8' },
  ],
  ['too many classes', io([1, 3, 64, 64], [1, LIMITS.modelClasses + 5, 99_999]), /classes are more than/],
  ['too many boxes', io([1, 3, 64, 64], [1, 7, LIMITS.modelAnchors + 1]), /boxes a frame are more than/],
  [
    'names for other classes',
    io([1, 3, 64, 64], [1, 7, 99]),
    /names 2 classes, the output has 3/,
    { classes: ['a', 'b'] },
  ],
  ['a mean for uint8', io([1, 3, 64, 64], [1, 7, 99], UINT8), /need a float32 input/, { mean: [1, 2, 3] }],
];

for (const [what, parts, why, settings] of REFUSED) {
  test(`refused with its reason: ${what}`, () => {
    const error = refusal(() => adapted(parts, settings));
    assert.is(error.code, 'model_unsupported');
    assert.match(error.message, why);
  });
}

test('A2: every yolox and yolov8 shape of any size and class count is told apart or refused, never mistaken', () => {
  const cells32 = fc.integer({ min: 1, max: 40 });
  fc.assert(
    fc.property(cells32, cells32, fc.integer({ min: 1, max: 200 }), fc.boolean(), (w, h, classes, isYolox) => {
      const input = [1, 3, h * 32, w * 32];
      const cells = gridCells(w * 32, h * 32);
      const parts = io(input, isYolox ? [1, cells, 5 + classes] : [1, 4 + classes, cells]);
      try {
        const model = adapted(parts);
        assert.equal([model.family, model.classes.length], [isYolox ? 'yolox' : 'yolov8', classes]);
      } catch {
        assert.match(refusal(() => adapted(parts)).message, /family = /);
        // Only where there are fewer boxes than numbers for each.
        assert.ok(cells <= 5 + classes);
      }
    }),
    { examples: [[2, 2, 80, false]] }, // as many boxes as numbers for each: could be either
  );
});

test.run();
