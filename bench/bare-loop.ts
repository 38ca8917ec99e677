/**
 * The bare loop: ffmpeg → ring → inference → detections, in one process, with the product's own adapters and nothing
 * else: no NATS, nothing stored. What Troupe takes beyond it is what Troupe costs.
 *
 * `node bench/bare-loop.ts --video FILE [--model NAME|FILE] [--workers N]` prints its result as one line of JSON; as a
 * process of its own, so that its CPU time is its own.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type { DecodedFrame } from '../src/actors/ports/decoder.ts';
import { FrameRing } from '../src/actors/ports/frame-ring.ts';
import { invariant } from '../src/domain/errors.ts';
import { LIMITS } from '../src/domain/limits.ts';
import type { Detection } from '../src/domain/prediction.ts';
import { openModelCatalog } from '../src/infra/inference/model-catalog.ts';
import { inferenceFactory } from '../src/infra/inference/pool.ts';
import { asset } from '../src/infra/process/assets.ts';
import { findFfmpeg } from '../src/infra/process/find-program.ts';
import { ffmpegDecoder } from '../src/infra/video/ffmpeg-decoder.ts';

export interface BareLoopOptions {
  readonly video: string;
  /** A name in `models/`, or the path of an .onnx. */
  readonly model: string;
  readonly workers: number;
  readonly ffmpeg: string;
  readonly ffprobe: string;
  /** Called as results come, in any order. */
  readonly onResult?: (frame: DecodedFrame, detections: Detection[]) => void;
}

export interface BareLoopResult {
  readonly frames: number;
  /** Probing the video and loading the model into every worker. */
  readonly startMs: number;
  /** From then to the last result. */
  readonly wallMs: number;
  /** User and system time in `wallMs`, ffmpeg's included; null where the system does not tell the children's. */
  readonly cpuMs: number | null;
}

export async function bareLoop(options: BareLoopOptions): Promise<BareLoopResult> {
  const began = performance.now();
  const { signal } = new AbortController();
  const catalog = await openModelCatalog({
    dirs: [asset('models')],
    roots: [path.dirname(path.resolve(options.model))],
  });
  const model = await catalog.resolve(options.model);
  const { width, height } = model.info.input;
  const decoder = await ffmpegDecoder(options);
  const source = await decoder.probe(options.video, signal);
  const slots = LIMITS.ringSlotsLead + LIMITS.ringSlotsPerWorker * options.workers;
  const ring = new FrameRing(slots, 3 * width * height);
  const inference = { model, ring, picture: source, workers: options.workers };
  const defaults = { recordThreshold: 0.1, iou: 0.45, classIds: null };
  await using pool = await inferenceFactory().open({ ...inference, ...defaults }, signal);
  const started = performance.now();
  const cpuBefore = cpuMs();
  const pending = new Set<Promise<void>>();
  const failure = Promise.withResolvers<never>();
  let frames = 0;
  const sink = {
    wants: () => true,
    broken: (frame: DecodedFrame, message: string) => failure.reject(new Error(`frame ${frame.index}: ${message}`)),
    frame: (frame: DecodedFrame, slot: number) => {
      const result = pool.infer(slot).then(detections => {
        pending.delete(result);
        frames++;
        options.onResult?.(frame, detections);
      });
      pending.add(result);
      result.catch(failure.reject);
    },
  };
  const request = { path: path.resolve(options.video), width, height, source, resume: null, ring };
  await Promise.race([decoder.decode(request, sink, signal), failure.promise]);
  await Promise.all(pending);
  const wallMs = performance.now() - started;
  const cpuAfter = cpuMs();
  const cpu = cpuBefore === null || cpuAfter === null ? null : cpuAfter - cpuBefore;
  return { frames, startMs: started - began, wallMs, cpuMs: cpu };
}

/** CPU time of this process and of its ended children so far, in ms; Node itself tells only its own. */
function cpuMs(): number | null {
  if (process.platform !== 'linux') return null;
  // After the name in parentheses, fields 14 to 17 of proc(5): utime, stime, cutime, cstime in ticks of 10 ms.
  const fields = readFileSync('/proc/self/stat', 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ');
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * 10, 0);
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      video: { type: 'string', default: asset('test_videos', 'test_video.mp4') },
      model: { type: 'string', default: 'shapes' },
      workers: { type: 'string', default: '1' },
    },
  });
  const given = process.env['TROUPE_FFMPEG'];
  const tools = findFfmpeg({ given, searchPath: process.env['PATH'], own: asset('.troupe', 'bin') });
  invariant(tools !== null, 'ffmpeg is there: run `npm run setup`');
  const { video, model, workers } = values;
  process.stdout.write(`${JSON.stringify(await bareLoop({ video, model, workers: Number(workers), ...tools }))}\n`);
}
