// shared
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bareLoop } from '../../bench/bare-loop.ts';
import { atThreshold, type DetectedFrame, predictionLine } from '../../src/domain/prediction.ts';
import { asset } from '../../src/infra/process/assets.ts';
import { findFfmpeg } from '../../src/infra/process/find-program.ts';
import { referenceLines } from '../reference/loop.ts';
import { shared, testWith } from './shared-assets.ts';

const given = process.env['TROUPE_FFMPEG'];
const tools = findFfmpeg({ given, searchPath: process.env['PATH'], own: asset('.troupe', 'bin') });
if (tools === null) throw new Error('ffmpeg is not there: run `npm run setup`');
const { ffmpeg, ffprobe } = tools;

const test = suite('bare loop');

async function assertLikeReference(video: string, model: string): Promise<void> {
  const found: DetectedFrame[] = [];
  const result = await bareLoop({
    video,
    model,
    workers: 2,
    ffmpeg,
    ffprobe,
    onResult: (frame, detections) => found.push({ frame: frame.index, ptsMs: frame.ptsMs, detections }),
  });
  const inOrder = found.toSorted((a, b) => a.frame - b.frame);
  const expected = await referenceLines({ ffmpeg, video, model, threshold: 0.25, iou: 0.45 });
  assert.is(result.frames, expected.length);
  assert.is(inOrder.map(frame => predictionLine(atThreshold(frame, 0.25))).join('\n'), expected.join('\n'));
  assert.ok(
    inOrder.some(frame => frame.detections.length > 0),
    'something was found',
  );
}

for (const video of ['test_video.mp4', 'test_video_2.webm']) {
  test(`decoding and inference give the reference’s lines, byte for byte: ${video} with shapes`, () =>
    assertLikeReference(asset('test_videos', video), asset('models', 'shapes.onnx')));
}

for (const [name, model] of [
  ['cars-vfr-bframes.mkv', shared('models', 'yolox_nano.onnx')],
  ['people-mpeg4-bframes.avi', asset('models', 'shapes.onnx')],
  ['face-book-h264.mkv', asset('models', 'shapes.onnx')],
] as const) {
  const video = shared('videos', name);
  testWith(test, [video, model], `the same for ${name} with ${path.basename(model, '.onnx')}`, () =>
    assertLikeReference(video, model),
  );
}

test.run();
