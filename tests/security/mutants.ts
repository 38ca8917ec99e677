/** Judging many mutants at a time. */
export interface Verdict {
  readonly seed: number;
  readonly what: string;
  readonly ms: number;
}

/** Judges the seeds 1 to `count`, `together` at a time. */
export async function judgeAll(
  count: number,
  together: number,
  judge: (seed: number) => Promise<string>,
): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  const seeds = Array.from({ length: count }, (_, i) => i + 1).values();
  const work = async (): Promise<void> => {
    for (const seed of seeds) {
      const start = performance.now();
      const what = await judge(seed);
      verdicts.push({ seed, what, ms: performance.now() - start });
    }
  };
  await Promise.all(Array.from({ length: together }, work));
  return verdicts;
}
