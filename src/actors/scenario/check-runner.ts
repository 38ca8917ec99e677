/**
 * After a claim: is the runner that the state speaks of still there? A node that never heard of it has been restarted, and
 * its runners died with its predecessor: no need to wait for silence. Everything else the heartbeats will tell.
 */
import { fromJson, toJson } from '../../domain/json.ts';
import { AttemptBody, StopAnswer } from '../../domain/messages.ts';
import { parse, problemsOf } from '../../domain/parse.ts';
import { SUBJECTS } from '../../domain/subjects.ts';
import type { Bus } from '../ports/bus.ts';
import type { NodeDirectory } from '../ports/node-directory.ts';
import type { Monitor } from '../runtime/behaviour.ts';

/** Whether the node that the runner was placed on still beats. */
export const isKeeperAlive = (directory: NodeDirectory, { body }: Monitor): boolean =>
  directory.alive().some(({ id }) => id === (body as { node: string | null }).node);

const ANSWER_MS = 2_000;

/** @returns true when the node says that it has no such runner */
export async function isGone(bus: Bus, monitor: Monitor): Promise<boolean> {
  const { node, ...body } = monitor.body as AttemptBody & { node: string };
  if (problemsOf(AttemptBody, body).length > 0) return false;
  try {
    const answer = await bus.request(SUBJECTS.control(node, 'has'), toJson(body), ANSWER_MS);
    return parse(StopAnswer, fromJson(answer.body), `The answer of ${node}`).kind === 'unknown';
  } catch {
    return false; // silence is the heartbeat watch's business
  }
}
