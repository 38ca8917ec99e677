/**
 * How long a frame, or a batch of them, is in each stage of its way: counted where it happens into a fixed row of numbers.
 *
 * ST1 One passage costs a short walk along the bounds and two additions: nothing is allocated and nobody is told.
 * ST2 What was counted is taken once: sums of what was taken never fall, whoever counted it and however he ended.
 */
import Type, { type Static } from 'typebox';

export const STAGES = ['decode', 'infer', 'post_process', 'append', 'project'] as const;
export type Stage = (typeof STAGES)[number];

/** Upper bounds, inclusive, ms: from a small model's post-processing to a disk that hangs. */
export const BOUNDS_MS = [0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000] as const;

export const Counted = Type.Object({
  /** Passages by the first bound that they do not exceed; the last is above all bounds. */
  counts: Type.Array(Type.Integer({ minimum: 0 }), { minItems: BOUNDS_MS.length + 1, maxItems: BOUNDS_MS.length + 1 }),
  sumMs: Type.Number({ minimum: 0 }),
});
export type Counted = Static<typeof Counted>;

/** What a runner has counted since it last told. */
export const Measured = Type.Object({
  /** Predictions committed. */
  frames: Type.Integer({ minimum: 0 }),
  stages: Type.Partial(
    Type.Object({ decode: Counted, infer: Counted, post_process: Counted, append: Counted, project: Counted }),
  ),
});
export type Measured = Static<typeof Measured>;

const noCounts = (): number[] => Array.from({ length: BOUNDS_MS.length + 1 }, () => 0);

export class Tally {
  #counts = noCounts();
  #sumMs = 0;

  /** ST1 */
  took(ms: number): void {
    let i = 0;
    while (i < BOUNDS_MS.length && ms > (BOUNDS_MS[i] as number)) i++;
    this.#counts[i] = (this.#counts[i] as number) + 1;
    this.#sumMs += ms;
  }

  add({ counts, sumMs }: Counted): void {
    for (const [i, count] of counts.entries()) this.#counts[i] = (this.#counts[i] ?? 0) + count;
    this.#sumMs += sumMs;
  }

  get now(): Counted {
    return { counts: [...this.#counts], sumMs: this.#sumMs };
  }

  /** ST2: and begins anew; null when there was nothing. */
  take(): Counted | null {
    if (this.#counts.every(count => count === 0)) return null;
    const taken = { counts: this.#counts, sumMs: this.#sumMs };
    this.#counts = noCounts();
    this.#sumMs = 0;
    return taken;
  }
}

/** A tally of each stage, with nothing in it. */
export const noTallies = (): Readonly<Record<Stage, Tally>> => ({
  decode: new Tally(),
  infer: new Tally(),
  post_process: new Tally(),
  append: new Tally(),
  project: new Tally(),
});
