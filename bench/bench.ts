/** What `bench/run.ts` knows of a bench. */
export interface Bench {
  /** One line: what it measures. */
  readonly summary: string;
  /** Its own options, for `--help`. */
  readonly usage: string;
  /** Measures and prints a table in Markdown, which goes to RESULTS.md. */
  run(args: readonly string[]): Promise<void>;
}
