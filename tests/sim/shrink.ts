/**
 * Makes a failing plan small: fewer strikes and fewer faults, as long as the same promise is broken (delta debugging, Zeller and
 * Hildebrandt, 2002). What is taken out changes nothing else of the plan (FT1).
 */
import { type Outcome, simulate } from './simulate.ts';
import type { Plan } from './storm.ts';

export interface Shrunk {
  readonly outcome: Outcome;
  readonly runs: number;
}

/** @param mostRuns after so many the smallest so far is as good as it gets */
export async function shrink(failed: Outcome, mostRuns = 400): Promise<Shrunk> {
  const promises = new Set(failed.violations.map(({ promise }) => promise));
  let best = failed;
  let runs = 0;
  const stillFails = async (plan: Plan): Promise<boolean> => {
    if (runs >= mostRuns) return false;
    runs += 1;
    const outcome = await simulate(plan);
    if (!outcome.violations.some(({ promise }) => promises.has(promise))) return false;
    best = outcome;
    return true;
  };
  // The faults that were met, named one by one, are the same plan.
  await stillFails({ ...failed.plan, only: failed.met.map(({ id }) => id) });
  for (let before = Number.POSITIVE_INFINITY; sizeOf(best.plan) < before; ) {
    before = sizeOf(best.plan);
    await reduce(best.plan.only ?? [], only => stillFails({ ...best.plan, only }));
    await reduce(best.plan.strikes, strikes => stillFails({ ...best.plan, strikes }));
    const { nightMs, latencyMs } = best.plan;
    if (nightMs > 0) await stillFails({ ...best.plan, nightMs: 0 });
    if (latencyMs > 0) await stillFails({ ...best.plan, latencyMs: 0 });
  }
  return { outcome: best, runs };
}

const sizeOf = ({ strikes, only, nightMs, latencyMs }: Plan): number =>
  strikes.length + (only?.length ?? 0) + (nightMs > 0 ? 1 : 0) + (latencyMs > 0 ? 1 : 0);

/** Takes out parts of a list, halves first, as long as what is left fails. */
async function reduce<T>(all: readonly T[], fails: (left: readonly T[]) => Promise<boolean>): Promise<void> {
  let items = all;
  for (let size = items.length; size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < items.length; ) {
      const left = [...items.slice(0, from), ...items.slice(from + size)];
      if (await fails(left)) items = left;
      else from += size;
    }
  }
}
