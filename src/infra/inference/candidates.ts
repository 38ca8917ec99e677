/** The boxes of one frame before NMS, column by column in memory that is reused from frame to frame. */
import { round4 } from '../../domain/prediction.ts';

/** One model output of a run. */
export interface OutputTensor {
  readonly dims: readonly number[];
  readonly values: Float32Array;
}

/** At most one candidate per anchor: the anchor's best class. Corners are in pixels of the model's input. */
export class Candidates {
  readonly score: Float64Array;
  readonly classId: Int32Array;
  readonly anchor: Int32Array;
  readonly x1: Float64Array;
  readonly y1: Float64Array;
  readonly x2: Float64Array;
  readonly y2: Float64Array;
  count = 0;

  constructor(anchors: number) {
    this.score = new Float64Array(anchors);
    this.classId = new Int32Array(anchors);
    this.anchor = new Int32Array(anchors);
    this.x1 = new Float64Array(anchors);
    this.y1 = new Float64Array(anchors);
    this.x2 = new Float64Array(anchors);
    this.y2 = new Float64Array(anchors);
  }

  push(anchor: number, classId: number, score: number, cx: number, cy: number, w: number, h: number): void {
    const i = this.count++;
    this.anchor[i] = anchor;
    this.classId[i] = classId;
    this.score[i] = score;
    this.x1[i] = cx - w / 2;
    this.y1[i] = cy - h / 2;
    this.x2[i] = cx + w / 2;
    this.y2[i] = cy + h / 2;
  }
}

/** Decodes one output into `into` (emptied first): every anchor whose score reaches the threshold, in anchor order. */
export type OutputDecoder = (output: OutputTensor, threshold: number, into: Candidates) => void;

/**
 * P2 compares rounded scores, so what is recorded must too: a score that rounds up to the threshold belongs to it.
 */
export const reaches = (score: number, threshold: number): boolean =>
  score >= threshold - 0.0001 && round4(score) >= threshold;
