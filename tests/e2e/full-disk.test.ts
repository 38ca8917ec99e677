// serial
// shared
/** A disk that is really full: DATA on a small file system of its own, filled while a video runs. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { startTestNode } from '../support/node.ts';
import { SmallDisk, whyNoSmallDisk } from '../support/small-disk.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('full disk');

const lacking = whyNoSmallDisk();
const name = 'FD1: a full disk is told, and when it has room again everything accepted completes by itself';
const source = { uri: 'test_videos/test_video.mp4' };
const slow = { source, model: 'shapes', sampling: { every: 2 } };
const short = { source, model: 'shapes', sampling: { every: 50 } };

if (lacking !== null) test.skip(`${name} (${lacking})`, () => {});
else
  test(name, async () => {
    using disk = new SmallDisk(80);
    await using node = await startTestNode({ data: path.join(disk.folder, 'data'), workers: 1 });
    const during = () =>
      node.call('POST', '/api/v1/scenarios', { id: 'during', ...short }, { 'idempotency-key': 'once' });
    await node.create({ id: 'undisturbed', ...slow });
    await node.ended('undisturbed');

    await node.create({ id: 'cut', ...slow });
    await waitUntil('it has results', async () => (await node.get('cut')).progress.framesDone > 0);
    disk.fill();
    await waitUntil('the server found no space', () => {
      disk.fill();
      return readFileSync(path.join(node.data, 'nats', 'nats.log'), 'utf8').includes('no space left on device');
    });
    await waitUntil('a command is refused with what is wrong and what to do', async () => {
      disk.fill();
      const { status, text } = await during();
      return status === 503 && /the disk of DATA .* is full: make room there/.test(text);
    });
    const ready = await node.call('GET', '/readyz');
    assert.is(ready.status, 503);
    assert.match(ready.text, 'is full: make room there');
    assert.is(node.log.filter(line => line.startsWith('The disk of DATA')).length, 1, node.log.join('\n'));

    assert.is((await node.get('cut')).state, 'active', 'it is not at its end');
    disk.makeRoom();
    await waitUntil('the command is taken', async () => (await during()).status === 201, 60_000);
    for (const id of ['cut', 'during']) {
      const ended = await node.ended(id);
      assert.is(ended.outcome, 'completed', JSON.stringify(ended.error));
    }
    assert.is(await node.export('cut'), await node.export('undisturbed'));
    await waitUntil('it is over', async () => (await node.call('GET', '/readyz')).status === 200);
    assert.is(node.log.filter(line => line.includes('nats-server is started anew')).length, 1, node.log.join('\n'));
  });

test.run();
