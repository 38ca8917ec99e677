// serial
// shared
/** Defects 6 and 9 of the predecessors, on a whole node with its real parts. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { programs } from '../../src/infra/config.ts';
import { asset } from '../../src/infra/process/assets.ts';
import { findFfmpeg } from '../../src/infra/process/find-program.ts';
import { referenceLines } from '../reference/loop.ts';
import { startTestNode, type TestNode } from '../support/node.ts';

const test = suite('defects of the predecessors, whole node');
let node: TestNode;
test.before(async () => {
  node = await startTestNode();
});
test.after(async () => {
  await node[Symbol.asyncDispose]();
});

const request = (video: string) => ({ source: { uri: asset('test_videos', video) }, model: 'shapes' });

test('defect 6: a GET right after the POST finds the scenario, every time', async () => {
  for (let i = 0; i < 20; i++) {
    const { status } = await node.call('POST', '/api/v1/scenarios', {
      id: `now${i}`,
      start: false,
      ...request('test_video.mp4'),
    });
    assert.is(status, 201);
    assert.is((await node.get(`now${i}`)).state, 'inactive');
  }
});

test('defect 9: two videos give different predictions, each byte for byte those of the plain loop over its frames', async () => {
  const { ffmpeg: given, searchPath, own } = programs();
  const ffmpeg = findFfmpeg({ given, searchPath, own })?.ffmpeg;
  if (ffmpeg === undefined) throw new Error('ffmpeg is not there: run `npm run setup`');
  const exports: string[] = [];
  for (const video of ['test_video.mp4', 'test_video_2.webm']) {
    const { id } = await node.create(request(video));
    const { outcome, error } = await node.ended(id);
    assert.equal([outcome, error], ['completed', null]);
    const expected = await referenceLines({
      ffmpeg,
      video: asset('test_videos', video),
      model: asset('models', 'shapes.onnx'),
      threshold: 0.25,
      iou: 0.45,
    });
    const found = await node.export(id);
    assert.is(found, `${expected.join('\n')}\n`);
    assert.match(found, /"class":"/, 'something was found');
    exports.push(found);
  }
  assert.is.not(exports[0], exports[1]);
});

test.run();
