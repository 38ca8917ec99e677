/** What every decoder must do, whatever it runs on: one test body for all adapters of the port. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Test } from 'uvu';
import * as assert from 'uvu/assert';
import type { DecodedFrame, DecodeResult, Decoder, ResumePoint } from '../../src/actors/ports/decoder.ts';
import { FrameRing } from '../../src/actors/ports/frame-ring.ts';
import { TroupeError } from '../../src/domain/errors.ts';
import { letterbox } from '../../src/domain/letterbox.ts';
import { CLIP_FRAMES, CLIPS, ffmpeg, tools, turnClockwise, twoColours } from '../video/clips.ts';

export interface Picture extends DecodedFrame {
  /** Of the slot's pixels. */
  readonly sha1: string;
}

export interface Decoded {
  readonly pictures: readonly Picture[];
  readonly result: DecodeResult;
}

export interface DecodeOptions {
  readonly size?: { readonly width: number; readonly height: number };
  readonly resume?: ResumePoint | null;
  readonly slots?: number;
  readonly signal?: AbortSignal;
  readonly wants?: (frame: DecodedFrame) => boolean;
  /** Called with each wanted picture before its slot is given back. */
  readonly look?: (frame: DecodedFrame, pixels: Uint8Array) => void | Promise<void>;
}

const never = new AbortController().signal;

/** Probes and decodes; gives each slot back a turn of the event loop later, as a real consumer does. */
export async function decodeAll(decoder: Decoder, file: string, options: DecodeOptions = {}): Promise<Decoded> {
  const { size = { width: 32, height: 32 }, resume = null, slots = 3, signal = never } = options;
  const source = await decoder.probe(file, signal);
  const ring = new FrameRing(slots, 3 * size.width * size.height);
  const pictures: Picture[] = [];
  const looks: Promise<void>[] = [];
  const result = await decoder.decode(
    { path: file, ...size, source, resume, ring },
    {
      wants: options.wants ?? (() => true),
      frame(frame, slot) {
        const pixels = ring.view(slot);
        pictures.push({ ...frame, sha1: createHash('sha1').update(pixels).digest('hex') });
        const looked = Promise.resolve(options.look?.(frame, pixels));
        looks.push(looked.then(() => void setImmediate(() => ring.release(slot))));
      },
      broken: (_, message) => assert.unreachable(message),
    },
    signal,
  );
  await Promise.all(looks);
  return { pictures, result };
}

/** The resume point of an attempt that committed pictures up to and including `frame`. */
export function resumeAfter(pictures: readonly Picture[], frame: number): ResumePoint {
  return { frame, prevPts: pictures[frame - 1]?.ptsMs ?? null, lastPts: pictures[frame]?.ptsMs ?? null };
}

/** Resumes after the frames given; each time exactly the undisturbed rest must come. */
export async function expectExactResume(
  decoder: Decoder,
  file: string,
  { pictures, result }: Decoded,
  frames: Iterable<number>,
): Promise<void> {
  for (const frame of frames) {
    const resumed = await decodeAll(decoder, file, { resume: resumeAfter(pictures, frame) });
    assert.equal(resumed.pictures, pictures.slice(frame + 1), `resumed after frame ${frame}`);
    assert.is(resumed.result.frames, result.frames);
  }
}

export async function refusal(promise: Promise<unknown>): Promise<TroupeError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof TroupeError) return error;
    throw error;
  }
  throw new Error('this should have been refused');
}

/** Presentation times of all frames as ffprobe has them, ms; null where it has none. */
function probedTimes(file: string): (number | null)[] {
  const entries = ['-show_entries', 'frame=best_effort_timestamp_time', '-of', 'json'];
  const json = execFileSync(tools.ffprobe, ['-v', 'error', '-select_streams', 'v:0', ...entries, file]);
  const { frames } = JSON.parse(json.toString()) as { frames: { best_effort_timestamp_time?: string }[] };
  return frames.map(({ best_effort_timestamp_time: seconds }) =>
    seconds === undefined ? null : Math.round(Number(seconds) * 1e6) / 1000,
  );
}

/** Red, green and blue at a point of a planar G, B, R picture. */
function colourAt(pixels: Uint8Array, side: number, x: number, y: number): number[] {
  const at = y * side + x;
  return [2, 0, 1].map(plane => pixels[plane * side * side + at] ?? -1);
}

