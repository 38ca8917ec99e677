/**
 * Reads the frame times that the filter graph prints on file descriptor 3: two lines a frame, such as
 * `frame:12   pts:480000  pts_time:0.48` and `t=0`, the pts in microseconds or `NOPTS`.
 */
import type { Readable } from 'node:stream';
import { TroupeError } from '../../domain/errors.ts';
import { textLines } from './text-lines.ts';

/**
 * Goes at the head of a filter chain: one time per frame, as the demuxer has it, written before the frame is passed on.
 * `setpts=N` then spares the muxer times that jump back. (A second output in framecrc form costs a third more CPU and
 * loses such times.)
 */
export const TIMES_FILTER =
  "settb=AVTB,metadata=mode=add:key=t:value=0,metadata=mode=print:key=t:direct=1:file='pipe\\:3',setpts=N";

const LINE = /^frame:(\d+)\s+pts:(NOPTS|-?\d{1,19})\s/;

/**
 * Milliseconds with 3 decimals, or null where the frame has no time. ffmpeg counts its lines: while the count goes on, a frame's time
 * is that frame's. Where it builds its filters anew (the pixel format changes) it begins to count anew, and a line that was lost or
 * came twice just there is not noticed here: only the end is then refused, which has more pictures than times or fewer (D2 of
 * ffmpeg-decoder.ts).
 */
export async function* frameTimes(side: Readable): AsyncGenerator<number | null, void> {
  let due = 0;
  for await (const line of textLines(side)) {
    if (line === 't=0') continue;
    const [, frame, pts] = LINE.exec(line) ?? [];
    const isDue = Number(frame) === due || Number(frame) === 0;
    if (pts === undefined || !isDue) {
      const text = line.slice(0, 100);
      throw new TroupeError(
        'decode_failed',
        `ffmpeg gave '${text}' as a frame's time. Is it ffmpeg? Run \`npm run setup\`.`,
      );
    }
    due = Number(frame) + 1;
    yield pts === 'NOPTS' ? null : Number(pts) / 1000;
  }
}
