/** The API's description of itself: OpenAPI 3.1 at /docs/json, Swagger UI at /docs. */
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';

/** Must be registered before the routes it is to describe. */
export async function registerOpenApi(app: FastifyInstance, version: string, token: boolean): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Troupe',
        version,
        description:
          'Runs ONNX models over video on any number of machines; never loses, repeats or reorders a result.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      tags: [
        { name: 'scenarios', description: 'a model over a video, supervised' },
        { name: 'results', description: 'predictions of a run' },
        { name: 'cluster', description: 'nodes, models, supervision tree' },
        { name: 'health', description: 'for load balancers and service managers' },
      ],
      ...(token
        ? { components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } }, security: [{ token: [] }] }
        : {}),
    },
    refResolver: {
      buildLocalReference: ({ $id }, _baseUri, _fragment, i) => (typeof $id === 'string' ? $id : `schema-${i}`),
    },
  });
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: true,
    uiConfig: { tryItOutEnabled: true, displayRequestDuration: true, deepLinking: true },
  });
}
