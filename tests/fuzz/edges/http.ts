/** HTTP as bytes over a socket, as a broken or hostile client speaks it: what is fuzzed is a running node. */
import { connect, type Socket } from 'node:net';
import * as assert from 'uvu/assert';
import { PROBLEMS } from '../../../src/domain/errors.ts';
import { LIMITS } from '../../../src/domain/limits.ts';
import type { Edge, OpenEdge } from '../edge.ts';
import { type FuzzedNode, startFuzzedNode } from '../fuzzed-node.ts';
import { below, type Chance, mutateBytes, mutateJson, mutateLines, pick } from '../mutations.ts';

/** A node is not asked to wait so long: whoever says nothing more has ended what he says. */
const ANSWER_MS = 20_000;
/** Of half a request nothing more comes: only how it ends depends on this. */
const QUIET_MS = 100;
const WORDS = [
  ...['GET', 'HEAD', 'POST', 'DELETE', 'PUT', 'OPTIONS', 'TRACE', 'CONNECT', 'PRI', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0'],
  ...['/api/v1/scenarios', '/api/v1/rejected', '/api/v1/tree', '/metrics', '/docs/json', '/healthz', 'start', 'stop'],
  ...['Content-Length', 'Transfer-Encoding', 'chunked', 'Host', 'Origin', 'Expect', '100-continue', 'Upgrade', 'close'],
  ...['application/json', 'application/x-www-form-urlencoded', 'multipart/form-data', 'text/plain; charset=utf-16'],
  ...['Idempotency-Key', 'Last-Event-ID', 'traceparent', 'X-Request-Id', 'Range', 'limit', 'cursor', 'wait', 'run'],
];

/** What the node answers by itself when it cannot do what it was asked. */
const DOCUMENTED: ReadonlySet<unknown> = new Set(['not_ready', 'unavailable']);

export function httpEdge(node: () => Promise<FuzzedNode>): Edge {
  return {
    name: 'http',
    promise: 'every request is answered or hung up on; a refusal is a problem document, and none of them is a defect',
    cases: 400,
    outcomes: ['200', '400', '404', 'hung up'],
    open: async () => openHttp(await node()),
  };
}

function openHttp(node: FuzzedNode): OpenEdge {
  return {
    seeds: [],
    together: 8,
    mutate(seed, chance, all) {
      const end = seed.indexOf('\r\n\r\n') + 4;
      const [head, body] = [seed.subarray(0, end), seed.subarray(end)];
      if (body.length > 0 && chance.float() < 0.4)
        return whole(head, mutateJson(body, chance, all.map(bodyOf)), chance);
      if (chance.float() < 0.05)
        return Buffer.concat(Array.from({ length: 2 + below(chance, 6) }, () => pick(chance, all)));
      if (chance.float() < 0.6) return aimed(seed, chance, all);
      return chance.float() < 0.2 ? mutateBytes(seed, chance) : mutateLines(seed, chance, all, WORDS);
    },
    async judge(input) {
      const { port, hostname } = new URL(node.url);
      const bytes = Buffer.from(input.toString('latin1').replaceAll('@PORT@', port), 'latin1');
      const said = await speak(connect(Number(port), hostname), bytes);
      return judgeAnswers(said);
    },
    afterwards: () => node.isWell(),
    [Symbol.asyncDispose]: () => node[Symbol.asyncDispose](),
  };
}

/** One part of the target, or one more or other header: the rest says what it said, so that it is read to its end. */
function aimed(seed: Buffer, chance: Chance, all: readonly Buffer[]): Buffer {
  const text = seed.toString('latin1');
  const end = text.indexOf('\r\n');
  const [method = '', target = '', ...version] = text.slice(0, end).split(' ');
  const other = pick(chance, all).toString('latin1').split('\r\n');
  if (chance.float() < 0.3) {
    const headers = other.slice(1).filter(line => /^[\w-]+: /.test(line) && !/^(host|content-)/i.test(line));
    const header = pick(chance, ['Accept: application/json', ...headers]);
    return Buffer.from(`${text.slice(0, end)}\r\n${header}${text.slice(end)}`, 'latin1');
  }
  const parts = target.split(/([/?&=])/);
  const at = below(chance, parts.length);
  const from = (other[0]?.split(' ')[1] ?? '').split(/[/?&=]/);
  const words = [
    ...WORDS.slice(12),
    ...from,
    '-1',
    '0',
    '1e9',
    '%',
    '%00',
    '%ff',
    '..',
    '%2e%2e',
    '%F0%9D%84%9E',
    '[]',
    '__proto__',
  ];
  parts[at] = pick(chance, chance.float() < 0.7 ? words : ['?', '&', '=', '/', '#', ';', 'x'.repeat(3_000)]);
  return Buffer.from(
    [method, encodeURI(parts.join('')).replaceAll('%25', '%'), ...version].join(' ') + text.slice(end),
    'latin1',
  );
}

const bodyOf = (request: Buffer): Buffer => request.subarray(request.indexOf('\r\n\r\n') + 4);

/** Mostly with the length that it has: a body that is not read tries nothing. */
function whole(head: Buffer, body: Buffer, chance: Chance): Buffer {
  const text = head.toString('latin1');
  const length = chance.float() < 0.9 ? body.length : below(chance, 2 * body.length + 2);
  if (chance.float() < 0.1) {
    const chunked = text.replace(/Content-Length: \d+/i, 'Transfer-Encoding: chunked');
    const cut = below(chance, body.length + 1);
    const parts = [body.subarray(0, cut), body.subarray(cut)].filter(part => part.length > 0);
    const chunks = parts.flatMap(part => [Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n')]);
    return Buffer.concat([Buffer.from(chunked, 'latin1'), ...chunks, Buffer.from('0\r\n\r\n')]);
  }
  return Buffer.concat([
    Buffer.from(text.replace(/Content-Length: \d+/i, `Content-Length: ${length}`), 'latin1'),
    body,
  ]);
}

/** @returns everything that it answers until it hangs up; told that nothing more comes it would leave what it is asked undone */
function speak(socket: Socket, bytes: Buffer): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const said: Buffer[] = [];
  const late = setTimeout(() => {
    socket.destroy();
    reject(new Error(`no end within ${ANSWER_MS} ms, after: ${Buffer.concat(said).toString('latin1', 0, 500)}`));
  }, ANSWER_MS);
  let quiet = setTimeout(() => socket.end(), QUIET_MS);
  const done = (): void => {
    clearTimeout(late);
    clearTimeout(quiet);
    socket.destroy();
    resolve(Buffer.concat(said));
  };
  socket.on('data', (chunk: Buffer) => {
    said.push(chunk);
    clearTimeout(quiet);
    quiet = setTimeout(() => socket.end(), QUIET_MS);
    // An event stream has no end, nor has a wait that was asked for.
    if (chunk.includes('text/event-stream') || chunk.includes('event: ')) done();
  });
  socket.on('close', done);
  socket.on('error', (error: NodeJS.ErrnoException) => {
    // Whoever is still sending may see no answer, only that nobody reads any more.
    if (['ECONNRESET', 'EPIPE'].includes(error.code ?? '')) done();
    else reject(error);
  });
  socket.write(bytes);
  return promise;
}

/** Each status line begins an answer; of each refusal the document must be whole. */
function judgeAnswers(said: Buffer): string {
  if (said.length === 0) return 'hung up';
  const text = said.toString('latin1');
  assert.match(text, /^HTTP\/1\.1 \d{3} /);
  const statuses: string[] = [];
  for (const [, status = '', head = '', rest = ''] of text.matchAll(
    /HTTP\/1\.1 (\d{3}) [^\r]*\r\n(.*?)\r\n\r\n(.*?)(?=HTTP\/1\.1 \d{3} |$)/gs,
  )) {
    statuses.push(status);
    if (Number(status) < 400) continue;
    if (!/^content-type: application\/problem\+json/im.test(head)) {
      // A HEAD has no body, and no more than that is missing.
      assert.unreachable(`${status} is no problem document: ${head.slice(0, 300)} ${rest.slice(0, 300)}`);
    }
    const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? Number.NaN);
    if (rest.length === 0) continue; // asked for with HEAD
    assert.is(rest.length, length);
    const problem = JSON.parse(Buffer.from(rest, 'latin1').toString()) as Record<string, unknown>;
    assert.is(problem['status'], Number(status), rest);
    assert.is((PROBLEMS as Record<string, number>)[String(problem['code'])], Number(status), rest);
    assert.ok(Number(status) < 500 || DOCUMENTED.has(problem['code']), rest);
    assert.type(problem['requestId'], 'string');
    assert.ok(
      String(problem['detail']).length < 2 * LIMITS.httpHeaderBytes,
      `${String(problem['detail']).length} characters`,
    );
  }
  return statuses[0] ?? 'hung up';
}

export const http = httpEdge(startFuzzedNode);
