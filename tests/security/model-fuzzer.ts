/** Judges mutated models by seed, told over its IPC channel, as a runner would meet them: read, adapted, loaded, run once. */
import { readFileSync, writeFileSync } from 'node:fs';
import { FrameRing } from '../../src/actors/ports/frame-ring.ts';
import { TroupeError } from '../../src/domain/errors.ts';
import { adapt } from '../../src/infra/inference/adapt.ts';
import { sha256 } from '../../src/infra/inference/model-file.ts';
import { readOnnx } from '../../src/infra/inference/onnx-file.ts';
import { inferenceFactory } from '../../src/infra/inference/pool.ts';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import { mutateBytes } from '../fuzz/mutations.ts';

const [scratch = '', ...originals] = process.argv.slice(2);
const files = originals.map(file => readFileSync(file));
const inference = inferenceFactory();

process.on('message', async (seed: number) => {
  process.send?.(
    await judge(seed).catch((error: unknown) =>
      error instanceof TroupeError ? error.code : `defect: ${String(error)}`,
    ),
  );
});
process.send?.('ready');

async function judge(seed: number): Promise<string> {
  const bytes = mutateBytes(files[seed % files.length] ?? Buffer.alloc(8), new SeededRandom(seed), seed % 4 !== 0);
  const info = adapt('mutant', await sha256(Uint8Array.from(bytes)), readOnnx(bytes), {});
  writeFileSync(scratch, bytes);
  const { width, height } = info.input;
  const ring = new FrameRing(1, 3 * width * height);
  const model = { info, file: scratch };
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
  return 'works';
}
