import { once } from 'node:events';
import { request } from 'node:http';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { problemOf, REQUEST, type ServedApi, serveApi } from './served-api.ts';

const test = suite('access');

/** fetch() does not let a test set Host, Origin or Sec-Fetch-*. */
async function ask(api: ServedApi, headers: Record<string, string>, path = '/api/v1/scenarios', method = 'GET') {
  const sent = request({ port: api.port, host: '127.0.0.1', path, method, headers, agent: false });
  sent.end(method === 'POST' ? JSON.stringify(REQUEST) : undefined);
  const [response] = await once(sent, 'response');
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  const replied = new Headers(Object.entries(response.headers).map(([k, v]): [string, string] => [k, String(v)]));
  return new Response(Buffer.concat(chunks), { status: response.statusCode, headers: replied });
}

test('A1: with a token everything but /healthz wants it', async () => {
  await using api = await serveApi({ token: 'sesame open' });
  assert.is((await api.fetch('/healthz')).status, 200);
  for (const path of ['/readyz', '/metrics', '/docs', '/docs/json', '/api/v1/scenarios', '/nothing', '/healthz/x']) {
    const response = await api.fetch(path);
    assert.is(response.headers.get('www-authenticate'), 'Bearer', path);
    await problemOf(response, 401, 'unauthenticated');
  }
  await problemOf(await api.send('POST', '/healthz'), 401, 'unauthenticated');
  const huge = await api.send('POST', '/api/v1/scenarios', 'not even JSON');
  await problemOf(huge, 401, 'unauthenticated');
});

test('A1: the right token opens, any other does not', async () => {
  await using api = await serveApi({ token: 'sesame' });
  const status = async (authorization: string) =>
    (await api.fetch('/api/v1/scenarios', { headers: { authorization } })).status;
  assert.is(await status('Bearer sesame'), 200);
  assert.is(await status('bearer sesame'), 200);
  for (const wrong of [
    'Bearer',
    'Bearer ',
    'Bearer sesam',
    'Bearer sesame2',
    'Basic sesame',
    'sesame',
    'Bearer SESAME',
  ]) {
    assert.is(await status(wrong), 401, wrong);
  }
});

test('A4: a browser is asked for the token when it opens the page, and opens nothing else with it', async () => {
  await using api = await serveApi({ token: 'sesame:open' });
  const authorization = `Basic ${Buffer.from('anyone:sesame:open').toString('base64')}`;
  const accept = 'text/html,application/xhtml+xml,*/*;q=0.8';
  for (const path of ['/', '/docs']) {
    const asked = await ask(api, { accept }, path);
    assert.is(asked.headers.get('www-authenticate'), 'Bearer, Basic realm="Troupe, token as password"', path);
  }
  for (const path of ['/docs', '/docs/json', '/docs/static/swagger-ui.css'])
    assert.is((await ask(api, { authorization }, path)).status, 200, path);
  for (const path of ['/api/v1/scenarios', '/readyz', '/docsx']) {
    const refused = await ask(api, { authorization, accept }, path);
    assert.is(refused.headers.get('www-authenticate'), 'Bearer', path);
    await problemOf(refused, 401, 'unauthenticated');
  }
  const wrong = `Basic ${Buffer.from('sesame:open:').toString('base64')}`;
  await problemOf(await ask(api, { authorization: wrong }, '/docs'), 401, 'unauthenticated');
});

for (const [host, status] of [
  ['127.0.0.1', 200],
  ['127.0.0.1:8080', 200],
  ['localhost:1', 200],
  ['LOCALHOST', 200],
  ['app.localhost:1', 200],
  ['[::1]:8080', 200],
  ['evil.example', 403],
  ['evil.example:8080', 403],
  ['127.0.0.1.evil.example', 403],
  ['localhost.evil.example', 403],
  ['192.168.1.2', 403],
] as const) {
  test(`A2: bound to loopback, Host "${host}" is answered ${status}`, async () => {
    await using api = await serveApi();
    const response = await ask(api, { host });
    if (status === 403) await problemOf(response, 403, 'forbidden');
    else assert.is(response.status, status);
  });
}

test('A2: bound to another address, any Host will do: there the token guards', async () => {
  await using api = await serveApi({ host: '0.0.0.0', token: 'sesame' });
  assert.is((await ask(api, { host: 'troupe.example', authorization: 'Bearer sesame' })).status, 200);
  await problemOf(await ask(api, { host: 'troupe.example' }), 401, 'unauthenticated');
});

test('A3: pages of another origin are refused, those of our own are not', async () => {
  await using api = await serveApi();
  const host = `localhost:${api.port}`;
  for (const headers of [
    { origin: 'https://evil.example' },
    { origin: 'http://localhost:1' },
    { origin: 'null' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' },
  ]) {
    await problemOf(await ask(api, { host, ...headers }), 403, 'forbidden');
    const posted = await ask(
      api,
      { host, 'content-type': 'application/json', ...headers },
      '/api/v1/scenarios',
      'POST',
    );
    await problemOf(posted, 403, 'forbidden');
  }
  assert.is(api.cluster.scenarios.size, 0);
  for (const headers of [
    { origin: `http://${host}`, 'sec-fetch-site': 'same-origin' },
    { 'sec-fetch-site': 'none' },
    { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' },
  ]) {
    assert.is((await ask(api, { host, ...headers })).status, 200, JSON.stringify(headers));
  }
});

test.run();
