/** A video and a model that do as the test says: for faults and for the order of results, which real ones don't give on demand. */
import type { Clock, Random } from '../../src/actors/ports/clock.ts';
import type { DecodedFrame, Decoder } from '../../src/actors/ports/decoder.ts';
import type { InferenceFactory, InferenceOptions, InferencePool } from '../../src/actors/ports/inference.ts';
import { type ProblemCode, TroupeError } from '../../src/domain/errors.ts';
import type { LocalModel } from '../../src/domain/model.ts';
import type { Detection } from '../../src/domain/prediction.ts';
import type { SourceIdentity, SourceInfo } from '../../src/domain/source.ts';

export const SOURCE: SourceInfo = {
  width: 64,
  height: 48,
  rotation: 0,
  codec: 'h264',
  container: 'mp4',
  startMs: 0,
  durationMs: null,
  framesEstimate: null,
  identity: { size: 1000, sha256: 'ab' },
};
export const ENGINE = { decoder: 'scripted 1', onnxruntime: '1', provider: 'cpu', cpu: 'x64' };
export const MODEL: LocalModel = {
  file: '/nowhere.onnx',
  info: {
    name: 'shapes',
    sha256: 'cd',
    family: 'yolov8',
    input: { name: 'images', width: 4, height: 4, type: 'uint8', channels: 'rgb', mean: [0, 0, 0], scale: [1, 1, 1] },
    classes: ['circle', 'square'],
  },
};

export interface Script {
  /** Times of the source's frames. */
  times: readonly (number | null)[];
  /** Frames that the decoder knows to be damaged. */
  broken?: ReadonlySet<number>;
  /** The decoder gives up before this frame, once for every entry. */
  failAt?: number[];
  /** And says this. */
  failsWith?: ProblemCode;
  /** The inference of a frame fails, once for every entry. */
  inferenceFailsAt?: number[];
  /** Before every frame that is decoded. */
  pace?: () => Promise<void>;
  /** Inference itself breaks at a frame, which is not the frame's fault. */
  breaksAt?: number[];
  /** How long the model loads, ms, and whether it can be loaded. */
  loadMs?: number;
  unusable?: boolean;
  /** How long a frame's inference takes, ms. */
  inferMs?: (frame: number) => number;
}

/** What every frame contains: told by its number. */
export const seen = (frame: number): Detection[] =>
  Array.from({ length: frame % 3 }, (_, i) => ({
    class: 'circle',
    classId: 0,
    score: 0.9 - i / 10,
    box: [frame % 50, i, 5, 5],
  }));

const take = (list: number[] | undefined, frame: number): boolean => {
  const at = list?.indexOf(frame) ?? -1;
  if (at >= 0) list?.splice(at, 1);
  return at >= 0;
};

/** Holds frames at its ring and skips what is not wanted, as the real one. */
export class ScriptedDecoder implements Decoder {
  readonly engine = ENGINE.decoder;
  readonly #script: Script;
  /** Frames decoded and handed over so far, and where each decode began. */
  decoded = 0;
  handed = 0;
  readonly began: number[] = [];

  constructor(script: Script) {
    this.#script = script;
  }

  probe(): Promise<SourceInfo> {
    return Promise.resolve(SOURCE);
  }

  identify(): Promise<SourceIdentity> {
    return Promise.resolve(SOURCE.identity);
  }

  async decode(
    { resume, ring }: Parameters<Decoder['decode']>[0],
    sink: Parameters<Decoder['decode']>[1],
    signal: AbortSignal,
  ) {
    const { times, broken, failAt, failsWith = 'decode_failed' } = this.#script;
    const first = resume === null ? 0 : resume.frame + 1;
    this.began.push(first);
    for (let index = first; index < times.length; index++) {
      await this.#script.pace?.();
      signal.throwIfAborted();
      if (take(failAt, index)) throw new TroupeError(failsWith, 'the stream breaks off', { frame: index });
      this.decoded += 1;
      const frame: DecodedFrame = { index, ptsMs: times[index] ?? null };
      if (!sink.wants(frame)) continue;
      if (broken?.has(index) === true) {
        sink.broken(frame, 'damaged');
        continue;
      }
      let slot = ring.acquire();
      while (slot === null) {
        await new Promise<void>((resolve, reject) => {
          ring.onFree(resolve);
          signal.addEventListener('abort', () => reject(signal.reason), { once: true });
        });
        slot = ring.acquire();
      }
      new DataView(ring.view(slot).buffer, slot * ring.slotBytes).setUint32(0, index);
      this.handed += 1;
      sink.frame(frame, slot);
    }
    return { frames: times.length, warnings: [] };
  }
}

/** Every frame after its own time, so that results come in any order. */
export class ScriptedInference implements InferenceFactory {
  readonly #script: Script;
  readonly #clock: Clock;
  opened: InferenceOptions | null = null;
  closed = 0;
  asked = 0;

  constructor(script: Script, clock: Clock) {
    this.#script = script;
    this.#clock = clock;
  }

  async open(options: InferenceOptions): Promise<InferencePool> {
    this.opened = options;
    const { ring } = options;
    const { loadMs = 0, unusable = false } = this.#script;
    if (loadMs > 0) await this.#clock.sleep(loadMs);
    if (unusable) throw new TroupeError('model_unsupported', 'it does not load');
    return {
      engine: { onnxruntime: '1', provider: 'cpu' },
      infer: async (slot: number): Promise<Detection[]> => {
        this.asked += 1;
        const frame = new DataView(ring.view(slot).buffer, slot * ring.slotBytes).getUint32(0);
        ring.release(slot);
        await this.#clock.sleep(this.#script.inferMs?.(frame) ?? 1);
        if (take(this.#script.breaksAt, frame)) throw new Error('a worker is gone');
        if (take(this.#script.inferenceFailsAt, frame)) throw new TroupeError('inference_failed', 'NaN', { frame });
        return seen(frame);
      },
      [Symbol.asyncDispose]: async () => {
        this.closed += 1;
      },
    };
  }
}

export const anyOrder = (random: Random) => (): number => Math.floor(random.float() * 50);
