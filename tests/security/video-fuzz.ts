/**
 * Mutated videos: each gets a verdict in time, and is no defect. A failure names its seeds; `mutateBytes` makes the file of a seed
 * again. Two test files share them, so that each stays within its time: what takes it is the start of ffprobe.
 */
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TroupeError } from '../../src/domain/errors.ts';
import { programs } from '../../src/infra/config.ts';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import { findSandbox } from '../../src/infra/process/sandbox.ts';
import { ffmpegDecoder } from '../../src/infra/video/ffmpeg-decoder.ts';
import { answersIn, inSandbox } from '../../src/infra/video/media-process.ts';
import { decodeAll } from '../contract/decoder.ts';
import { mutateBytes } from '../fuzz/mutations.ts';
import { CLIPS, ffmpeg, tools } from '../video/clips.ts';
import { judgeAll } from './mutants.ts';

/** Every so manieth is decoded, too, if it can be probed: a decoder meets what a probe does not look at. */
const DECODED = 20;
const VERDICT_MS = 10_000;

/** @param names of clips.ts, or of a container that ffmpeg knows by the ending */
export function fuzzVideos(names: readonly string[], mutants: number): void {
  const test = suite('mutated videos');
  const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'troupe-mutants-')));
  test.after(() => rmSync(folder, { recursive: true, force: true }));
  const originals = names.map(name => {
    const file = path.join(folder, name);
    const make = CLIPS[name] ?? plain;
    make(file);
    return { name, bytes: readFileSync(file) };
  });

  test(`${mutants} mutated videos of ${names.length} containers each get a verdict within 10 s, and no defect`, async () => {
    const { sandbox } = await findSandbox('auto', programs(), found => answersIn(tools.ffmpeg, '-version', found));
    const decoder = await ffmpegDecoder(inSandbox(tools, sandbox));
    const judge = async (seed: number): Promise<string> => {
      const original = originals[seed % originals.length] ?? originals[0];
      if (original === undefined) return 'no original';
      const file = path.join(folder, `${seed}-${original.name}`);
      writeFileSync(file, mutateBytes(original.bytes, new SeededRandom(seed)));
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
    const verdicts = await judgeAll(mutants, 2, async seed => {
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
    const counts = [count('plays'), count('source_unreadable'), count('decode_failed')];
    assert.ok(count('plays') > mutants / 5 && count('source_unreadable') > mutants / 40, JSON.stringify(counts));
  });

  test.run();
}

function plain(file: string): void {
  const codec = file.endsWith('.ogg') ? ['-c:v', 'libtheora'] : [];
  ffmpeg('-f', 'lavfi', '-i', 'testsrc2=s=96x64:r=25:d=0.4', ...codec, file);
}
