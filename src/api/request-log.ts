/**
 * Lines of the log about requests: what was refused, failed or took long, with the request's id.
 *
 * RQ1 No query, header or body is logged: only the method, the path, the answer and how long it took.
 * RQ2 Whoever sends many bad requests does not fill the disk: at most `requestLines` a second, the rest is counted.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../actors/ports/clock.ts';
import { LIMITS } from '../domain/limits.ts';
import { parseTraceparent } from '../domain/traceparent.ts';

/** One line; `fields` says the same for programs. */
export type Log = (line: string, fields?: Readonly<Record<string, string | number>>) => void;

const PATH_CHARS = 200;

/** @returns an `onResponse` hook */
export function requestLog(
  log: Log,
  clock: Pick<Clock, 'monotonic'>,
): (request: FastifyRequest, reply: FastifyReply) => Promise<void> {
  let second = 0;
  let lines = 0;
  return async (request, reply) => {
    const { statusCode: status, elapsedTime } = reply;
    // A wait is as long as it was asked for, and a stream (which has no length) as long as somebody reads it.
    const isMeantToLast = request.url.includes('wait=') || reply.getHeader('content-length') === undefined;
    const isSlow = elapsedTime > LIMITS.slowRequestMs && !isMeantToLast;
    if (status < 400 && !isSlow) return;
    const now = Math.floor(clock.monotonic() / 1000);
    if (now !== second) {
      if (lines > LIMITS.requestLines) log(`http: ${lines - LIMITS.requestLines} more requests were refused or slow`);
      second = now;
      lines = 0;
    }
    if (++lines > LIMITS.requestLines) return; // RQ2
    const path = (request.url.split('?')[0] ?? '').slice(0, PATH_CHARS);
    const ms = Math.round(elapsedTime);
    const traceId = parseTraceparent(String(request.headers['traceparent']))?.traceId;
    const trace = traceId === undefined ? '' : `, trace ${traceId}`;
    log(`http: ${request.method} ${path} ${status} in ${ms} ms (request ${request.id}${trace})`, {
      requestId: request.id,
      method: request.method,
      path,
      status,
      ms,
      ...(traceId === undefined ? {} : { traceId }),
    });
  };
}
