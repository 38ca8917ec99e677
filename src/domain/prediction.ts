/**
 * A frame's result and its one textual form.
 *
 * P1 Two equal results have equal bytes: numbers are rounded once, here, and printed in their shortest form; keys have one order.
 * P2 `threshold` only filters: what NMS kept at a lower threshold contains what it keeps at a higher one.
 */
import Type, { type Static } from 'typebox';

export const Detection = Type.Object(
  {
    class: Type.String(),
    classId: Type.Integer({ minimum: 0 }),
    score: Type.Number({ description: '0..1, 4 decimals' }),
    box: Type.Array(Type.Number(), {
      minItems: 4,
      maxItems: 4,
      description: 'x, y, width, height in pixels of the picture as displayed, clipped to it, 2 decimals',
    }),
  },
  { additionalProperties: false },
);
export type Detection = Static<typeof Detection>;

const FrameTime = {
  frame: Type.Integer({ minimum: 0, description: '0-based index in the source, in presentation order' }),
  ptsMs: Type.Union([Type.Number(), Type.Null()], {
    description: "the container's own presentation time in ms, unshifted, 3 decimals; null where it has none",
  }),
};

export const DetectedFrame = Type.Object(
  { ...FrameTime, detections: Type.Array(Detection) },
  { additionalProperties: false },
);
export type DetectedFrame = Static<typeof DetectedFrame>;

export const SkippedFrame = Type.Object(
  {
    ...FrameTime,
    error: Type.Object({ code: Type.String(), message: Type.String() }, { additionalProperties: false }),
  },
  { additionalProperties: false },
);
export type SkippedFrame = Static<typeof SkippedFrame>;

/** One selected frame's result: its detections, or why the frame was skipped (`onFrameError: "skip"`). */
export const Prediction = Type.Union([DetectedFrame, SkippedFrame]);
export type Prediction = Static<typeof Prediction>;

export const round2 = (x: number): number => Math.round(x * 100) / 100;
export const round4 = (x: number): number => Math.round(x * 10000) / 10000;

/** Rounded score descending, then classId, then box. */
export function compareDetections(a: Detection, b: Detection): number {
  if (a.score !== b.score) return b.score - a.score;
  if (a.classId !== b.classId) return a.classId - b.classId;
  for (let i = 0; i < 4; i++) {
    const d = (a.box[i] ?? 0) - (b.box[i] ?? 0);
    if (d !== 0) return d;
  }
  return 0;
}

/** P2: the prediction as seen at a threshold. */
export function atThreshold(prediction: Prediction, threshold: number): Prediction {
  if (!('detections' in prediction)) return prediction;
  return {
    frame: prediction.frame,
    ptsMs: prediction.ptsMs,
    detections: prediction.detections.filter(d => d.score >= threshold),
  };
}

/** P1: one line of a JSONL export, without the newline. */
export function predictionLine(p: Prediction): string {
  if (!('detections' in p)) {
    return JSON.stringify({ frame: p.frame, ptsMs: p.ptsMs, error: { code: p.error.code, message: p.error.message } });
  }
  return JSON.stringify({
    frame: p.frame,
    ptsMs: p.ptsMs,
    detections: p.detections.map(d => ({ class: d.class, classId: d.classId, score: d.score, box: d.box })),
  });
}
