/** The process in which a model is tried: told one, it does with it what a runner would do, on an empty picture, and says how it went. */
import { once } from 'node:events';
import { FrameRing } from '../../actors/ports/frame-ring.ts';
import type { InferenceFactory } from '../../actors/ports/inference.ts';
import { toProblem } from '../../domain/errors.ts';
import type { LocalModel } from '../../domain/model.ts';
import { inferenceFactory } from './pool.ts';
import type { TrialWord } from './trial.ts';

export async function main(): Promise<void> {
  process.once('disconnect', () => process.kill(process.pid, 'SIGKILL')); // our node is gone
  const told = once(process, 'message');
  const say = (word: TrialWord): unknown => process.send?.(word);
  const inference = inferenceFactory(1); // its thread loads onnxruntime meanwhile
  say({ kind: 'ready' });
  const [model] = (await told) as [LocalModel];
  await run(inference, model).then(
    () => say({ kind: 'works' }),
    (error: unknown) => say({ kind: 'fails', message: toProblem(error).message }),
  );
}

async function run(inference: InferenceFactory, model: LocalModel): Promise<void> {
  const { width, height } = model.info.input;
  const ring = new FrameRing(1, 3 * width * height);
  const options = {
    model,
    ring,
    picture: { width, height },
    workers: 1,
    recordThreshold: 0.1,
    iou: 0.5,
    classIds: null,
  };
  await using pool = await inference.open(options, new AbortController().signal);
  await pool.infer(ring.acquire() ?? 0);
}
