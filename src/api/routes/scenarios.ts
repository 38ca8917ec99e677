/** Scenarios: create, read, change their state, delete. */
import { createHash } from 'node:crypto';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import Type from 'typebox';
import type { Random } from '../../actors/ports/clock.ts';
import type { ClusterGateway, CommandOptions, ScenarioGateway } from '../../actors/ports/gateway.ts';
import { invariant, TroupeError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import { invalidRequest } from '../../domain/parse.ts';
import { ScenarioCreation, ScenarioState, type ScenarioView } from '../../domain/scenario.ts';
import { toSpec } from '../../domain/scenario-spec.ts';
import { clientGone } from '../client-gone.ts';
import { decodeIdCursor, encodeCursor } from '../cursor.ts';
import { problems } from '../problem.ts';
import { IdParams, Scenario, ScenarioPage } from '../schemas.ts';

export interface ScenarioRoutesDeps {
  readonly gateway: ScenarioGateway;
  readonly cluster: ClusterGateway;
  readonly random: Random;
  /** Aborted when the server closes: ends long waits. */
  readonly closing: AbortSignal;
}

const Creation = Type.Object(ScenarioCreation.properties, {
  additionalProperties: false,
  examples: [{ id: 'demo', source: { uri: 'test_videos/test_video.mp4' }, model: 'shapes' }],
});

const IdempotencyHeaders = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      pattern: `^[\\x21-\\x7e]{1,${LIMITS.idempotencyKey}}$`,
      description: 'the same key and body within 24 h answer the same scenario',
    }),
  ),
});

const described = <T extends object>(schema: T, description: string) => ({ ...schema, description });

