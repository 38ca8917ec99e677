/**
 * SIGINT and SIGTERM: the first one asks, a second one ends the process at once. A Ctrl-C in a terminal may come twice by
 * itself, from the terminal and from the npm above us: what follows within `SAME_MS` is the same word.
 */
const SAME_MS = 1_000;
const CODES = { SIGINT: 130, SIGTERM: 143 } as const;

/** @returns aborted by the first signal, with the exit code as its reason */
export function interruptions(): AbortSignal {
  const asked = new AbortController();
  let askedAt = 0;
  for (const [name, code] of Object.entries(CODES)) {
    process.removeAllListeners(name);
    process.on(name, () => {
      if (!asked.signal.aborted) askedAt = performance.now();
      else if (performance.now() - askedAt > SAME_MS) process.exit(code);
      asked.abort(code);
    });
  }
  return asked.signal;
}
