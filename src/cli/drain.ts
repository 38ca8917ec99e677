/** `troupe drain`: tells a node, and follows it until it is empty. */
import { setTimeout as delay } from 'node:timers/promises';
import { TroupeError } from '../domain/errors.ts';
import type { NodeView } from '../domain/node.ts';
import type { Client } from './client.ts';

const LOOK_MS = 200;

export interface DrainOptions {
  /** false: it takes part again. */
  readonly draining: boolean;
  /** Until it has nothing left; a runner ends at the edge of a batch, or is killed after the node's `shutdown-ms`. */
  readonly wait: boolean;
}

/** Progress goes to stderr, a line for each change. @returns the node as it is in the end */
export async function drain(
  client: Client,
  node: string,
  { draining, wait }: DrainOptions,
  signal: AbortSignal,
): Promise<NodeView> {
  let view = await client.drain(node, draining);
  if (!draining || !wait) return view;
  for (let said = ''; view.running > 0 || view.partitions.length > 0; ) {
    const left = whatIsLeft(view.running, view.partitions.length);
    if (left !== said) process.stderr.write(`${node}: ${left} left\n`);
    said = left;
    await delay(LOOK_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    const now = (await client.nodes()).find(other => other.id === node);
    if (now === undefined)
      throw new TroupeError(
        'node_not_found',
        `node '${node}' is gone: it ended before it was drained. 'troupe nodes' lists those there are.`,
      );
    view = now.draining ? now : view;
  }
  return view;
}

export const whatIsLeft = (running: number, partitions: number): string =>
  [count(running, 'runner'), count(partitions, 'partition')].join(', ');

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;
