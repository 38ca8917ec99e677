// shared
/** What only the native ffmpeg can get wrong: its process. */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Decoder } from '../../src/actors/ports/decoder.ts';
import { Complaints } from '../../src/infra/video/complaints.ts';
import { ffmpegDecoder, nativeRun } from '../../src/infra/video/ffmpeg-decoder.ts';
import { MediaProcess } from '../../src/infra/video/media-process.ts';
import { seekTarget } from '../../src/infra/video/seek-target.ts';
import { decodeAll, refusal, resumeAfter } from '../contract/decoder.ts';
import { waitUntil } from '../support/wait-until.ts';
import { CLIPS, ffmpeg, tools } from './clips.ts';

const test = suite('ffmpeg process');
const folder = mkdtempSync(path.join(tmpdir(), 'troupe-ffmpeg-'));
const at = (name: string): string => path.join(folder, name);
const started: ChildProcess[] = [];
test.after(() => {
  for (const child of started) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** An ffmpeg that writes its process id down before it becomes the real one. */
const traced = at('traced-ffmpeg');
writeFileSync(traced, `#!/bin/sh\necho $$ > '${at('pid')}'\nexec '${tools.ffmpeg}' "$@"\n`);
chmodSync(traced, 0o755);
const childPid = (): number => Number(readFileSync(at('pid'), 'utf8'));
const tracedDecoder = (): Promise<Decoder> => ffmpegDecoder({ ...tools, ffmpeg: traced });

/** Longer than all pipes hold at 320 × 320, so that ffmpeg is still at work while frames are looked at. */
const LONG_FRAMES = 60;
const long = at('long.mp4');
ffmpeg(
  '-f',
  'lavfi',
  '-i',
  `testsrc2=s=160x120:r=25:d=${LONG_FRAMES / 25}`,
  '-c:v',
  'libx264',
  '-preset',
  'veryfast',
  long,
);
const size = { width: 320, height: 320 };

const isGone = (pid: number): boolean => {
  try {
    // A dead process may wait as a zombie for its adoptive parent.
    return /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return true;
  }
};

for (const frame of [0, 17, 40]) {
  test(`D2: an ffmpeg killed while frame ${frame} is looked at is decode_failed, never the end of the video`, async () => {
    const decoder = await tracedDecoder();
    const seen: number[] = [];
    const error = await refusal(
      decodeAll(decoder, long, {
        size,
        slots: 1,
        async look({ index }) {
          seen.push(index);
          if (index !== frame) return;
          process.kill(childPid(), 'SIGKILL');
          await waitUntil('ffmpeg is dead', () => isGone(childPid()));
        },
      }),
    );
    assert.is(error.code, 'decode_failed');
    assert.ok(seen.length < LONG_FRAMES && seen.length > frame);
    assert.is(error.frame, seen.length);
  });
}

test('M2: when an aborted decode has rejected, its ffmpeg is gone', async () => {
  const decoder = await tracedDecoder();
  const abort = new AbortController();
  await decodeAll(decoder, long, { size, signal: abort.signal, look: () => abort.abort(new Error('enough')) }).then(
    () => assert.unreachable('an aborted decode does not resolve'),
    error => assert.is((error as Error).message, 'enough'),
  );
  assert.ok(isGone(childPid()));
});

test('M2: a program that was started by a script, and not in its place, is not waited for when the script is gone', async () => {
  const script = at('not-exec');
  writeFileSync(script, `#!/bin/sh\nsleep 3600 &\necho $! > '${at('sleeper')}'\nwait\n`, { mode: 0o755 });
  const child = new MediaProcess(script, [], new AbortController().signal);
  await waitUntil('it sleeps', () => existsSync(at('sleeper')) && readFileSync(at('sleeper'), 'utf8').endsWith('\n'));
  let gone = false;
  void child[Symbol.asyncDispose]().then(() => (gone = true));
  try {
    await waitUntil('it is disposed of', () => gone);
  } finally {
    process.kill(Number(readFileSync(at('sleeper'), 'utf8')), 'SIGKILL');
  }
});

test('M3: an ffmpeg that waits for its reader dies with it', async () => {
  const stalled = spawn(
    process.execPath,
    [path.join(import.meta.dirname, 'stalled-decode.ts'), traced, tools.ffprobe, long],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  started.push(stalled);
  await new Promise(resolve => stalled.stdout.once('data', resolve));
  const pid = childPid();
  assert.not.ok(isGone(pid));
  stalled.kill('SIGKILL');
  await waitUntil('ffmpeg has followed its parent', () => isGone(pid));
});

test('a program that is not ffmpeg, or is not there, is refused', async () => {
  assert.match((await refusal(ffmpegDecoder({ ...tools, ffmpeg: '/bin/true' }))).message, 'is not ffmpeg');
  assert.match((await refusal(ffmpegDecoder({ ...tools, ffmpeg: at('nowhere') }))).message, 'cannot start');
});

test('the engine is ffmpeg’s name and version', async () => {
  assert.match((await ffmpegDecoder(tools)).engine, /^ffmpeg \S+$/);
});

test('endless complaints are kept to 20 lines of bounded length, without addresses', async () => {
  const text = Array.from({ length: 5000 }, (_, i) => `[h264 @ 0x55c2${i}ad] complaint ${i} ${'x'.repeat(2000)}\n`);
  const stderr = Readable.from(text, { objectMode: false });
  const complaints = new Complaints(stderr);
  await new Promise(resolve => stderr.once('close', resolve));
  const lines = complaints.lines();
  assert.is(lines.length, 20);
  assert.ok(lines.every(line => line.length <= 500));
  assert.match(lines[0] ?? '', /^\[h264\] complaint 0 /);
  assert.match(lines[10] ?? '', '4981 more lines');
  assert.match(complaints.last(), 'complaint 4999');
});

/** A program that stands in for another one when its arguments match, and otherwise is it. */
function standIn(name: string, program: string, pattern: string, does: string): string {
  writeFileSync(at(name), `#!/bin/sh\ncase "$*" in\n*${pattern}*) ${does} ;;\nesac\nexec '${program}' "$@"\n`);
  chmodSync(at(name), 0o755);
  return at(name);
}

test('D1, K1: what a seek found is dropped when the packets do not allow it, and the frames are counted', async () => {
  const noted = standIn('noted-ffmpeg', tools.ffmpeg, 'rawvideo', `echo decode >> '${at('decodes')}'`);
  const untimed = standIn('untimed-ffprobe', tools.ffprobe, 'packet=pts_time', "echo 'N/A,K__'; exit 0");
  const { pictures } = await decodeAll(await ffmpegDecoder(tools), long);
  const resume = resumeAfter(pictures, 30);
  for (const [ffprobe, decodes] of [
    [tools.ffprobe, 1],
    [untimed, 2],
  ] as const) {
    writeFileSync(at('decodes'), '');
    const resumed = await decodeAll(await ffmpegDecoder({ ffmpeg: noted, ffprobe }), long, { resume });
    assert.equal(resumed.pictures, pictures.slice(31));
    assert.is(readFileSync(at('decodes'), 'utf8'), 'decode\n'.repeat(decodes));
  }
  // A seek can lead to a failure, too: pictures without times.
  const failing = standIn(
    'failing-ffmpeg',
    tools.ffmpeg,
    '-seek_timestamp',
    'exec 3>&-; head -c 4000 /dev/zero; exit 1',
  );
  const counted = await decodeAll(await ffmpegDecoder({ ffmpeg: failing, ffprobe: untimed }), long, { resume });
  assert.equal(counted.pictures, pictures.slice(31));
  const allowed = await ffmpegDecoder({ ffmpeg: failing, ffprobe: tools.ffprobe });
  assert.is((await refusal(decodeAll(allowed, long, { resume }))).code, 'decode_failed');
});

const SEEKS = [
  'b-frames.mp4',
  'index-first.mp4',
  'variable-rate.mkv',
  'starts-late.mkv',
  'alt-ref.webm',
  'vp8.webm',
  'intra-refresh.mkv',
  'sound-first.mp4',
];
for (const [name, make] of Object.entries(CLIPS)) {
  const seeks = SEEKS.includes(name);
  test(`K1: ${name} is resumed by ${seeks ? 'seeking to the middle of two frames (K2)' : 'counting'}`, async () => {
    make(at(name));
    const decoder = await ffmpegDecoder(tools);
    const signal = new AbortController().signal;
    const { pictures } = await decodeAll(decoder, at(name));
    const source = await decoder.probe(at(name), signal);
    const resume = resumeAfter(pictures, 7);
    // Only path, source and resume point count here.
    const request = { path: at(name), ...size, source, resume, ring: undefined as never };
    const target = seekTarget(nativeRun(tools), request, signal);
    assert.is((await target?.allowed) ?? false, seeks);
    if (seeks) assert.is(target?.ms, ((resume.prevPts ?? 0) + (resume.lastPts ?? 0)) / 2);
  });
}

test.run();
