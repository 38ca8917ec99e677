/**
 * The process in which a model is tried: told one, it loads it and runs it once on an empty picture, and says how that went. What
 * the numbers are that come out is not judged: a model may have none for such a picture.
 */
import { once } from 'node:events';
import type { InferenceSession } from 'onnxruntime-node';
import { TroupeError, toProblem } from '../../domain/errors.ts';
import type { LocalModel } from '../../domain/model.ts';
import { cannotLoad, disableTelemetry, SESSION_OPTIONS } from './onnxruntime.ts';
import { modelBytes } from './pool.ts';
import type { TrialWord } from './trial.ts';

export async function main(): Promise<void> {
  process.once('disconnect', () => process.kill(process.pid, 'SIGKILL')); // our node is gone
  const told = once(process, 'message');
  const say = (word: TrialWord): unknown => process.send?.(word);
  disableTelemetry();
  const onnxruntime = await import('onnxruntime-node');
  say({ kind: 'ready' });
  const [model] = (await told) as [LocalModel];
  await run(onnxruntime, model).then(
    () => say({ kind: 'works' }),
    (error: unknown) => {
      const { code, message } = toProblem(error);
      say({ kind: code === 'model_unsupported' || code === 'inference_failed' ? 'fails' : 'unread', message });
    },
  );
}

async function run({ InferenceSession, Tensor }: typeof import('onnxruntime-node'), model: LocalModel): Promise<void> {
  const bytes = await modelBytes(model);
  let session: InferenceSession;
  try {
    session = await InferenceSession.create(bytes, SESSION_OPTIONS);
  } catch (error) {
    throw error instanceof Error ? cannotLoad(error.message) : error;
  }
  const { width, height } = model.info.input;
  const picture = new Tensor('uint8', new Uint8Array(3 * width * height), [1, 3, height, width]);
  try {
    await session.run({ [session.inputNames[0] ?? '']: picture });
  } catch (cause) {
    throw new TroupeError('inference_failed', cause instanceof Error ? cause.message : String(cause), { cause });
  }
}
