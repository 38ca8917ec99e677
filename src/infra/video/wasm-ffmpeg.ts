/**
 * The fallback where there is no ffmpeg: the same ffmpeg and ffprobe, compiled to WebAssembly by ffmpeg.wasm.
 *
 * Its `@ffmpeg/core` is made for web workers, and runs in a worker thread of Node as it is: it is given a file system that
 * reads the one file and pipes in place of its descriptors 1, 2 and 3, so that the arguments are those of the native ffmpeg.
 */
import { readFile } from 'node:fs/promises';
import type { Decoder } from '../../actors/ports/decoder.ts';
import { part } from '../process/assets.ts';
import { decoderOn, versionOf } from './ffmpeg-decoder.ts';
import type { RunMedia } from './media-run.ts';
import { MediaThread } from './media-thread.ts';

/** What is used here of WebAssembly: TypeScript has its types among those of browsers only. */
declare global {
  namespace WebAssembly {
    interface Instance {
      readonly exports: object;
    }
    function compile(bytes: Uint8Array): Promise<Module>;
    function instantiate(module: Module, imports: object): Promise<Instance>;
  }
}

/** @param engine what it was found to be, when that is known: it is not asked again */
export async function wasmDecoder(engine?: string): Promise<Decoder> {
  const run = await wasmRun();
  return decoderOn(run, {
    engine: engine ?? `ffmpeg.wasm ${await versionOf('ffmpeg.wasm', run)}`,
    threads: 1,
    remedy: 'Check that it is complete, or install ffmpeg, which knows more codecs (AV1 for one) than ffmpeg.wasm.',
  });
}

/** Compiled once; threads share the code. */
export async function wasmRun(): Promise<RunMedia> {
  const module = await WebAssembly.compile(await readFile(part('@ffmpeg/core', 'dist', 'umd', 'ffmpeg-core.wasm')));
  return (program, args, signal) => new MediaThread(module, program, args, signal);
}
