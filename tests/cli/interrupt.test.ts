/** M1, V2: Ctrl-C, as a terminal sends it, in the verbs that take their time. */
import { setTimeout as delay } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { predictionLine } from '../../src/domain/prediction.ts';
import { scenarioView } from '../api/fake-cluster.ts';
import { REQUEST } from '../api/served-api.ts';
import { scriptedNode } from '../support/scripted-node.ts';
import { Workplace } from '../support/troupe-command.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('interrupt');
const place = new Workplace();
test.after(() => place[Symbol.dispose]());

const LINE = `${predictionLine({ frame: 7, ptsMs: 280, detections: [] })}\n`;
/** Begins and ends in the midst of a line. */
const PAGE = LINE.slice(9) + LINE.repeat(2000) + LINE.slice(0, 9);
const NODE = {
  ...{ id: 'n2', roles: ['runner'], slots: 2, running: 1, load: 0.5, draining: true, roots: [], engine: null },
  ...{
    sandbox: null,
    models: [],
    warm: [],
    pid: 7,
    partitions: [],
    version: '0',
    startedAt: '2026-01-01T00:00:00.000Z',
  },
};

test('V2: an interrupted export into a pipe that is read slowly ends at a whole line, with 130 and how to get the whole', async () => {
  await using node = await scriptedNode(response => {
    const more = (): void => {
      while (response.write(PAGE));
    };
    response.write(LINE.slice(0, 9));
    response.on('drain', more);
    more();
  });
  const run = place.start(['export', 'cam1', '--url', node.url]);
  const { stdout } = run.child;
  stdout?.pause();
  await waitUntil('the pipe is full', () => (stdout?.readableLength ?? 0) > 0);
  run.signal('SIGINT');
  for (let open = true; open; ) {
    // A chunk at a time, and not before the next one is there.
    stdout?.resume();
    await delay(1);
    stdout?.pause();
    open = stdout?.readableEnded === false;
  }
  const ended = await run.ended;
  assert.is(ended.code, 130, ended.stderr);
  assert.ok(ended.stdout.length > 0 && ended.stdout.length % LINE.length === 0, ended.stdout.slice(-2 * LINE.length));
  assert.ok(ended.stdout.endsWith(`\n${LINE}`));
  const how = `the export of cam1 is not whole. Again, whole or not at all: troupe export cam1 --out FILE --url ${node.url}`;
  assert.is(ended.stderr, `troupe: interrupted. ${how}\n`);
});

test('V2: an interrupted watch --json into a pipe that is read slowly has only whole lines, each of them JSON', async () => {
  const frame = (n: number): string =>
    `id: p${n}\nevent: prediction\ndata: ${JSON.stringify({ run: 1, frame: n, ptsMs: null, detections: [] })}\n\n`;
  await using node = await scriptedNode(response => {
    let n = 0;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const more = (): void => {
      while (response.write(Array.from({ length: 100 }, () => frame(n++)).join('')));
    };
    response.on('drain', more);
    more();
  });
  const run = place.start(['watch', 'cam1', '--json', '--url', node.url]);
  run.child.stdout?.pause();
  await waitUntil('the pipe is full', () => (run.child.stdout?.readableLength ?? 0) > 0);
  run.signal('SIGINT');
  run.child.stdout?.resume();
  const { code, stdout, stderr } = await run.ended;
  assert.is(code, 130, stderr);
  const ids = stdout
    .split('\n')
    .slice(0, -1)
    .map(line => (JSON.parse(line) as { id: string }).id);
  assert.ok(stdout.endsWith('\n'));
  assert.equal(
    ids,
    ids.map((_, i) => `p${i}`),
  );
  assert.match(stderr, /^troupe: interrupted\. cam1 goes on\. Follow it again: troupe watch cam1 --url http/);
});

const active = { ...scenarioView('cam1', REQUEST), state: 'active' };
const stopped = { ...active, state: 'inactive', outcome: 'stopped' };

test('M1: stop, drain and run end with 130 and nothing on stdout; stop and drain leave the node at it, run stops its scenario', async () => {
  let isStopped = false;
  const answer = (url: string): unknown => {
    if (url === '/healthz') return { status: 'ok' };
    if (url.endsWith('/drain')) return NODE;
    if (url.endsWith('/nodes')) return { items: [NODE] };
    return isStopped ? stopped : active;
  };
  const CASES: readonly (readonly [readonly string[], RegExp, RegExp])[] = [
    [
      ['stop', 'cam1'],
      /^GET .*wait=60/,
      /^troupe: interrupted\. cam1 stops all the same\. See it: troupe show cam1 --url http/,
    ],
    [
      ['drain', 'n2'],
      /^GET .*nodes/,
      /^n2: 1 runner, 0 partitions left\ntroupe: interrupted\. n2 goes on draining\. Follow it: troupe drain n2 --url http/,
    ],
    [
      ['run', 'a.mp4', '--id', 'cam1'],
      /^GET .*wait=0\.5/,
      /^cam1 is stopped; go on with: troupe run a\.mp4 --id cam1 --url http/,
    ],
  ];
  for (const [args, asked, said] of CASES) {
    await using node = await scriptedNode((response, { method, url = '' }) => {
      isStopped = args[0] === 'run' && node.asked.some(line => line.endsWith('/stop'));
      // A node that waits answers when there is something to tell.
      const waits = method === 'GET' && url.includes('wait=') && !isStopped;
      if (!waits) response.end(JSON.stringify(answer(url)));
    });
    const run = place.start([...args, '--url', node.url]);
    await waitUntil(`${args[0]} waits`, () => node.asked.some(line => asked.test(line)));
    run.signal('SIGINT');
    const { code, stdout, stderr } = await run.ended;
    assert.equal([code, stdout], [130, ''], stderr);
    assert.match(stderr, said);
    assert.is(node.asked.includes('POST /api/v1/scenarios/cam1/stop'), args[0] !== 'drain'); // J3
  }
});

test.run();
