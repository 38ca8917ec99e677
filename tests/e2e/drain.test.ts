// serial
// shared
/** A node that is told to end: first it says so, then it finishes, then it is gone. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LIVENESS } from '../../src/infra/config.ts';
import { startTestNode } from '../support/node.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('drain');

test('H4: told to end, a node is unready at once, goes on answering, ends what waits, and stops', async () => {
  await using node = await startTestNode({ spares: 0, liveness: { ...LIVENESS, shutdownMs: 2_000 } });
  await node.create({ id: 'held', source: { uri: 'test_videos/test_video.mp4' }, model: 'shapes' });
  let pid = 0;
  await waitUntil('its runner runs', async () => {
    const [runner] = (await node.get('held')).runners;
    pid = runner?.state === 'running' ? (runner.pid ?? 0) : 0;
    return pid > 0;
  });
  process.kill(pid, 'SIGSTOP'); // a runner that does not end by itself keeps the node for `shutdownMs`
  const waiting = node.call('GET', '/api/v1/scenarios/held?wait=60');
  let ended = false;
  const stopped = node.node.stop().then(() => {
    ended = true;
  });
  const readiness = await node.call('GET', '/readyz');
  assert.is(readiness.status, 503);
  assert.match(String(readiness.body['detail']), /the node is stopping/);
  assert.is(readiness.headers.get('connection'), 'close');
  assert.is((await node.call('GET', '/api/v1/scenarios/held')).status, 200, 'it answers still');
  assert.not.ok(ended);
  assert.is((await waiting).status, 200, 'whoever waits is answered, long before his 60 s are over');
  await stopped;
  const gone = await node.call('GET', '/healthz').then(
    () => false,
    () => true,
  );
  assert.ok(gone);
});

test.run();
