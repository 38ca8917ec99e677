// serial
// shared
/** An older copy of NATS' store is put back while a node runs: it knows what is not in it. */
import { cpSync, renameSync, rmSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LIVENESS } from '../../src/infra/config.ts';
import { startTestNats } from '../support/nats.ts';
import { startTestNode } from '../support/node.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('a store that is put back');

test('W10: a node under which an older copy is put back ends and says so; started again it goes on with what the copy holds', async () => {
  const nats = await startTestNats();
  try {
    const backup = `${nats.dataDir}-backup`;
    const settings = {
      nats: { url: nats.url, credsFile: null },
      liveness: { ...LIVENESS, leaseMs: 100, heartbeatMs: 100 },
    };
    const request = { source: { uri: 'test_videos/test_video.mp4' }, model: 'shapes' };
    await using node = await startTestNode(settings);
    await node.create({ id: 'undisturbed', ...request });
    await node.ended('undisturbed');
    await node.create({ id: 'cam', ...request });
    await waitUntil('it is midway', async () => (await node.get('cam')).progress.framesDone > 10);
    await nats.kill();
    cpSync(nats.dataDir, backup, { recursive: true });
    await nats.start();
    assert.is((await node.ended('cam')).outcome, 'completed');
    assert.not(node.log.join('\n').includes('older copy'), 'the store was the same');
    await nats.kill();
    rmSync(nats.dataDir, { recursive: true });
    renameSync(backup, nats.dataDir);
    await nats.start();
    await node.node.stopped;
    assert.match(node.log.join('\n'), /an older copy of NATS' store was put back while node 'test' ran/);

    await using again = await startTestNode({ ...settings, data: node.data });
    assert.is((await again.ended('cam')).outcome, 'completed');
    const [expected, actual] = await Promise.all(['undisturbed', 'cam'].map(id => again.export(id)));
    assert.ok(actual === expected, 'byte-identical to the undisturbed run');
  } finally {
    await nats.stop();
  }
});

test.run();
