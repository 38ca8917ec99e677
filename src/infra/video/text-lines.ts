/** Lines of a child's output, as they come; only as fast as they are asked for. Which they are depends on no cut between chunks. */
import type { Readable } from 'node:stream';
import { TroupeError } from '../../domain/errors.ts';

/** Far longer than any line that is asked of ffmpeg or ffprobe. */
const LONGEST_LINE = 4096;

export async function* textLines(stream: Readable): AsyncGenerator<string, void> {
  stream.setEncoding('latin1');
  let partial = '';
  for await (const text of stream as AsyncIterable<string>) {
    const lines = (partial + text).split('\n');
    partial = lines.pop() ?? '';
    for (const line of lines) yield bounded(line);
    bounded(partial);
  }
}

function bounded(line: string): string {
  if (line.length > LONGEST_LINE)
    throw new TroupeError(
      'decode_failed',
      'a media tool wrote no lines where lines are expected. Run `npm run setup`.',
    );
  return line;
}