export const scenarioRoutes =
  ({ gateway, cluster, random, closing }: ScenarioRoutesDeps): FastifyPluginAsyncTypebox =>
  async app => {
    app.post(
      '/scenarios',
      {
        schema: {
          operationId: 'createScenario',
          tags: ['scenarios'],
          summary: 'Create a scenario',
          description: 'Runs a model over a video. The scenario starts at once unless `start` is false.',
          headers: IdempotencyHeaders,
          body: Creation,
          response: {
            201: described(Scenario, 'created (or created before with the same Idempotency-Key)'),
            ...problems(
              'scenario_exists',
              'idempotency_conflict',
              'too_large',
              'unsupported_media_type',
              'mailbox_full',
              'source_unreadable',
              'source_not_allowed',
              'model_not_found',
              'model_unsupported',
              'class_unknown',
              'not_supported_yet',
            ),
          },
        },
      },
      async (request, reply) => {
        const { id: wanted, ...body } = request.body;
        const spec = toSpec(body);
        const key = request.headers['idempotency-key'];
        const id = wanted ?? (key === undefined ? random.token(12) : idOfKey(key));
        // An existing scenario decides for itself: a conflict, or the answer to a repeated key, even if its video is gone by now.
        if ((wanted === undefined && key === undefined) || !(await exists(id))) {
          await cluster.probe(spec);
        }
        const { scenario } = await gateway.command(id, 'create', body, {
          ...commandOptions(request),
          ...(key === undefined ? {} : { idempotencyKey: key }),
        });
        return reply.code(201).header('location', `/api/v1/scenarios/${id}`).send(present(scenario));
      },
    );

    async function exists(id: string): Promise<boolean> {
      try {
        await gateway.get(id);
        return true;
      } catch (error) {
        if (error instanceof TroupeError && error.code === 'scenario_not_found') return false;
        throw error;
      }
    }

    app.get(
      '/scenarios',
      {
        schema: {
          operationId: 'listScenarios',
          tags: ['scenarios'],
          summary: 'List scenarios',
          description: 'Ordered by id.',
          querystring: Type.Object(
            {
              state: Type.Optional(ScenarioState),
              limit: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.pageItems, default: 100 })),
              cursor: Type.Optional(Type.String({ description: 'the nextCursor of the page before' })),
            },
            { additionalProperties: false },
          ),
          response: { 200: described(ScenarioPage, 'a page of scenarios'), ...problems() },
        },
      },
      async request => {
        const { state = null, limit = 100, cursor } = request.query;
        const after = cursor === undefined ? null : decodeIdCursor(cursor);
        const found = await gateway.list({ state, limit: limit + 1, after });
        const items = found.slice(0, limit);
        const last = items.at(-1);
        return { items, ...(found.length > limit && last !== undefined ? { nextCursor: encodeCursor(last.id) } : {}) };
      },
    );

    app.get(
      '/scenarios/:id',
      {
        schema: {
          operationId: 'getScenario',
          tags: ['scenarios'],
          summary: 'Read a scenario',
          description: 'With `wait`, answers when the scenario is inactive or the time is over, whichever comes first.',
          params: IdParams,
          querystring: Type.Object(
            {
              wait: Type.Optional(
                Type.Number({
                  minimum: 0,
                  maximum: LIMITS.waitSeconds,
                  description: 'seconds; 0 or absent: answers at once',
                  examples: [30],
                }),
              ),
            },
            { additionalProperties: false },
          ),
          response: { 200: described(Scenario, 'the scenario'), ...problems('scenario_not_found') },
        },
      },
      async (request, reply) => {
        const { id } = request.params;
        const { wait } = request.query;
        if (wait === undefined) return gateway.get(id);
        const over = AbortSignal.any([closing, clientGone(reply)]);
        try {
          return await gateway.wait(id, wait * 1000, over);
        } catch (error) {
          if (over.aborted) return gateway.get(id);
          throw error;
        }
      },
    );

    app.post(
      '/scenarios/:id/start',
      {
        schema: {
          operationId: 'startScenario',
          tags: ['scenarios'],
          summary: 'Start a scenario',
          description:
            'A stopped or failed one goes on where it stopped, in the same run; `from=start` begins a new run.',
          params: IdParams,
          querystring: Type.Object(
            { from: Type.Optional(Type.Literal('start', { description: 'a new run, from the first frame' })) },
            { additionalProperties: false },
          ),
          response: {
            200: described(Scenario, 'it was running already'),
            202: described(Scenario, 'it starts'),
            ...problems('scenario_not_found', 'illegal_transition', 'mailbox_full'),
          },
        },
      },
      async (request, reply) => {
        refuseBody(request);
        const { from } = request.query;
        const body = from === undefined ? {} : { from };
        const { scenario, changed } = await gateway.command(request.params.id, 'start', body, commandOptions(request));
        return reply.code(changed ? 202 : 200).send(present(scenario));
      },
    );

    app.post(
      '/scenarios/:id/stop',
      {
        schema: {
          operationId: 'stopScenario',
          tags: ['scenarios'],
          summary: 'Stop a scenario',
          description: 'What was computed so far stays readable, and a later start goes on from there.',
          params: IdParams,
          response: {
            200: described(Scenario, 'it was inactive already'),
            202: described(Scenario, 'it stops'),
            ...problems('scenario_not_found', 'mailbox_full'),
          },
        },
      },
      async (request, reply) => {
        refuseBody(request);
        const { scenario, changed } = await gateway.command(request.params.id, 'stop', {}, commandOptions(request));
        const view = present(scenario);
        return reply.code(!changed && view.state === 'inactive' ? 200 : 202).send(view);
      },
    );

    app.delete(
      '/scenarios/:id',
      {
        schema: {
          operationId: 'deleteScenario',
          tags: ['scenarios'],
          summary: 'Delete a scenario with its results',
          description: 'Only an inactive one: stop it before.',
          params: IdParams,
          response: {
            204: Type.Null({ description: 'deleted' }),
            ...problems('scenario_not_found', 'scenario_running', 'mailbox_full'),
          },
        },
      },
      async (request, reply) => {
        await gateway.command(request.params.id, 'delete', {}, commandOptions(request));
        return reply.code(204).send(null);
      },
    );
  };

function commandOptions(request: FastifyRequest): CommandOptions {
  const { traceparent } = request.headers;
  return { requestId: request.id, ...(typeof traceparent === 'string' ? { traceparent } : {}) };
}

/** One key names one scenario on every API node, so that its actor can tell a repeat from a conflict. */
const idOfKey = (key: string): string => createHash('sha256').update(key).digest('hex').slice(0, 24);

function present(scenario: ScenarioView | null): ScenarioView {
  invariant(scenario !== null, 'every command but delete answers with the scenario');
  return scenario;
}

function refuseBody(request: FastifyRequest): void {
  const { body } = request;
  if (body === undefined || body === null || (typeof body === 'object' && Object.keys(body).length === 0)) return;
  throw invalidRequest('The request', [{ path: '', message: 'must have no body' }]);
}
