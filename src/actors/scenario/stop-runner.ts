/**
 * The errand `stop-runner`: tells a node to end an attempt. `close` is answered when the runner was told; `kill` is
 * repeated until the process is gone: from one node or, of an attempt that was withdrawn while nodes were asked, from all. A
 * node that is no longer heard of is not waited for, it may never come back: either it is dead, and its runners with it, or it
 * is cut off, and ends them itself when it has read what is wanted of it (A8).
 */
import { fromJson, toJson } from '../../domain/json.ts';
import { StopAnswer, type StopRequest } from '../../domain/messages.ts';
import { parse } from '../../domain/parse.ts';
import { ANY_NODE, attemptKey } from '../../domain/scenario-doc.ts';
import { SUBJECTS } from '../../domain/subjects.ts';
import type { Bus } from '../ports/bus.ts';
import type { Clock } from '../ports/clock.ts';
import type { NodeDirectory } from '../ports/node-directory.ts';
import type { ErrandExecutor } from '../runtime/errand-desk.ts';

export interface StopRunnerPorts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly directory: NodeDirectory;
}

const ANSWER_MS = 1_000;
const AGAIN_MS = 200;

export function stopRunner(ports: StopRunnerPorts): ErrandExecutor {
  return async (_owner, errand, signal) => {
    const { node, ...request } = errand.body as StopRequest & { node: string };
    const verb = request.mode === 'kill' ? 'reaped' : 'stopping';
    const key = attemptKey(request);
    for (;;) {
      signal.throwIfAborted();
      const kind = node === ANY_NODE ? await askAll(ports, request) : await ask(ports, node, request);
      if (kind === 'gone' || kind === 'unknown') return { verb, body: { key, known: kind === 'gone' } };
      if (kind === 'running' && request.mode !== 'kill') return { verb, body: { key, known: true } };
      await ports.clock.sleep(AGAIN_MS, signal);
    }
  };
}

/** Whatever keeps it from being gone everywhere. */
async function askAll(ports: StopRunnerPorts, request: StopRequest): Promise<StopAnswer['kind'] | 'silent'> {
  const nodes = ports.directory.alive().filter(({ roles }) => roles.includes('runner'));
  const answers = await Promise.all(nodes.map(({ id }) => ask(ports, id, request)));
  return answers.find(kind => kind === 'running' || kind === 'silent') ?? 'gone';
}

async function ask(ports: StopRunnerPorts, node: string, request: StopRequest): Promise<StopAnswer['kind'] | 'silent'> {
  if (ports.directory.isGone(node)) return 'unknown';
  try {
    const body = toJson(request);
    const answer = await ports.bus.request(SUBJECTS.control(node, 'stop'), body, ANSWER_MS);
    return parse(StopAnswer, fromJson(answer.body), `The answer of node ${node}`).kind;
  } catch {
    return 'silent'; // a node that is just not connected has its runners still
  }
}
