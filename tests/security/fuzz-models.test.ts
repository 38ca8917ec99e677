// shared
/** 200 mutated models: each gets a verdict in time. A failure names its seeds; `mutant` makes the file of a seed again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LIMITS } from '../../src/domain/limits.ts';
import { programs } from '../../src/infra/config.ts';
import { asset } from '../../src/infra/process/assets.ts';
import { confined, findSandbox } from '../../src/infra/process/sandbox.ts';
import { answersIn } from '../../src/infra/video/media-process.ts';
import { floats, node, onnxModel } from '../inference/onnx-model.ts';
import { judgeAll } from './mutants.ts';

const MUTANTS = 200;
const test = suite('mutated models');
const folder = mkdtempSync(path.join(tmpdir(), 'troupe-mutants-'));
const children = new Set<ChildProcess>();
test.after(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** A whole model of 45 kB, most of it structure: a mutation hits that more often than in 100 kB of weights. */
const tiny = path.join(folder, 'tiny.onnx');
writeFileSync(
  tiny,
  onnxModel({
    metadata: { names: "{0: 'a', 1: 'b', 2: 'c'}" },
    graph: [
      floats(
        'answer',
        [1, 7, 1600],
        Array.from({ length: 7 * 1600 }, (_, i) => i % 3),
      ),
      node('Identity', ['answer'], 'output0'),
    ],
  }),
);
const originals = [asset('models', 'shapes.onnx'), asset('models', 'colorblob.onnx'), tiny];

const { sandbox } = await findSandbox('limits', programs(), found =>
  answersIn(process.execPath, '--version', found),
).catch(() => findSandbox('none', programs(), async () => {}));

async function fuzzer(name: string): Promise<ChildProcess> {
  const args = [path.join(import.meta.dirname, 'model-fuzzer.ts'), path.join(folder, name), ...originals];
  const command = confined(sandbox, process.execPath, args, { bounds: { data: LIMITS.trialBytes }, readable: [] });
  const child = spawn(command.program, command.args, { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
  children.add(child);
  child.once('exit', () => children.delete(child));
  await once(child, 'message');
  return child;
}

test(`${MUTANTS} mutated models each get a verdict within 10 s, and no defect`, async () => {
  let child = await fuzzer('a.onnx');
  const verdicts = await judgeAll(MUTANTS, 1, async seed => {
    const over = new AbortController();
    const { signal } = over;
    const late = setTimeout(() => over.abort(), LIMITS.trialMs);
    const exit = once(child, 'exit', { signal }).then(() => ['died']);
    const ended = Promise.race([once(child, 'message', { signal }), exit]);
    child.send(seed);
    const [what] = (await ended.catch(() => ['late'])) as [string];
    clearTimeout(late);
    over.abort();
    await exit.catch(() => false); // it listens no more
    if (what === 'died' || what === 'late') {
      // What the trial's own process is for.
      child.kill('SIGKILL');
      child = await fuzzer('a.onnx');
    }
    return what;
  });
  const allowed = new Set(['works', 'model_unsupported', 'inference_failed', 'died', 'late']);
  assert.equal(
    verdicts.filter(({ what }) => !allowed.has(what)),
    [],
  );
  const seeds = (what: string): number[] => verdicts.filter(verdict => verdict.what === what).map(({ seed }) => seed);
  console.log(
    `\n  ${seeds('works').length} work, ${seeds('model_unsupported').length} are refused, ${seeds('inference_failed').length} fail; onnxruntime died of seeds [${seeds('died').join(', ')}], was late with [${seeds('late').join(', ')}]`,
  );
  assert.ok(seeds('works').length > MUTANTS / 10 && seeds('model_unsupported').length > MUTANTS / 10);
});

test.run();
