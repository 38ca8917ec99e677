/**
 * What an ONNX file says of itself, read without running it: inputs, outputs, metadata. `onnxruntime` tells shapes only
 * after it has loaded a model, and metadata not at all.
 * Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 *
 * OF1 A model that would make the runtime open another file is refused, wherever in the graph it asks for it.
 * OF2 A model that needs operators from a library of its own is refused here, with the operator's name.
 * OF3 Whatever the bytes, the answer is a description or a TroupeError `model_unsupported`.
 */
import { TroupeError } from '../../domain/errors.ts';
import { MessageReader } from './protobuf.ts';

/** A dimension's size; null when it is decided at run time. */
export type Dimension = number | null;

export interface OnnxValue {
  readonly name: string;
  /** TensorProto.DataType; null when it is not a tensor or has no type. */
  readonly type: number | null;
  /** null when the file does not say. */
  readonly dims: readonly Dimension[] | null;
}

export interface OnnxFile {
  /** The graph's inputs without those that only name an initializer. */
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly metadata: ReadonlyMap<string, string>;
}

/** TensorProto.DataType of the types that adapters exist for. */
export const ONNX_FLOAT = 1;
export const ONNX_UINT8 = 2;

/** Domains whose operators are part of onnxruntime. */
const BUILT_IN_DOMAINS: ReadonlySet<string> = new Set(['', 'ai.onnx', 'ai.onnx.ml', 'com.microsoft']);

const refuse = (why: string): TroupeError => new TroupeError('model_unsupported', why);

/** @throws TroupeError model_unsupported */
export function readOnnx(bytes: Uint8Array): OnnxFile {
  // An ORT-format file can be made to parse as protobuf too; the runtime goes by this mark (OF1).
  if (bytes.length >= 8 && String.fromCharCode(...bytes.subarray(4, 8)) === 'ORTM') {
    throw refuse('this is an ORT-format model; give the .onnx file it was made from');
  }
  const metadata = new Map<string, string>();
  const seen: Seen = { operators: new Map(), ownDomains: new Set() };
  let graph: Graph | null = null;
  for (const model = MessageReader.of(bytes); model.next(); ) {
    if (model.number === 7) {
      if (graph !== null) throw refuse('the file has more than one main graph; export one model to one file');
      graph = readGraph(model.message(), seen);
    } else if (model.number === 14) {
      const [key, value] = readEntry(model.message());
      metadata.set(key, value);
    } else if (model.number === 20) {
      throw refuse('the file holds a training graph; export the model for inference');
    } else if (model.number === 25) {
      readFunction(model.message(), seen);
    }
  }
  if (graph === null)
    throw refuse('this is not an ONNX file: it has no graph. Check the file, or export the model again');
  for (const [domain, operator] of seen.operators) {
    if (BUILT_IN_DOMAINS.has(domain) || seen.ownDomains.has(domain)) continue;
    throw refuse(
      `the model needs the custom operator ${operator} of domain ${domain}, which onnxruntime lacks; export it with standard operators`,
    ); // OF2
  }
  const { initializers, inputs, outputs } = graph;
  return { inputs: inputs.filter(input => !initializers.has(input.name)), outputs, metadata };
}

interface Seen {
  /** One operator of each domain used. */
  readonly operators: Map<string, string>;
  /** Domains of functions that the file itself defines. */
  readonly ownDomains: Set<string>;
}

interface Graph {
  readonly inputs: OnnxValue[];
  readonly outputs: OnnxValue[];
  readonly initializers: Set<string>;
}

function readGraph(message: MessageReader, seen: Seen): Graph {
  const graph: Graph = { inputs: [], outputs: [], initializers: new Set() };
  while (message.next()) {
    if (message.number === 1) readNode(message.message(), seen);
    else if (message.number === 5) graph.initializers.add(readTensor(message.message()));
    else if (message.number === 11) graph.inputs.push(readValue(message.message()));
    else if (message.number === 12) graph.outputs.push(readValue(message.message()));
    else if (message.number === 15) graph.initializers.add(readSparseTensor(message.message()));
  }
  return graph;
}

function readNode(message: MessageReader, seen: Seen): void {
  let domain = '';
  let operator = '';
  while (message.next()) {
    if (message.number === 4) operator = message.string();
    else if (message.number === 5) readAttribute(message.message(), seen);
    else if (message.number === 7) domain = message.string();
  }
  seen.operators.set(domain, operator);
}

function readAttribute(message: MessageReader, seen: Seen): void {
  while (message.next()) {
    if (message.number === 5 || message.number === 10) readTensor(message.message());
    else if (message.number === 6 || message.number === 11) readGraph(message.message(), seen);
    else if (message.number === 22 || message.number === 23) readSparseTensor(message.message());
  }
}

function readFunction(message: MessageReader, seen: Seen): void {
  while (message.next()) {
    if (message.number === 7) readNode(message.message(), seen);
    else if (message.number === 10) seen.ownDomains.add(message.string());
    else if (message.number === 11) readAttribute(message.message(), seen);
  }
}

/** @returns the tensor's name */
function readTensor(message: MessageReader): string {
  let name = '';
  while (message.next()) {
    if (message.number === 8) name = message.string();
    else if (message.number === 13 || (message.number === 14 && message.integer() !== 0)) {
      throw refuse('the model keeps weights in another file; save it as one file without external data'); // OF1
    }
  }
  return name;
}

function readSparseTensor(message: MessageReader): string {
  let name = '';
  while (message.next()) {
    if (message.number === 1) name = readTensor(message.message());
    else if (message.number === 2) readTensor(message.message());
  }
  return name;
}

function readValue(message: MessageReader): OnnxValue {
  let value: OnnxValue = { name: '', type: null, dims: null };
  while (message.next()) {
    if (message.number === 1) value = { ...value, name: message.string() };
    else if (message.number === 2) {
      for (const type = message.message(); type.next(); ) {
        if (type.number === 1) value = { name: value.name, ...readTensorType(type.message()) };
      }
    }
  }
  return value;
}

function readTensorType(message: MessageReader): Pick<OnnxValue, 'type' | 'dims'> {
  let type: number | null = null;
  let dims: Dimension[] | null = null;
  while (message.next()) {
    if (message.number === 1) type = message.integer();
    else if (message.number === 2) {
      dims = [];
      for (const shape = message.message(); shape.next(); ) {
        if (shape.number === 1) dims.push(readDimension(shape.message()));
      }
    }
  }
  return { type, dims };
}

function readDimension(message: MessageReader): Dimension {
  let size: Dimension = null;
  while (message.next()) {
    // Negative sizes arrive as numbers from 2^63 on and, like 0, stand for "any" in old exports.
    if (message.number === 1) size = message.integer() > 0 && message.integer() < 2 ** 53 ? message.integer() : null;
  }
  return size;
}

function readEntry(message: MessageReader): [string, string] {
  let key = '';
  let value = '';
  while (message.next()) {
    if (message.number === 1) key = message.string();
    else if (message.number === 2) value = message.string();
  }
  return [key, value];
}
