/** A registered model: what a node must know to run it and what the API says of it. */
import Type, { type Static } from 'typebox';
import { TroupeError } from './errors.ts';

/** Output layouts that an adapter exists for. */
export const ModelFamily = Type.Union([Type.Literal('yolov8'), Type.Literal('yolox')], {
  description: 'yolov8: [1, 4+C, N] decoded cx cy w h and class scores; yolox: [1, N, 5+C] undecoded grids 8/16/32',
});
export type ModelFamily = Static<typeof ModelFamily>;

export const ModelInput = Type.Object(
  {
    name: Type.String(),
    width: Type.Integer(),
    height: Type.Integer(),
    type: Type.Union([Type.Literal('uint8'), Type.Literal('float32')]),
    channels: Type.Union([Type.Literal('rgb'), Type.Literal('bgr')]),
    /** value = (pixel 0..255 − mean) · scale, per model channel */
    mean: Type.Array(Type.Number(), { minItems: 3, maxItems: 3 }),
    scale: Type.Array(Type.Number(), { minItems: 3, maxItems: 3 }),
  },
  { additionalProperties: false },
);
export type ModelInput = Static<typeof ModelInput>;

export const ModelInfo = Type.Object(
  {
    name: Type.String({ description: 'registered name, or the file name without .onnx' }),
    sha256: Type.String({ description: 'of the file, hex' }),
    family: ModelFamily,
    input: ModelInput,
    classes: Type.Array(Type.String()),
  },
  { additionalProperties: false },
);
export type ModelInfo = Static<typeof ModelInfo>;

/** A model on this node's disk. */
export interface LocalModel {
  readonly info: ModelInfo;
  readonly file: string;
}

export function classUnknown({ name, classes }: ModelInfo, wanted: string): TroupeError {
  const [some, more] = [classes.slice(0, 100), classes.length - 100];
  const known = `${some.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
  return new TroupeError('class_unknown', `Model ${name} has no class '${wanted}'. It has: ${known}.`);
}
