/**
 * From a model's raw output to a frame's detections: decode, NMS, undo the letterbox, clip, round, sort.
 *
 * D1 Nothing that is not a finite number, and no score above 1, becomes a result: the frame fails instead.
 * D2 A box lies inside the picture after rounding too: its corners are rounded, its size is their difference. A box
 *    whose width or height rounds to 0 is dropped.
 * D3 The answer depends on the output alone, not on the frames before it.
 */
import { TroupeError } from '../../domain/errors.ts';
import { type Letterbox, letterbox, type PixelSize } from '../../domain/letterbox.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { ModelInfo } from '../../domain/model.ts';
import { compareDetections, type Detection, round2, round4 } from '../../domain/prediction.ts';
import { Candidates, type OutputTensor } from './candidates.ts';
import { nonMaximumSuppression } from './nms.ts';
import { yolov8Decoder } from './yolov8.ts';
import { gridCells, yoloxDecoder } from './yolox.ts';

export interface DetectionOptions {
  readonly model: ModelInfo;
  readonly picture: PixelSize;
  readonly recordThreshold: number;
  readonly iou: number;
  readonly classIds: readonly number[] | null;
}

/** @returns a function from one frame's output to its detections. It throws TroupeError inference_failed (D1). */
export function detectionReader(options: DetectionOptions): (output: OutputTensor) => Detection[] {
  const { model, picture, recordThreshold, iou } = options;
  const box = letterbox(picture, model.input);
  const classIds = options.classIds === null ? null : new Set(options.classIds);
  let candidates = new Candidates(0);
  let decode = decoderFor(model, 0);
  return output => {
    const anchors = anchorsOf(model, output);
    if (anchors > candidates.score.length) {
      candidates = new Candidates(anchors);
      decode = decoderFor(model, anchors);
    }
    if (!allFinite(output.values)) throw failed(`the model gave values that are not finite numbers${ADVICE}`); // D1
    decode(output, recordThreshold, candidates);
    const detections: Detection[] = [];
    for (const i of nonMaximumSuppression(candidates, iou, classIds)) {
      const detection = toDetection(candidates, i, box, picture, model.classes);
      if (detection !== null) detections.push(detection);
    }
    return detections.sort(compareDetections);
  };
}

/** The usual causes; `skip` is the way on when only some frames do it. */
const ADVICE =
  '. Check its export (float16, mean and scale in <model>.toml), or go on past such frames with onFrameError: skip.';

const failed = (why: string): TroupeError => new TroupeError('inference_failed', why);

const decoderFor = (model: ModelInfo, anchors: number) =>
  model.family === 'yolov8'
    ? yolov8Decoder(model.classes.length, anchors)
    : yoloxDecoder(model.classes.length, model.input.width, model.input.height);

/** Number of boxes the output holds, its shape being what the model's family and classes say. */
function anchorsOf({ family, input, classes }: ModelInfo, { dims, values }: OutputTensor): number {
  const [anchors, attributes, wanted] =
    family === 'yolov8'
      ? [dims[2] ?? 0, dims[1], 4 + classes.length]
      : [gridCells(input.width, input.height), dims[2], 5 + classes.length];
  const fits = dims.length === 3 && attributes === wanted && values.length === anchors * wanted;
  if (fits && anchors <= LIMITS.modelAnchors) return anchors;
  throw failed(
    `the model gave an output of shape [${dims.join()}], which is not ${family} with ${classes.length} classes`,
  );
}

/** A sum is finite only when all its terms are (doubles cannot overflow on so few floats); four sums run side by side. */
function allFinite(values: Float32Array): boolean {
  let [a, b, c, d] = [0, 0, 0, 0];
  const whole = values.length - (values.length % 4);
  for (let i = 0; i < whole; i += 4) {
    a += values[i] as number;
    b += values[i + 1] as number;
    c += values[i + 2] as number;
    d += values[i + 3] as number;
  }
  for (let i = whole; i < values.length; i++) a += values[i] as number;
  return Number.isFinite(a + b + c + d);
}

function toDetection(
  candidates: Candidates,
  i: number,
  { left, top, scaleX, scaleY }: Letterbox,
  picture: PixelSize,
  classes: readonly string[],
): Detection | null {
  const score = candidates.score[i] as number;
  if (score > 1) throw failed(`the model gave a score of ${score}; scores of 0 to 1 (after a sigmoid) are needed`); // D1
  const raw = [candidates.x1[i], candidates.y1[i], candidates.x2[i], candidates.y2[i]] as [
    number,
    number,
    number,
    number,
  ];
  if (!raw.every(Number.isFinite)) throw failed(`the model gave a box that is not finite${ADVICE}`); // D1
  const x1 = corner((raw[0] - left) / scaleX, picture.width);
  const y1 = corner((raw[1] - top) / scaleY, picture.height);
  const x2 = corner((raw[2] - left) / scaleX, picture.width);
  const y2 = corner((raw[3] - top) / scaleY, picture.height);
  const box = [x1, y1, round2(x2 - x1), round2(y2 - y1)];
  if (x2 <= x1 || y2 <= y1) return null; // D2
  const classId = candidates.classId[i] as number;
  return { class: classes[classId] ?? `class_${classId}`, classId, score: round4(score), box };
}

/** A coordinate clipped to 0…length and rounded; the length is whole, so rounding does not leave it. */
const corner = (at: number, length: number): number => round2(Math.min(Math.max(at, 0), length));
