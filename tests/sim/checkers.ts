/** What is promised, whatever happens: each promise with the function that looks for where it was broken. */

import { commandsOnce } from './checkers/commands.ts';
import { convergence } from './checkers/convergence.ts';
import { defects } from './checkers/defects.ts';
import { fence } from './checkers/fence.ts';
import { framesOnce } from './checkers/frames.ts';
import { orphans } from './checkers/orphans.ts';
import { projection } from './checkers/projection.ts';
import { restarts } from './checkers/restarts.ts';
import { revival } from './checkers/revival.ts';
import { states } from './checkers/states.ts';
import { stopOrder } from './checkers/stop-order.ts';
import type { Evidence } from './history.ts';

/** Empty when the promise was kept. */
export type Checker = (evidence: Evidence) => readonly string[];

export const CHECKERS = {
  'every selected frame once and in order': framesOnce,
  'no write by a stale attempt or owner after a newer one': fence,
  'each accepted command once': commandsOnce,
  'states only along the machine': states,
  'late messages revive nothing': revival,
  'restarts within limits': restarts,
  'stop order: a log is closed before its scenario is inactive, and gone only after a DELETE': stopOrder,
  'everything is done in bounded time when faults end': convergence,
  'each projection equals the log': projection,
  'no orphan': orphans,
  'no actor meets a defect': defects,
} as const satisfies Record<string, Checker>;

export type PromiseName = keyof typeof CHECKERS;

export const PROMISES = Object.keys(CHECKERS) as readonly PromiseName[];
