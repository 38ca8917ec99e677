/**
 * How many requests one client may send: a bucket of tokens each, which fills steadily.
 *
 * RL1 A request takes one token, one that changes something `WRITE_COST`: it ends in writes that a disk has to have.
 * RL2 A client is an address; of IPv6 the /64, which is what one machine has. Behind a proxy all are one: limit there.
 * RL3 Whether the process is up and can serve is told to everybody, whatever they have used.
 * RL4 Memory is bounded: of more than `clients` the one that was heard of longest ago is forgotten, and begins with a full bucket.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../actors/ports/clock.ts';
import { TroupeError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';

const WRITE_COST = 10;
/** A bucket holds what comes in this many seconds: bursts are ordinary, and a steady stream is what hurts. */
const BURST_SECONDS = 10;
const FREE: ReadonlySet<string | undefined> = new Set(['/healthz', '/readyz']);
const READS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

interface Bucket {
  tokens: number;
  at: number;
}

/** @returns an `onRequest` hook. Throws TroupeError too_many_requests, with `Retry-After` set */
export function rateLimit(
  perSecond: number,
  clock: Pick<Clock, 'monotonic'>,
): (request: FastifyRequest, reply: FastifyReply) => Promise<void> {
  const most = perSecond * BURST_SECONDS;
  const buckets = new Map<string, Bucket>();
  return async (request, reply) => {
    if (FREE.has(request.routeOptions.url)) return; // RL3
    const client = clientOf(request.ip);
    const now = clock.monotonic();
    const bucket = buckets.get(client) ?? { tokens: most, at: now };
    bucket.tokens = Math.min(most, bucket.tokens + ((now - bucket.at) * perSecond) / 1000);
    bucket.at = now;
    buckets.delete(client); // to the end: the map is in order of age (RL4)
    buckets.set(client, bucket);
    for (const oldest of buckets.keys()) {
      if (buckets.size <= LIMITS.clients) break;
      buckets.delete(oldest);
    }
    const cost = Math.min(READS.has(request.method) ? 1 : WRITE_COST, most); // RL1
    if (bucket.tokens >= cost) {
      bucket.tokens -= cost;
      return;
    }
    const seconds = Math.ceil((cost - bucket.tokens) / perSecond);
    reply.header('retry-after', String(seconds));
    throw new TroupeError(
      'too_many_requests',
      `This node takes ${perSecond} requests a second from one client (--rate-limit), and one that changes something counts ${WRITE_COST}. Try again in ${seconds} s.`,
      { retryable: true },
    );
  };
}

/** RL2. A connection that has gone meanwhile has no address any more: whoever it was hears no answer. */
export function clientOf(ip: string | undefined): string {
  const plain = (ip ?? '').replace(/^::ffff:(?=\d+\.)/, '');
  if (!plain.includes(':')) return plain;
  const [head = '', tail] = plain.split('::');
  const words = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const gap = tail === undefined ? [] : Array.from({ length: Math.max(0, 8 - words.length - after.length) }, () => '0');
  return [...words, ...gap, ...after].slice(0, 4).join(':');
}
