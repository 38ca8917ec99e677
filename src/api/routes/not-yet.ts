/** What the contract names and this version does not have: it says so, before any body is read. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { TroupeError } from '../../domain/errors.ts';

const NOT_YET = [
  ['POST', '/api/v1/models', 'Uploading a model is'],
  ['POST', '/api/v1/videos', 'Uploading a video is'],
] as const;

export const notYetRoutes: FastifyPluginAsyncTypebox = async app => {
  for (const [method, url, what] of NOT_YET) {
    const refuse = async () => {
      throw new TroupeError('not_supported_yet', `${what} not in this version of Troupe yet.`);
    };
    app.route({ method, url, schema: { hide: true }, onRequest: refuse, handler: refuse });
  }
};
