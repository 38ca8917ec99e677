/** Small ONNX files for tests, valid unless a part is chosen otherwise. */
import { integerField as int, lengthField as part } from '../../src/infra/inference/protobuf.ts';

export const FLOAT = 1;
export const UINT8 = 2;
export const FLOAT16 = 10;

export interface Value {
  name: string;
  type: number;
  /** A name is a size decided at run time; null leaves the shape out. */
  dims: readonly (number | string)[] | null;
}

export interface Parts {
  inputs: readonly Value[];
  outputs: readonly Value[];
  metadata: Record<string, string>;
  /** Fields of GraphProto, before those made of the other parts. */
  graph: readonly Uint8Array[];
  /** Fields of ModelProto, after the graph. */
  model: readonly Uint8Array[];
}

const dimension = (size: number | string): Uint8Array =>
  part(1, typeof size === 'number' ? int(1, size) : part(2, size));

const value = (number: number, { name, type, dims }: Value): Uint8Array =>
  part(
    number,
    part(1, name),
    part(2, part(1, int(1, type), ...(dims === null ? [] : [part(2, ...dims.map(dimension))]))),
  );

export const attribute = (name: string, ...fields: readonly Uint8Array[]): Uint8Array =>
  part(5, part(1, name), ...fields);

export const node = (
  operator: string,
  inputs: readonly string[],
  output: string,
  ...fields: readonly Uint8Array[]
): Uint8Array => part(1, ...inputs.map(i => part(1, i)), part(2, output), part(4, operator), ...fields);

/** A field of GraphProto: an int64 initializer. */
export const integers = (name: string, values: readonly number[]): Uint8Array =>
  part(
    5,
    int(1, values.length),
    int(2, 7),
    part(8, name),
    part(9, Buffer.from(BigInt64Array.from(values.map(BigInt)).buffer)),
  );

/** A field of GraphProto: a float32 initializer. */
export const floats = (name: string, dims: readonly number[], values: readonly number[]): Uint8Array =>
  part(
    5,
    ...dims.map(d => int(1, d)),
    int(2, FLOAT),
    part(8, name),
    part(9, Buffer.from(Float32Array.from(values).buffer)),
  );

/** By default: uint8 [1, 3, 320, 320] to a yolov8 output of 3 classes. */
export function onnxModel(parts: Partial<Parts> = {}): Buffer {
  const {
    inputs = [{ name: 'images', type: UINT8, dims: [1, 3, 320, 320] }],
    outputs = [{ name: 'output0', type: FLOAT, dims: [1, 7, 1600] }],
    metadata = {},
    graph = [],
    model = [],
  } = parts;
  return Buffer.concat([
    int(1, 8),
    part(7, ...graph, part(2, 'g'), ...inputs.map(i => value(11, i)), ...outputs.map(o => value(12, o))),
    part(8, part(1, ''), int(2, 13)),
    ...Object.entries(metadata).map(([key, text]) => part(14, part(1, key), part(2, text))),
    ...model,
  ]);
}
