/** Small clips made by the real ffmpeg, each with one difficulty. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { invariant } from '../../src/domain/errors.ts';
import { findFfmpeg } from '../../src/infra/process/find-program.ts';

export const repository = path.join(import.meta.dirname, '../..');

const found = findFfmpeg({
  given: process.env['TROUPE_FFMPEG'],
  searchPath: process.env['PATH'],
  own: path.join(repository, '.troupe/bin'),
});
invariant(found !== null, 'ffmpeg is here: run `npm run setup`');
export const tools = found;

export const CLIP_FRAMES = 12;
const SOURCE = ['-f', 'lavfi', '-i', `testsrc2=s=96x64:r=25:d=${CLIP_FRAMES / 25}`];
const X264 = ['-c:v', 'libx264', '-preset', 'fast', '-bf', '2', '-g', '5', '-threads', '1'];

/** Runs ffmpeg; `args` end with the output file. */
export function ffmpeg(...args: readonly string[]): void {
  execFileSync(tools.ffmpeg, ['-v', 'error', '-y', '-nostdin', ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Name of each clip: what is difficult about it. */
export const CLIPS: Readonly<Record<string, (file: string) => void>> = {
  'b-frames.mp4': file => ffmpeg(...SOURCE, ...X264, file),
  'index-first.mp4': file => ffmpeg(...SOURCE, ...X264, '-movflags', '+faststart', file),
  'variable-rate.mkv': file =>
    ffmpeg(
      ...SOURCE,
      ...['-vf', "settb=1/1000,setpts='N*40+mod(N*N,7)*5'", '-fps_mode', 'passthrough', '-enc_time_base', '1/1000'],
      ...[...X264, file],
    ),
  'starts-late.mkv': file => ffmpeg(...SOURCE, ...X264, '-output_ts_offset', '5.033', file),
  'alt-ref.webm': file =>
    ffmpeg(...SOURCE, '-c:v', 'libvpx-vp9', '-b:v', '0', '-crf', '40', '-g', '5', '-lag-in-frames', '6', file),
  'vp8.webm': file => ffmpeg(...SOURCE, '-c:v', 'libvpx', '-auto-alt-ref', '1', '-lag-in-frames', '6', '-g', '8', file),
  'intra-refresh.mkv': file =>
    ffmpeg(...SOURCE, '-c:v', 'libx264', '-x264-params', 'intra-refresh=1:keyint=8:bframes=0', file),
  'b-frames.avi': file => ffmpeg(...SOURCE, '-c:v', 'mpeg4', '-bf', '2', '-g', '5', file),
  'transport.ts': file => ffmpeg(...SOURCE, ...X264, file),
  'no-times.h264': file => ffmpeg(...SOURCE, ...X264, file),
  'times-jump-back.mkv': file => {
    const half = file.replace(/mkv$/, 'half.mkv');
    ffmpeg(...SOURCE, ...X264, '-frames:v', String(CLIP_FRAMES / 2), half);
    writeFileSync(file, Buffer.concat([readFileSync(half), readFileSync(half)]));
  },
  'sound-first.mp4': file =>
    ffmpeg(
      '-f',
      'lavfi',
      '-i',
      'sine=d=1',
      '-itsoffset',
      '0.2',
      ...SOURCE,
      '-fps_mode',
      'passthrough',
      ...X264,
      '-c:a',
      'aac',
      file,
    ),
};

/** Left half red, right half blue, 48 × 32 pixels as stored. */
export const twoColours = (file: string, ...more: readonly string[]): void =>
  ffmpeg(
    ...['-f', 'lavfi', '-i', 'color=red:s=24x32:d=0.2', '-f', 'lavfi', '-i', 'color=blue:s=24x32:d=0.2'],
    ...['-filter_complex', ['hstack', ...more].join(','), '-c:v', 'libx264', '-crf', '1', '-pix_fmt', 'yuv444p', file],
  );

/** Makes players turn an MP4 by 90° clockwise, through the matrix of its track header. */
export function turnClockwise(file: string): void {
  const bytes = readFileSync(file);
  const matrix = bytes.indexOf('tkhd') + 4 + 40;
  const one = 1 << 16;
  const quarterTurn = [0, one, 0, -one, 0, 0, 0, 0, 1 << 30];
  for (const [i, value] of quarterTurn.entries()) bytes.writeInt32BE(value, matrix + 4 * i);
  writeFileSync(file, bytes);
}
