/** The edge: how much, how slowly and for how long somebody may ask. */
import { once } from 'node:events';
import { connect } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { rateLimit } from '../../src/api/rate-limit.ts';
import { requestLog } from '../../src/api/request-log.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { clock, problemOf, REQUEST, serveApi } from './served-api.ts';

const test = suite('edge');
const SCENARIOS = '/api/v1/scenarios';

/** Sends bytes as they are. @returns everything that came until the connection ended */
async function everything(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {}); // the other side may be done with us before we are
  socket.write(bytes);
  const chunks: Buffer[] = [];
  socket.on('data', chunk => chunks.push(chunk));
  await once(socket, 'close');
  return Buffer.concat(chunks).toString();
}

async function raw(port: number, bytes: string): Promise<{ head: string; code: string }> {
  const [head = '', body = '{}'] = (await everything(port, bytes)).split('\r\n\r\n');
  return { head, code: (JSON.parse(body) as { code: string }).code };
}

/** What the limit says to a request, at a time of its own. */
function limited(perSecond: number) {
  const time = { now: 0 };
  const hook = rateLimit(perSecond, { monotonic: () => time.now });
  return {
    time,
    /** The seconds to wait; null when it may pass. */
    ask: async (method: string, ip = '10.0.0.1', url = SCENARIOS): Promise<number | null> => {
      let seconds: number | null = null;
      const header = (_: string, value: string): void => {
        seconds = Number(value);
      };
      const request = { method, ip, routeOptions: { url } } as FastifyRequest;
      await hook(request, { header } as unknown as FastifyReply).catch(() => {});
      return seconds;
    },
  };
}

test('RL1: a bucket holds ten seconds of requests and fills steadily; a write counts ten', async () => {
  const { ask, time } = limited(2);
  assert.is(await ask('POST'), null);
  for (let i = 0; i < 10; i++) assert.is(await ask('GET'), null, `read ${i}`);
  assert.is(await ask('GET'), 1);
  assert.is(await ask('POST'), 5);
  time.now += 500;
  assert.is(await ask('GET'), null);
  assert.is(await ask('GET'), 1);
  time.now += 3_600_000;
  for (let i = 0; i < 2; i++) assert.is(await ask('DELETE'), null, 'no more than ten seconds gather');
  assert.is(await ask('DELETE'), 5);
});

test('RL2, RL3: each client has its own bucket, an IPv6 one its /64; the probes need none', async () => {
  const { ask } = limited(1);
  assert.is(await ask('POST', '2001:db8::1'), null);
  assert.is(await ask('GET', '2001:db8::2:0:0:1'), 1, 'of the same /64');
  assert.is(await ask('GET', '2001:db8:0:1::1'), null);
  assert.is(await ask('POST', '10.0.0.1'), null);
  assert.is(await ask('GET', '::ffff:10.0.0.1'), 1);
  for (const url of ['/healthz', '/readyz']) assert.is(await ask('GET', '10.0.0.1', url), null);
});

test('RL1: a limit below one write lets a write through all the same, when the bucket is full', async () => {
  const { ask, time } = limited(0.5);
  assert.is(await ask('POST'), null);
  time.now += 10_000;
  assert.is(await ask('POST'), null);
});

test('over its rate a client gets a problem document with Retry-After', async () => {
  await using api = await serveApi({ rateLimit: 1 });
  assert.is((await api.send('POST', SCENARIOS, { id: 'a', ...REQUEST })).status, 201);
  const answers = await Promise.all(Array.from({ length: 40 }, () => api.fetch(SCENARIOS)));
  const refused = answers.find(({ status }) => status === 429);
  assert.ok(refused !== undefined);
  assert.is(refused.headers.get('retry-after'), '1');
  await problemOf(refused, 429, 'too_many_requests');
});

test('RL2: on loopback nobody is limited unless it is said', async () => {
  await using api = await serveApi();
  const answers = await Promise.all(Array.from({ length: 100 }, () => api.fetch(SCENARIOS)));
  assert.ok(answers.every(({ status }) => status === 200));
});

test('H3: headers and an address that are too large are 431, and those that are late 408', async () => {
  await using api = await serveApi({ headersMs: 300 });
  const large = 'x'.repeat(LIMITS.httpHeaderBytes);
  for (const bytes of [
    `GET / HTTP/1.1\r\nHost: a\r\nX: ${large}\r\n\r\n`,
    `GET /${large} HTTP/1.1\r\nHost: a\r\n\r\n`,
  ]) {
    const { head, code } = await raw(api.port, bytes);
    assert.match(head, /^HTTP\/1.1 431 .*\r\nContent-Type: application\/problem\+json/);
    assert.is(code, 'headers_too_large');
  }
  const { head, code } = await raw(api.port, 'GET / HTTP/1.1\r\nHost: a\r\nX: ');
  assert.match(head, /^HTTP\/1.1 408 /);
  assert.is(code, 'request_timeout');
});

test('H3: a body that does not arrive is 408, and nothing is asked of the cluster', async () => {
  await using api = await serveApi({ bodyMs: 200 });
  const head = `POST ${SCENARIOS} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n`;
  for (const framing of ['Content-Length: 100\r\n\r\n{', 'Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n']) {
    const answer = await raw(api.port, head + framing);
    assert.match(answer.head, /^HTTP\/1.1 408 /);
    assert.is(answer.code, 'request_timeout');
  }
  assert.is(api.cluster.commands.length, 0);
  assert.equal(api.defects, []);
});

