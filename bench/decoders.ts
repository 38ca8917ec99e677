/**
 * The native ffmpeg and ffmpeg.wasm over the same videos, in turns, in one run: frames a second to the end of the video, CPU time
 * with threads and ended children, and how many frames have the same pixels.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type { Decoder } from '../src/actors/ports/decoder.ts';
import { FrameRing } from '../src/actors/ports/frame-ring.ts';
import { programs } from '../src/infra/config.ts';
import { asset } from '../src/infra/process/assets.ts';
import { NO_SANDBOX } from '../src/infra/process/sandbox.ts';
import { chooseDecoder, openDecoder } from '../src/infra/video/choose-decoder.ts';
import type { Bench } from './bench.ts';
import { median, spread } from './statistics.ts';

export const decoders: Bench = {
  summary: 'the native ffmpeg and ffmpeg.wasm over the same videos',
  usage: '[--rounds N] [--side PIXELS] [VIDEO…]',
  run,
};

interface Sample {
  readonly fps: number;
  readonly cpuMs: number;
  /** Of each frame. */
  readonly pixels: readonly string[];
}

/** CPU time of this process and of its ended children so far, in ms (proc(5): fields 14 to 17, ticks of 10 ms). */
function cpuMs(): number {
  const fields = readFileSync('/proc/self/stat', 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ');
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * 10, 0);
}

async function decode(decoder: Decoder, file: string, side: number): Promise<Sample> {
  const { signal } = new AbortController();
  const source = await decoder.probe(file, signal);
  const ring = new FrameRing(4, 3 * side * side);
  const pixels: string[] = [];
  const [began, cpuBefore] = [performance.now(), cpuMs()];
  const { frames } = await decoder.decode(
    { path: file, width: side, height: side, source, resume: null, ring },
    {
      wants: () => true,
      frame(_, slot) {
        pixels.push(createHash('sha1').update(ring.view(slot)).digest('base64'));
        ring.release(slot);
      },
      broken: ({ index }, message) => console.error(`frame ${index}: ${message}`),
    },
    signal,
  );
  return {
    fps: (frames / (performance.now() - began)) * 1000,
    cpuMs: (cpuMs() - cpuBefore) / frames,
    pixels,
  };
}

async function run(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { rounds: { type: 'string', default: '5' }, side: { type: 'string', default: '640' } },
    allowPositionals: true,
  });
  const own = ['test_video.mp4', 'test_video_2.webm'].map(name => asset('test_videos', name));
  const search = { given: programs().ffmpeg, ...programs() };
  const native = await openDecoder(chooseDecoder('native', search).choice, NO_SANDBOX);
  const wasm = await openDecoder(chooseDecoder('wasm', search).choice, NO_SANDBOX);
  console.log(
    `${native.engine}, ${wasm.engine}; ${values.side} × ${values.side}, ${values.rounds} rounds after one unmeasured\n`,
  );
  console.log(
    '| video | frames | native fps | wasm fps | ratio | CPU ms/frame, native → wasm | frames with equal pixels |',
  );
  console.log('| --- | --- | --- | --- | --- | --- | --- |');
  for (const video of positionals.length > 0 ? positionals.map(file => path.resolve(file)) : own) {
    const rounds: { native: Sample; wasm: Sample }[] = [];
    for (let round = 0; round <= Number(values.rounds); round++) {
      const sides = {
        native: await decode(native, video, Number(values.side)),
        wasm: await decode(wasm, video, Number(values.side)),
      };
      if (round > 0) rounds.push(sides);
    }
    const fps = (side: 'native' | 'wasm') => rounds.map(round => round[side].fps);
    const cpu = (side: 'native' | 'wasm') => median(rounds.map(round => round[side].cpuMs)).toFixed(2);
    const ratio = median(rounds.map(round => round.wasm.fps / round.native.fps)).toFixed(2);
    const [first] = rounds;
    const equal = first?.native.pixels.filter((hash, i) => hash === first.wasm.pixels[i]).length;
    console.log(
      `| ${path.basename(video)} | ${first?.native.pixels.length} | ${median(fps('native')).toFixed(0)} (${spread(fps('native'), 0)}) ` +
        `| ${median(fps('wasm')).toFixed(0)} (${spread(fps('wasm'), 0)}) | **${ratio}** | ${cpu('native')} → ${cpu('wasm')} | ${equal} |`,
    );
  }
}
