/**
 * 500 mutated videos: each gets a verdict in time, and nothing else is read. A failure names its seeds; `mutant` makes the file
 * of a seed again.
 */
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TroupeError } from '../../src/domain/errors.ts';
import { programs } from '../../src/infra/config.ts';
import { findSandbox } from '../../src/infra/process/sandbox.ts';
import { ffmpegDecoder } from '../../src/infra/video/ffmpeg-decoder.ts';
import { answersIn, inSandbox } from '../../src/infra/video/media-process.ts';
import { decodeAll } from '../contract/decoder.ts';
import { CLIPS, ffmpeg, tools } from '../video/clips.ts';
import { judgeAll, mutant } from './mutants.ts';

const MUTANTS = 500;
/** Every so manieth is decoded, too, if it can be probed: a decoder meets what a probe does not look at. */
const DECODED = 20;
const VERDICT_MS = 10_000;

const test = suite('mutated videos');
const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'troupe-mutants-')));
test.after(() => rmSync(folder, { recursive: true, force: true }));

const originals = [
  'b-frames.mp4',
  'variable-rate.mkv',
  'alt-ref.webm',
  'b-frames.avi',
  'transport.ts',
  'no-times.h264',
].map(name => {
  const file = path.join(folder, name);
  CLIPS[name]?.(file);
  return { name, bytes: readFileSync(file) };
});
for (const name of ['a.flv', 'a.ogg', 'a.mov', 'a.mpg']) {
  const file = path.join(folder, name);
  const codec = name === 'a.ogg' ? ['-c:v', 'libtheora'] : [];
  ffmpeg('-f', 'lavfi', '-i', 'testsrc2=s=96x64:r=25:d=0.4', ...codec, file);
  originals.push({ name, bytes: readFileSync(file) });
}

test(`${MUTANTS} mutated videos of ${originals.length} containers each get a verdict within 10 s, and no defect`, async () => {
  const { sandbox } = await findSandbox('auto', programs(), found => answersIn(tools.ffmpeg, '-version', found));
  const decoder = await ffmpegDecoder(inSandbox(tools, sandbox));
  const judge = async (seed: number): Promise<string> => {
    const original = originals[seed % originals.length] ?? originals[0];
    if (original === undefined) return 'no original';
    const file = path.join(folder, `${seed}-${original.name}`);
    writeFileSync(file, mutant(original.bytes, seed));
    const signal = AbortSignal.timeout(VERDICT_MS);
    try {
      await decoder.probe(file, signal);
      if (seed % DECODED === 0) await decodeAll(decoder, file, { signal });
      return 'plays';
    } catch (error) {
      if (signal.aborted) return 'late';
      return error instanceof TroupeError ? error.code : `defect: ${String(error)}`;
    } finally {
      rmSync(file);
    }
  };
  // What is late beside others has a second try: a mutant that hangs, hangs again.
  const verdicts = await judgeAll(MUTANTS, 2, async seed => {
    const what = await judge(seed);
    return what === 'late' ? judge(seed) : what;
  });
  const allowed = new Set(['plays', 'source_unreadable', 'decode_failed']);
  assert.equal(
    verdicts.filter(({ what }) => !allowed.has(what)),
    [],
  );
  const count = (what: string): number => verdicts.filter(verdict => verdict.what === what).length;
  // Otherwise the mutations were too wild, or too tame, to try much.
  assert.ok(
    count('plays') > MUTANTS / 5 && count('source_unreadable') > MUTANTS / 20,
    JSON.stringify([count('plays'), count('source_unreadable')]),
  );
  console.log(
    `\n  ${count('plays')} play, ${count('source_unreadable')} are unreadable, ${count('decode_failed')} break off`,
  );
});

test.run();
