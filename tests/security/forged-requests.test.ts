/** What a web page, a rebound name or a clumsy proxy can send to a local node, byte for byte, and what legitimate clients send. */
import { connect } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { REQUEST, type ServedApi, serveApi } from '../api/served-api.ts';

const test = suite('forged requests');

interface Raw {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** Exactly these bytes: a client library would mend them. `@` in them stands for the port, `%` for an at sign. */
async function say(api: ServedApi, line: string, headers: readonly string[], body = ''): Promise<Raw> {
  const socket = connect(api.port, '127.0.0.1');
  const length = body === '' ? [] : [`Content-Length: ${Buffer.byteLength(body)}`];
  const text = [line, ...headers, ...length, 'Connection: close', '', body]
    .join('\r\n')
    .replaceAll('@', String(api.port))
    .replaceAll('%', '@');
  socket.end(text);
  let answer = '';
  for await (const chunk of socket) answer += chunk;
  const [head = '', ...rest] = answer.split('\r\n\r\n');
  return { status: Number(head.split(' ')[1]), head, body: rest.join('\r\n\r\n') };
}

const LIST = 'GET /api/v1/scenarios HTTP/1.1';
const CREATE = 'POST /api/v1/scenarios HTTP/1.1';
const HOST = 'Host: 127.0.0.1:@';
const JSON_BODY = 'Content-Type: application/json';
const CROSS = ['Sec-Fetch-Site: cross-site'];
const create = JSON.stringify(REQUEST);

interface Forged {
  readonly line?: string;
  readonly headers: readonly string[];
  readonly body?: string;
  /** 400 by the rules of HTTP, 403 or 415 by ours. */
  readonly status: number;
}

const FORGED: Readonly<Record<string, Forged>> = {
  'a name that was rebound to 127.0.0.1': { headers: ['Host: evil.example:@'], status: 403 },
  'a name that only begins like loopback': { headers: ['Host: 127.0.0.1.evil.example'], status: 403 },
  'a Host with userinfo': { headers: ['Host: 127.0.0.1%evil.example'], status: 403 },
  'a Host with loopback as userinfo': { headers: ['Host: localhost:80%evil.example'], status: 403 },
  'no Host': { headers: [], status: 400 },
  'an empty Host': { headers: ['Host:'], status: 403 },
  'two Hosts, ours first': { headers: [HOST, 'Host: evil.example'], status: 400 },
  'two Hosts, ours last': { headers: ['Host: evil.example', HOST], status: 400 },
  'X-Forwarded-Host in the place of Host': {
    headers: ['Host: evil.example', 'X-Forwarded-Host: 127.0.0.1:@'],
    status: 403,
  },
  'Forwarded in the place of Host': { headers: ['Host: evil.example', 'Forwarded: host=127.0.0.1'], status: 403 },
  'a page of another site': { headers: [HOST, 'Origin: https://evil.example'], status: 403 },
  'a page of an opaque origin (a sandboxed frame, a file)': { headers: [HOST, 'Origin: null'], status: 403 },
  'a page of another port of this machine': { headers: [HOST, 'Origin: http://127.0.0.1:1'], status: 403 },
  'a page of another loopback name': { headers: [HOST, 'Origin: http://localhost:@'], status: 403 },
  'an Origin with loopback as userinfo': { headers: [HOST, 'Origin: http://127.0.0.1:@%evil.example'], status: 403 },
  'a form of another site': {
    line: CREATE,
    headers: [
      HOST,
      ...CROSS,
      'Sec-Fetch-Mode: navigate',
      'Sec-Fetch-Dest: document',
      'Content-Type: application/x-www-form-urlencoded',
    ],
    body: 'model=shapes',
    status: 403,
  },
  'a form of another port of this host': {
    line: CREATE,
    headers: [HOST, 'Sec-Fetch-Site: same-site', 'Sec-Fetch-Mode: navigate', 'Content-Type: text/plain'],
    body: create,
    status: 403,
  },
  'a form that is JSON as text/plain, of a browser without Sec-Fetch': {
    line: CREATE,
    headers: [HOST, 'Content-Type: text/plain'],
    body: create,
    status: 415,
  },
  'JSON without a type': { line: CREATE, headers: [HOST], body: create, status: 415 },
  'an image of another site': {
    headers: [HOST, ...CROSS, 'Sec-Fetch-Mode: no-cors', 'Sec-Fetch-Dest: image'],
    status: 403,
  },
  'a script of another site': {
    line: 'GET /docs/json HTTP/1.1',
    headers: [HOST, ...CROSS, 'Sec-Fetch-Dest: script'],
    status: 403,
  },
  'a frame of another site': {
    line: 'GET /docs HTTP/1.1',
    headers: [HOST, ...CROSS, 'Sec-Fetch-Mode: navigate', 'Sec-Fetch-Dest: iframe'],
    status: 403,
  },
  'a preflight of another site': {
    line: 'OPTIONS /api/v1/scenarios HTTP/1.1',
    headers: [
      HOST,
      'Origin: https://evil.example',
      'Access-Control-Request-Method: POST',
      'Access-Control-Request-Headers: content-type',
    ],
    status: 403,
  },
  'an upgrade to a WebSocket by another site': {
    headers: [
      HOST,
      'Origin: https://evil.example',
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
    ],
    status: 403,
  },
  'an absolute target of another host, with our Host': {
    line: 'GET http://evil.example/api/v1/scenarios HTTP/1.1',
    headers: [HOST],
    status: 400,
  },
  'an absolute target of ours, with another Host': {
    line: 'GET http://127.0.0.1:@/api/v1/scenarios HTTP/1.1',
    headers: ['Host: evil.example'],
    status: 400,
  },
  'another method in a header': {
    line: 'GET /api/v1/scenarios/cam1 HTTP/1.1',
    headers: [HOST, ...CROSS, 'X-HTTP-Method-Override: DELETE'],
    status: 403,
  },
  'a body hidden behind two lengths': {
    line: CREATE,
    headers: [HOST, JSON_BODY, 'Content-Length: 3', 'Transfer-Encoding: chunked'],
    body: create,
    status: 400,
  },
};

test('A2, A3: each of these forged requests is refused, and none of them does or tells anything', async () => {
  await using api = await serveApi();
  api.have('cam1');
  assert.ok(Object.keys(FORGED).length >= 12);
  const wrong: string[] = [];
  for (const [what, { line = LIST, headers, body, status }] of Object.entries(FORGED)) {
    const answer = await say(api, line, headers, body);
    if (answer.status !== status) wrong.push(`${what}: ${answer.status}, not ${status}`);
    if (answer.body.includes('cam1') || /access-control-allow/i.test(answer.head))
      wrong.push(`${what}: told something`);
  }
  assert.equal(wrong, []);
  assert.equal([...api.cluster.scenarios.keys()], ['cam1']);
  assert.equal(api.defects, []);
});

test('A1, A2, A3: what curl, the page at /docs, the address bar and a script send is served', async () => {
  await using api = await serveApi();
  const page = [
    HOST,
    'Origin: http://127.0.0.1:@',
    'Sec-Fetch-Site: same-origin',
    'Sec-Fetch-Mode: cors',
    'Sec-Fetch-Dest: empty',
  ];
  for (const [what, line, headers, body, status] of [
    ['curl', LIST, [HOST, 'User-Agent: curl/8', 'Accept: */*'], '', 200],
    ['curl by name', LIST, ['Host: localhost:@'], '', 200],
    ['curl with JSON', CREATE, [HOST, JSON_BODY], create, 201],
    ['the page at /docs', LIST, page, '', 200],
    ['the page at /docs, with JSON', CREATE, [...page, JSON_BODY], create, 201],
    [
      'the address bar',
      LIST,
      [HOST, 'Sec-Fetch-Site: none', 'Sec-Fetch-Mode: navigate', 'Sec-Fetch-Dest: document'],
      '',
      200,
    ],
    [
      'a link on another site',
      'GET /docs HTTP/1.1',
      [HOST, ...CROSS, 'Sec-Fetch-Mode: navigate', 'Sec-Fetch-Dest: document'],
      '',
      200,
    ],
    ['an absolute target of ours', 'GET http://127.0.0.1:@/api/v1/scenarios HTTP/1.1', [HOST], '', 200],
  ] as const) {
    const answer = await say(api, line, headers, body);
    assert.is(answer.status, status, `${what}: ${answer.head}`);
  }
});

test('A4: the page at /docs runs no script that is not its own, and may not be framed', async () => {
  await using api = await serveApi();
  const { headers } = await api.fetch('/docs/');
  const policy = headers.get('content-security-policy') ?? '';
  const directives = new Map(policy.split(';').map(part => [part.trim().split(' ')[0], part.trim()]));
  assert.match(directives.get('default-src') ?? '', /^default-src 'self'$/);
  // Scripts go by default-src.
  assert.is(directives.get('script-src'), undefined);
  assert.is(directives.get('frame-ancestors'), "frame-ancestors 'none'");
  assert.is(directives.get('object-src'), "object-src 'none'");
  assert.not.match(policy, /https:|http:|swagger\.io|upgrade-insecure/);
});

test.run();
