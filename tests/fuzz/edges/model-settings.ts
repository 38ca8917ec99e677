/** `<model>.toml` beside a model. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import * as assert from 'uvu/assert';
import { TroupeError } from '../../../src/domain/errors.ts';
import { ModelInfo } from '../../../src/domain/model.ts';
import { problemsOf } from '../../../src/domain/parse.ts';
import { openModelCatalog } from '../../../src/infra/inference/model-catalog.ts';
import { FLOAT, node, onnxModel } from '../../inference/onnx-model.ts';
import type { Edge } from '../edge.ts';
import { mutateLines } from '../mutations.ts';
import { temporary } from './temporary.ts';

export const modelSettings: Edge = {
  name: 'model-settings',
  promise: 'settings beside a model count, or are refused in one sentence that names their file',
  cases: 200,
  outcomes: ['counted', 'refused'],
  async open() {
    const folder = temporary();
    const dir = folder.at('models');
    mkdirSync(dir);
    const outputs = [{ name: 'output0', type: FLOAT, dims: [1, 7, 1600] }];
    writeFileSync(path.join(dir, 'm.onnx'), onnxModel({ outputs, graph: [node('Relu', ['images'], 'output0')] }));
    const catalog = await openModelCatalog({ dirs: [dir], roots: [] });
    const words = ['classes', 'family', 'channels', 'mean', 'scale', 'yolov8', 'yolox', 'rgb', 'bgr', '[', ']', '"a"'];
    return {
      seeds: [],
      mutate: (seed, chance, all) => mutateLines(seed, chance, all, words),
      async judge(input) {
        writeFileSync(path.join(dir, 'm.toml'), input);
        try {
          const { info } = await catalog.resolve('m');
          assert.equal(problemsOf(ModelInfo, info), []);
          assert.is(info.classes.length, 3);
          return 'counted';
        } catch (error) {
          if (!(error instanceof TroupeError) || error.code !== 'model_unsupported') throw error;
          assert.ok(error.message.length < 2_000, `${error.message.length} characters`);
          assert.ok(!/[\n\r]/.test(error.message), error.message);
          assert.match(error.message, /m\.(toml|onnx)/);
          return 'refused';
        }
      },
      [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
    };
  },
};
