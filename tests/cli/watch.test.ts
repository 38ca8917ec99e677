/** `troupe watch` on nodes that tell, break off and come back as a test wants them to. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { scenarioView } from '../api/fake-cluster.ts';
import { REQUEST } from '../api/served-api.ts';
import { Workplace } from '../support/troupe-command.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('watch');
const place = new Workplace();
const servers: Server[] = [];
test.after.each(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});
test.after(() => place[Symbol.dispose]());

type Answer = (response: ServerResponse, request: IncomingMessage) => void;

/** A node that answers the first request with the first of these, and so on, the last for ever. */
async function node(...answers: readonly Answer[]): Promise<string> {
  let asked = 0;
  const server = createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', connection: 'close' });
    answers[Math.min(asked++, answers.length - 1)]?.(response, request);
  }).listen(0, '127.0.0.1');
  servers.push(server);
  await new Promise(resolve => server.once('listening', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const event = (name: string, id: string, data: object): string =>
  `id: ${id}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
const view = scenarioView('cam1', REQUEST);
const state = (id: string, to: string, outcome: string | null = null, framesDone = 0): string => {
  const scenario = { ...view, state: to, outcome, progress: { ...view.progress, framesDone } };
  const change = { at: '2026-01-01T00:00:00.000Z', from: null, to, reason: null, run: 1, outcome, scenario };
  return event('state', id, change);
};
const frame = (n: number): string => event('prediction', `p${n}`, { run: 1, frame: n, ptsMs: n * 40, detections: [] });

test('W1: what breaks off goes on behind the last event at another address, each event once; 0 when completed', async () => {
  const seen: (string | undefined)[] = [];
  const dying = await node((response, request) => {
    seen.push(request.headers['last-event-id'] as string | undefined);
    response.write(state('s1', 'active') + frame(0) + frame(1).slice(0, 20), () => {
      servers[0]?.closeAllConnections();
      servers[0]?.close();
    });
  });
  const other = await node((response, request) => {
    seen.push(request.headers['last-event-id'] as string | undefined);
    response.write(frame(1) + state('s2', 'inactive', 'completed'));
  });
  const { code, stdout, stderr } = await place.run(['watch', 'cam1', '--json', '--url', `${dying},${other}`]);
  assert.is(code, 0, stderr);
  assert.equal(seen, [undefined, 'p0']);
  const told = stdout
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as { id: string });
  assert.equal(
    told.map(({ id }) => id),
    ['s1', 'p0', 'p1', 's2'],
  );
});

test('W2: failed is 1 with why and what to do; stopped and deleted are 1 as well', async () => {
  const ends: readonly (readonly [string, RegExp])[] = [
    [state('s2', 'inactive', 'failed'), /^troupe: cam1 failed: .*'troupe explain cam1'/],
    [state('s2', 'inactive', 'stopped'), /^troupe: cam1 was stopped\. Go on with: troupe start cam1\n$/],
    [event('deleted', 'd', { at: 'x', from: 'inactive', to: 'deleted', run: 1 }), /^troupe: cam1 was deleted/],
  ];
  for (const [last, said] of ends) {
    const url = await node(response => response.write(state('s1', 'active') + frame(0) + last));
    const { code, stdout, stderr } = await place.run(['watch', 'cam1', '--url', url]);
    assert.is(code, 1);
    assert.match(stderr, said);
    assert.match(stdout, /active\nframe 0: -\n/);
  }
});

test('W2: one that has ended before is told to its last prediction, also by a node that has none of them yet', async () => {
  const progress = { ...view.progress, framesDone: 2 };
  for (const known of [2, 0]) {
    const url = await node(response => {
      response.write(state('s1', 'inactive', 'completed', known));
      response.write(frame(0) + frame(1) + event('progress', 'p1', { run: 1, progress }));
    });
    const { code, stdout } = await place.run(['watch', 'cam1', '--url', url]);
    assert.is(code, 0);
    assert.match(stdout, /completed\nframe 0: -\nframe 1: -\n2 frames\n$/);
  }
});

test('K1: an event that this version does not know is refused, and one of an unknown name is passed over', async () => {
  const strange = await node(response =>
    response.write(event('weather', 'w', {}) + event('state', 's', { to: 'asleep' })),
  );
  const { code, stdout, stderr } = await place.run(['watch', 'cam1', '--url', strange]);
  assert.is(code, 1);
  assert.match(
    stderr,
    /an event 'state' is not what this version knows .*Use the troupe command of the node's version/,
  );
  assert.is(stdout, '');
});

test('Ctrl-C ends at a whole line with 130 and tells how to go on', async () => {
  const url = await node(response => response.write(state('s1', 'active') + frame(0)));
  const run = place.start(['watch', 'cam1', '--url', url]);
  await waitUntil('the frame is there', () => run.stdout().includes('frame 0'));
  run.signal('SIGINT');
  const { code, stdout, stderr } = await run.ended;
  assert.is(code, 130);
  assert.ok(stdout.endsWith('\n'));
  assert.match(stderr, /^troupe: interrupted\. cam1 goes on\. Follow it again: troupe watch cam1/);
});

test.run();
