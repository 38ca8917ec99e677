/**
 * Builds the HTTP API; listening and closing are its caller's.
 *
 * H1 A body is validated as it was sent: nothing is converted, filled in or dropped. Query values that are to be numbers are converted
 *    when they are plain decimal numbers, and refused otherwise.
 * H2 Closing ends idle connections and long waits at once, and everything else after a bounded time.
 * H3 Nobody holds a connection by sending slowly, and nobody holds all of them: headers, bodies and requests have a deadline.
 * H4 A node that stops says `Connection: close` with every answer and goes on with what it has: clients and balancers leave it.
 * H5 An answer before the whole request is there ends the connection; nobody gets one that he did not ask for.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import type { TSchema } from 'typebox';
import type { Clock, Random } from '../actors/ports/clock.ts';
import type { ClusterGateway, EventGateway, ScenarioGateway } from '../actors/ports/gateway.ts';
import type { Journal } from '../actors/ports/journal.ts';
import type { PredictionReader } from '../actors/ports/projection.ts';
import type { HttpTelemetry, MetricsText } from '../actors/ports/telemetry.ts';
import { TroupeError } from '../domain/errors.ts';
import { knownRequestId } from '../domain/ids.ts';
import { LIMITS } from '../domain/limits.ts';
import { invalidRequest, problemsOf } from '../domain/parse.ts';
import { accessCheck } from './access.ts';
import { registerOpenApi } from './openapi.ts';
import { type DefectReport, ProblemDocument, refuseConnection, sendProblem } from './problem.ts';
import { rateLimit } from './rate-limit.ts';
import { type Log, requestLog } from './request-log.ts';
import { clusterRoutes } from './routes/cluster.ts';
import { eventRoutes } from './routes/events.ts';
import { healthRoutes } from './routes/health.ts';
import { metricsRoutes } from './routes/metrics.ts';
import { notYetRoutes } from './routes/not-yet.ts';
import { rejectedRoutes } from './routes/rejected.ts';
import { resultRoutes } from './routes/results.ts';
import { scenarioRoutes } from './routes/scenarios.ts';
import { timelineRoutes } from './routes/timeline.ts';
import { COMPONENTS } from './schemas.ts';

export interface ApiDeps {
  readonly gateway: ScenarioGateway;
  readonly cluster: ClusterGateway;
  readonly events: EventGateway;
  readonly projection: PredictionReader;
  readonly journal: Journal;
  readonly metrics: MetricsText;
  readonly telemetry: HttpTelemetry;
  readonly clock: Clock;
  readonly random: Random;
  readonly options: {
    /** The host it will be bound to. */
    readonly host: string;
    /** null: none is wanted; only sensible on loopback. */
    readonly token: string | null;
    readonly version: string;
    /** Requests a second that one client may send; 0: any number. Default: any number. */
    readonly rateLimit?: number;
    /** The node is to end: H4. */
    readonly isStopping?: () => boolean;
    readonly log?: Log;
    /** Deadlines of H3, for tests. */
    readonly headersMs?: number;
    readonly bodyMs?: number;
    /** Hears of answers with status 500. Default: one line on stderr. */
    readonly onDefect?: DefectReport;
  };
}

