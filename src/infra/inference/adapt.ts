/**
 * From what an ONNX file says of itself to how Troupe runs it: input layout, normalisation, output family, classes.
 * Pure; done once per model.
 *
 * A1 What can be read in two ways is refused with the line of `<model>.toml` that settles it, never guessed.
 * A2 The same file with the same settings gives the same answer on every machine.
 *
 * Families, by the shape of the one output (C classes, N boxes):
 * - `yolov8`: [1, 4+C, N] with N ≥ 4+C. N is not held against the grids 8/16/32: other strides are common, and the
 *   boxes come decoded, so nothing depends on the grid.
 * - `yolox`: [1, N, 5+C] with N = H/8·W/8 + H/16·W/16 + H/32·W/32, since decoding needs that very grid.
 */
import Type, { type Static } from 'typebox';
import { TroupeError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import { ModelFamily, type ModelInfo, ModelInput } from '../../domain/model.ts';
import { COCO_CLASSES } from './coco.ts';
import { type Dimension, ONNX_FLOAT, ONNX_UINT8, type OnnxFile, type OnnxValue } from './onnx-file.ts';
import { gridCells } from './yolox.ts';

/** What `<model>.toml` beside a model may say. */
export const ModelSettings = Type.Object(
  {
    classes: Type.Optional(Type.Array(Type.String({ minLength: 1 }), { minItems: 1, maxItems: LIMITS.modelClasses })),
    family: Type.Optional(ModelFamily),
    channels: Type.Optional(ModelInput.properties.channels),
    mean: Type.Optional(ModelInput.properties.mean),
    scale: Type.Optional(ModelInput.properties.scale),
  },
  { additionalProperties: false },
);
export type ModelSettings = Static<typeof ModelSettings>;

const refuse = (why: string): TroupeError => new TroupeError('model_unsupported', why);
const shape = (dims: readonly Dimension[] | null): string =>
  dims === null ? '[unknown]' : `[${dims.map(d => d ?? '?').join()}]`;

/** @throws TroupeError model_unsupported */
export function adapt(name: string, sha256: string, file: OnnxFile, settings: ModelSettings = {}): ModelInfo {
  const input = only(file.inputs, 'input');
  const output = only(file.outputs, 'output');
  const size = inputSize(input, file.metadata);
  const type = elementType(input);
  const { family, classCount } = outputLayout(output, size, settings, file.metadata);
  return {
    name,
    sha256,
    family,
    input: { name: input.name, ...size, type, ...normalisation(family, type, settings) },
    classes: classNames(file.metadata, settings, classCount),
  };
}

function only(values: readonly OnnxValue[], what: string): OnnxValue {
  const [first, ...others] = values;
  if (first !== undefined && others.length === 0) return first;
  const names = values.map(v => `${v.name} ${shape(v.dims)}`).join(', ');
  throw refuse(`the model has ${values.length} ${what}s (${names}); detectors with exactly one are supported`);
}

function elementType(input: OnnxValue): ModelInput['type'] {
  if (input.type === ONNX_UINT8) return 'uint8';
  if (input.type === ONNX_FLOAT) return 'float32';
  throw refuse(`input ${input.name} has ONNX element type ${input.type ?? 'unknown'}; uint8 and float32 are supported`);
}

interface InputSize {
  readonly width: number;
  readonly height: number;
}

function inputSize(input: OnnxValue, metadata: ReadonlyMap<string, string>): InputSize {
  const [batch, channels, height, width] = input.dims ?? [];
  if (input.dims?.length !== 4)
    throw refuse(`input ${input.name} has shape ${shape(input.dims)}; [1, 3, H, W] is needed`);
  if (channels !== 3) {
    const hint = width === 3 ? ': this is NHWC; export the model as NCHW' : '; [1, 3, H, W] is needed';
    throw refuse(`input ${input.name} has shape ${shape(input.dims)}${hint}`);
  }
  if (batch !== 1 && batch !== null) throw refuse(`input ${input.name} has a fixed batch of ${batch}; 1 is needed`);
  // Exporters with dynamic sizes note the trained one as `imgsz`, "[height, width]".
  const noted = /^\[(\d{1,6}), ?(\d{1,6})\]$/.exec(metadata.get('imgsz') ?? '');
  const size = {
    width: width ?? Number(noted?.[2] ?? DYNAMIC_SIDE),
    height: height ?? Number(noted?.[1] ?? DYNAMIC_SIDE),
  };
  for (const side of [size.width, size.height]) {
    if (side < 1 || side > LIMITS.modelSide) {
      throw refuse(
        `input ${input.name} is ${size.width} × ${size.height} pixels; sides of 1 to ${LIMITS.modelSide} are supported`,
      );
    }
  }
  return size;
}

/** Side of an input whose size the model leaves open and does not note: what such detectors are trained on. */
const DYNAMIC_SIDE = 640;

function outputLayout(
  output: OnnxValue,
  size: InputSize,
  settings: ModelSettings,
  metadata: ReadonlyMap<string, string>,
): { family: ModelFamily; classCount: number } {
  if (output.type !== ONNX_FLOAT)
    throw refuse(`output ${output.name} is not float32; export the model with a float32 output`);
  const [batch, rows, columns] = output.dims ?? [null, null, null];
  if (output.dims !== null && (output.dims.length !== 3 || (batch !== 1 && batch !== null))) {
    throw refuse(`output ${output.name} has shape ${shape(output.dims)}; ${KNOWN_LAYOUTS}`);
  }
  const named = settings.classes?.length ?? namesIn(metadata)?.length;
  const cells = gridCells(size.width, size.height);
  const fits = {
    yolov8: rows === null || (rows !== undefined && rows > 4 && (columns ?? Number.POSITIVE_INFINITY) >= rows),
    yolox: (rows === null || rows === cells) && (columns == null || columns > 5),
  };
  // A batch or box count left open says nothing against a layout; it takes the other dimension to speak for it.
  const likely = {
    yolov8: fits.yolov8 && rows != null,
    yolox: fits.yolox && columns != null && (rows != null || columns === 5 + (named ?? Number.NaN)),
  };
  const family = settings.family ?? (likely.yolov8 === likely.yolox ? null : likely.yolov8 ? 'yolov8' : 'yolox');
  if (family === null) {
    const why = likely.yolov8 ? 'can be read as both yolov8 and yolox' : 'matches no supported layout';
    throw refuse(
      `output ${output.name} ${shape(output.dims)} ${why} for a ${size.width} × ${size.height} input; ${KNOWN_LAYOUTS}. ` +
        'If it is one of them, say so in <model>.toml beside the model: family = "yolov8" or family = "yolox"',
    );
  }
  if (settings.family === 'yolox' && !fits.yolox) {
    throw refuse(`output ${output.name} ${shape(output.dims)} is not yolox: that would be [1, ${cells}, 5 + classes]`);
  }
  if (settings.family === 'yolov8' && rows !== null && (rows ?? 0) < 5) {
    throw refuse(`output ${output.name} ${shape(output.dims)} is not yolov8: that would be [1, 4 + classes, boxes]`);
  }
  const attributes = family === 'yolov8' ? rows : columns;
  const classCount = attributes == null ? named : attributes - (family === 'yolov8' ? 4 : 5);
  if (classCount === undefined) {
    throw refuse(
      `output ${output.name} ${shape(output.dims)} leaves the classes open; give classes = […] in <model>.toml`,
    );
  }
  if (classCount > LIMITS.modelClasses) throw refuse(`${classCount} classes are more than ${LIMITS.modelClasses}`);
  const boxes = family === 'yolov8' ? columns : rows;
  if ((boxes ?? 0) > LIMITS.modelAnchors) throw refuse(`${boxes} boxes a frame are more than ${LIMITS.modelAnchors}`);
  return { family, classCount };
}

const KNOWN_LAYOUTS =
  'supported are yolov8 [1, 4 + classes, boxes] and yolox [1, boxes of the grids 8/16/32, 5 + classes], in float32';

/** YOLOX was trained on raw BGR; YOLOv8's float exports want RGB in 0..1, uint8 ones normalise by themselves. */
function normalisation(
  family: ModelFamily,
  type: ModelInput['type'],
  settings: ModelSettings,
): Pick<ModelInput, 'channels' | 'mean' | 'scale'> {
  if (type === 'uint8' && (settings.mean !== undefined || settings.scale !== undefined)) {
    throw refuse('mean and scale in <model>.toml need a float32 input; this one takes uint8 pixels as they are');
  }
  const unit = type === 'float32' && family === 'yolov8' ? 1 / 255 : 1;
  return {
    channels: settings.channels ?? (family === 'yolox' ? 'bgr' : 'rgb'),
    mean: settings.mean ?? [0, 0, 0],
    scale: settings.scale ?? [unit, unit, unit],
  };
}

/** The model's own names when they name every class, else the settings', else COCO's for 80, else `class_<id>`. */
function classNames(metadata: ReadonlyMap<string, string>, settings: ModelSettings, count: number): string[] {
  const own = namesIn(metadata);
  if (own?.length === count) return own;
  if (settings.classes !== undefined) {
    if (settings.classes.length === count) return settings.classes;
    throw refuse(`<model>.toml names ${settings.classes.length} classes, the output has ${count}`);
  }
  return count === COCO_CLASSES.length ? [...COCO_CLASSES] : Array.from({ length: count }, (_, id) => `class_${id}`);
}

/**
 * Metadata `names` as YOLOv8's exporter writes it, a Python dict from ids to strings such as `{0: 'red', 1: "it's"}`;
 * null unless the ids are 0, 1, 2 … without a gap.
 */
function namesIn(metadata: ReadonlyMap<string, string>): string[] | null {
  const dict = /^\s*\{(.*)\}\s*$/s.exec(metadata.get('names') ?? '')?.[1];
  if (dict === undefined) return null;
  const names: string[] = [];
  const entry = /\s*(\d{1,6})\s*:\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*(,|$)/sy;
  while (entry.lastIndex < dict.length) {
    const [, id, single, double] = entry.exec(dict) ?? [];
    if (Number(id) !== names.length || names.length === LIMITS.modelClasses) return null;
    const name = (single ?? double ?? '').replace(/\\(.)/gs, '$1');
    if (name === '') return null;
    names.push(name);
  }
  return names.length === 0 ? null : names;
}