const isNear = (a: readonly number[], b: readonly number[]): boolean =>
  a.every((value, i) => Math.abs(value - (b[i] ?? 0)) < 24);

function temporaryFolder(test: Test): (name: string) => string {
  const folder = mkdtempSync(path.join(tmpdir(), 'troupe-decoder-'));
  test.after(() => rmSync(folder, { recursive: true, force: true }));
  return name => path.join(folder, name);
}

/**
 * Every frame once with its own time, and exact resumes: whole, truncated and damaged files.
 * @param resumes after every frame, or after a few where the code that seeks was tried on every one with another decoder
 */
export function resumeContract(test: Test, open: () => Promise<Decoder>, resumes: 'all' | 'few' = 'all'): void {
  const at = temporaryFolder(test);

  for (const [name, make] of Object.entries(CLIPS)) {
    test(`${name}: every frame once, with its own time, and a resume after any frame gives the same rest`, async () => {
      const decoder = await open();
      make(at(name));
      const whole = await decodeAll(decoder, at(name));
      assert.equal(whole.result, { frames: CLIP_FRAMES, warnings: whole.result.warnings });
      assert.equal(
        whole.pictures.map(picture => picture.index),
        Array.from({ length: CLIP_FRAMES }, (_, i) => i),
      );
      const probed = probedTimes(at(name));
      for (const { index, ptsMs } of whole.pictures) {
        // In an AVI with B-frames ffprobe knows no time for the very last frame, ffmpeg does.
        if (index < CLIP_FRAMES - 1 || probed[index] !== null)
          assert.is(ptsMs, probed[index], `time of frame ${index}`);
      }
      assert.is((await decoder.probe(at(name), never)).startMs, whole.pictures[0]?.ptsMs);
      // Where the decoder counts, each resume takes the same way; where it seeks, each seek is another one.
      const counted = /jump-back|\.(webm|ts|h264)$/.test(name);
      await expectExactResume(
        decoder,
        at(name),
        whole,
        resumes === 'few' ? [5] : counted ? [0, 5, CLIP_FRAMES - 2] : whole.pictures.keys(),
      );
    });
  }

  for (const whole of ['starts-late.mkv', 'b-frames.avi', 'index-first.mp4']) {
    test(`a truncated file (${whole}) gives what can be decoded, with a warning, and resumes exactly`, async () => {
      const decoder = await open();
      CLIPS[whole]?.(at(whole));
      const bytes = readFileSync(at(whole));
      const cut = at(`cut-${whole}`);
      writeFileSync(cut, bytes.subarray(0, Math.floor(bytes.length * 0.7)));
      const decoded = await decodeAll(decoder, cut);
      const { pictures, result } = decoded;
      assert.ok(pictures.length > 4 && pictures.length < CLIP_FRAMES, `${pictures.length} frames`);
      assert.is(result.frames, pictures.length);
      assert.ok(result.warnings.length > 0 && result.warnings.length <= 20);
      await expectExactResume(decoder, cut, decoded, resumes === 'all' ? [1, pictures.length - 2] : [2]);
    });
  }

  for (const place of [0.35, 0.5, 0.7]) {
    test(`a file damaged at ${place} of its length resumes exactly after any frame, with a warning`, async () => {
      const decoder = await open();
      CLIPS['index-first.mp4']?.(at('damaged.mp4'));
      const bytes = readFileSync(at('damaged.mp4'));
      bytes.fill(0x55, Math.floor(bytes.length * place), Math.floor(bytes.length * (place + 0.05)));
      writeFileSync(at('damaged.mp4'), bytes);
      const decoded = await decodeAll(decoder, at('damaged.mp4'));
      assert.ok(decoded.result.warnings.length > 0);
      const frames = [...decoded.pictures.keys()].filter(frame => resumes === 'all' || frame % 4 === 3);
      await expectExactResume(decoder, at('damaged.mp4'), decoded, frames);
    });
  }
}

