/**
 * The decoder port on ffmpeg, wherever that runs. Owns its runs and the numbering of frames; knows nothing of models.
 *
 * D1 Frame numbers count the frames that ffmpeg puts out from the start of the file. After a seek, numbering begins
 *    only at a frame with the resume point's own time, only where the packets' times allow it (K1 of seek-target.ts; until
 *    that is known nothing is delivered), and only if ffmpeg had nothing to complain of until there: a
 *    damaged key frame is patched up from the pictures before it, which a seek does not decode. When that cannot be had,
 *    frames are counted from the start.
 * D2 Only an exit with code 0 on a frame boundary, with as many times as pictures, is the end of the video.
 * D3 Memory is the ring and the pipes: pixels go from a pipe's chunk into a slot, and without a free slot nothing is
 *    read, so that ffmpeg waits.
 * D4 Damage is decoded by one thread: error concealment over several threads is not the same every time.
 */
import type {
  DecodedFrame,
  DecodeRequest,
  DecodeResult,
  Decoder,
  FrameSink,
  ResumePoint,
} from '../../actors/ports/decoder.ts';
import type { FrameRing } from '../../actors/ports/frame-ring.ts';
import { invariant, TroupeError } from '../../domain/errors.ts';
import { letterbox } from '../../domain/letterbox.ts';
import { LIMITS } from '../../domain/limits.ts';
import { type SourceInfo, sameIdentity } from '../../domain/source.ts';
import { endWarnings } from './complaints.ts';
import { frameTimes, TIMES_FILTER } from './frame-times.ts';
import {
  binaryOf,
  inputArguments,
  MediaProcess,
  type MediaProgram,
  output,
  unreadable,
  WHOLE,
} from './media-process.ts';
import type { MediaExit, MediaRun, RunMedia } from './media-run.ts';
import { probe } from './probe.ts';
import { type SeekTarget, seekTarget } from './seek-target.ts';
import { sourceIdentity } from './source-identity.ts';

export interface FfmpegOptions {
  /** Absolute paths. */
  readonly ffmpeg: MediaProgram;
  readonly ffprobe: MediaProgram;
  /** What `ffmpeg` was found to be, when that is known: it is not asked again. */
  readonly engine?: string;
  /** Decoding threads, default 1 (D4). */
  readonly threads?: number;
}

/**
 * On a native ffmpeg, in child processes.
 * @throws TroupeError decode_failed: ffmpeg cannot be run
 */
export async function ffmpegDecoder(options: FfmpegOptions): Promise<Decoder> {
  const run = nativeRun(options);
  return decoderOn(run, {
    engine: options.engine ?? `ffmpeg ${await versionOf(binaryOf(options.ffmpeg), run)}`,
    threads: options.threads ?? 1,
    remedy: WHOLE,
  });
}

export const nativeRun =
  (binaries: Pick<FfmpegOptions, 'ffmpeg' | 'ffprobe'>): RunMedia =>
  (program, args, signal) =>
    new MediaProcess(binaries[program], args, signal);

export interface DecoderTraits {
  readonly engine: string;
  /** Decoding threads (D4). */
  readonly threads: number;
  /** What a user can do about a video whose pictures it cannot decode. */
  readonly remedy: string;
}

export function decoderOn(run: RunMedia, { engine, threads, remedy }: DecoderTraits): Decoder {
  return {
    engine,
    async probe(path, signal) {
      try {
        return await probe(run, path, { engine, remedy }, signal);
      } catch (error) {
        throw fileError(error, path);
      }
    },
    identify: path =>
      sourceIdentity(path).catch(error => {
        throw fileError(error, path);
      }),
    async decode(request, sink, signal) {
      const { ring, path } = request;
      invariant(ring.slotBytes === 3 * request.width * request.height, 'a slot holds one picture');
      try {
        await expectUnchanged(request);
        const result =
          (await decodeAfterSeek(run, threads, request, sink, signal)) ??
          (await decodeOnce(run, threads, request, null, sink, signal));
        invariant(result !== null, 'counting from the start always knows the frame number');
        await expectUnchanged(request);
        return result;
      } catch (error) {
        throw fileError(error, path);
      }
    },
  };
}

