/** What only ffmpeg as WebAssembly can get wrong: its thread, its file system, its memory. */
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { invariant } from '../../src/domain/errors.ts';
import type { MediaRun } from '../../src/infra/video/media-run.ts';
import { wasmDecoder, wasmRun } from '../../src/infra/video/wasm-ffmpeg.ts';
import { decodeAll, expectExactResume, refusal } from '../contract/decoder.ts';
import { waitUntil } from '../support/wait-until.ts';
import { CLIP_FRAMES, CLIPS, ffmpeg } from './clips.ts';

const test = suite('ffmpeg.wasm');
const folder = mkdtempSync(path.join(tmpdir(), 'troupe-wasm-'));
const at = (name: string): string => path.join(folder, name);
test.after(() => rmSync(folder, { recursive: true, force: true }));

const decoder = wasmDecoder();
const clip = at('clip.mp4');
CLIPS['index-first.mp4']?.(clip);
const size = { width: 320, height: 320 };

/** What a run ends with. */
async function ended(run: MediaRun): Promise<{ code: number | null; complaints: string; bytes: number }> {
  await using media = run;
  media.side.resume();
  let bytes = 0;
  for await (const chunk of media.stdout as AsyncIterable<Buffer>) bytes += chunk.length;
  return { code: (await media.exited).code, complaints: media.complaints.lines().join('\n'), bytes };
}

test('the engine is ffmpeg.wasm and its version, which no native ffmpeg has', async () => {
  assert.is((await decoder).engine, 'ffmpeg.wasm 5.1.4');
});

const signal = new AbortController().signal;
const toNothing = ['-f', 'rawvideo', 'pipe:1'];

test('MT1: the one file can be read, another one that lies beside it cannot, and nothing can be written', async () => {
  const run = await wasmRun();
  writeFileSync(at('other.mp4'), readFileSync(clip));
  const one = await ended(run('ffmpeg', ['-v', 'error', '-i', `file:${clip}`, ...toNothing], signal));
  assert.equal(one, { code: 0, complaints: '', bytes: (CLIP_FRAMES * 96 * 64 * 3) / 2 });
  const both = ['-v', 'error', '-i', `file:${clip}`, '-i', `file:${at('other.mp4')}`, '-map', '1:v', ...toNothing];
  const two = await ended(run('ffmpeg', both, signal));
  assert.is(two.code, 1);
  assert.match(two.complaints, 'other.mp4: No such file or directory');
  const before = readFileSync(clip);
  const over = ['-v', 'error', '-y', '-i', `file:${clip}`, '-f', 'rawvideo', `file:${clip}`];
  assert.is((await ended(run('ffmpeg', over, signal))).code, 1);
  await ended(run('ffmpeg', [...over.slice(0, -1), `file:${at('written.raw')}`], signal));
  assert.equal(readFileSync(clip), before);
  assert.equal(readdirSync(folder).sort(), ['clip.mp4', 'other.mp4']);
});

