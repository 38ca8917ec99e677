// shared
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FrameRing } from '../../src/actors/ports/frame-ring.ts';
import { ffmpegDecoder } from '../../src/infra/video/ffmpeg-decoder.ts';
import { ffmpeg, tools } from './clips.ts';

const test = suite('decoder memory');
const folder = mkdtempSync(path.join(tmpdir(), 'troupe-decoder-memory-'));
test.after(() => rmSync(folder, { recursive: true, force: true }));

const FRAMES = 20_000;

test('D3: over 20,000 frames the resident size does not grow in the second half', async () => {
  const clip = path.join(folder, 'clip.avi');
  const input = `testsrc=s=64x48:r=1000:d=${FRAMES / 1000}`;
  ffmpeg('-f', 'lavfi', '-i', input, '-c:v', 'mpeg4', '-g', '100', clip);
  const decoder = await ffmpegDecoder(tools);
  const signal = new AbortController().signal;
  const source = await decoder.probe(clip, signal);
  const ring = new FrameRing(4, 3 * 64 * 64);
  /** Largest resident size in the second and in the last two quarters; the first one is for warming up. */
  let early = 0;
  let late = 0;
  const { frames } = await decoder.decode(
    { path: clip, width: 64, height: 64, source, resume: null, ring },
    {
      wants: () => true,
      frame({ index }, slot) {
        if (index % 100 === 0 && index >= FRAMES / 4) {
          const resident = process.memoryUsage.rss();
          if (index < FRAMES / 2) early = Math.max(early, resident);
          else late = Math.max(late, resident);
        }
        setImmediate(() => ring.release(slot));
      },
      broken: (_, message) => assert.unreachable(message),
    },
    signal,
  );
  assert.is(frames, FRAMES);
  assert.ok(late < early * 1.05, `${early} bytes, then ${late}`);
});

test.run();
