import { once } from 'node:events';
import { connect } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LIMITS } from '../../src/domain/limits.ts';
import { problemOf, REQUEST, type ServedApi, serveApi } from './served-api.ts';

const test = suite('refusals');
let api: ServedApi;
test.before(async () => {
  api = await serveApi();
  api.have('cam');
});
test.after(async () => {
  await api[Symbol.asyncDispose]();
});

const SCENARIOS = '/api/v1/scenarios';

// body, path of the complaint, its message
const BAD_BODIES: readonly (readonly [unknown, string, string | RegExp])[] = [
  [{}, 'source', 'is required'],
  [{ source: {}, model: 'm' }, 'source.uri', 'is required'],
  [[], '', 'must be object'],
  ['"text"', '', 'must be object'],
  ['null', '', 'must be object'],
  [{ ...REQUEST, extra: 1 }, 'extra', 'is not a known field'],
  [{ ...REQUEST, source: { uri: 'a', url: 'b' } }, 'source.url', 'is not a known field'],
  [{ ...REQUEST, sampling: { every: 0 } }, 'sampling.every', 'must be >= 1'],
  [{ ...REQUEST, sampling: { every: '2' } }, 'sampling.every', 'must be integer'],
  [{ ...REQUEST, sampling: { every: 1.5 } }, 'sampling.every', 'must be integer'],
  [{ ...REQUEST, sampling: { fps: 0 } }, 'sampling.fps', 'must be > 0'],
  [{ ...REQUEST, sampling: { every: 2, fps: 1 } }, 'sampling', 'must not have both every and fps'],
  [{ ...REQUEST, sampling: { from: 9, to: 8 } }, 'sampling.to', 'must be >= from (9)'],
  [{ ...REQUEST, sampling: { from: -1 } }, 'sampling.from', 'must be >= 0'],
  [{ ...REQUEST, threshold: 1.01 }, 'threshold', 'must be <= 1'],
  [{ ...REQUEST, threshold: '0.5' }, 'threshold', 'must be number'],
  [{ ...REQUEST, threshold: null }, 'threshold', 'must be number'],
  [{ ...REQUEST, iou: -0.1 }, 'iou', 'must be >= 0'],
  [{ ...REQUEST, classes: [] }, 'classes', /1 item/],
  [{ ...REQUEST, classes: ['a', 1] }, 'classes[1]', 'must be string'],
  [{ ...REQUEST, segments: 0 }, 'segments', 'must be >= 1'],
  [{ ...REQUEST, onFrameError: 'retry' }, 'onFrameError', 'must be "fail" or "skip"'],
  [{ ...REQUEST, inference: { kind: 'cloud' } }, 'inference.kind', /"local"/],
  [{ ...REQUEST, inference: { kind: 'remote' } }, 'inference.url', 'is required'],
  [{ ...REQUEST, restart: { intensity: -1 } }, 'restart.intensity', 'must be >= 0'],
  [{ ...REQUEST, start: 'yes' }, 'start', 'must be boolean'],
  [{ ...REQUEST, id: 'a b' }, 'id', /pattern/],
  [{ ...REQUEST, id: 'x'.repeat(65) }, 'id', /pattern/],
  [{ ...REQUEST, id: 'a.b' }, 'id', /pattern/],
  [{ ...REQUEST, model: '' }, 'model', /1 character/],
  [{ ...REQUEST, source: { uri: 'a\0b' } }, 'source.uri', 'must not contain a NUL character'],
];
for (const [body, path, message] of BAD_BODIES) {
  test(`H1: POST ${JSON.stringify(body)} is 400 at "${path}"`, async () => {
    const problem = await problemOf(await api.send('POST', SCENARIOS, body), 400, 'invalid_request');
    const found = problem.errors?.find(e => e.path === path);
    assert.ok(found !== undefined, JSON.stringify(problem.errors));
    assert.match(found.message, message);
    assert.ok(problem.detail.includes(found.message));
  });
}

const NOT_JSON = ['{', '{"source":', 'undefined', '{"a":1}{', '{"__proto__":{"x":1},"model":"m"}', ''];
for (const body of NOT_JSON) {
  test(`POST of ${JSON.stringify(body)} as JSON is 400`, async () => {
    await problemOf(await api.send('POST', SCENARIOS, body), 400, 'invalid_request');
  });
}

