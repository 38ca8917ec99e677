/**
 * RFC 9457 problem documents: the one form in which this API says no.
 *
 * E1 Every refusal is a problem document with a stable code, also those of the framework and of the HTTP parser.
 * E2 A defect says nothing about itself to the outside but its request id; its error goes to `onDefect`.
 */
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import Type, { type Static } from 'typebox';
import { PROBLEMS, type ProblemCode, TroupeError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';

const CONTENT_TYPE = 'application/problem+json';
const RETRY_AFTER_SECONDS = '1';

export const ProblemDocument = Type.Object(
  {
    type: Type.String({ description: 'a URN made of the code' }),
    title: Type.String(),
    status: Type.Integer(),
    code: Type.String({ description: 'stable; what a program decides by' }),
    detail: Type.String({ description: 'what happened here and what to do about it' }),
    requestId: Type.String(),
    errors: Type.Optional(
      Type.Array(
        Type.Object({
          path: Type.String({ description: 'where in the request, such as `sampling.every`' }),
          message: Type.String(),
        }),
      ),
    ),
  },
  { $id: 'Problem', description: 'RFC 9457 problem document' },
);
export type ProblemDocument = Static<typeof ProblemDocument>;

export type DefectReport = (error: unknown, requestId: string) => void;

/** Response schemas for the statuses of these codes and of those that any route may answer. */
export function problems(...codes: readonly ProblemCode[]): Record<number, object> {
  const all: readonly ProblemCode[] = [
    ...codes,
    'too_many_requests',
    'invalid_request',
    'unauthenticated',
    'forbidden',
    'internal',
    'unavailable',
  ];
  const byStatus = Map.groupBy(new Set(all), code => PROBLEMS[code]);
  return Object.fromEntries(
    [...byStatus].map(([status, of]) => [
      status,
      { description: of.join(', '), content: { [CONTENT_TYPE]: { schema: { $ref: 'Problem#' } } } },
    ]),
  );
}

/** E1 */
export function sendProblem(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  onDefect: DefectReport,
): void {
  const known = toTroupeError(error);
  if (known.code === 'internal') onDefect(error, request.id);
  const status = PROBLEMS[known.code];
  if ((status === 503 || status === 429) && !reply.hasHeader('retry-after')) {
    reply.header('retry-after', RETRY_AFTER_SECONDS);
  }
  reply
    .code(status)
    .header('x-request-id', request.id)
    .type(CONTENT_TYPE)
    .serializer(JSON.stringify)
    .send(toDocument(known, request.id));
}

function toDocument(error: TroupeError, requestId: string): ProblemDocument {
  return {
    type: `urn:troupe:problem:${error.code}`,
    title: title(error.code),
    status: PROBLEMS[error.code],
    code: error.code,
    detail: error.code === 'internal' ? 'Something went wrong in Troupe. Its log has the request id.' : error.message,
    requestId,
    ...(error.errors === undefined ? {} : { errors: [...error.errors] }),
  };
}

const title = (code: ProblemCode): string => `${code.charAt(0).toUpperCase()}${code.slice(1).replaceAll('_', ' ')}`;

/** E2: what is neither ours nor the framework's complaint about the request is a defect. */
function toTroupeError(error: unknown): TroupeError {
  if (error instanceof TroupeError) return error;
  if (error instanceof Error && 'statusCode' in error) {
    if (error.statusCode === 413)
      return new TroupeError(
        'too_large',
        `The request body is too large: at most ${LIMITS.requestBytes} bytes of JSON are read.`,
      );
    if (error.statusCode === 415) {
      return new TroupeError('unsupported_media_type', 'Send JSON, with Content-Type: application/json.');
    }
    if (error.statusCode === 404) return new TroupeError('not_found', error.message);
    if (error.statusCode === 400 || error.statusCode === 414) {
      return new TroupeError('invalid_request', `The request is not valid: ${error.message}`);
    }
  }
  return new TroupeError('internal', 'defect', { cause: error });
}

/** E1: what Node's HTTP parser refuses has no request yet; answered by hand, and the connection ends. */
export function refuseConnection(error: Error, socket: Duplex, requestId: string): void {
  if (!socket.writable || ('code' in error && error.code === 'ECONNRESET')) {
    socket.destroy();
    return;
  }
  const refusal = parserRefusal('code' in error ? error.code : null);
  const body = JSON.stringify(toDocument(refusal, requestId));
  const status = PROBLEMS[refusal.code];
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    `Content-Type: ${CONTENT_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    `X-Request-Id: ${requestId}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

/** By the code of Node's HTTP parser. */
function parserRefusal(code: unknown): TroupeError {
  if (code === 'HPE_HEADER_OVERFLOW') {
    const most = `${LIMITS.httpHeaderBytes} bytes`;
    return new TroupeError('headers_too_large', `The address and the headers of a request have ${most} at most.`);
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new TroupeError('request_timeout', 'The request did not arrive in time.', { retryable: true });
  }
  return new TroupeError('invalid_request', 'This is not an HTTP/1.1 request that can be understood.');
}