/** What else is asked of a decoder: slots, aborts, geometry, names, broken inputs. */
export function decoderContract(test: Test, open: () => Promise<Decoder>): void {
  const at = temporaryFolder(test);

  test('a frame that is not wanted takes no slot and keeps its number', async () => {
    const decoder = await open();
    CLIPS['b-frames.mp4']?.(at('every.mp4'));
    const whole = await decodeAll(decoder, at('every.mp4'));
    const every = await decodeAll(decoder, at('every.mp4'), { slots: 1, wants: ({ index }) => index % 4 === 1 });
    assert.equal(
      every.pictures,
      whole.pictures.filter(({ index }) => index % 4 === 1),
    );
    assert.is(every.result.frames, CLIP_FRAMES);
  });

  test('one slot is enough: without a free one the decoder waits', async () => {
    const decoder = await open();
    CLIPS['b-frames.mp4']?.(at('slow.mp4'));
    const whole = await decodeAll(decoder, at('slow.mp4'));
    const slow = await decodeAll(decoder, at('slow.mp4'), { slots: 1, look: () => new Promise(setImmediate) });
    assert.equal(slow, whole);
  });

  test('aborting rejects with the signal’s reason and leaves no slot taken', async () => {
    const decoder = await open();
    CLIPS['b-frames.mp4']?.(at('abort.mp4'));
    const source = await decoder.probe(at('abort.mp4'), never);
    const size = { width: 320, height: 320 };
    for (const held of [false, true]) {
      const ring = new FrameRing(2, 3 * 320 * 320);
      const abort = new AbortController();
      const reason = new Error('enough');
      const taken: number[] = [];
      try {
        await decoder.decode(
          { path: at('abort.mp4'), ...size, source, resume: null, ring },
          {
            wants: () => true,
            frame(_, slot) {
              if (held) taken.push(slot);
              else ring.release(slot);
              if (!held || taken.length === ring.slots) setImmediate(() => abort.abort(reason));
            },
            broken: () => undefined,
          },
          abort.signal,
        );
        assert.unreachable('an aborted decode does not resolve');
      } catch (error) {
        assert.is(error, reason);
      }
      for (const slot of taken) ring.release(slot);
      assert.ok(ring.acquire() !== null && ring.acquire() !== null && ring.acquire() === null);
    }
  });

  test('the picture lies where letterbox() says, upright and with square pixels, planes in order G, B, R', async () => {
    const decoder = await open();
    twoColours(at('plain.mp4'));
    twoColours(at('turned.mp4'));
    turnClockwise(at('turned.mp4'));
    twoColours(at('wide-pixels.mp4'), 'setsar=2/1');
    twoColours(at('turned-wide-pixels.mp4'), 'setsar=2/1');
    turnClockwise(at('turned-wide-pixels.mp4'));
    const shown = [
      { name: 'plain.mp4', width: 48, height: 32, rotation: 0 },
      { name: 'turned.mp4', width: 32, height: 48, rotation: 90 },
      { name: 'wide-pixels.mp4', width: 96, height: 32, rotation: 0 },
      { name: 'turned-wide-pixels.mp4', width: 32, height: 96, rotation: 90 },
    ];
    const side = 53;
    for (const { name, ...expected } of shown) {
      const { width, height, rotation } = await decoder.probe(at(name), never);
      assert.equal({ width, height, rotation }, expected, name);
      const box = letterbox(expected, { width: side, height: side });
      const looked: number[] = [];
      await decodeAll(decoder, at(name), {
        size: { width: side, height: side },
        look({ index }, pixels) {
          looked.push(index);
          const farLeft = box.left + 2;
          const farRight = box.left + box.width - 3;
          const high = box.top + 2;
          const low = box.top + box.height - 3;
          // Turned clockwise, what was left is on top.
          const [red, blue] = rotation === 0 ? ([farLeft, low] as const) : ([farRight, high] as const);
          const [redAt, blueAt] =
            rotation === 0
              ? [
                  [red, blue],
                  [farRight, high],
                ]
              : [
                  [red, blue],
                  [farLeft, low],
                ];
          assert.ok(isNear(colourAt(pixels, side, redAt?.[0] ?? 0, redAt?.[1] ?? 0), [255, 0, 0]), `${name}: red`);
          assert.ok(isNear(colourAt(pixels, side, blueAt?.[0] ?? 0, blueAt?.[1] ?? 0), [0, 0, 255]), `${name}: blue`);
          for (let y = 0; y < side; y++) {
            for (let x = 0; x < side; x++) {
              const inside = x >= box.left && x < box.left + box.width && y >= box.top && y < box.top + box.height;
              const padding = colourAt(pixels, side, x, y).every(value => value === 114);
              assert.is(padding, !inside, `${name}: padding at ${x}, ${y}`);
            }
          }
        },
      });
      assert.equal(looked, [0, 1, 2, 3, 4], name);
    }
  });

  test('a file that changed since the probe is refused as changed', async () => {
    const decoder = await open();
    CLIPS['b-frames.mp4']?.(at('changed.mp4'));
    const source = await decoder.probe(at('changed.mp4'), never);
    assert.equal(await decoder.identify(at('changed.mp4')), source.identity);
    CLIPS['alt-ref.webm']?.(at('other.webm'));
    copyFileSync(at('other.webm'), at('changed.mp4'));
    assert.not.equal(await decoder.identify(at('changed.mp4')), source.identity);
    assert.is((await refusal(decoder.identify(at('gone.mp4')))).code, 'source_unreadable');
    const sink = { wants: () => true, frame: () => undefined, broken: () => undefined };
    const ring = new FrameRing(2, 3 * 32 * 32);
    const request = { path: at('changed.mp4'), width: 32, height: 32, source, resume: null, ring };
    assert.is((await refusal(decoder.decode(request, sink, never))).code, 'source_changed');
  });

  const unreadable: Readonly<Record<string, (file: string) => void>> = {
    'text.mp4': file => writeFileSync(file, 'no video at all\n'.repeat(100)),
    'empty.mp4': file => writeFileSync(file, ''),
    'sound-only.mp4': file => ffmpeg('-f', 'lavfi', '-i', 'sine=d=1', file),
    'missing.mp4': () => undefined,
    'header-cut-off.mp4': file => {
      CLIPS['b-frames.mp4']?.(file);
      writeFileSync(file, readFileSync(file).subarray(0, 2000));
    },
    'list-of-files.mp4': file => {
      CLIPS['b-frames.mp4']?.(at('secret.mp4'));
      writeFileSync(file, "ffconcat version 1.0\nfile 'secret.mp4'\n");
    },
    'playlist.mp4': file => {
      CLIPS['transport.ts']?.(at('secret.ts'));
      writeFileSync(file, '#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n');
    },
    'huge.mp4': file =>
      ffmpeg('-f', 'lavfi', '-i', 'color=s=8192x8192:d=0.04', '-c:v', 'libx264', '-preset', 'ultrafast', file),
  };
  for (const [name, make] of Object.entries(unreadable)) {
    test(`broken input ${name} is refused as unreadable, with why`, async () => {
      make(at(name));
      const { code, message } = await refusal((await open()).probe(at(name), never));
      assert.is(code, 'source_unreadable');
      assert.ok(message.includes(at(name)) && message.length > at(name).length + 30, message);
    });
  }

  for (const name of ['-dash: colon, comma%20.mp4', "quote's [b] \\ $(true).mp4"]) {
    test(`the name ${name} is only a name`, async () => {
      CLIPS['b-frames.mp4']?.(at('named.mp4'));
      copyFileSync(at('named.mp4'), at(name));
      assert.is((await decodeAll(await open(), at(name))).pictures.length, CLIP_FRAMES);
    });
  }

  test('a change of picture size in mid-stream fails, naming the first frame not delivered', async () => {
    const decoder = await open();
    ffmpeg('-f', 'lavfi', '-i', 'testsrc2=s=96x64:d=0.4:r=25', '-c:v', 'libx264', '-bf', '0', at('a.h264'));
    ffmpeg('-f', 'lavfi', '-i', 'testsrc2=s=64x96:d=0.4:r=25', '-c:v', 'libx264', '-bf', '0', at('b.h264'));
    writeFileSync(at('resized.h264'), Buffer.concat([readFileSync(at('a.h264')), readFileSync(at('b.h264'))]));
    const seen: number[] = [];
    const { code, frame, message } = await refusal(
      decodeAll(decoder, at('resized.h264'), { look: ({ index }) => void seen.push(index) }),
    );
    assert.is(code, 'source_unreadable'); // for good
    assert.match(message, /no longer 96 × 64.*cut the video/i);
    assert.ok(frame !== undefined && frame <= 10, `broke off at frame ${frame}`);
    assert.equal(seen, [...Array(frame).keys()]);
  });
}
