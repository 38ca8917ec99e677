/**
 * The errand `place-runner`: asks live nodes one after another to take an attempt.
 *
 * Z1 A node that may have taken the attempt (its answer was lost) is asked again while it lives: `start` is idempotent
 *    by attempt, and asking another would start the same attempt twice.
 * Z2 When such a node dies nobody else is asked in this round: its runner has time to die with it. Should it live on and the
 *    next round start the attempt elsewhere, the log lets one of the two through.
 */
import { fromJson, toJson } from '../../domain/json.ts';
import type { ProblemBody, Refusal } from '../../domain/messages.ts';
import { Assignment, StartAnswer } from '../../domain/messages.ts';
import { parse } from '../../domain/parse.ts';
import { attemptKey } from '../../domain/scenario-doc.ts';
import { SUBJECTS } from '../../domain/subjects.ts';
import { type Bus, NoResponder } from '../ports/bus.ts';
import type { Clock } from '../ports/clock.ts';
import type { NodeDirectory } from '../ports/node-directory.ts';
import type { ErrandExecutor } from '../runtime/errand-desk.ts';
import { rankNodes } from './placement.ts';

export interface PlaceRunnerPorts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly directory: NodeDirectory;
  /** How long a node may take to answer: it probes the source first (≤ 3 s). */
  readonly answerMs: number;
}

/** A node that cannot be asked just now is asked again after this. */
const AGAIN_MS = 200;

export function placeRunner(ports: PlaceRunnerPorts): ErrandExecutor {
  return async (_owner, errand, signal) => {
    const { assignment, round } = errand.body as { assignment: Assignment; round: number };
    const refusals: Refusal[] = [];
    for (const { id } of rankNodes(ports.directory.alive())) {
      const answer = await askNode(ports, id, assignment, signal);
      if (answer.kind === 'accepted') {
        const { scenario, run, segment, attempt } = assignment;
        const { pid, source, model, engine } = answer;
        return { verb: 'accepted', body: { scenario, run, segment, attempt, node: id, pid, source, model, engine } };
      }
      refusals.push({ node: id, ...answer.problem });
      if (answer.kind === 'lost') break; // Z2
    }
    return { verb: 'refused', body: { key: attemptKey(assignment), round, refusals } };
  };
}

async function askNode(
  { bus, clock, directory, answerMs }: PlaceRunnerPorts,
  node: string,
  assignment: Assignment,
  signal: AbortSignal,
): Promise<StartAnswer | { readonly kind: 'lost'; readonly problem: ProblemBody }> {
  const body = toJson(assignment);
  for (let mayHaveIt = false; ; mayHaveIt = true) {
    signal.throwIfAborted();
    try {
      const { body: bytes } = await bus.request(SUBJECTS.control(node, 'start'), body, answerMs);
      return parse(StartAnswer, fromJson(bytes), `The answer of node ${node}`);
    } catch (error) {
      const unheard = error instanceof NoResponder;
      if (unheard || !directory.alive().some(other => other.id === node)) {
        const problem = { code: 'unavailable', message: 'the node does not answer' };
        return { kind: unheard && !mayHaveIt ? 'refused' : 'lost', problem }; // Z1, Z2
      }
      await clock.sleep(AGAIN_MS, signal);
    }
  }
}
