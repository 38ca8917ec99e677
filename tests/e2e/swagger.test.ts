// shared
/**
 * The page at /docs, of a real node, in a real browser.
 *
 * O1 The page loads and calls nothing but its node, and works over plain HTTP on any address.
 * O2 "Execute" works as the page stands.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findBrowser, HeadlessBrowser, type SwaggerPage } from '../../scripts/swagger-page.ts';
import { startTestNode, type TestNode } from '../support/node.ts';

/** Less than the test runner's limit, and far more than a download takes. */
const BRING_MS = 120_000;
const TOKEN = 'sesame:open!';
const HOST = 'troupe.test';

const found = await findBrowser(BRING_MS);
const test = suite('swagger');

function inBrowser(name: string, run: (browser: HeadlessBrowser) => Promise<void>): void {
  if ('none' in found) {
    test.skip(`${name} [skipped: ${found.none}]`, () => {});
    return;
  }
  test(name, async () => {
    await using browser = await HeadlessBrowser.start(found.file, [HOST, '127.0.0.1']);
    await run(browser);
  });
}

async function documented(node: TestNode, headers: Record<string, string> = {}): Promise<string[]> {
  const { paths } = (await node.call('GET', '/docs/json', undefined, headers)).body as unknown as {
    paths: Record<string, object>;
  };
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.keys(item).map(method => `${method.toUpperCase()} ${path}`),
  );
}

async function executeFor<T>(page: SwaggerPage, ...args: Parameters<SwaggerPage['execute']>): Promise<[number, T]> {
  const { status, body } = await page.execute(...args);
  return [status, JSON.parse(body) as T];
}

inBrowser('O1, O2: the page shows every operation, and its examples lead from a video to results', async browser => {
  await using node = await startTestNode({ workers: 1 });
  const docs = await browser.openDocs(`${node.node.url}/`);
  assert.is(await docs.page.title(), 'Troupe');
  assert.equal((await docs.operations()).sort(), (await documented(node)).sort());
  assert.equal(docs.complaints, []);

  const [created, { id }] = await executeFor<{ id: string }>(docs, 'createScenario');
  assert.equal([created, id], [201, 'demo']);
  const [read, scenario] = await executeFor<{ id: string; state: string; outcome: string }>(docs, 'getScenario');
  assert.equal([read, scenario.id, scenario.state, scenario.outcome], [200, 'demo', 'inactive', 'completed']);
  const [listed, predictions] = await executeFor<{ complete: boolean; items: unknown[] }>(docs, 'listPredictions');
  assert.equal([listed, predictions.complete, predictions.items.length], [200, true, 10]);
  assert.equal(docs.complaints, []);

  const wrong = '{"source": {"uri": "test_videos/test_video.mp4"}, "modle": "shapes"}';
  const [refused, problem] = await executeFor<{ code: string; errors: { path: string }[] }>(docs, 'createScenario', {
    body: wrong,
  });
  assert.equal([refused, problem.code], [400, 'invalid_request']);
  assert.equal(problem.errors.map(({ path }) => path).sort(), ['model', 'modle']);
});

inBrowser(
  'A4, O1: with a token the browser asks for it, and Authorize sends it, on an address that is not loopback',
  async browser => {
    await using node = await startTestNode({ workers: 1, host: '0.0.0.0', token: TOKEN });
    const url = new URL('/docs', node.node.url);
    url.hostname = HOST;
    const docs = await browser.openDocs(url.href, TOKEN);
    const authorization = `Bearer ${TOKEN}`;
    assert.equal((await docs.operations()).sort(), (await documented(node, { authorization })).sort());
    assert.equal(docs.complaints, []);

    assert.is((await docs.execute('listNodes')).status, 401, "the page's password opens nothing else");
    await docs.authorize(TOKEN);
    const [status, { items }] = await executeFor<{ items: { id: string }[] }>(docs, 'listNodes');
    assert.equal([status, items.map(({ id }) => id)], [200, ['test']]);
  },
);

test.run();
