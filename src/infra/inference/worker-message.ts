/** What the pool and its worker threads say to each other. One program's two halves: nothing here is parsed. */
import type { ModelInfo } from '../../domain/model.ts';
import type { DetectionOptions } from './detections.ts';

export interface WorkerAssignment extends Omit<DetectionOptions, 'model'> {
  readonly model: ModelInfo;
  /** The ONNX file, its prologue included: takes uint8 [1, 3, H, W]. */
  readonly bytes: Uint8Array;
  /** The ring's memory: slot s holds planes G, B, R from s · slotBytes on. */
  readonly ring: SharedArrayBuffer;
  readonly slotBytes: number;
}

/** `load` comes once and first, unless the thread is told to leave before it. */
export type ToWorker =
  | { readonly kind: 'load'; readonly assignment: WorkerAssignment }
  | { readonly kind: 'infer'; readonly slot: number }
  | { readonly kind: 'leave' };

/** Each `infer` is answered by `copied`, then `detected` or `failed`, before the next one is begun. */
export type FromWorker =
  | { readonly kind: 'ready' }
  /** The model does not load. */
  | { readonly kind: 'unusable'; readonly message: string }
  /** The slot may be filled again. */
  | { readonly kind: 'copied' }
  /** classId, score, x, y, width, height of each detection. */
  | { readonly kind: 'detected'; readonly rows: Float64Array; readonly inferMs: number; readonly postMs: number }
  | { readonly kind: 'failed'; readonly message: string };
