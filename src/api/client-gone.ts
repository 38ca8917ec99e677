import type { FastifyReply } from 'fastify';

/** Aborted when the answer is sent or its client is gone, whichever comes first. */
export function clientGone(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  return gone.signal;
}
