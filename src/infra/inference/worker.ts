/**
 * An inference session in a thread of its own, which has loaded onnxruntime before it is told of a model. It answers slot by
 * slot, in the order it was asked.
 *
 * IW1 A frame is copied out of the ring before the model runs, and the pool is told at once.
 * IW2 Every slot asked for is answered with detections or a failure.
 * IW3 The thread ends by itself after `leave`; nobody terminates it, which inside onnxruntime would abort the process.
 */
import { parentPort } from 'node:worker_threads';
import type { Tensor } from 'onnxruntime-node';
import { invariant } from '../../domain/errors.ts';
import { detectionReader } from './detections.ts';
import { SESSION_OPTIONS } from './onnxruntime.ts';
import type { FromWorker, ToWorker, WorkerAssignment } from './worker-message.ts';

/** Source plane of each model channel; the ring has planes G, B, R. */
const PLANES = { rgb: [2, 0, 1], bgr: [1, 0, 2] } as const;

export async function serve(): Promise<void> {
  const port = parentPort;
  invariant(port !== null, 'an inference worker is a thread');
  const post = (message: FromWorker, transfer: readonly ArrayBuffer[] = []): void =>
    port.postMessage(message, transfer);
  const loading = import('onnxruntime-node');
  let session: Session | null = null;
  let last = Promise.resolve();
  port.on('message', (message: ToWorker) => {
    last = last.then(async () => {
      switch (message.kind) {
        case 'load':
          try {
            session = await load(message.assignment, await loading, post);
            return post({ kind: 'ready' });
          } catch (error) {
            return post({ kind: 'unusable', message: messageOf(error) });
          }
        case 'infer':
          invariant(session !== null, 'a frame comes after its model');
          return session.infer(message.slot);
        case 'leave':
          await session?.release();
          port.close(); // IW3
      }
    });
  });
  await loading;
}

interface Session {
  infer(slot: number): Promise<void>;
  release(): Promise<void>;
}

async function load(
  { model, bytes, ring, slotBytes, ...options }: WorkerAssignment,
  ort: typeof import('onnxruntime-node'),
  post: (message: FromWorker, transfer?: readonly ArrayBuffer[]) => void,
): Promise<Session> {
  const session = await ort.InferenceSession.create(bytes, SESSION_OPTIONS);
  const readDetections = detectionReader({ model, ...options });
  const { width, height, channels } = model.input;
  const plane = width * height;
  const pixels = new Uint8Array(3 * plane);
  const input = new ort.Tensor('uint8', pixels, [1, 3, height, width]);
  const [inputName = '', outputName = ''] = [session.inputNames[0], session.outputNames[0]];

  const infer = async (slot: number): Promise<void> => {
    PLANES[channels].forEach((source, channel) => {
      pixels.set(new Uint8Array(ring, slot * slotBytes + source * plane, plane), channel * plane);
    });
    post({ kind: 'copied' }); // IW1
    try {
      const began = performance.now();
      const output = (await session.run({ [inputName]: input }))[outputName] as Tensor;
      const inferred = performance.now();
      invariant(output.data instanceof Float32Array, 'the output is float32');
      const detections = readDetections({ dims: output.dims, values: output.data });
      const rows = Float64Array.from(detections.flatMap(d => [d.classId, d.score, ...d.box]));
      const times = { inferMs: inferred - began, postMs: performance.now() - inferred };
      post({ kind: 'detected', rows, ...times }, [rows.buffer]);
    } catch (error) {
      post({ kind: 'failed', message: messageOf(error) }); // IW2
    }
  };

  return { infer, release: () => session.release() };
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
