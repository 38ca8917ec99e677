/**
 * Models as they are read, before the runtime: that one is given nothing here (damaged weights are tried in tests/poison/).
 * Those of the corpus are nearly all structure: weights would take the mutations.
 */
import * as assert from 'uvu/assert';
import { TroupeError } from '../../../src/domain/errors.ts';
import { ModelInfo } from '../../../src/domain/model.ts';
import { problemsOf } from '../../../src/domain/parse.ts';
import { adapt } from '../../../src/infra/inference/adapt.ts';
import { readOnnx } from '../../../src/infra/inference/onnx-file.ts';
import type { Edge } from '../edge.ts';
import { mutateBytes, pick } from '../mutations.ts';

export const onnx: Edge = {
  name: 'onnx',
  promise: 'the bytes of a model are a description within its bounds, or model_unsupported in some words',
  cases: 4_000,
  outcomes: ['described', 'refused'],
  async open() {
    return {
      seeds: [],
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
