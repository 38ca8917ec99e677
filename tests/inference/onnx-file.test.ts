import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LIMITS } from '../../src/domain/limits.ts';
import { readOnnx } from '../../src/infra/inference/onnx-file.ts';
import { integerField as int, lengthField as part } from '../../src/infra/inference/protobuf.ts';
import { asset } from '../../src/infra/process/assets.ts';
import { attribute, FLOAT, integers, node, onnxModel, UINT8 } from './onnx-model.ts';
import { refusal } from './refusal.ts';

const test = suite('onnx file');

test('inputs, outputs and metadata are read; an input that names an initializer is none', () => {
  const file = readOnnx(
    onnxModel({
      inputs: [
        { name: 'weights', type: 7, dims: [2] },
        { name: 'x', type: FLOAT, dims: ['batch', 3, 'h', 640] },
      ],
      outputs: [{ name: 'y', type: FLOAT, dims: null }],
      graph: [integers('weights', [1, 2])],
      metadata: { names: "{0: 'a'}", task: 'detect' },
    }),
  );
  assert.equal(file.inputs, [{ name: 'x', type: FLOAT, dims: [null, 3, null, 640] }]);
  assert.equal(file.outputs, [{ name: 'y', type: FLOAT, dims: null }]);
  assert.equal(Object.fromEntries(file.metadata), { names: "{0: 'a'}", task: 'detect' });
});

test('the shipped models are read as what they are', () => {
  const file = readOnnx(readFileSync(asset('models', 'colorblob.onnx')));
  assert.equal(file.inputs, [{ name: 'images', type: UINT8, dims: [1, 3, 320, 320] }]);
  assert.equal(file.outputs, [{ name: 'output0', type: FLOAT, dims: [1, 7, 3200] }]);
  assert.is(file.metadata.get('names'), "{0:'red',1:'green',2:'blue'}");
});

const external = [part(8, 'w'), int(14, 1), part(13, part(1, 'location'), part(2, '/etc/passwd'))];
const deep = (levels: number): Uint8Array => {
  let graph: Uint8Array = node('Relu', ['x'], 'y');
  for (let i = 0; i < levels; i++) graph = node('If', ['x'], 'y', attribute('then_branch', part(6, graph)));
  return graph;
};

