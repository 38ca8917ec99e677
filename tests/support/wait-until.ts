/** Waiting in tests: for a condition, never for a time. */
import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 5;

/**
 * Resolves when `predicate` is true. The deadline only ends a test that would hang: choose it far above what a slow
 * machine needs.
 * @param sentence what is waited for, such as `the server is gone`
 * @param pollMs between two looks, for one that costs something
 */
export async function waitUntil(
  sentence: string,
  predicate: () => boolean | Promise<boolean>,
  deadlineMs = 30_000,
  pollMs = POLL_MS,
): Promise<void> {
  for (const start = performance.now(); performance.now() - start < deadlineMs; await delay(pollMs)) {
    if (await predicate()) return;
  }
  throw new Error(`waited ${deadlineMs} ms in vain until ${sentence}`);
}
