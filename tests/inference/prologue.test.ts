import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import * as ort from 'onnxruntime-node';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ModelInput } from '../../src/domain/model.ts';
import { readOnnx } from '../../src/infra/inference/onnx-file.ts';
import { disableTelemetry, ENGINE, SESSION_OPTIONS } from '../../src/infra/inference/onnxruntime.ts';
import { withPrologue } from '../../src/infra/inference/prologue.ts';
import { FLOAT, node, onnxModel, UINT8 } from './onnx-model.ts';
import { shared, testWith } from './shared-assets.ts';

const test = suite('prologue');
disableTelemetry();

type Normalisation = Pick<ModelInput, 'mean' | 'scale'>;

const inputOf = (name: string, width: number, height: number, normalisation: Normalisation): ModelInput => ({
  name,
  width,
  height,
  type: 'float32',
  channels: 'rgb',
  ...normalisation,
});

/** What a float model is fed without a prologue: each step rounded to float32. */
function normalised(pixels: Uint8Array, plane: number, { mean, scale }: Normalisation): Float32Array {
  return Float32Array.from(pixels, (pixel, i) => {
    const channel = Math.floor(i / plane);
    return Math.fround(pixel - Math.fround(mean[channel] ?? 0)) * Math.fround(scale[channel] ?? 0);
  });
}

async function firstOutput(bytes: Uint8Array, input: ort.Tensor): Promise<Float32Array> {
  const session = await ort.InferenceSession.create(bytes, SESSION_OPTIONS);
  const results = await session.run({ [session.inputNames[0] ?? '']: input });
  await session.release();
  return results[session.outputNames[0] ?? '']?.data as Float32Array;
}

async function assertBitEqual(bytes: Uint8Array, input: ModelInput, pixels: Uint8Array): Promise<void> {
  const dims = [1, 3, input.height, input.width];
  const plain = normalised(pixels, input.width * input.height, input);
  const expected = await firstOutput(bytes, new ort.Tensor('float32', plain, dims));
  const actual = await firstOutput(withPrologue(bytes, input), new ort.Tensor('uint8', pixels, dims));
  assert.ok(expected.length > 0);
  assert.is(Buffer.compare(Buffer.from(actual.buffer), Buffer.from(expected.buffer)), 0);
}

const noise = (length: number): Uint8Array => {
  let state = 1;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state >>> 24;
  });
};

const byteByByte = onnxModel({
  inputs: [{ name: 'x', type: FLOAT, dims: ['n', 3, 'h', 'w'] }],
  outputs: [{ name: 'y', type: FLOAT, dims: null }],
  graph: [node('Identity', ['x'], 'y')],
});

test('PR1: each of the 256 pixel values becomes, bit for bit, (pixel − mean) · scale in float32', async () => {
  const pixels = Uint8Array.from({ length: 3 * 256 }, (_, i) => i);
  const known: Normalisation[] = [
    { mean: [0, 0, 0], scale: [1, 1, 1] },
    { mean: [0, 0, 0], scale: [1 / 255, 1 / 255, 1 / 255] },
    { mean: [127, 127, 127], scale: [1, 1, 1] },
    { mean: [123.675, 116.28, 103.53], scale: [1 / 58.395, 1 / 57.12, 1 / 57.375] },
  ];
  for (const normalisation of known) await assertBitEqual(byteByByte, inputOf('x', 256, 1, normalisation), pixels);
  const triple = (min: number, max: number): fc.Arbitrary<[number, number, number]> => {
    const value = fc.double({ min, max, noNaN: true });
    return fc.tuple(value, value, value);
  };
  await fc.assert(
    fc.asyncProperty(triple(-300, 300), triple(-2, 2), (mean, scale) =>
      assertBitEqual(byteByByte, inputOf('x', 256, 1, { mean, scale }), pixels),
    ),
    { numRuns: 30 },
  );
});

test('the result takes uint8 [1, 3, H, W] and is otherwise the same file', () => {
  const bytes = onnxModel({
    inputs: [{ name: 'x', type: FLOAT, dims: [1, 3, 64, 32] }],
    graph: [node('Relu', ['x'], 'output0')],
    metadata: { names: 'n' },
  });
  const { inputs, outputs, metadata } = readOnnx(
    withPrologue(bytes, inputOf('x', 32, 64, { mean: [1, 1, 1], scale: [2, 2, 2] })),
  );
  assert.equal(
    inputs.map(({ type, dims }) => ({ type, dims })),
    [{ type: UINT8, dims: [1, 3, 64, 32] }],
  );
  assert.equal(outputs, readOnnx(bytes).outputs);
  assert.equal(metadata, readOnnx(bytes).metadata);
});

test('the version told as engine is the one that runs', () => {
  assert.is(ort.env.versions.node, ENGINE.onnxruntime);
});

const yolox = shared('models', 'yolox_nano.onnx');

testWith(test, [yolox], 'PR1: a real network gives bit-equal outputs', async () => {
  const bytes = readFileSync(yolox);
  const pixels = noise(3 * 416 * 416);
  await assertBitEqual(bytes, inputOf('images', 416, 416, { mean: [0, 0, 0], scale: [1, 1, 1] }), pixels);
  await assertBitEqual(
    bytes,
    inputOf('images', 416, 416, { mean: [103.5, 116.3, 123.7], scale: [0.9, 1.1, 0.7] }),
    pixels,
  );
});

test.run();
