/**
 * Video to frames. A decoder letterboxes each frame to the model's input and writes it, planar G, B, R (uint8),
 * into a slot of the ring; it knows nothing of models beyond that size, and nothing of sampling beyond `wants`.
 */
import type { SourceIdentity, SourceInfo } from '../../domain/source.ts';
import type { FrameRing } from './frame-ring.ts';

/** Where an earlier attempt stopped: everything up to and including source frame `frame` is done. */
export interface ResumePoint {
  readonly frame: number;
  /** Times of source frames frame−1 and frame, ms; null where the source has none. */
  readonly prevPts: number | null;
  readonly lastPts: number | null;
}

export interface DecodeRequest {
  /** A path that was resolved and allowed before. */
  readonly path: string;
  /** The model's input size; slots of the ring hold 3 · width · height bytes. */
  readonly width: number;
  readonly height: number;
  readonly source: SourceInfo;
  /** null: from the first frame. Otherwise the first frame delivered is `resume.frame + 1`, exactly. */
  readonly resume: ResumePoint | null;
  readonly ring: FrameRing;
}

export interface DecodedFrame {
  /** 0-based source index in presentation order. */
  readonly index: number;
  /** Presentation time as the container has it, unshifted, ms with 3 decimals; null where it has none. */
  readonly ptsMs: number | null;
}

export interface FrameSink {
  /** Called once per source frame, in order, before its slot is handed over; false: skip it, its slot is used again. */
  wants(frame: DecodedFrame): boolean;
  /** A wanted frame; the sink now owns `slot` and releases it. */
  frame(frame: DecodedFrame, slot: number): void;
  /** A wanted frame that the decoder knows to be damaged beyond use (it has no slot). */
  broken(frame: DecodedFrame, message: string): void;
}

export interface DecodeResult {
  /** Source frames seen from the start of the file, those before a resume point included. */
  readonly frames: number;
  /** What the decoder complained of without stopping, at most 20 lines. */
  readonly warnings: readonly string[];
}

export interface Decoder {
  /** Name and version; part of the engine. */
  readonly engine: string;
  /** @throws TroupeError source_unreadable | source_not_allowed */
  probe(path: string, signal: AbortSignal): Promise<SourceInfo>;
  /** The identity that a probe would find now, without looking at what the file contains. @throws TroupeError source_unreadable */
  identify(path: string): Promise<SourceIdentity>;
  /**
   * Decodes to the end, pushing frames into the sink. Aborting the signal kills the decoder at once and rejects.
   * @throws TroupeError decode_failed | source_changed | source_unreadable
   */
  decode(request: DecodeRequest, sink: FrameSink, signal: AbortSignal): Promise<DecodeResult>;
}
