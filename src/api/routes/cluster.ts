/** The cluster as it is now: nodes, models, the supervision tree. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { ClusterGateway } from '../../actors/ports/gateway.ts';
import { problems } from '../problem.ts';
import { ModelList, Node, NodeList, NodeParams, Tree } from '../schemas.ts';

export const clusterRoutes =
  (cluster: ClusterGateway): FastifyPluginAsyncTypebox =>
  async app => {
    app.get(
      '/nodes',
      {
        schema: {
          operationId: 'listNodes',
          tags: ['cluster'],
          summary: 'List live nodes',
          description: 'Roles, slots, load, roots and engine of each.',
          response: { 200: { ...NodeList, description: 'the nodes' }, ...problems() },
        },
      },
      async () => ({ items: [...(await cluster.nodes())] }),
    );

    const draining = {
      tags: ['cluster'],
      params: NodeParams,
      response: {
        202: { ...Node, description: 'the node, which was told' },
        ...problems('node_not_found', 'unavailable'),
      },
    };
    app.post(
      '/nodes/:node/drain',
      {
        schema: {
          ...draining,
          operationId: 'drainNode',
          summary: 'Drain a node',
          description:
            'Its runners stop between two frames and go on elsewhere, its partitions are handed over, and it takes no more, ' +
            'until it is undrained or started anew. It is empty when `running` is 0 and `partitions` is empty.',
        },
      },
      async (request, reply) => reply.code(202).send(await cluster.drain(request.params.node, true)),
    );
    app.post(
      '/nodes/:node/undrain',
      {
        schema: {
          ...draining,
          operationId: 'undrainNode',
          summary: 'Let a drained node take part again',
          description: 'It takes runners at once, and its share of the partitions as they are released to it.',
        },
      },
      async (request, reply) => reply.code(202).send(await cluster.drain(request.params.node, false)),
    );

    app.get(
      '/models',
      {
        schema: {
          operationId: 'listModels',
          tags: ['cluster'],
          summary: 'List registered models',
          description: 'Name, digest, input, family and classes of each.',
          response: { 200: { ...ModelList, description: 'the models' }, ...problems() },
        },
      },
      async () => ({ items: [...(await cluster.models())] }),
    );

    app.get(
      '/tree',
      {
        schema: {
          operationId: 'getTree',
          tags: ['cluster'],
          summary: 'Read the supervision tree',
          description: "As the supervisors' own child tables have it.",
          response: { 200: { ...Tree, description: 'the root' }, ...problems() },
        },
      },
      () => cluster.tree(),
    );
  };
