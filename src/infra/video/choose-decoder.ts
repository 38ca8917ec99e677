/** Which decoder a node uses, and why; and which sandbox round it. */
import Type, { type Static } from 'typebox';
import type { Decoder } from '../../actors/ports/decoder.ts';
import { TroupeError } from '../../domain/errors.ts';
import type { DecoderOption, Programs, SandboxWish } from '../config.ts';
import { programFiles } from '../process/assets.ts';
import { findFfmpeg, type ProgramSearch } from '../process/find-program.ts';
import { findSandbox, type Sandbox, type SandboxFound, TRIAL_BOUNDS } from '../process/sandbox.ts';
import { ffmpegDecoder } from './ffmpeg-decoder.ts';
import { answersIn, inSandbox } from './media-process.ts';
import { wasmDecoder } from './wasm-ffmpeg.ts';

/** As a node hands it to its runners. */
export const DecoderChoice = Type.Union([
  Type.Object({ kind: Type.Literal('native'), ffmpeg: Type.String(), ffprobe: Type.String() }),
  Type.Object({ kind: Type.Literal('wasm') }),
]);
export type DecoderChoice = Static<typeof DecoderChoice>;

const HOW_TO_GET =
  'Install ffmpeg (apt-get install ffmpeg), name it in TROUPE_FFMPEG, or bring it with `npm run setup`.';

/**
 * @returns also why it is not the native one, and what to do for that one where nobody chose it
 * @throws TroupeError unavailable: `native` is wanted and not there; invalid_request: TROUPE_FFMPEG names no program
 */
export function chooseDecoder(
  option: DecoderOption,
  search: ProgramSearch,
): { readonly choice: DecoderChoice; readonly why: string | null; readonly todo: string | null } {
  if (option === 'wasm') return { choice: { kind: 'wasm' }, why: 'as --decoder wasm asks', todo: null };
  const found = findFfmpeg(search);
  if (found !== null) return { choice: { kind: 'native', ...found }, why: null, todo: null };
  if (option === 'native') throw new TroupeError('unavailable', `ffmpeg and ffprobe were not found. ${HOW_TO_GET}`);
  return { choice: { kind: 'wasm' }, why: 'since ffmpeg and ffprobe were not found; it is slower', todo: HOW_TO_GET };
}

/**
 * The sandbox that is wanted, or the best that works, tried with all that is to run in it: the decoder, where it is a process,
 * and the Node of a model's trial with that one's bounds.
 * @throws TroupeError unavailable: what is demanded does not work here
 */
export function chooseSandbox(
  wish: SandboxWish,
  decoder: DecoderChoice,
  places: Pick<Programs, 'searchPath' | 'own'>,
): Promise<SandboxFound> {
  const media = decoder.kind === 'native' ? [decoder.ffmpeg, decoder.ffprobe] : [];
  return findSandbox(wish, places, async sandbox => {
    const trial = { bounds: TRIAL_BOUNDS, readable: programFiles() };
    await Promise.all([
      ...media.map(program => answersIn(program, '-version', sandbox)),
      answersIn(process.execPath, '--version', sandbox, trial),
    ]);
  });
}

/**
 * @param sandbox what a native one's processes run in
 * @param engine what it was found to be, when that is known: it is not asked again
 * @throws TroupeError decode_failed: it cannot be run
 */
export const openDecoder = (choice: DecoderChoice, sandbox: Sandbox, engine?: string): Promise<Decoder> =>
  choice.kind === 'native'
    ? ffmpegDecoder({ ...inSandbox(choice, sandbox), ...(engine === undefined ? {} : { engine }) })
    : wasmDecoder(engine);
