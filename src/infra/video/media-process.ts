/**
 * A child process of ffmpeg or ffprobe: how one is started on an untrusted file, and how it surely ends.
 *
 * M1 The child reads the one file named and nothing else: no other protocol, no playlist or list format, no shell.
 * M2 An aborted signal kills the child at once (SIGKILL); disposing kills it and resolves when it is gone.
 * M3 A child whose owner dies by SIGKILL meets a broken pipe at its next or current write and ends.
 * M4 In a sandbox, of all files that are not the system's it can open that one alone (SB1), and its memory has an end (SB2).
 */
import { spawn } from 'node:child_process';
import { Readable } from 'node:stream';
import { invariant, TroupeError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import { childEnvironment } from '../config.ts';
import { asset } from '../process/assets.ts';
import { type Confinement, confined, NO_SANDBOX, type Sandbox } from '../process/sandbox.ts';
import { Complaints } from './complaints.ts';
import type { MediaExit, MediaRun } from './media-run.ts';

/** A program by its absolute path, in no sandbox or in one. */
export type MediaProgram =
  | string
  | {
      readonly binary: string;
      readonly sandbox: Sandbox;
      /** Other bounds than a media tool's. */
      readonly confinement?: Confinement;
    };

/** Demuxers of single media files. Absent on purpose: whatever opens further files (concat, hls, dash, image2 …). */
const FORMATS = [
  ...['mov', 'matroska', 'avi', 'mpegts', 'mpeg', 'flv', 'ogg', 'asf', 'mxf', 'nut', 'rm', 'dv', 'ivf', 'gif', 'apng'],
  ...['h264', 'hevc', 'av1', 'obu', 'vc1', 'm4v', 'mpegvideo', 'mjpeg', 'yuv4mpegpipe'],
];

/** Input options for the file at an absolute path (M1); `file:` keeps a name with `-` or `:` a name. */
export function inputArguments(path: string): string[] {
  return [
    ...['-protocol_whitelist', 'file', '-format_whitelist', FORMATS.join(',')],
    ...['-max_pixels', String(LIMITS.picturePixels), '-i', `file:${path}`],
  ];
}

export const binaryOf = (program: MediaProgram): string => (typeof program === 'string' ? program : program.binary);

export const inSandbox = (
  { ffmpeg, ffprobe }: { readonly ffmpeg: string; readonly ffprobe: string },
  sandbox: Sandbox,
): { readonly ffmpeg: MediaProgram; readonly ffprobe: MediaProgram } => ({
  ffmpeg: { binary: ffmpeg, sandbox },
  ffprobe: { binary: ffprobe, sandbox },
});

/** SB4 for `findSandbox`: a program really starts in it and tells its version. @throws Error saying what it complained of */
export async function answersIn(
  binary: string,
  option: string,
  sandbox: Sandbox,
  confinement?: Confinement,
): Promise<void> {
  const media = { binary, sandbox, ...(confinement === undefined ? {} : { confinement }) };
  await using child = new MediaProcess(media, [option], AbortSignal.timeout(LIMITS.toolStartMs));
  child.stdout.resume();
  const { code, signal } = await child.exited;
  if (code !== 0) throw new Error(child.complaints.last() || `${binary} ended with ${signal ?? code}`);
}

/** M4: the command that runs a program on the file that `inputArguments` put among its arguments. */
function commandOf(media: MediaProgram, args: readonly string[]): ReturnType<typeof confined> {
  const { binary, sandbox, confinement } =
    typeof media === 'string' ? { binary: media, sandbox: NO_SANDBOX, confinement: undefined } : media;
  if (confinement !== undefined) return confined(sandbox, binary, args, confinement);
  const input = args[args.indexOf('-i') + 1];
  const readable = [...broughtFiles(binary), ...(input?.startsWith('file:') ? [input.slice('file:'.length)] : [])];
  const bounds = { as: LIMITS.mediaBytes, nofile: LIMITS.mediaFiles, fsize: 0 };
  return confined(sandbox, binary, args, { bounds, readable });
}

/** What `npm run setup` brought starts through a script, and has its libraries beside it. */
const broughtFiles = (binary: string): string[] =>
  binary.startsWith(asset('.troupe', 'bin')) ? [asset('.troupe', 'ffmpeg')] : [];

export class MediaProcess implements MediaRun {
  readonly stdout: Readable;
  readonly side: Readable;
  readonly complaints: Complaints;
  readonly exited: Promise<MediaExit>;
  readonly #kill: () => void;
  readonly #signal: AbortSignal;

  constructor(media: MediaProgram, args: readonly string[], signal: AbortSignal) {
    signal.throwIfAborted();
    const command = commandOf(media, args);
    const child = spawn(command.program, command.args, {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      env: childEnvironment(),
      shell: false,
    });
    const [, stdout, stderr, side] = child.stdio;
    invariant(
      stdout instanceof Readable && stderr instanceof Readable && side instanceof Readable,
      'pipes are readable',
    );
    this.stdout = stdout;
    this.side = side;
    this.complaints = new Complaints(stderr);
    const { promise, resolve, reject } = Promise.withResolvers<MediaExit>();
    this.exited = promise;
    let patience: NodeJS.Timeout | undefined;
    const stderrClosed = new Promise<void>(closed => stderr.once('close', closed));
    void stderrClosed.then(() => clearTimeout(patience));
    child.once('error', cause =>
      reject(
        new TroupeError(
          'decode_failed',
          `cannot start ${command.program}: ${cause.message}. Run \`npm run setup\`, or set TROUPE_FFMPEG.`,
        ),
      ),
    );
    child.once('exit', (code, exitSignal) => void stderrClosed.then(() => resolve({ code, signal: exitSignal })));
    this.exited.catch(() => undefined);
    this.#signal = signal;
    this.#kill = () => {
      child.kill('SIGKILL');
      for (const stream of [stdout, side]) stream.destroy();
      // Not stderr: it closes when all are gone that had it, which in a sandbox is a moment after the child (M2). Only who was
      // started by a script, and not in its place, lives on: until it meets a broken pipe (M3), and is not waited for.
      if (!stderr.closed) patience ??= setTimeout(() => stderr.destroy(), LIMITS.mediaEndMs);
    };
    signal.addEventListener('abort', this.#kill, { once: true });
  }

  /** What it wrote lies in its pipe by now, and the second turn of the event loop has looked at every pipe. */
  async wasSilent(): Promise<boolean> {
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    return this.complaints.none;
  }

  /** M2. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal.removeEventListener('abort', this.#kill);
    this.#kill();
    await this.exited.catch(() => undefined);
  }
}

/**
 * Everything that `run` writes on stdout; it has ended then.
 * @throws TroupeError source_unreadable, saying `subject`, when it fails or writes more than `maxBytes`
 */
export async function output(
  run: MediaRun,
  { subject, maxBytes, signal }: { subject: string; maxBytes: number; signal: AbortSignal },
): Promise<string> {
  await using media = run;
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of media.stdout as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxBytes)
        throw new TroupeError(
          'source_unreadable',
          `${subject}: its description is too long. Check that it is a video file.`,
        );
      chunks.push(chunk);
    }
    const exit = await media.exited;
    if (exit.code === 0) return Buffer.concat(chunks).toString('utf8');
    throw unreadable(subject, media.complaints.last() || `ffprobe ended with ${exit.signal ?? exit.code}`);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

export const WHOLE = 'Check that it is a complete video file which `ffplay` plays.';

export const unreadable = (subject: string, why: string, remedy = WHOLE): TroupeError =>
  new TroupeError('source_unreadable', `cannot read ${subject} as video: ${why}. ${remedy}`);
