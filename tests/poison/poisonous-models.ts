/**
 * Models that work on the empty picture of their trial, and do harm on any other: how much they want is computed from the
 * brightest pixel. A decoded picture has at least the grey of its letterbox.
 */
import { integerField as int, lengthField as part } from '../../src/infra/inference/protobuf.ts';
import { attribute, FLOAT, floats, integers, node, onnxModel } from '../inference/onnx-model.ts';

const INT64 = 7;
const BOOL = 9;
const BODY = 5;
const NAMES = { names: "{0: 'a', 1: 'b', 2: 'c'}" };

/** An int64 `wanted` of one element: 1 on an empty picture, `perGrey` more for each grey of the brightest pixel. */
const wanted = (perGrey: number): Uint8Array[] => [
  floats('perGrey', [1], [perGrey]),
  floats('one', [1], [1]),
  integers('single', [1]),
  node('Cast', ['images'], 'pixels', attribute('to', int(3, FLOAT), int(20, 2))),
  node('ReduceMax', ['pixels'], 'brightest', attribute('keepdims', int(3, 1), int(20, 2))),
  node('Reshape', ['brightest', 'single'], 'grey'),
  node('Mul', ['grey', 'perGrey'], 'more'),
  node('Add', ['more', 'one'], 'sum'),
  node('Cast', ['sum'], 'wanted', attribute('to', int(3, INT64), int(20, 2))),
];

/** Asks for tens of gigabytes. */
export const greedy = (): Buffer =>
  onnxModel({
    metadata: NAMES,
    graph: [
      ...wanted(4_000),
      integers('size', [1, 7, 1600]),
      node('Concat', ['size', 'wanted'], 'shape', attribute('axis', int(3, 0), int(20, 2))),
      node('ConstantOfShape', ['shape'], 'huge'),
      node(
        'ReduceMax',
        ['huge'],
        'output0',
        attribute('axes', int(8, 3), int(20, 7)),
        attribute('keepdims', int(3, 0), int(20, 2)),
      ),
    ],
  });

/** Goes round for years. */
export const endless = (): Buffer => {
  const tensor = (type: number): Uint8Array => part(2, part(1, int(1, type)));
  const scalar = (type: number): Uint8Array => part(2, part(1, int(1, type), part(2)));
  const turn = part(
    6,
    node('Identity', ['go'], 'again'),
    node('Add', ['before', 'one'], 'after'),
    part(2, 'turn'),
    part(11, part(1, 'i'), scalar(INT64)),
    part(11, part(1, 'go'), scalar(BOOL)),
    part(11, part(1, 'before'), tensor(FLOAT)),
    part(12, part(1, 'again'), scalar(BOOL)),
    part(12, part(1, 'after'), tensor(FLOAT)),
  );
  return onnxModel({
    metadata: NAMES,
    graph: [
      ...wanted(1e10),
      integers('size', [1, 7, 1600]),
      part(5, int(2, BOOL), part(8, 'yes'), part(9, Buffer.of(1))),
      node('ConstantOfShape', ['size'], 'zero'),
      node('Loop', ['wanted', 'yes', 'zero'], 'output0', attribute('body', turn, int(20, BODY))),
    ],
  });
};
