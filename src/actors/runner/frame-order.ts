/**
 * Puts results back into the order of the source and cuts them into batches. Pure but for what it holds.
 *
 * F1 A frame leaves only after every frame before it has left: results may come in any order.
 * F2 A batch closes at 32 predictions, 256 KiB, or when the caller says that time is up, whichever first (L7).
 * F3 Frames that were not selected advance the position; any number of them in a row holds the memory of one.
 */
import { LIMITS } from '../../domain/limits.ts';
import type { Position } from '../../domain/log-record.ts';
import type { Prediction } from '../../domain/prediction.ts';

export interface Batch {
  readonly from: number;
  readonly position: Position;
  readonly predictions: Prediction[];
}

interface Turn {
  readonly first: number;
  /** Last frame of this turn, its time, and the time of the frame before it. */
  last: number;
  lastPts: number | null;
  prevPts: number | null;
  /** Time of its first frame in range. */
  startPts: number | null;
  /** undefined: still being inferred; null: not selected. */
  result: Prediction | null | undefined;
}

export class FrameOrder {
  readonly #inRange: (index: number) => boolean;
  #turns: Turn[] = [];
  /** Turns before this one have left. */
  #head = 0;
  #position: Position | null;
  #from: number | null = null;
  #predictions: Prediction[] = [];
  #bytes = 0;
  #waiting = 0;
  #backlog = 0;
  #lastPts: number | null;

  /** @param inRange whether `startPts` may be this frame's time: the first frame of the sampled range sets it */
  constructor(position: Position | null, inRange: (index: number) => boolean) {
    this.#position = position;
    this.#lastPts = position?.lastPts ?? null;
    this.#inRange = inRange;
  }

  /** A frame that was not selected. */
  pass(index: number, ptsMs: number | null): void {
    const before = this.#turns.at(-1);
    if (before !== undefined && before.result === null && this.#turns.length > this.#head) {
      before.last = index; // F3
      before.prevPts = before.lastPts;
      before.lastPts = ptsMs;
      before.startPts ??= this.#inRange(index) ? ptsMs : null;
      this.#lastPts = ptsMs;
    } else {
      this.#enqueue(index, ptsMs, null);
    }
    this.#advance();
  }

  /** A selected frame; call the returned function with its result, once. */
  expect(index: number, ptsMs: number | null): (result: Prediction) => void {
    const turn = this.#enqueue(index, ptsMs, undefined);
    this.#waiting += 1;
    this.#backlog += 1;
    return result => {
      turn.result = result;
      this.#waiting -= 1;
      this.#advance();
    };
  }

  /** Selected frames without a result yet. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Selected frames that no batch has taken yet. */
  get backlog(): number {
    return this.#backlog;
  }

  /** F2: the batch is as large as it may get. */
  get full(): boolean {
    return this.#predictions.length >= LIMITS.batchFrames || this.#bytes >= LIMITS.batchBytes;
  }

  /** After the last frame that has left. */
  get position(): Position | null {
    return this.#position;
  }

  /** The batch so far, or null when no frame has left since the last one. */
  take(): Batch | null {
    if (this.#from === null || this.#position === null) return null;
    const batch = { from: this.#from, position: this.#position, predictions: this.#predictions };
    this.#backlog -= batch.predictions.length;
    this.#from = null;
    this.#predictions = [];
    this.#bytes = 0;
    this.#advance();
    return batch;
  }

  /** F1, F2 */
  #advance(): void {
    while (!this.full) {
      const turn = this.#turns[this.#head];
      if (turn === undefined || turn.result === undefined) break;
      this.#head += 1;
      this.#from ??= turn.first;
      this.#position = {
        to: turn.last,
        prevPts: turn.prevPts,
        lastPts: turn.lastPts,
        startPts: this.#position?.startPts ?? turn.startPts,
        selectedPts: turn.result === null ? (this.#position?.selectedPts ?? null) : turn.lastPts,
        frames: (this.#position?.frames ?? 0) + (turn.result === null ? 0 : 1),
      };
      if (turn.result === null) continue;
      this.#predictions.push(turn.result);
      this.#bytes += bytesOf(turn.result);
    }
    if (this.#head > 256 || this.#head === this.#turns.length) {
      this.#turns = this.#turns.slice(this.#head);
      this.#head = 0;
    }
  }

  #enqueue(index: number, ptsMs: number | null, result: null | undefined): Turn {
    const startPts = this.#inRange(index) ? ptsMs : null;
    const turn: Turn = { first: index, last: index, lastPts: ptsMs, prevPts: this.#lastPts, startPts, result };
    this.#lastPts = ptsMs;
    this.#turns.push(turn);
    return turn;
  }
}

/** A close upper bound of a prediction's bytes in the log, without writing it out twice. */
const bytesOf = (prediction: Prediction): number =>
  'detections' in prediction
    ? prediction.detections.reduce((bytes, detection) => bytes + 112 + detection.class.length, 64)
    : 128 + prediction.error.message.length;
