/**
 * Who may ask at all, decided before a route or a body is looked at.
 *
 * A1 With a token, everything but `/healthz` wants it; it is compared in constant time.
 * A2 Bound to loopback, the Host header must name loopback (or the bound host): a foreign name that resolves to 127.0.0.1 is
 *    how a web page reaches a local server.
 *    Who names two hosts, in two headers or in the target too, is refused: a proxy in between may have gone by the other one.
 * A3 A web page of another origin gets nothing. Only opening an address in the browser (a plain GET navigation) may start elsewhere.
 * A4 A browser sends no Bearer when somebody opens an address. For the page that describes the API, and what it loads, the
 *    token may also be the password of Basic, which a browser asks for. Nothing else takes it.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { TroupeError } from '../domain/errors.ts';

export interface AccessOptions {
  /** The host that the server is bound to. */
  readonly host: string;
  readonly token: string | null;
}

/** @returns an `onRequest` hook. Throws TroupeError unauthenticated | forbidden. */
export function accessCheck(options: AccessOptions): (request: FastifyRequest, reply: FastifyReply) => Promise<void> {
  const expected = options.token === null ? null : digest(options.token);
  const bound = hostName(options.host);
  return async (request, reply) => {
    const { host = '', origin } = request.headers;
    if (namesOthers(request, host)) {
      throw new TroupeError('invalid_request', 'The request names more than one host.');
    }
    if (isLoopback(bound) && !isLoopback(hostName(host)) && hostName(host) !== bound) {
      throw new TroupeError(
        'forbidden',
        `This node answers to loopback names only, not to Host: ${host}. Use 127.0.0.1, or bind the node to that name with --host.`,
      );
    }
    if (origin !== undefined && hostOf(origin) !== host.toLowerCase()) {
      throw new TroupeError(
        'forbidden',
        `A page of ${origin} may not use this API. Ask it from a program, or from /docs of this node.`,
      );
    }
    const site = request.headers['sec-fetch-site'];
    if ((site === 'cross-site' || site === 'same-site') && !isNavigation(request)) {
      throw new TroupeError(
        'forbidden',
        'A page of another origin may not use this API. Ask it from a program, or from /docs of this node.',
      );
    }
    if (expected === null || request.routeOptions.url === '/healthz') return;
    const given = tokenOf(request);
    if (given === undefined || !timingSafeEqual(digest(given), expected)) {
      const bearer = given === undefined ? 'Bearer' : 'Bearer error="invalid_token"';
      // Two lines: browsers read one challenge from each.
      reply.header(
        'www-authenticate',
        opensPage(request) ? [bearer, 'Basic realm="Troupe, token as password"'] : bearer,
      );
      throw new TroupeError('unauthenticated', 'Send the token of this node: Authorization: Bearer <token>.');
    }
  };
}

function tokenOf(request: FastifyRequest): string | undefined {
  const { authorization = '' } = request.headers;
  const basic = isPage(request) ? /^Basic +(\S+)$/i.exec(authorization)?.[1] : undefined; // A4
  if (basic !== undefined) return /:(.*)$/s.exec(Buffer.from(basic, 'base64').toString())?.[1];
  return /^Bearer +(\S+)$/i.exec(authorization)?.[1];
}

const isPage = ({ routeOptions: { url = '' } }: FastifyRequest): boolean => url === '/' || /^\/docs(\/|$)/.test(url);

/** Over plain HTTP a browser sends no Sec-Fetch-* to another host; but it says that it wants a page. */
const opensPage = (request: FastifyRequest): boolean =>
  isPage(request) && (request.headers.accept ?? '').includes('text/html');

/** A second Host header, be it equal: HTTP wants one. Or a target like `http://host/path` of another host. */
function namesOthers({ raw: { rawHeaders, url = '' } }: FastifyRequest, host: string): boolean {
  const names = rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === 'host');
  const target = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(url)?.[1];
  return names.length > 1 || (target !== undefined && target !== host);
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

const isNavigation = (request: FastifyRequest): boolean =>
  request.method === 'GET' &&
  request.headers['sec-fetch-mode'] === 'navigate' &&
  request.headers['sec-fetch-dest'] === 'document';

/** Without port and brackets, in lower case. */
const hostName = (host: string): string =>
  host
    .toLowerCase()
    .replace(/^\[(.*)\](:\d+)?$/, '$1')
    .replace(/^([^:]*):\d+$/, '$1');

export const isLoopback = (name: string): boolean =>
  name === 'localhost' || name.endsWith('.localhost') || name === '::1' || /^127(\.\d{1,3}){3}$/.test(name);

/** `null` and whatever is no URL have no host, so that they equal none. */
const hostOf = (origin: string): string | null => (URL.canParse(origin) ? new URL(origin).host : null);
