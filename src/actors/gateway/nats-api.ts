/** `troupe.api.scenario.<id>.<verb>`: the commands for `nats req`, answered with the scenario or the problem. */

import { TroupeError, toProblem } from '../../domain/errors.ts';
import { isId, knownRequestId } from '../../domain/ids.ts';
import { toJson } from '../../domain/json.ts';
import { HEADERS, SUBJECTS } from '../../domain/subjects.ts';
import type { Bus, BusMessage } from '../ports/bus.ts';
import type { Random } from '../ports/clock.ts';
import type { ScenarioGateway, ScenarioVerb } from '../ports/gateway.ts';

export interface NatsApiPorts {
  readonly bus: Bus;
  readonly random: Random;
  readonly gateway: ScenarioGateway;
}

const VERBS: ReadonlySet<string> = new Set(['create', 'start', 'stop', 'delete'] satisfies ScenarioVerb[]);
/** API nodes share the requests. */
const QUEUE = 'troupe-api';

/** Serves until the signal aborts. */
export async function serveNatsApi(ports: NatsApiPorts, signal: AbortSignal): Promise<void> {
  const subscription = ports.bus.subscribe(SUBJECTS.apiAll, message => void answer(ports, message), QUEUE);
  await new Promise<void>(resolve => signal.addEventListener('abort', () => resolve(), { once: true }));
  subscription.close();
}

async function answer({ bus, random, gateway }: NatsApiPorts, message: BusMessage): Promise<void> {
  let said: unknown;
  try {
    const traceparent = message.headers[HEADERS.traceparent];
    const [id = '', verb = ''] = message.subject.split('.').slice(3);
    if (!isId(id))
      throw new TroupeError('invalid_request', `'${id}' is no scenario id: 1 to 64 of A-Z a-z 0-9 _ - are.`);
    if (verb === 'get') said = { scenario: await gateway.get(id) };
    else if (VERBS.has(verb))
      said = await gateway.command(id, verb as ScenarioVerb, bodyOf(message), {
        requestId: knownRequestId(message.headers[HEADERS.requestId]) ?? random.token(16),
        ...(traceparent === undefined ? {} : { traceparent }),
      });
    else
      throw new TroupeError('invalid_request', `There is no verb '${verb}'; there are get, ${[...VERBS].join(', ')}.`);
  } catch (error) {
    said = { problem: toProblem(error) };
  }
  if (message.reply !== null) bus.publish(message.reply, toJson(said));
}

function bodyOf(message: BusMessage): unknown {
  const text = Buffer.from(message.body).toString('utf8').trim();
  try {
    return text === '' ? {} : JSON.parse(text);
  } catch (cause) {
    throw new TroupeError('invalid_request', `The body is not JSON: ${(cause as Error).message}`, { cause });
  }
}