export async function versionOf(ffmpeg: string, run: RunMedia): Promise<string> {
  const signal = AbortSignal.timeout(LIMITS.toolStartMs);
  const limits = { subject: ffmpeg, maxBytes: LIMITS.probeBytes, signal };
  const said = await output(run('ffmpeg', ['-version'], signal), limits).catch((cause: unknown) => {
    if (cause instanceof TroupeError && cause.code === 'decode_failed') throw cause;
    const why = `it does not tell its version within ${LIMITS.toolStartMs} ms`;
    throw new TroupeError('decode_failed', `${ffmpeg} cannot be used: ${why}. Run \`npm run setup\`.`, { cause });
  });
  const version = /^ffmpeg version (\S+)/.exec(said)?.[1];
  if (version === undefined) throw new TroupeError('decode_failed', `${ffmpeg} is not ffmpeg. Run \`npm run setup\`.`);
  // 5.1.9-0+deb12u1 → 5.1.9; a build from git keeps its whole name.
  return /^\d+(\.\d+)+/.exec(version)?.[0] ?? version;
}

async function expectUnchanged({ path, source }: DecodeRequest): Promise<void> {
  if (sameIdentity(await sourceIdentity(path), source.identity)) return;
  throw new TroupeError(
    'source_changed',
    `${path} is not the file any more that this run began with. Start a new run.`,
  );
}

/** The file system's own errors, such as a file that has gone, as what they mean here. */
function fileError(error: unknown, path: string): unknown {
  const missing = error instanceof Error && 'syscall' in error && 'code' in error;
  return missing ? unreadable(path, error.message) : error;
}

/** Seeks, and at the same time has it looked up whether it may. @returns null when it may not, or found nothing (D1) */
async function decodeAfterSeek(
  run: RunMedia,
  threads: number,
  request: DecodeRequest,
  sink: FrameSink,
  signal: AbortSignal,
): Promise<DecodeResult | null> {
  const over = new AbortController();
  const seek = seekTarget(run, request, AbortSignal.any([signal, over.signal]));
  if (seek === null) return null;
  try {
    return await decodeOnce(run, threads, request, seek, sink, signal);
  } finally {
    over.abort(new Error('the decoder asks no more'));
    await seek.allowed.catch(() => false); // its process is gone then
  }
}

/** @returns null when, after a seek, the frame to go on from was not found; nothing was delivered then (D1) */
async function decodeOnce(
  run: RunMedia,
  threads: number,
  request: DecodeRequest,
  seek: SeekTarget | null,
  sink: FrameSink,
  signal: AbortSignal,
): Promise<DecodeResult | null> {
  const { ring, resume, source } = request;
  await using ffmpeg = run('ffmpeg', decodeArguments(threads, request, seek?.ms ?? null), signal);
  const times = frameTimes(ffmpeg.side);
  const position = new Position(resume, seek !== null);
  let frame: DecodedFrame | null = null;
  let slot: number | null = null;
  /** Bytes of the current picture that are still to come. */
  let missing = 0;
  try {
    for await (const chunk of ffmpeg.stdout as AsyncIterable<Buffer>) {
      for (let at = 0; at < chunk.length; ) {
        if (missing === 0) {
          const time = await times.next();
          if (time.done === true) throw brokenOff(ffmpeg, await ffmpeg.exited, source, position.index + 1);
          if (!position.advance(time.value)) return null;
          if (seek !== null && position.index === resume?.frame) {
            if (!(await ffmpeg.wasSilent()) || !(await seek.allowed)) return null;
          }
          missing = ring.slotBytes;
          frame = { index: position.index, ptsMs: source.startMs === null ? null : time.value };
          if (position.isNew && sink.wants(frame)) slot = await freeSlot(ring, signal);
        }
        const part = chunk.subarray(at, at + missing);
        if (slot !== null) ring.view(slot).set(part, ring.slotBytes - missing);
        at += part.length;
        missing -= part.length;
        if (missing === 0 && slot !== null && frame !== null) {
          const full = slot;
          slot = null;
          sink.frame(frame, full);
        }
      }
    }
    if (!position.known) return null;
    const next = missing === 0 ? position.index + 1 : position.index;
    const surplus = (await times.next()).done !== true;
    const exit = await ffmpeg.exited;
    if (surplus || missing > 0 || exit.code !== 0) throw brokenOff(ffmpeg, exit, source, next);
    if (position.index < (resume?.frame ?? 0)) {
      throw new TroupeError(
        'decode_failed',
        `the video ends at frame ${next}, before the frame to go on from: is it another file? Start a new run.`,
        { frame: next },
      );
    }
    return { frames: next, warnings: endWarnings(ffmpeg.complaints, next, source) };
  } catch (error) {
    signal.throwIfAborted();
    if (seek !== null && !(await seek.allowed)) return null; // whatever it was, the seek may have led to it
    throw error;
  } finally {
    if (slot !== null) ring.release(slot);
  }
}

