/**
 * Lets a float32 model take the ring's uint8 pixels: writes Cast, Sub and Mul in front of its input, in memory.
 * Normalising inside the graph costs 0.02 ms a frame at 640² where JavaScript takes 1–3 ms.
 *
 * PR1 The model then computes, bit for bit, what it would have from `(pixel − mean) · scale` in float32: each operator
 *     rounds once, in that order, and one that would change nothing is left out.
 */
import { invariant } from '../../domain/errors.ts';
import type { ModelInput } from '../../domain/model.ts';
import { ONNX_FLOAT, ONNX_UINT8 } from './onnx-file.ts';
import { integerField, lengthField, MessageReader } from './protobuf.ts';

/** Prefix of what is added; no exporter writes such names. */
const OURS = 'troupe/prologue/';

/**
 * @param bytes an ONNX file that `readOnnx` accepts
 * @param input its float32 input
 * @returns an ONNX file whose only input is uint8 [1, 3, height, width], in the model's channel order
 */
export function withPrologue(bytes: Uint8Array, input: ModelInput): Uint8Array {
  const fields: Uint8Array[] = [];
  for (const model = MessageReader.of(bytes); model.next(); ) {
    fields.push(model.number === 7 ? lengthField(7, ...graphWithPrologue(model.message(), input)) : model.raw());
  }
  return Buffer.concat(fields);
}

function graphWithPrologue(graph: MessageReader, input: ModelInput): Uint8Array[] {
  const kept: Uint8Array[] = [];
  let replaced = 0;
  while (graph.next()) {
    if (graph.number !== 11 || nameOf(graph.message()) !== input.name) kept.push(graph.raw());
    else if (++replaced === 1) kept.push(pixels(input));
  }
  invariant(replaced === 1, `the graph has one input ${input.name}`);
  return [...nodes(input), ...kept];
}

function nameOf(value: MessageReader): string {
  while (value.next()) if (value.number === 1) return value.string();
  return '';
}

/** ValueInfoProto of the new input. */
function pixels(input: ModelInput): Uint8Array {
  const shape = [1, 3, input.height, input.width].map(size => lengthField(1, integerField(1, size)));
  const tensor = lengthField(1, integerField(1, ONNX_UINT8), lengthField(2, ...shape));
  return lengthField(11, lengthField(1, `${OURS}pixels`), lengthField(2, tensor));
}

/** NodeProtos; constants are nodes too, since an initializer would have to be an input as well before IR version 4. */
function nodes(input: ModelInput): Uint8Array[] {
  const arithmetic = [
    ...(input.mean.every(m => m === 0) ? [] : [{ operator: 'Sub', constant: input.mean }]),
    ...(input.scale.every(s => s === 1) ? [] : [{ operator: 'Mul', constant: input.scale }]),
  ];
  const to = attribute('to', integerField(3, ONNX_FLOAT), integerField(20, 2));
  const out = [node('Cast', [`${OURS}pixels`], arithmetic.length === 0 ? input.name : `${OURS}0`, to)];
  arithmetic.forEach(({ operator, constant }, i) => {
    const result = i === arithmetic.length - 1 ? input.name : `${OURS}${i + 1}`;
    out.push(
      node('Constant', [], `${OURS}${operator}`, attribute('value', perChannel(constant), integerField(20, 4))),
      node(operator, [`${OURS}${i}`, `${OURS}${operator}`], result),
    );
  });
  return out;
}

const node = (operator: string, inputs: readonly string[], output: string, ...attributes: readonly Uint8Array[]) =>
  lengthField(
    1,
    ...inputs.map(name => lengthField(1, name)),
    lengthField(2, output),
    lengthField(3, `${output}/${operator}`),
    lengthField(4, operator),
    ...attributes,
  );

const attribute = (name: string, ...value: readonly Uint8Array[]): Uint8Array =>
  lengthField(5, lengthField(1, name), ...value);

/** An attribute's tensor, float32 [1, 3, 1, 1]. */
function perChannel(values: readonly number[]): Uint8Array {
  const raw = Buffer.alloc(values.length * 4);
  values.forEach((value, i) => {
    raw.writeFloatLE(value, i * 4);
  });
  const dims = [1, values.length, 1, 1].map(size => integerField(1, size));
  return lengthField(5, ...dims, integerField(2, ONNX_FLOAT), lengthField(9, raw));
}