const REFUSED: readonly (readonly [what: string, bytes: () => Uint8Array, why: RegExp])[] = [
  ['an empty file', () => new Uint8Array(), /no graph/],
  ['text', () => Buffer.from('<!doctype html><html></html>'), /not a readable ONNX file|no graph/],
  ['a file that was cut off', () => onnxModel().subarray(0, 60), /longer than|ends in the middle/],
  ['an ORT-format file', () => Buffer.from('....ORTM....'), /ORT-format/],
  ['two main graphs', () => Buffer.concat([onnxModel(), onnxModel()]), /more than one main graph/],
  ['a training graph', () => onnxModel({ model: [part(20, int(1, 1))] }), /training graph/],
  ['a length beyond the end', () => Buffer.from([0x3a, 0xff, 0xff, 0xff, 0xff, 0x7f]), /longer than/],
  ['a number without an end', () => Buffer.alloc(20, 0xff), /more than 10 bytes/],
  ['a group', () => Buffer.from([0x3b, 0x3c]), /wire type 3/],
  ['field 0', () => Buffer.from([0x00, 0x00]), /impossible number/],
  ['a graph that is a number', () => int(7, 5), /should be a message/],
  ['graphs nested without end', () => onnxModel({ graph: [deep(LIMITS.modelDepth)] }), /nested deeper/],
  ['more fields than a model has', () => Buffer.alloc(2 * LIMITS.modelFields + 2, Buffer.from([0x08, 0x01])), /fields/],
  ['OF1: an external initializer', () => onnxModel({ graph: [part(5, ...external)] }), /another file/],
  ['OF1: external data of no location', () => onnxModel({ graph: [part(5, int(14, 1))] }), /another file/],
  [
    'OF1: external data without a flag',
    () => onnxModel({ graph: [part(5, part(13, part(1, 'location')))] }),
    /another file/,
  ],
  ['OF1: external sparse values', () => onnxModel({ graph: [part(15, part(1, ...external))] }), /another file/],
  ['OF1: external sparse indices', () => onnxModel({ graph: [part(15, part(2, ...external))] }), /another file/],
  [
    'OF1: an external constant',
    () => onnxModel({ graph: [node('Constant', [], 'c', attribute('value', part(5, ...external)))] }),
    /another file/,
  ],
  [
    'OF1: external tensors of an attribute',
    () => onnxModel({ graph: [node('A', [], 'c', attribute('v', part(10, ...external)))] }),
    /another file/,
  ],
  [
    'OF1: an external sparse constant',
    () => onnxModel({ graph: [node('Constant', [], 'c', attribute('v', part(22, part(1, ...external))))] }),
    /another file/,
  ],
  [
    'OF1: external sparse tensors of an attribute',
    () => onnxModel({ graph: [node('A', [], 'c', attribute('v', part(23, part(1, ...external))))] }),
    /another file/,
  ],
  [
    'OF1: an external initializer in a subgraph',
    () => onnxModel({ graph: [node('If', ['c'], 'y', attribute('then_branch', part(6, part(5, ...external))))] }),
    /another file/,
  ],
  [
    'OF1: an external initializer in one of many subgraphs',
    () => onnxModel({ graph: [node('A', ['c'], 'y', attribute('b', part(11, part(5, ...external))))] }),
    /another file/,
  ],
  [
    'OF1: an external constant in a function',
    () => onnxModel({ model: [part(25, part(7, part(5, part(5, ...external))))] }),
    /another file/,
  ],
  [
    "OF1: an external default of a function's attribute",
    () => onnxModel({ model: [part(25, part(11, part(5, ...external)))] }),
    /another file/,
  ],
  [
    'OF2: a custom operator',
    () => onnxModel({ graph: [node('BatchedNMS', ['x'], 'y', part(7, 'TRT'))] }),
    /custom operator BatchedNMS of domain TRT/,
  ],
  [
    'OF2: a custom operator in a subgraph',
    () => onnxModel({ graph: [node('If', ['c'], 'y', attribute('b', part(6, node('Foo', [], 'z', part(7, 'own')))))] }),
    /custom operator Foo/,
  ],
];

for (const [what, bytes, why] of REFUSED) {
  test(`refused with its reason: ${what}`, () => {
    const error = refusal(() => readOnnx(bytes()));
    assert.is(error.code, 'model_unsupported');
    assert.match(error.message, why);
  });
}

test('OF2: operators of onnxruntime and of functions in the file are no custom ones', () => {
  const graph = [node('FusedConv', ['x'], 'y', part(7, 'com.microsoft')), node('Mine', ['y'], 'z', part(7, 'local'))];
  assert.ok(readOnnx(onnxModel({ graph, model: [part(25, part(1, 'Mine'), part(10, 'local'))] })));
});

test('OF3, W1, W2: a damaged file is read or refused with model_unsupported, and never hangs', () => {
  const whole = onnxModel({
    graph: [deep(3), integers('w', [1, 2]), node('Constant', [], 'c', attribute('value', part(5, part(8, 't'))))],
    metadata: { names: "{0: 'a'}" },
  });
  const edit = fc.record({ at: fc.nat(whole.length - 1), byte: fc.nat(255), cut: fc.boolean() });
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 6 }), edits => {
      let bytes: Uint8Array = Buffer.from(whole);
      for (const { at, byte, cut } of edits) {
        if (cut) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + (byte % 8))]);
        else if (at < bytes.length) bytes[at] = byte;
      }
      try {
        readOnnx(bytes);
      } catch {
        assert.is(refusal(() => readOnnx(bytes)).code, 'model_unsupported');
      }
    }),
    { numRuns: 3000 },
  );
});

test.run();
