/** Is the process up, and can it serve; and where somebody who opens the node's address lands. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type from 'typebox';
import type { ClusterGateway } from '../../actors/ports/gateway.ts';
import { TroupeError } from '../../domain/errors.ts';
import { problems } from '../problem.ts';

const Status = (status: string, description: string) => Type.Object({ status: Type.Literal(status) }, { description });

export const healthRoutes =
  (cluster: ClusterGateway): FastifyPluginAsyncTypebox =>
  async app => {
    app.get('/', { schema: { hide: true } }, async (_, reply) => reply.redirect('/docs'));

    app.get(
      '/healthz',
      {
        schema: {
          operationId: 'getHealth',
          tags: ['health'],
          summary: 'Is the process up',
          description: 'Wants no token.',
          security: [],
          response: { 200: Status('ok', 'it is') },
        },
      },
      async () => ({ status: 'ok' }),
    );

    app.get(
      '/readyz',
      {
        schema: {
          operationId: 'getReadiness',
          tags: ['health'],
          summary: 'Can this node serve',
          description: 'NATS is reachable and every partition has an owner.',
          response: { 200: Status('ready', 'it can'), ...problems('not_ready') },
        },
      },
      async () => {
        const reasons = await cluster.notReady();
        if (reasons.length === 0) return { status: 'ready' };
        throw new TroupeError('not_ready', reasons.join(' '), { retryable: true });
      },
    );
  };
