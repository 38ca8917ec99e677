/** Models as they are read, without the runtime: that one is met by the edge `model`. */
import * as assert from 'uvu/assert';
import { TroupeError } from '../../../src/domain/errors.ts';
import { ModelInfo } from '../../../src/domain/model.ts';
import { problemsOf } from '../../../src/domain/parse.ts';
import { adapt } from '../../../src/infra/inference/adapt.ts';
import { readOnnx } from '../../../src/infra/inference/onnx-file.ts';
import { attribute, FLOAT, integers, node, onnxModel, UINT8 } from '../../inference/onnx-model.ts';
import type { Edge } from '../edge.ts';
import { mutateBytes, pick } from '../mutations.ts';

/** Nearly all structure: weights would take the mutations. */
const models = (): Buffer[] => [
  onnxModel({ graph: [integers('w', [1, 2]), node('Relu', ['images'], 'output0')] }),
  onnxModel({
    inputs: [{ name: 'x', type: FLOAT, dims: ['batch', 3, 'h', 640] }],
    outputs: [{ name: 'y', type: FLOAT, dims: [1, 'boxes', 85] }],
    graph: [node('If', ['c'], 'y', attribute('then_branch', Buffer.from([0x32, 2, 0x0a, 0])))],
    metadata: { names: "{0: 'a', 1: \"it's\", 2: 'c\\'d'}", imgsz: '[640, 480]', task: 'detect' },
  }),
  onnxModel({
    inputs: [{ name: 'x', type: UINT8, dims: [1, 3, 320, 320] }],
    outputs: [{ name: 'y', type: FLOAT, dims: [1, 7, 1600] }],
    graph: [node('Relu', ['x'], 'y')],
    metadata: { names: "{0: 'a', 1: 'b', 2: 'c'}" },
  }),
];

export const onnx: Edge = {
  name: 'onnx',
  promise: 'the bytes of a model are a description within its bounds, or model_unsupported in some words',
  cases: 4_000,
  outcomes: ['described', 'refused'],
  async open() {
    return {
      seeds: models(),
      mutate: (seed, chance) => mutateBytes(seed, chance, pick(chance, [true, true, false])),
      judge(input) {
        const before = performance.now();
        try {
          const info = adapt('mutant', 'a'.repeat(64), readOnnx(input), {});
          assert.equal(problemsOf(ModelInfo, info), []);
          assert.ok(info.classes.every(name => name.length > 0));
          return 'described';
        } catch (error) {
          if (!(error instanceof TroupeError) || error.code !== 'model_unsupported') throw error;
          assert.ok(error.message.length < 20_000 + input.length, `${error.message.length} characters`);
          return 'refused';
        } finally {
          // A second is what the bound on fields allows for a file that is a million times as long.
          assert.ok(performance.now() - before < 10_000);
        }
      },
      async [Symbol.asyncDispose]() {},
    };
  },
};
