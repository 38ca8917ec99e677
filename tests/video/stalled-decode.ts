/** A process that decodes into a ring of which it never gives a slot back: FFMPEG FFPROBE VIDEO. */
import { FrameRing } from '../../src/actors/ports/frame-ring.ts';
import { ffmpegDecoder } from '../../src/infra/video/ffmpeg-decoder.ts';

const [ffmpeg = '', ffprobe = '', video = ''] = process.argv.slice(2);
const decoder = await ffmpegDecoder({ ffmpeg, ffprobe });
const signal = new AbortController().signal;
const source = await decoder.probe(video, signal);
await decoder.decode(
  { path: video, width: 320, height: 320, source, resume: null, ring: new FrameRing(1, 3 * 320 * 320) },
  { wants: () => true, frame: () => void process.stdout.write('stalled\n'), broken: () => undefined },
  signal,
);
