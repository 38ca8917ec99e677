/**
 * Which frames of a source are selected. Pure and stateless but for `fps`, whose choice depends on the
 * times seen so far, so that a resumed runner must be told the time of the last frame it had selected.
 *
 * - Ranges are inclusive; `every` counts from `from`.
 * - `fps: F` takes the first frame with pts ≥ start + k/F, k = 0, 1, 2 …, where start is the time of the
 *   first frame at or after `from`.
 */
import Type, { type Static } from 'typebox';

export const Sampling = Type.Object(
  {
    every: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'Take every N-th frame, counted from `from`.',
      }),
    ),
    fps: Type.Optional(
      Type.Number({ exclusiveMinimum: 0, maximum: 1000, description: 'Take at most this many frames a second.' }),
    ),
    from: Type.Optional(
      Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'First source frame, inclusive.' }),
    ),
    to: Type.Optional(
      Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'Last source frame, inclusive.' }),
    ),
  },
  { additionalProperties: false },
);
export type Sampling = Static<typeof Sampling>;

/** Decides frame by frame, in presentation order, whether a frame is selected. */
export class FrameSelector {
  readonly #from: number;
  readonly #to: number;
  readonly #every: number;
  readonly #fps: number | null;
  /** Time of the first frame in range, in ms; `fps` counts from it. */
  #startMs: number | null;
  /** The next due slot k of `fps`. */
  #k = 0;

  /**
   * @param startMs time of the frame `from`, when frames before the one now coming were already passed by an
   *   earlier attempt (else null)
   * @param selectedMs time of the last frame selected by an earlier attempt (else null)
   */
  constructor(sampling: Sampling, startMs: number | null = null, selectedMs: number | null = null) {
    this.#from = sampling.from ?? 0;
    this.#to = sampling.to ?? Number.POSITIVE_INFINITY;
    this.#every = sampling.every ?? 1;
    this.#fps = sampling.fps ?? null;
    this.#startMs = startMs;
    if (this.#fps !== null && startMs !== null && selectedMs !== null) this.#k = this.#slot(selectedMs) + 1;
  }

  /** True when no frame from `index` on can be selected. */
  isPast(index: number): boolean {
    return index > this.#to;
  }

  /** Must be called once per frame, in order. `ptsMs` null (a frame without a time) is never selected by `fps`. */
  selects(index: number, ptsMs: number | null): boolean {
    if (index < this.#from || index > this.#to) return false;
    if (this.#fps === null) return (index - this.#from) % this.#every === 0;
    if (ptsMs === null) return false;
    this.#startMs ??= ptsMs;
    if (this.#slot(ptsMs) < this.#k) return false;
    this.#k = this.#slot(ptsMs) + 1;
    return true;
  }

  /** The largest k with start + k/F ≤ pts; a microsecond of slack absorbs the rounding of times to 3 decimals. */
  #slot(ptsMs: number): number {
    const startMs = this.#startMs ?? ptsMs;
    return Math.floor(((ptsMs - startMs + 0.001) * (this.#fps ?? 0)) / 1000);
  }
}

/** Selected frames among `total` source frames; null when `fps` makes it depend on the times. */
export function countSelected(sampling: Sampling, total: number): number | null {
  const from = sampling.from ?? 0;
  const last = Math.min(sampling.to ?? total - 1, total - 1);
  if (last < from) return 0;
  if (sampling.fps !== undefined) return null;
  return Math.floor((last - from) / (sampling.every ?? 1)) + 1;
}
