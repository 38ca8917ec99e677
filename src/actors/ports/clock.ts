/** Time and chance as ports: the same control code runs on a wall clock and under a seeded simulator. */

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Wall clock, ms since the epoch. May jump; only for what people read and for durable timers. */
  now(): number;
  /** Monotonic ms since some origin. For every duration. */
  monotonic(): number;
  /** Calls `fire` once after `delayMs`; never keeps the process alive by itself. */
  timer(delayMs: number, fire: () => void): Timer;
  /** Resolves after `delayMs`, or rejects with the signal's reason. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

export interface Random {
  /** Uniform in [0, 1). */
  float(): number;
  /** `length` characters of A-Z a-z 0-9; unguessable in production. */
  token(length: number): string;
}
