// shared
/** Whole videos: the project's own and, where they are, those of ../shared/assets. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ffmpegDecoder } from '../../src/infra/video/ffmpeg-decoder.ts';
import { decodeAll, expectExactResume } from '../contract/decoder.ts';
import { repository, tools } from './clips.ts';

const test = suite('real videos');

const VIDEOS: readonly (readonly [string, number])[] = [
  ['test_videos/test_video.mp4', 600],
  ['test_videos/test_video_2.webm', 600],
  ['../shared/assets/videos/people-one-by-one.mp4', 1394],
  ['../shared/assets/videos/people-mpeg4-bframes.avi', 300],
  ['../shared/assets/videos/cars-vfr-bframes.mkv', 179],
  ['../shared/assets/videos/face-book-h264.mkv', 109],
];

for (const [name, frames] of VIDEOS) {
  const file = path.resolve(repository, name);
  const here = existsSync(file);
  const run = here ? test : test.skip;
  run(`${name}: ${frames} frames, and exact resumes${here ? '' : ' (skipped: it is not here)'}`, async () => {
    const decoder = await ffmpegDecoder(tools);
    const whole = await decodeAll(decoder, file);
    assert.equal(whole.result, { frames, warnings: [] });
    assert.is(whole.pictures.at(-1)?.index, frames - 1);
    assert.ok(whole.pictures.every(({ ptsMs }, i) => i === 0 || (ptsMs ?? 0) > (whole.pictures[i - 1]?.ptsMs ?? 0)));
    const sample = [0, 1, Math.floor(frames / 3), Math.floor(frames / 2), frames - 2, frames - 1];
    await expectExactResume(decoder, file, whole, sample);
  });
}

test('each of our test videos has a line of truth for every frame', () => {
  for (const [name, frames] of VIDEOS.slice(0, 2)) {
    const lines = readFileSync(path.join(repository, `${name}.truth.jsonl`), 'utf8')
      .trim()
      .split('\n');
    assert.equal(
      lines.map(line => (JSON.parse(line) as { frame: number }).frame),
      Array.from({ length: frames }, (_, i) => i),
    );
  }
});

test.run();
