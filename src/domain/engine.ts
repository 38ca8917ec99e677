/** What computed a result. Byte-identity of results is promised for equal engines. */
import Type, { type Static } from 'typebox';

export const Engine = Type.Object(
  {
    decoder: Type.String({ description: 'name and version, such as `ffmpeg 7.1.1`' }),
    onnxruntime: Type.String({ description: 'version' }),
    provider: Type.String({ description: 'execution provider, such as `cpu`' }),
    cpu: Type.String({ description: 'CPU class: architecture and the vector extensions that change rounding' }),
  },
  { additionalProperties: false },
);
export type Engine = Static<typeof Engine>;

export const sameEngine = (a: Engine, b: Engine): boolean =>
  a.decoder === b.decoder && a.onnxruntime === b.onnxruntime && a.provider === b.provider && a.cpu === b.cpu;
