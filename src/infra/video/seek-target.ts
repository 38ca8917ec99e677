/**
 * Decides whether a resume may seek, by reading all packets (which decodes nothing and takes 10 to 80 µs each). It is read
 * while the decoder seeks already.
 *
 * K1 A seek is allowed only where time tells frames apart: in a container with an index, whose every packet carries
 *    a time, with exactly `frame` packets before the last frame's time, one at it and one at its predecessor's.
 *    Anything else (no times, repeated or restarting times, invisible frames) is resumed by decoding and counting.
 * K2 The target is the middle between the two frames, so that no rounding of a demuxer can reach another frame.
 */
import type { DecodeRequest } from '../../actors/ports/decoder.ts';
import { inputArguments } from './media-process.ts';
import type { RunMedia } from './media-run.ts';
import { textLines } from './text-lines.ts';

/** Demuxers that seek by an index of key frames; others land anywhere and hand out pictures with missing references. */
const INDEXED = new Set(['mov', 'mp4', 'm4a', '3gp', '3g2', 'mj2', 'matroska', 'webm', 'avi']);

export interface SeekTarget {
  /** Where to seek to, ms. */
  readonly ms: number;
  /** Whether what was found there may be used (K1); known when all packets are read. Never rejects before it is awaited. */
  readonly allowed: Promise<boolean>;
}

/** @returns null: decode from the start and count */
export function seekTarget(
  run: RunMedia,
  { path, source, resume }: DecodeRequest,
  signal: AbortSignal,
): SeekTarget | null {
  if (resume === null || resume.prevPts === null || resume.lastPts === null) return null;
  const { frame, prevPts, lastPts } = resume;
  if (prevPts >= lastPts || !INDEXED.has(source.container)) return null;
  const allowed = tellsApart(packetTimes(run, path, signal), { frame, prevPts, lastPts });
  allowed.catch(() => {});
  return { ms: (prevPts + lastPts) / 2, allowed };
}

/** K1 */
async function tellsApart(
  times: AsyncIterable<number | null>,
  { frame, prevPts, lastPts }: { readonly frame: number; readonly prevPts: number; readonly lastPts: number },
): Promise<boolean> {
  const counts = { before: 0, atPrevious: 0, atLast: 0 };
  for await (const ms of times) {
    if (ms === null) return false;
    if (ms < lastPts) counts.before += 1;
    if (ms === prevPts) counts.atPrevious += 1;
    if (ms === lastPts) counts.atLast += 1;
  }
  return counts.before === frame && counts.atPrevious === 1 && counts.atLast === 1;
}

/** Times of all packets that are shown, in file order; null for a missing time, and at the end of a scan that failed. */
async function* packetTimes(run: RunMedia, path: string, signal: AbortSignal): AsyncGenerator<number | null, void> {
  await using scan = run(
    'ffprobe',
    [
      ...['-v', 'error', '-select_streams', 'V:0', '-show_entries', 'packet=pts_time,flags'],
      ...['-of', 'csv=p=0', ...inputArguments(path)],
    ],
    signal,
  );
  try {
    for await (const line of textLines(scan.stdout)) {
      const [seconds = '', flags = ''] = line.split(',');
      // D: an edit list discards it; C: damaged, whether a frame comes of it is not known.
      if (!flags.includes('D')) yield /^-?\d/.test(seconds) && !flags.includes('C') ? microseconds(seconds) : null;
    }
    if ((await scan.exited).code !== 0) yield null;
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
  signal.throwIfAborted();
}

/** Milliseconds with 3 decimals of seconds with 6. */
const microseconds = (seconds: string): number => Math.round(Number(seconds) * 1e6) / 1000;