test('H3, H5: who is refused before his body is there holds no connection, whatever he says that he sends', async () => {
  await using api = await serveApi({ token: 'sesame' });
  const post = (path: string, ...headers: string[]): Promise<{ head: string }> =>
    raw(api.port, [`POST ${path} HTTP/1.1`, 'Content-Length: 2000000', ...headers, '', '{'].join('\r\n'));
  const host = 'Host: 127.0.0.1';
  const known = 'Authorization: Bearer sesame';
  for (const [status, answer] of [
    [401, post(SCENARIOS, host)],
    [401, post(SCENARIOS, host, 'Content-Type: application/octet-stream')],
    [403, post(SCENARIOS, 'Host: evil.example')],
    [404, post('/nothing', host, known)],
    [413, post(SCENARIOS, host, known, 'Content-Type: application/json')],
    [415, post(SCENARIOS, host, known, 'Content-Type: text/plain')],
    [400, post('/%zz', host)],
  ] as const) {
    const { head } = await answer;
    assert.match(head, new RegExp(`^HTTP/1.1 ${status} [^]*connection: close`, 'i'));
  }
  // One that refuses it late: the deadline of the body runs all the same.
  await using slow = await serveApi({ bodyMs: 200 });
  const upload = `POST ${SCENARIOS} HTTP/1.1\r\n${host}\r\nContent-Type: application/octet-stream\r\nContent-Length: 9\r\n\r\n{`;
  assert.match((await raw(slow.port, upload)).head, /^HTTP\/1.1 415 /);
});

test('H5: a request that was answered gets no second answer when its body is late, nor does a stream or an earlier request', async () => {
  await using api = await serveApi({ bodyMs: 200 });
  api.have('cam');
  api.cluster.told = [{ kind: 'quiet' }];
  const lines = 'Host: 127.0.0.1\r\nContent-Type: application/json\r\n';
  const late = `${lines}Content-Length: 9\r\n\r\n{`;
  const stream = `${SCENARIOS}/cam/events`;
  for (const bytes of [
    `GET /healthz HTTP/1.1\r\n${late}`,
    `GET ${stream} HTTP/1.1\r\n${late}`,
    `GET ${stream} HTTP/1.1\r\n${lines}\r\nnonsense\r\n\r\n`,
    `GET ${stream} HTTP/1.1\r\n${lines}\r\nPOST ${SCENARIOS} HTTP/1.1\r\n${late}`,
  ]) {
    const text = await everything(api.port, bytes);
    const answers = text.match(/HTTP\/1.1 \d+/g) ?? [];
    assert.ok(answers.length <= 1 && answers.every(answer => answer === 'HTTP/1.1 200'), text);
  }
});

test('H4: a node that stops says so with every answer, and answers all the same', async () => {
  let stopping = false;
  await using api = await serveApi({ isStopping: () => stopping });
  assert.is.not((await api.fetch(SCENARIOS)).headers.get('connection'), 'close');
  stopping = true;
  for (const path of [SCENARIOS, '/healthz', '/nothing']) {
    assert.is((await api.fetch(path)).headers.get('connection'), 'close', path);
  }
});

test('RQ1, RQ2: what is refused is logged with its request id, without query and headers, and boundedly', async () => {
  const lines: string[] = [];
  await using api = await serveApi({ log: line => void lines.push(line), token: 'sesame' });
  const headers = { 'x-request-id': 'req-1', authorization: 'Bearer guessed' };
  await api.fetch(`${SCENARIOS}/cam?secret=1`, { headers });
  assert.match(lines.join(), /^http: GET \/api\/v1\/scenarios\/cam 401 in \d+ ms \(request req-1\)$/);
  await api.fetch(SCENARIOS, { headers: { authorization: 'Bearer sesame' } });
  assert.is(lines.length, 1, 'an ordinary answer is no line');
  const began = clock.monotonic();
  const many = 5 * LIMITS.requestLines;
  for (let i = 0; i < many; i++) await api.fetch(SCENARIOS);
  const seconds = Math.ceil((clock.monotonic() - began) / 1000) + 1;
  assert.ok(lines.length <= 1 + seconds * (LIMITS.requestLines + 1), `${lines.length} lines in ${seconds} s`);
});

test('RQ1: what took long is logged, but not what was meant to: waits and streams', async () => {
  const lines: string[] = [];
  const hook = requestLog(line => void lines.push(line), { monotonic: () => 0 });
  const answer = (url: string, elapsedTime: number, length: number | undefined): Promise<void> =>
    hook(
      { method: 'GET', url, id: 'r', headers: {} } as FastifyRequest,
      { statusCode: 200, elapsedTime, getHeader: () => length } as unknown as FastifyReply,
    );
  await answer('/api/v1/scenarios/a', LIMITS.slowRequestMs - 1, 1);
  await answer('/api/v1/scenarios/a?wait=60', 60_000, 1);
  await answer('/api/v1/scenarios/a/events', 60_000, undefined);
  assert.equal(lines, []);
  await answer('/api/v1/scenarios/a', LIMITS.slowRequestMs + 1, 1);
  assert.is(lines.join(), `http: GET /api/v1/scenarios/a 200 in ${LIMITS.slowRequestMs + 1} ms (request r)`);
});

test.run();
