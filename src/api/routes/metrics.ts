/** Prometheus text: this node's metrics, and those of the other live nodes. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type from 'typebox';
import type { MetricsText } from '../../actors/ports/telemetry.ts';
import { problems } from '../problem.ts';

const Scope = Type.Union([Type.Literal('cluster'), Type.Literal('node')], { default: 'cluster' });

export const metricsRoutes =
  (metrics: MetricsText): FastifyPluginAsyncTypebox =>
  async app => {
    app.get(
      '/metrics',
      {
        schema: {
          operationId: 'getMetrics',
          tags: ['health'],
          summary: 'Read the metrics',
          description:
            'Prometheus text of every live node, each value with its `node`; a node that does not answer has `troupe_node_up 0`. ' +
            'With `scope=node` of this one alone, for who reads every node by itself.',
          querystring: Type.Object({ scope: Type.Optional(Scope) }, { additionalProperties: false }),
          response: {
            200: {
              description: 'the metrics',
              content: { 'text/plain': { schema: Type.String() } },
            },
            ...problems(),
          },
        },
      },
      async (request, reply) => {
        const text = await metrics.text(request.query.scope ?? 'cluster');
        return reply.type(metrics.contentType).serializer(String).send(text);
      },
    );
  };