test('MT1: there is no network, also where a protocol of it were allowed', async () => {
  let connections = 0;
  const server = createServer(socket => {
    connections += 1;
    socket.destroy();
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  invariant(address !== null && typeof address === 'object', 'the server listens');
  const run = await wasmRun();
  for (const protocol of ['tcp', 'http']) {
    const url = `${protocol}://127.0.0.1:${address.port}`;
    const { code, complaints } = await ended(run('ffmpeg', ['-v', 'error', '-i', url, ...toNothing], signal));
    assert.is(code, 1);
    assert.match(complaints, `${url}: `);
  }
  assert.is(connections, 0);
  server.close();
});

test('MT2: when an aborted decode has rejected, its threads are gone, although they waited for a reader', async () => {
  const threads = (): number => (process.platform === 'linux' ? readdirSync('/proc/self/task').length : 0);
  const opened = await decoder;
  const before = threads();
  const abort = new AbortController();
  let during = 0;
  await decodeAll(opened, clip, {
    size,
    slots: 1,
    signal: abort.signal,
    async look() {
      during = Math.max(during, threads());
      abort.abort(new Error('enough'));
    },
  }).then(
    () => assert.unreachable('an aborted decode does not resolve'),
    error => assert.is((error as Error).message, 'enough'),
  );
  assert.ok(during > before || process.platform !== 'linux', 'a thread decodes');
  assert.is(threads(), before);
});

test('MT2: whether an aborted run was silent is told, also when it had much to say', async () => {
  const run = await wasmRun();
  for (let time = 0; time < 6; time++) {
    const abort = new AbortController();
    await using chatty = run('ffmpeg', ['-v', 'trace', '-i', `file:${clip}`, ...toNothing], abort.signal);
    chatty.stdout.resume();
    chatty.side.resume();
    await waitUntil('it says something', () => !chatty.complaints.none);
    const silent = chatty.wasSilent();
    abort.abort(new Error('enough'));
    let told = false;
    void silent.then(() => (told = true));
    await waitUntil('it is told', () => told);
  }
});

test('a thread that ends by itself in the middle is an exit, and no longer a run', async () => {
  const run = (await wasmRun())('ffmpeg', ['-version'], signal);
  assert.match(String((await run.stdout.toArray())[0]), 'ffmpeg version 5.1.4');
  assert.equal(await run.exited, { code: 0, signal: null });
  await run[Symbol.asyncDispose]();
});

test('a codec that it lacks is refused as unreadable, with what to do', async () => {
  const input = ['-f', 'lavfi', '-i', 'testsrc2=s=96x64:r=25:d=0.12'];
  ffmpeg(...input, '-c:v', 'libaom-av1', '-cpu-used', '8', at('av1.mp4'));
  const { code, message } = await refusal((await decoder).probe(at('av1.mp4'), signal));
  assert.is(code, 'source_unreadable');
  assert.match(message, 'ffmpeg.wasm 5.1.4 cannot decode its first pictures (codec av1)');
  assert.match(message, 'install ffmpeg');
});

const GIB = 1024 ** 3;

/** A video whose pictures all lie beyond a hole, a `free` box of MP4, that takes no room on the disk. */
function withHole(from: string, to: string, holeBytes: number): void {
  const bytes = readFileSync(from);
  let head = 0;
  while (bytes.toString('latin1', head + 4, head + 8) !== 'moof') head += bytes.readUInt32BE(head);
  const box = Buffer.alloc(16);
  box.writeUInt32BE(1, 0); // its size is the 64-bit number after its name
  box.write('free', 4, 'latin1');
  box.writeBigUInt64BE(BigInt(holeBytes), 8);
  const file = openSync(to, 'w');
  writeSync(file, bytes, 0, head, 0);
  writeSync(file, box, 0, box.length, head);
  writeSync(file, bytes, head, bytes.length - head, head + holeBytes);
  ftruncateSync(file, bytes.length + holeBytes);
  closeSync(file);
}

test('MT3: a file of 5 GiB is read beyond 2³² bytes, to the picture and in bounded memory', async () => {
  ffmpeg('-i', clip, '-c', 'copy', '-movflags', 'frag_keyframe+empty_moov+default_base_moof', at('fragments.mp4'));
  withHole(at('fragments.mp4'), at('hole.mp4'), 5 * GIB);
  const opened = await decoder;
  const small = await decodeAll(opened, at('fragments.mp4'));
  const before = process.memoryUsage.rss();
  let most = 0;
  const large = await decodeAll(opened, at('hole.mp4'), {
    look() {
      most = Math.max(most, process.memoryUsage.rss());
    },
  });
  assert.is(small.pictures.length, CLIP_FRAMES);
  assert.equal(large, small);
  await expectExactResume(opened, at('hole.mp4'), large, [6]);
  // A tenth of the file: far more than threads and pipes take, far less than any reading ahead.
  assert.ok(most - before < GIB / 2, `${before} bytes before, ${most} while decoding`);
});

test.run();
