/** SIGINT and SIGTERM: the first one asks, the second ends the process at once. */
const CODES = { SIGINT: 130, SIGTERM: 143 } as const;

/** @returns aborted by the first signal, with the exit code as its reason */
export function interruptions(): AbortSignal {
  const asked = new AbortController();
  for (const [name, code] of Object.entries(CODES)) {
    process.removeAllListeners(name);
    process.on(name, () => {
      if (asked.signal.aborted) process.exit(code);
      asked.abort(code);
    });
  }
  return asked.signal;
}
