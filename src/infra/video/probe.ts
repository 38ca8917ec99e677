/**
 * What ffprobe tells of a file.
 *
 * V1 The displayed size has square pixels and stands upright: the decoded width times the pixel aspect, then rotated.
 * V2 The first frame's own time counts, not the container's claim; a raw stream, whose frames carry none, has none.
 */
import path from 'node:path';
import Type, { type Static } from 'typebox';
import { TroupeError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import { parse } from '../../domain/parse.ts';
import type { SourceInfo } from '../../domain/source.ts';
import { inputArguments, output, unreadable } from './media-process.ts';
import type { RunMedia } from './media-run.ts';
import { sourceIdentity } from './source-identity.ts';

/** As ffmpeg counts: ratios of 32 bits, times of 64. What is larger would be no number any more when it is computed with. */
const Ratio = Type.String({ pattern: '^-?\\d{1,10}[:/]-?\\d{1,10}$' });
const Seconds = Type.String({ pattern: '^-?\\d{1,19}(\\.\\d{1,9})?$' });
const Ticks = Type.Integer({ minimum: -(2 ** 63), maximum: 2 ** 63 });

const Report = Type.Object({
  frames: Type.Array(
    Type.Object({
      width: Type.Integer({ minimum: 1 }),
      height: Type.Integer({ minimum: 1 }),
      sample_aspect_ratio: Type.Optional(Ratio),
      best_effort_timestamp: Type.Optional(Ticks),
    }),
  ),
  streams: Type.Array(
    Type.Object({
      codec_name: Type.Optional(Type.String()),
      time_base: Ratio,
      avg_frame_rate: Ratio,
      duration: Type.Optional(Seconds),
      nb_frames: Type.Optional(Type.String({ pattern: '^\\d{1,19}$' })),
      side_data_list: Type.Optional(Type.Array(Type.Object({ rotation: Type.Optional(Type.Number()) }))),
    }),
  ),
  format: Type.Object({ format_name: Type.String(), duration: Type.Optional(Seconds) }),
});

const ENTRIES = [
  'frame=width,height,sample_aspect_ratio,best_effort_timestamp',
  'stream=codec_name,time_base,avg_frame_rate,duration,nb_frames',
  'stream_side_data=rotation',
  'format=format_name,duration',
].join(':');

/** @throws TroupeError source_unreadable */
export async function probe(
  run: RunMedia,
  file: string,
  { engine, remedy }: { readonly engine: string; readonly remedy: string },
  signal: AbortSignal,
): Promise<SourceInfo> {
  const args = [
    ...['-v', 'error', '-select_streams', 'V:0', '-show_entries', ENTRIES],
    ...['-read_intervals', `%+#${LIMITS.probePackets}`, '-of', 'json', ...inputArguments(file)],
  ];
  const json = await output(run('ffprobe', args, signal), { subject: file, maxBytes: LIMITS.probeBytes, signal });
  const { frames, streams, format } = reportOf(json, file);
  const [stream] = streams;
  if (stream === undefined) throw unreadable(file, 'it has no video stream');
  const [first] = frames;
  if (first === undefined) {
    const codec = stream.codec_name ?? 'unknown';
    throw unreadable(file, `${engine} cannot decode its first pictures (codec ${codec})`, remedy);
  }
  const rotation = clockwise(stream.side_data_list?.find(data => data.rotation !== undefined)?.rotation ?? 0);
  const seconds = stream.duration ?? format.duration;
  const { width, height } = displayed(first, rotation);
  if (width < 1 || height < 1 || width * height > LIMITS.picturePixels) {
    throw new TroupeError(
      'source_unreadable',
      `${file}: a picture of ${width} × ${height} is too large to decode (at most ${LIMITS.picturePixels} pixels). Scale the video down first.`,
    );
  }
  return {
    width,
    height,
    rotation,
    codec: stream.codec_name ?? 'unknown',
    container: containerName(format.format_name, file),
    startMs:
      first.best_effort_timestamp === undefined ? null : ticksToMs(first.best_effort_timestamp, stream.time_base),
    durationMs: seconds === undefined ? null : Math.round(Number(seconds) * 1e6) / 1000,
    framesEstimate:
      stream.nb_frames === undefined ? estimate(seconds, stream.avg_frame_rate) : Number(stream.nb_frames),
    identity: await sourceIdentity(file),
  };
}

function reportOf(json: string, file: string): Static<typeof Report> {
  try {
    return parse(Report, JSON.parse(json), 'it');
  } catch (error) {
    const what = error instanceof TroupeError ? error.message : 'it is no JSON';
    throw unreadable(file, `what ffprobe says of it is not understood (${what.slice(0, LIMITS.complaintChars)})`);
  }
}

/** Milliseconds with 3 decimals of a time in units of `timeBase` seconds; V8's doubles hold every such time exactly enough. null: no unit. */
function ticksToMs(ticks: number, timeBase: string): number | null {
  const [numerator, denominator] = ratio(timeBase);
  if (denominator === 0) return null;
  return Math.round((ticks * numerator * 1e6) / denominator) / 1000;
}

/** Numerator and denominator of `a/b` or `a:b`. */
function ratio(text: string): readonly [number, number] {
  const [a = 0, b = 0] = text.split(/[:/]/).map(Number);
  return [a, b];
}

/** ffprobe counts anticlockwise; a player turns only by right angles, other angles leave the size as it is. */
function clockwise(anticlockwise: number): number {
  const turn = (((-anticlockwise % 360) + 360) % 360) | 0;
  return turn % 90 === 0 ? turn : 0;
}

/** V1. */
function displayed(
  frame: Static<typeof Report>['frames'][number],
  rotation: number,
): { width: number; height: number } {
  const [a, b] = ratio(frame.sample_aspect_ratio ?? '1:1');
  const width = a > 0 && b > 0 ? Math.round((frame.width * a) / b) : frame.width;
  return rotation % 180 === 0 ? { width, height: frame.height } : { width: frame.height, height: width };
}

/** One name of the demuxer's several: the file's extension where it is one of them, else the first. */
function containerName(names: string, file: string): string {
  const all = names.split(',');
  const extension = path.extname(file).slice(1).toLowerCase();
  return all.find(name => name === extension) ?? all[0] ?? names;
}

function estimate(seconds: string | undefined, rate: string): number | null {
  const [frames, per] = ratio(rate);
  return seconds === undefined || frames <= 0 || per <= 0 ? null : Math.round((Number(seconds) * frames) / per);
}
