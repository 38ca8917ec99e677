/** Frames to detections: several sessions in worker threads over one ring. */

import type { LocalModel } from '../../domain/model.ts';
import type { Detection } from '../../domain/prediction.ts';
import type { FrameRing } from './frame-ring.ts';
import type { Took } from './telemetry.ts';

/** How a displayed picture lies in the model's input. */
export interface PictureSize {
  readonly width: number;
  readonly height: number;
}

export interface InferenceOptions {
  readonly model: LocalModel;
  readonly ring: FrameRing;
  readonly picture: PictureSize;
  /** Sessions, each in a thread of its own. */
  readonly workers: number;
  readonly recordThreshold: number;
  readonly iou: number;
  /** Class ids to keep; null keeps all. */
  readonly classIds: readonly number[] | null;
  /** Told how long each frame took in `infer` and `post_process`. */
  readonly took?: Took;
}

export interface InferencePool {
  /** onnxruntime version and execution provider; part of the engine. */
  readonly engine: { readonly onnxruntime: string; readonly provider: string };
  /**
   * Infers the frame in `slot`; the pool releases the slot as soon as it has read it. Calls may overlap, at most
   * one per ring slot; results come in any order.
   * @returns detections in displayed pixels: letterbox undone, class-wise NMS, clipped, rounded, sorted, at most 300
   * @throws TroupeError inference_failed
   */
  infer(slot: number): Promise<Detection[]>;
  /** Lets running inferences finish, then ends the threads (terminating a thread inside ONNX Runtime aborts the process). */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface InferenceFactory {
  open(options: InferenceOptions, signal: AbortSignal): Promise<InferencePool>;
}

export interface ModelCatalog {
  list(): readonly LocalModel[];
  /** A registered name or an allowed path of an .onnx. @throws TroupeError model_not_found | model_unsupported | source_not_allowed */
  resolve(nameOrPath: string): Promise<LocalModel>;
}