/** D1: the number of the frame now coming. */
class Position {
  index = -1;
  /** False after a seek until the resume point's own frame has come. */
  known: boolean;
  readonly #resume: ResumePoint | null;
  #previousMs: number | null = null;

  constructor(resume: ResumePoint | null, seeking: boolean) {
    this.#resume = resume;
    this.known = !seeking;
  }

  /** The current frame comes after the resume point. */
  get isNew(): boolean {
    return this.known && this.index > (this.#resume?.frame ?? -1);
  }

  /** @returns false when the resume point cannot be found any more */
  advance(ptsMs: number | null): boolean {
    if (this.known) {
      this.index += 1;
      return true;
    }
    const { frame, prevPts, lastPts } = this.#resume ?? { frame: -1, prevPts: null, lastPts: null };
    const previousMs = this.#previousMs;
    this.#previousMs = ptsMs;
    if (ptsMs === lastPts && (previousMs === null || previousMs === prevPts)) {
      this.index = frame;
      this.known = true;
      return true;
    }
    return ptsMs !== null && lastPts !== null && ptsMs < lastPts && (previousMs === null || previousMs < ptsMs);
  }
}

/** D3: waits, reading nothing, until the ring has a slot. */
async function freeSlot(ring: FrameRing, signal: AbortSignal): Promise<number> {
  for (;;) {
    signal.throwIfAborted();
    const slot = ring.acquire();
    if (slot !== null) return slot;
    await new Promise<void>(resolve => {
      const wake = (): void => {
        signal.removeEventListener('abort', wake);
        resolve();
      };
      signal.addEventListener('abort', wake);
      ring.onFree(wake);
    });
  }
}

/** D2. `frame` is the first one not delivered: ffmpeg 5 loses the last pictures before an error. */
function brokenOff(ffmpeg: MediaRun, exit: MediaExit, source: SourceInfo, frame: number): TroupeError {
  const complaints = ffmpeg.complaints.lines();
  const resized = complaints.some(line => line.includes(SIZE_REFUSED));
  const why = resized
    ? `the picture size is no longer ${source.width} × ${source.height}. Cut the video where it changes, and run each part`
    : `ffmpeg ended with ${exit.signal ?? exit.code}: ${ffmpeg.complaints.last() || 'it said nothing'}`;
  const code = resized ? 'source_unreadable' : 'decode_failed'; // the next attempt would meet it again
  return new TroupeError(code, `decoding broke off at frame ${frame}: ${why}.`, { frame });
}

/** What the crop filter says when it is asked for a width of 0. */
const SIZE_REFUSED = 'Invalid too big or non positive size';

function decodeArguments(threads: number, request: DecodeRequest, seekMs: number | null): string[] {
  // -noaccurate_seek: what lies between the key frame and the resume point comes out too, and Position checks it.
  const seek = seekMs === null ? [] : ['-seek_timestamp', '1', '-noaccurate_seek', '-ss', (seekMs / 1000).toFixed(6)];
  return [
    ...['-hide_banner', '-loglevel', 'repeat+warning', '-nostdin', '-filter_threads', '1', '-copyts'],
    ...['-threads', String(threads), ...seek, ...inputArguments(request.path)],
    ...['-map', '0:V:0', '-vf', filterChain(request), '-fps_mode', 'passthrough', '-f', 'rawvideo', 'pipe:1'],
  ];
}

/**
 * Times, then a crop to the whole picture that fails when its size is another one, then the letterbox. Padding follows
 * the conversion to planes of equal size: in subsampled ones an odd offset would be rounded to an even one.
 */
function filterChain({ source, width, height }: DecodeRequest): string {
  const box = letterbox(source, { width, height });
  // A picture turned by 90° carries the inverse of its pixel aspect, which then stretches its height.
  const upright = source.rotation % 180 === 0;
  const [shownWidth, shownHeight] = upright ? ['iw*sar', 'ih'] : ['iw', 'ih/sar'];
  const same = `lt(abs(${shownWidth}-${source.width}),1)*lt(abs(${shownHeight}-${source.height}),1)`;
  return [
    TIMES_FILTER,
    `crop=w='if(${same},iw,0)':h=ih:exact=1`,
    `scale=${box.width}:${box.height}:flags=bilinear`,
    'format=gbrp',
    `pad=${width}:${height}:${box.left}:${box.top}:color=0x727272`,
  ].join(',');
}
