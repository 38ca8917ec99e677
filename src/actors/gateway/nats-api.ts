/**
 * `troupe.api.scenario.<id>.<verb>`: the commands for `nats req`, answered with the scenario or the problem.
 *
 * NA1 Whoever asks is answered: with what was committed, or with the problem, which is in the headers of NATS services too
 *     (ADR-32: `Nats-Service-Error`, `Nats-Service-Error-Code`).
 * NA2 At most `apiRequests` are under way; one more is refused at once.
 * NA3 The same `Troupe-Idempotency-Key` and body create one scenario. With other verbs it has no meaning: they repeat as they are.
 */
import Type from 'typebox';
import { commandBody } from '../../domain/command-body.ts';
import { PROBLEMS, TroupeError, toProblem } from '../../domain/errors.ts';
import { isId, knownRequestId } from '../../domain/ids.ts';
import { toJson } from '../../domain/json.ts';
import { LIMITS } from '../../domain/limits.ts';
import { parse } from '../../domain/parse.ts';
import { HEADERS, SUBJECTS } from '../../domain/subjects.ts';
import type { Bus, BusMessage } from '../ports/bus.ts';
import type { Clock, Random } from '../ports/clock.ts';
import type { ScenarioGateway, ScenarioVerb } from '../ports/gateway.ts';
import { Endpoint } from '../runtime/endpoint.ts';

export interface NatsApiPorts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly random: Random;
  readonly gateway: ScenarioGateway;
}

/** API nodes share the requests. */
const QUEUE = 'troupe-api';
const VERBS: Readonly<Record<ScenarioVerb | 'get', string>> = {
  create: 'creates a scenario; body as of POST /api/v1/scenarios, without id',
  start: 'starts it, or goes on; an empty body, {"from":"start"}, or a body as of create',
  stop: 'stops it; an empty body',
  delete: 'deletes it with its results; an empty body',
  get: 'the scenario; an empty body',
};
const Nothing = Type.Object({}, { additionalProperties: false });
const KEY = new RegExp(`^[\\x21-\\x7e]{1,${LIMITS.idempotencyKey}}$`);

export class NatsApi {
  readonly #ports: NatsApiPorts;
  readonly #endpoints: ReadonlyMap<string, Endpoint>;
  #underWay = 0;

  constructor(ports: NatsApiPorts) {
    this.#ports = ports;
    const endpoints = Object.entries(VERBS).map(([name, description]): [string, Endpoint] => {
      const subject = SUBJECTS.api('*', name);
      return [name, new Endpoint({ name, subject, queue: QUEUE, description }, ports.clock)];
    });
    this.#endpoints = new Map(endpoints);
  }

  /** One of each verb. */
  get endpoints(): readonly Endpoint[] {
    return [...this.#endpoints.values()];
  }

  /** Serves until the signal aborts. */
  async serve(signal: AbortSignal): Promise<void> {
    // One subscription for all verbs: a verb that does not exist is answered too.
    const subscription = this.#ports.bus.subscribe(SUBJECTS.apiAll, message => void this.#answer(message), QUEUE);
    await new Promise<void>(resolve => signal.addEventListener('abort', () => resolve(), { once: true }));
    subscription.close();
  }

  /** NA1 */
  async #answer(message: BusMessage): Promise<void> {
    const { bus, random } = this.#ports;
    const requestId = knownRequestId(message.headers[HEADERS.requestId]) ?? random.token(16);
    const headers: Record<string, string> = { [HEADERS.requestId]: requestId };
    let said: unknown;
    this.#underWay += 1;
    try {
      if (this.#underWay > LIMITS.apiRequests) {
        const text = `More than ${LIMITS.apiRequests} requests are under way here. Try again later.`;
        throw new TroupeError('too_many_requests', text, { retryable: true }); // NA2
      }
      said = await this.#carryOut(message, requestId);
    } catch (error) {
      const problem = toProblem(error);
      said = { problem };
      headers[HEADERS.serviceError] = problem.message.replaceAll(/\p{Cc}+/gu, ' ').slice(0, LIMITS.headerChars);
      headers[HEADERS.serviceErrorCode] = `${PROBLEMS[problem.code]}`;
    } finally {
      this.#underWay -= 1;
    }
    if (message.reply !== null) bus.publish(message.reply, toJson(said), headers);
  }

  /** @throws TroupeError of the refusal */
  async #carryOut(message: BusMessage, requestId: string): Promise<unknown> {
    const { gateway } = this.#ports;
    const [id = '', verb = ''] = message.subject.split('.').slice(3);
    const endpoint = this.#endpoints.get(verb);
    if (endpoint === undefined) {
      const verbs = [...this.#endpoints.keys()].join(', ');
      throw new TroupeError('invalid_request', `There is no verb '${verb}'; there are ${verbs}.`);
    }
    return endpoint.count(async () => {
      if (!isId(id)) throw new TroupeError('invalid_request', `'${id}' is no id: an id is 1 to 64 of A-Z a-z 0-9 _ -.`);
      const body = bodyOf(message);
      if (verb === 'get') {
        parse(Nothing, body, "The body of 'get'");
        return { scenario: await gateway.get(id) };
      }
      const traceparent = message.headers[HEADERS.traceparent];
      const idempotencyKey = verb === 'create' ? keyOf(message) : null; // NA3
      return gateway.command(id, verb as ScenarioVerb, body, {
        requestId,
        ...(traceparent === undefined ? {} : { traceparent }),
        ...(idempotencyKey === null ? {} : { idempotencyKey }),
      });
    });
  }
}

function bodyOf({ body: bytes }: BusMessage): unknown {
  if (bytes.byteLength > LIMITS.messageBytes)
    throw new TroupeError('too_large', `The body has more than ${LIMITS.messageBytes} bytes.`);
  const { body, unreadable } = commandBody(bytes);
  if (unreadable !== undefined) throw new TroupeError('invalid_request', `${unreadable}.`);
  return body;
}

function keyOf({ headers }: BusMessage): string | null {
  const key = headers[HEADERS.idempotencyKey];
  if (key === undefined) return null;
  if (KEY.test(key)) return key;
  const text = `The header ${HEADERS.idempotencyKey} wants 1 to ${LIMITS.idempotencyKey} visible ASCII characters.`;
  throw new TroupeError('invalid_request', text);
}
