/** What a scenario shows when nodes refuse it: real nodes, over a whole partition in memory. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Cluster, idsOf, PARTITION, RETRY_MS } from './cluster.ts';
import { ENGINE, MODEL } from './play.ts';

const OTHER_ENGINE = { ...ENGINE, cpu: 'arm64' };
const OTHER_MODEL = { ...MODEL, sha256: 'ef' };

const test = suite('refusals');

/** A scenario that has run on node `home`, which is away now, among nodes that cannot go on with it. */
async function orphaned() {
  const cluster = new Cluster();
  const home = await cluster.agent('home');
  const [id = ''] = idsOf(PARTITION, 1);
  cluster.start(id);
  await cluster.clock.advance(1_000);
  assert.is(home.running(), 1);
  const others = [
    await cluster.agent('engine', { engine: OTHER_ENGINE }),
    await cluster.agent('file', { readable: false }),
    await cluster.agent('model', { model: OTHER_MODEL }),
  ];
  await home.leave();
  await cluster.clock.advance(RETRY_MS);
  return { cluster, id, others };
}

test('a node without the file, one with another engine and one with another model file each say so, and the scenario waits', async () => {
  const { cluster, id } = await orphaned();
  const { state, reason } = await cluster.doc(id);
  assert.is(state, 'in_startup_processing');
  assert.equal(reason?.split('; '), [
    "engine: the run began with another engine (ffmpeg 5, onnxruntime 1.30, cpu, x64) than the node's (ffmpeg 5, onnxruntime 1.30, cpu, arm64)",
    'file: video.mp4 is not there',
    'model: model shapes is another file here than the one this run began with. Put that one back, or start with from=start.',
  ]);
  await cluster.clock.advance(10 * RETRY_MS);
  assert.equal([(await cluster.doc(id)).error, cluster.defects], [null, []]);
});

test('X9: it goes on at once when the node that had it is back', async () => {
  const { cluster, id, others } = await orphaned();
  await others[0]?.leave(); // what those that are left refuse, they refuse for good
  await cluster.clock.advance(RETRY_MS);
  const home = await cluster.agent('home');
  await cluster.clock.advance(100);
  assert.is(home.running(), 1);
  assert.equal([(await cluster.doc(id)).segments[0]?.phase, (await cluster.doc(id)).reason], ['running', null]);
});

test('X9: it fails when that node is back without the file, and no other will ever have it', async () => {
  const { cluster, id, others } = await orphaned();
  await others[0]?.leave(); // a node with another engine may be given the right one
  await cluster.clock.advance(RETRY_MS);
  assert.is((await cluster.doc(id)).error, null);
  await cluster.agent('home', { readable: false });
  await cluster.clock.advance(100);
  const { error } = await cluster.doc(id);
  assert.equal(
    [error?.code, error?.message.split('; ').map(said => said.split(':')[0])],
    ['source_unreadable', ['home', 'file', 'model']],
  );
});

test('X9: what was never placed fails at once when every node refuses it for good', async () => {
  const cluster = new Cluster();
  for (const id of ['a', 'b']) await cluster.agent(id, { readable: false });
  const [id = ''] = idsOf(PARTITION, 1);
  cluster.start(id);
  await cluster.clock.advance(1_000);
  assert.equal((await cluster.doc(id)).error, { code: 'source_unreadable', message: 'video.mp4 is not there' });
});

test.run();