export async function buildApi(deps: ApiDeps): Promise<FastifyInstance> {
  const { gateway, cluster, events, projection, journal, metrics, telemetry, clock, random, options } = deps;
  const onDefect = options.onDefect ?? ((error, requestId) => console.error(`request ${requestId} failed:`, error));
  const refuse: typeof refuseConnection = (error, socket, requestId) => {
    if (isAnswering(socket)) socket.destroy();
    else refuseConnection(error, socket, requestId);
  };
  const app = fastify({
    bodyLimit: LIMITS.requestBytes,
    // H3
    requestTimeout: LIMITS.httpRequestMs,
    http: {
      maxHeaderSize: LIMITS.httpHeaderBytes,
      headersTimeout: options.headersMs ?? LIMITS.httpHeadersMs,
      connectionsCheckingInterval: CHECK_MS,
      // Node would answer a missing Host by itself, with nothing in it.
      requireHostHeader: false,
    },
    return503OnClosing: false,
    genReqId: raw => knownRequestId(raw.headers['x-request-id']) ?? random.token(16),
    // H5: of a target that cannot be read no hook hears.
    frameworkErrors: (error, request, reply) =>
      sendProblem(error, request, reply.header('connection', 'close'), onDefect),
    clientErrorHandler: (error, socket) => refuse(error, socket, random.token(16)),
  }).withTypeProvider<TypeBoxTypeProvider>();
  app.server.maxConnections = LIMITS.httpConnections;
  const isAnswering = answersOf(app.server);

  app.setErrorHandler((error, request, reply) => sendProblem(error, request, reply, onDefect));
  app.setValidatorCompiler<TSchema>(({ schema, httpPart }) => data => {
    const value = httpPart === 'body' ? data : withNumbers(schema, data);
    const errors = problemsOf(schema, value);
    return errors.length === 0 ? { value } : { error: invalidRequest(PARTS[httpPart ?? ''] ?? 'The request', errors) };
  });
  readJsonOnly(app);

  const closing = new AbortController();
  app.addHook('onRequest', async (request, reply) => {
    if (closing.signal.aborted || options.isStopping?.() === true) reply.header('connection', 'close'); // H4
    reply.headers({ 'x-request-id': request.id, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
  });
  app.addHook('onRequest', bodyDeadline(clock, options.bodyMs ?? LIMITS.httpBodyMs, refuse));
  app.addHook('onSend', async ({ raw }, reply) => {
    if (hasBody(raw) && !raw.complete) reply.header('connection', 'close'); // H5
  });
  if ((options.rateLimit ?? 0) > 0) app.addHook('onRequest', rateLimit(options.rateLimit ?? 0, clock));
  app.addHook('onRequest', async ({ headers, raw }) => {
    if (headers.host === undefined && raw.httpVersion === '1.1')
      throw invalidRequest('The request', [{ path: 'Host', message: 'is required' }]);
  });
  app.addHook('onRequest', accessCheck(options));
  answerByProblems(app.server, () => random.token(16));
  if (options.log !== undefined) app.addHook('onResponse', requestLog(options.log, clock));
  app.addHook('onResponse', async (request, reply) => {
    telemetry.answered(request.routeOptions.url ?? null, request.method, reply.statusCode, reply.elapsedTime);
  });

  const allowed = methodsByPath(app);
  app.setNotFoundHandler(async (request, reply) => {
    const path = request.url.split('?')[0] ?? '';
    const methods = allowed(path);
    if (methods.length === 0) throw new TroupeError('not_found', `There is nothing at ${path}.`);
    reply.header('allow', methods.join(', '));
    throw new TroupeError('method_not_allowed', `${path} answers ${methods.join(', ')}, not ${request.method}.`);
  });

  app.addHook('preClose', async () => {
    // H2
    closing.abort();
    clock.timer(LIMITS.apiDrainMs, () => app.server.closeAllConnections());
  });

  for (const schema of [ProblemDocument, ...COMPONENTS]) app.addSchema(schema);
  await registerOpenApi(app, options.version, options.token !== null);
  await app.register(healthRoutes(cluster));
  await app.register(metricsRoutes(metrics));
  await app.register(scenarioRoutes({ gateway, cluster, random, closing: closing.signal }), { prefix: '/api/v1' });
  await app.register(resultRoutes({ gateway, projection, version: options.version }), { prefix: '/api/v1' });
  await app.register(clusterRoutes(cluster), { prefix: '/api/v1' });
  await app.register(rejectedRoutes({ journal, clock }), { prefix: '/api/v1' });
  await app.register(timelineRoutes({ gateway, journal, clock }), { prefix: '/api/v1' });
  await app.register(eventRoutes({ events, closing: closing.signal }), { prefix: '/api/v1' });
  await app.register(notYetRoutes);
  await app.ready();
  return app;
}

/** How often connections are looked at for H3. */
const CHECK_MS = 1_000;

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

/** H3: begins before anybody can be refused. */
function bodyDeadline(
  clock: Clock,
  bodyMs: number,
  refuse: typeof refuseConnection,
): (request: FastifyRequest) => Promise<void> {
  return async ({ raw, id }) => {
    if (!hasBody(raw) || raw.complete) return;
    const late = clock.timer(bodyMs, () => {
      const error = Object.assign(new Error('the body is late'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' });
      refuse(error, raw.socket, id);
    });
    for (const over of ['end', 'close']) raw.once(over, () => late.cancel());
  };
}

/** H5. @returns whether words of its own would come in the middle of an answer, before an earlier one or after the last */
function answersOf(server: Server): (socket: Duplex) => boolean {
  const open = new WeakMap<Duplex, Set<ServerResponse>>();
  server.on('request', ({ socket }, response) => {
    const all = open.get(socket) ?? new Set();
    open.set(socket, all.add(response));
    for (const other of all) if (other !== response && other.writableFinished) all.delete(other);
  });
  return socket =>
    [...(open.get(socket) ?? [])].some(({ req, headersSent, writableFinished }) =>
      req.complete ? !writableFinished : headersSent,
    );
}

const PARTS: Readonly<Record<string, string>> = {
  body: 'The body',
  headers: 'A header',
  params: 'The path',
  querystring: 'The query',
};

/** H1 */
function withNumbers(schema: TSchema, data: unknown): unknown {
  if (typeof data !== 'object' || data === null || !('properties' in schema)) return data;
  const properties = schema.properties as Readonly<Record<string, { readonly type?: unknown }>>;
  return Object.fromEntries(
    Object.entries(data).map(([name, value]) => {
      const type = properties[name]?.type;
      const numeric = (type === 'integer' || type === 'number') && /^-?\d{1,15}(\.\d+)?$/.test(String(value));
      return [name, numeric ? Number(value) : value];
    }),
  );
}

/** What Node answers by itself, with nothing in it: an expectation (RFC 9110 lets it be ignored) and a tunnel. */
function answerByProblems(server: Server, requestId: () => string): void {
  server.on('checkExpectation', (request, response) => void server.emit('request', request, response));
  server.on('connect', (_, socket) => refuseConnection(new Error('no tunnels'), socket, requestId()));
}

/** JSON is the only body there is; an empty one is none, whatever its content type says. */
function readJsonOnly(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined);
    else void parse(request, String(body), done);
  });
}

/** Which methods each path answers, to tell a wrong method (405) from a wrong path (404). */
function methodsByPath(app: FastifyInstance): (path: string) => string[] {
  const routes: { readonly pattern: RegExp; readonly methods: readonly string[] }[] = [];
  app.addHook('onRoute', ({ url, method }) => {
    routes.push({
      pattern: new RegExp(`^${url.replace(/:\w+/g, '[^/]+').replace('*', '.*')}$`),
      methods: [method].flat(),
    });
  });
  return path => [...new Set(routes.filter(r => r.pattern.test(path)).flatMap(r => r.methods))].sort();
}
