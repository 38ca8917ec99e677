/**
 * `npm run demo`: a whole node of its own runs the model `shapes` over a test video, and what it found is held against
 * what is known to be in the video. Its data is thrown away; the results stay in `.troupe/demo/`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import Type, { type TSchema } from 'typebox';
import { type JobResult, runJob, summary } from '../src/cli/job.ts';
import { NodeLink } from '../src/cli/node-link.ts';
import { progressDisplay } from '../src/cli/progress.ts';
import { interruptions } from '../src/cli/signals.ts';
import { TroupeError } from '../src/domain/errors.ts';
import { evaluate, type Score } from '../src/domain/evaluation.ts';
import { parse } from '../src/domain/parse.ts';
import { Prediction } from '../src/domain/prediction.ts';
import { nodeConfig, programs } from '../src/infra/config.ts';
import { asset } from '../src/infra/process/assets.ts';
import { findFfmpeg } from '../src/infra/process/find-program.ts';

const Truth = Type.Object({
  frame: Type.Integer(),
  objects: Type.Array(
    Type.Object({ class: Type.String(), box: Type.Array(Type.Number()), visible: Type.Optional(Type.Number()) }),
  ),
});

const results = asset('.troupe', 'demo');
const interrupted = interruptions();

async function demo({ seed, keep }: { readonly seed?: number; readonly keep?: true }): Promise<void> {
  mkdirSync(results, { recursive: true });
  const video = seed === undefined ? asset('test_videos', 'test_video.mp4') : await drawVideo(seed);
  const data = mkdtempSync(path.join(tmpdir(), 'troupe-demo-'));
  try {
    // Of the surroundings only this: set-up says so where there is no ffmpeg that will do.
    const env = { TROUPE_DECODER: process.env['TROUPE_DECODER'] };
    const config = nodeConfig({ data, port: '0', root: [path.dirname(video)] }, { env, cwd: data });
    await using link = await NodeLink.embed(config, line => process.stderr.write(`${line}\n`));
    const result = await runShapes(link, video);
    say(`${summary(result)}\n`);
    const { perClass, ...all } = evaluate(lines(result.out, Prediction), lines(`${video}.truth.jsonl`, Truth));
    say(`against the video's truth: ${inWords(all)}`);
    for (const [name, score] of Object.entries(perClass)) say(`  ${name}: ${inWords(score)}`);
    if (keep === undefined) return;
    say(`\nthe node serves ${link.url} (API: ${link.url}/docs) until Ctrl-C`);
    if (!interrupted.aborted) await once(interrupted, 'abort');
  } finally {
    rmSync(data, { recursive: true, force: true });
  }
}

async function runShapes(link: NodeLink, video: string): Promise<JobResult> {
  using progress = progressDisplay();
  const out = path.join(results, `${path.basename(video)}.predictions.jsonl`);
  const request = { id: 'demo', source: { uri: video }, model: 'shapes' };
  return await runJob(link, { request, out }, progress, interrupted);
}

/** Another video, with its truth beside it. */
async function drawVideo(seed: number): Promise<string> {
  const { ffmpeg: given, searchPath, own } = programs();
  const tools = findFfmpeg({ given, searchPath, own });
  if (tools === null) {
    const why = '--seed draws a video, which only a native ffmpeg can encode, and none was found';
    throw new TroupeError(
      'unavailable',
      `${why}. Install ffmpeg or run \`npm run setup\`; without --seed it is not needed.`,
    );
  }
  const video = path.join(results, `seed-${seed}.mp4`);
  say(`drawing a video with seed ${seed}`);
  const maker = asset('scripts', 'make-test-video.ts');
  const options = ['--seed', String(seed), '--out', video, '--ffmpeg', tools.ffmpeg];
  const [code] = await once(spawn(process.execPath, [maker, ...options], { stdio: 'inherit' }), 'exit');
  if (code !== 0) throw new TroupeError('unavailable', `the video could not be drawn (exit ${String(code)})`);
  return video;
}

const lines = <T extends TSchema>(file: string, schema: T) =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter(line => line !== '')
    .map(line => parse(schema, JSON.parse(line), file));

const inWords = ({ precision, recall, found, objects, falseAlarms }: Score): string =>
  `precision ${precision.toFixed(3)}, recall ${recall.toFixed(3)} (${found} of ${objects} found, ${falseAlarms} false alarms)`;

const say = (line: string): boolean => process.stdout.write(`${line}\n`);

function toSeed(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('A seed is a whole number.');
  return Number(text);
}

try {
  await new Command('npm run demo --')
    .description('Runs the model shapes over a test video and holds the results against its truth.')
    .option('--seed <n>', 'draw another video, and use that', toSeed)
    .option('--keep', 'leave the node serving until Ctrl-C')
    .addHelpText('after', '\nExamples:\n  $ npm run demo\n  $ npm run demo -- --seed 7\n  $ npm run demo -- --keep')
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'demo: ')) })
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
    .action(demo)
    .parseAsync();
  process.exit(0);
} catch (error) {
  if (interrupted.aborted) process.exit(Number(interrupted.reason));
  process.stderr.write(`demo: ${error instanceof TroupeError ? error.message : String(error)}\n`);
  process.exit(1);
}
