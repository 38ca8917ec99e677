/** What a probe learns about a video source. */
import Type, { type Static } from 'typebox';

/** Identifies a file's content without reading all of it: equal identity is required to resume. */
export const SourceIdentity = Type.Object(
  {
    size: Type.Integer({ minimum: 0, description: 'bytes' }),
    sha256: Type.String({ description: 'of the first and the last MiB, hex' }),
  },
  { additionalProperties: false },
);
export type SourceIdentity = Static<typeof SourceIdentity>;

export const sameIdentity = (a: SourceIdentity, b: SourceIdentity): boolean =>
  a.size === b.size && a.sha256 === b.sha256;

export const SourceInfo = Type.Object(
  {
    width: Type.Integer({ description: 'pixels of the picture as displayed: rotation and pixel aspect applied' }),
    height: Type.Integer({ description: 'pixels of the picture as displayed: rotation and pixel aspect applied' }),
    rotation: Type.Integer({ description: 'clockwise degrees that a player applies: 0, 90, 180 or 270' }),
    codec: Type.String(),
    container: Type.String(),
    startMs: Type.Union([Type.Number(), Type.Null()], { description: 'presentation time of the first frame' }),
    durationMs: Type.Union([Type.Number(), Type.Null()], { description: 'as the container claims it' }),
    framesEstimate: Type.Union([Type.Integer(), Type.Null()], {
      description: 'as the container claims it; only for progress, never for correctness',
    }),
    identity: SourceIdentity,
  },
  { additionalProperties: false },
);
export type SourceInfo = Static<typeof SourceInfo>;