const UNSUPPORTED: readonly unknown[] = [
  { ...REQUEST, segments: 2 },
  { ...REQUEST, inference: { kind: 'remote', url: 'http://gpu:8000' } },
  { ...REQUEST, source: { uri: 'rtsp://cam/1' } },
  { ...REQUEST, source: { uri: 'HTTP://host/a.mp4' } },
];
for (const body of UNSUPPORTED) {
  test(`S2: POST ${JSON.stringify(body)} is 422 not_supported_yet`, async () => {
    await problemOf(await api.send('POST', SCENARIOS, body), 422, 'not_supported_yet');
    assert.is(api.cluster.commands.length, 0, 'nothing was asked of the cluster');
  });
}

for (const [method, path, headers, body] of [
  ['POST', '/api/v1/models?name=mine', { 'content-type': 'application/octet-stream' }, 'onnx'],
  [
    'POST',
    '/api/v1/videos?name=mine',
    { 'content-type': 'application/octet-stream' },
    'x'.repeat(2 * LIMITS.requestBytes),
  ],
  ['GET', `${SCENARIOS}/cam/export?format=coco`, {}],
] as const) {
  test(`${method} ${path} is 422 not_supported_yet`, async () => {
    await problemOf(await api.send(method, path, body, headers), 422, 'not_supported_yet');
  });
}

const BAD_QUERIES: readonly (readonly [string, string])[] = [
  ['?limit=0', 'limit'],
  ['?limit=1001', 'limit'],
  ['?limit=ten', 'limit'],
  ['?limit=', 'limit'],
  ['?limit=1.5', 'limit'],
  ['?limit=0x10', 'limit'],
  ['?limit=1&limit=2', 'limit'],
  ['?state=running', 'state'],
  ['?cursor=nonsense', 'cursor'],
  ['?unknown=1', 'unknown'],
  ['/cam?wait=61', 'wait'],
  ['/cam?wait=-1', 'wait'],
  ['/cam?wait=soon', 'wait'],
  ['/cam/predictions?limit=1001', 'limit'],
  ['/cam/predictions?fromFrame=-1', 'fromFrame'],
  ['/cam/predictions?fromFrame=5&toFrame=4', 'toFrame'],
  ['/cam/predictions?minScore=2', 'minScore'],
  ['/cam/predictions?run=0', 'run'],
  ['/cam/predictions?cursor=WyJhIl0', 'cursor'],
  ['/cam/export?format=xml', 'format'],
];
for (const [query, path] of BAD_QUERIES) {
  test(`GET ${query} is 400 at "${path}"`, async () => {
    const problem = await problemOf(await api.fetch(SCENARIOS + query), 400, 'invalid_request');
    assert.ok(
      problem.errors?.some(e => e.path === path),
      JSON.stringify(problem.errors),
    );
  });
}

test('start and stop take no fields in a body, and no other ?from=', async () => {
  await problemOf(await api.send('POST', `${SCENARIOS}/cam/start`, { from: 'start' }), 400, 'invalid_request');
  await problemOf(await api.send('POST', `${SCENARIOS}/cam/stop`, { now: true }), 400, 'invalid_request');
  await problemOf(await api.send('POST', `${SCENARIOS}/cam/start?from=end`), 400, 'invalid_request');
});

test('what is not there is 404 with the code that says what', async () => {
  for (const path of ['/api', '/api/v1/scenario', '/api/v2/scenarios', '/metricsx']) {
    await problemOf(await api.fetch(path), 404, 'not_found');
  }
  for (const rest of ['', '?wait=1', '/predictions', '/export', '/manifest']) {
    await problemOf(await api.fetch(`${SCENARIOS}/nobody${rest}`), 404, 'scenario_not_found');
  }
  for (const verb of ['start', 'stop']) {
    await problemOf(await api.send('POST', `${SCENARIOS}/nobody/${verb}`), 404, 'scenario_not_found');
  }
  await problemOf(await api.send('DELETE', `${SCENARIOS}/nobody`), 404, 'scenario_not_found');
  for (const rest of ['predictions', 'export', 'manifest']) {
    await problemOf(await api.fetch(`${SCENARIOS}/cam/${rest}?run=9`), 404, 'run_not_found');
  }
});

test('a wrong method is 405 and says which are right', async () => {
  for (const [method, path, allow] of [
    ['PUT', SCENARIOS, 'GET, HEAD, POST'],
    ['PATCH', `${SCENARIOS}/cam`, 'DELETE, GET, HEAD'],
    ['GET', `${SCENARIOS}/cam/start`, 'POST'],
    ['POST', '/healthz', 'GET, HEAD'],
  ] as const) {
    const response = await api.send(method, path);
    assert.is(response.headers.get('allow'), allow);
    await problemOf(response, 405, 'method_not_allowed');
  }
});

