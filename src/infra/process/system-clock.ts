/** Time and chance of the machine. */
import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock, Random } from '../../actors/ports/clock.ts';

/** What one `setTimeout` can hold. */
const LONGEST_MS = 2 ** 31 - 1;
const TOKEN_CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** Monotonic and the same for every process of this machine, ms: `monotonic` begins with its process. */
export const machineMs = (): number => Number(process.hrtime.bigint()) / 1e6;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  timer(delayMs, fire) {
    const dueMs = performance.now() + delayMs;
    let timeout: NodeJS.Timeout;
    const arm = (): void => {
      const leftMs = dueMs - performance.now();
      timeout = setTimeout(look, Math.max(0, Math.min(leftMs, LONGEST_MS))).unref();
    };
    // Node counts from the time that its loop last looked at: after a long turn a timer would come early by as much.
    const look = (): void => (dueMs - performance.now() >= 1 ? arm() : fire());
    arm();
    return { cancel: () => clearTimeout(timeout) };
  },
  sleep: async (delayMs, signal) => {
    signal?.throwIfAborted();
    try {
      await delay(delayMs, undefined, signal === undefined ? {} : { signal });
    } catch (error) {
      // The timer's own AbortError hides the reason.
      signal?.throwIfAborted();
      throw error;
    }
  },
};

export const systemRandom: Random = {
  float: () => Math.random(),
  token: length => Array.from({ length }, () => TOKEN_CHARACTERS[randomInt(TOKEN_CHARACTERS.length)]).join(''),
};
