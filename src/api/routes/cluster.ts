/** The cluster as it is now: nodes, models, the supervision tree. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { ClusterReader } from '../../actors/ports/gateway.ts';
import { problems } from '../problem.ts';
import { ModelList, NodeList, Tree } from '../schemas.ts';

export const clusterRoutes =
  (cluster: ClusterReader): FastifyPluginAsyncTypebox =>
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