test('a body that is too large is 413, another media type 415', async () => {
  const large = { ...REQUEST, model: 'x'.repeat(LIMITS.requestBytes) };
  await problemOf(await api.send('POST', SCENARIOS, large), 413, 'too_large');
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/xml']) {
    const response = await api.send('POST', SCENARIOS, 'a=b', { 'content-type': type });
    await problemOf(response, 415, 'unsupported_media_type');
  }
});

test('E1: an address that cannot be decoded is 400', async () => {
  await problemOf(await api.fetch(`${SCENARIOS}/%zz`), 400, 'invalid_request');
  await problemOf(await api.fetch(`${SCENARIOS}/a%20b`), 400, 'invalid_request');
});

/** What the server says to these bytes until it ends the connection: status, and the code of the problem. */
async function said(bytes: string): Promise<readonly [number, string]> {
  const socket = connect(api.port, '127.0.0.1');
  socket.on('error', () => {}); // it may be cut off before it has sent everything
  socket.write(bytes);
  const chunks: Buffer[] = [];
  socket.on('data', chunk => chunks.push(chunk));
  await once(socket, 'close');
  const [head = '', body = ''] = Buffer.concat(chunks).toString().split('\r\n\r\n');
  assert.match(head.toLowerCase(), /content-type: application\/problem\+json/);
  const problem = JSON.parse(body) as { status: number; code: string };
  const status = Number(/^HTTP\/1\.1 (\d{3}) \w/.exec(head)?.[1]);
  assert.is(problem.status, status);
  return [status, problem.code];
}

const CLOSE = 'Connection: close\r\n\r\n';
const ODD: readonly (readonly [string, string, number, string])[] = [
  ['no HTTP', 'what is this\r\n\r\n', 400, 'invalid_request'],
  [
    'headers too large',
    `GET / HTTP/1.1\r\nHost: localhost\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`,
    431,
    'headers_too_large',
  ],
  ['an address too long', `GET /${'y'.repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`, 431, 'headers_too_large'],
  ['no Host', `GET /api/v1/nodes HTTP/1.1\r\n${CLOSE}`, 400, 'invalid_request'],
  ['a tunnel', 'CONNECT a.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n', 400, 'invalid_request'],
  ['an expectation', `GET /nowhere HTTP/1.1\r\nHost: localhost\r\nExpect: much\r\n${CLOSE}`, 404, 'not_found'],
  ['an upgrade', `GET /nowhere HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n${CLOSE}`, 404, 'not_found'],
  [
    'a method of another protocol',
    `PROPFIND /healthz HTTP/1.1\r\nHost: localhost\r\n${CLOSE}`,
    405,
    'method_not_allowed',
  ],
  ['TRACE', `TRACE /healthz HTTP/1.1\r\nHost: localhost\r\n${CLOSE}`, 405, 'method_not_allowed'],
  [
    'a body longer than it says',
    `POST ${SCENARIOS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n`,
    400,
    'invalid_request',
  ],
];
for (const [what, bytes, status, code] of ODD) {
  test(`E1: ${what} is answered with a problem, ${status} ${code}`, async () => {
    assert.equal(await said(bytes), [status, code]);
  });
}

test('E2: a defect is 500, says nothing of itself, and is reported', async () => {
  for (const defect of [new Error('secret /etc/passwd'), 'a thrown text', { statusCode: 418, secret: 1 }]) {
    api.cluster.fault = defect;
    const problem = await problemOf(await api.fetch(`${SCENARIOS}/cam`), 500, 'internal');
    assert.not.match(JSON.stringify(problem), /secret|passwd|thrown/);
    assert.is(api.defects.at(-1), defect);
  }
});

test('a request id of the caller is kept when it is harmless', async () => {
  const id = (value: string) =>
    api.fetch('/healthz', { headers: { 'x-request-id': value } }).then(r => r.headers.get('x-request-id'));
  assert.is(await id('abc-1.2_3'), 'abc-1.2_3');
  assert.is.not(await id('a b'), 'a b');
  assert.is.not(await id('x'.repeat(65)), 'x'.repeat(65));
});

test('HEAD answers like GET, without a body', async () => {
  for (const path of ['/healthz', SCENARIOS, `${SCENARIOS}/cam`, `${SCENARIOS}/cam/export`, '/docs/json']) {
    const response = await api.fetch(path, { method: 'HEAD' });
    assert.is(response.status, 200, path);
    assert.is(await response.text(), '');
  }
  assert.is((await api.fetch(`${SCENARIOS}/nobody`, { method: 'HEAD' })).status, 404);
});

test.run();
