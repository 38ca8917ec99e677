/**
 * The API's description of itself: OpenAPI 3.1 at /docs/json, Swagger UI at /docs.
 *
 * O1 The page loads and calls nothing but this node, and works over plain HTTP on any address: no request is upgraded.
 * O2 "Execute" works as the page stands: what must be filled in is filled in, and comes first.
 */
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';

/** O1. Swagger UI's own policy upgrades what it loads to HTTPS, which leaves the page blank on every host but loopback. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'self'",
  "img-src 'self' data:",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const DESCRIPTION = `Runs ONNX models over video on any number of machines; never loses, repeats or reorders a result.

To try it, press **Execute** in *Create a scenario*, then in *Read a scenario*, which waits for its end, then in
*Read predictions*. The examples name a video of Troupe's checkout, for a node started there.`;

/** Must be registered before the routes it is to describe. */
export async function registerOpenApi(app: FastifyInstance, version: string, token: boolean): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Troupe',
        version,
        description: DESCRIPTION,
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
    transformObject: document =>
      pathFirst('openapiObject' in document ? document.openapiObject : document.swaggerObject),
    refResolver: {
      buildLocalReference: ({ $id }, _baseUri, _fragment, i) => (typeof $id === 'string' ? $id : `schema-${i}`),
    },
  });
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: CONTENT_SECURITY_POLICY,
    theme: { title: 'Troupe' },
    uiConfig: {
      // Without a field for the address of another API: the policy would not let the page reach it.
      layout: 'BaseLayout',
      tryItOutEnabled: true,
      displayRequestDuration: true,
      deepLinking: true,
      defaultModelsExpandDepth: 0,
    },
  });
}

/** O2: a path's parameters are required; the framework puts them after the query's. */
function pathFirst<T extends { paths?: object }>(document: T): T {
  const isPath = (parameter: object): boolean => 'in' in parameter && parameter.in === 'path';
  for (const item of Object.values(document.paths ?? {}) as object[]) {
    for (const { parameters } of Object.values(item) as { parameters?: object[] }[]) {
      parameters?.sort((a, b) => Number(isPath(b)) - Number(isPath(a)));
    }
  }
  return document;
}
