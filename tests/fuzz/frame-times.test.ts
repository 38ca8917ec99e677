/**
 * Frame times as ffmpeg prints them, however they are cut into chunks and whatever became of a line.
 *
 * A count that begins anew is taken as it is: what was lost or came twice just before is found at the end of the video only, where
 * there must be as many times as pictures (D2 of ffmpeg-decoder.ts).
 */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TroupeError } from '../../src/domain/errors.ts';
import { frameTimes } from '../../src/infra/video/frame-times.ts';
import { inChunks } from './scripted-media.ts';

const test = suite('frame times');
const SEED = 1;

type Times = readonly (number | null)[];

const printed = (times: Times): string[] =>
  times.flatMap((ms, i) => [
    `frame:${String(i).padEnd(4)} pts:${String(ms === null ? 'NOPTS' : Math.round(ms * 1000)).padEnd(7)} pts_time:${ms === null ? 'NOPTS' : ms / 1000}`,
    't=0',
  ]);

async function read(text: string, sizes: readonly number[]): Promise<{ times: Times; error: unknown }> {
  const times: (number | null)[] = [];
  try {
    for await (const ms of frameTimes(inChunks(Buffer.from(text), sizes))) times.push(ms);
    return { times, error: null };
  } catch (error) {
    return { times, error };
  }
}

const anyTimes = fc.array(fc.option(fc.integer({ min: -1e9, max: 1e12 }).map(us => us / 1000)), {
  minLength: 1,
  maxLength: 12,
});
const anySizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 });

test('the times are those printed, wherever the output is cut into chunks', async () => {
  const whole = fc.asyncProperty(anyTimes, anySizes, async (times, sizes) => {
    assert.equal(await read(`${printed(times).join('\n')}\n`, sizes), { times, error: null });
  });
  await fc.assert(whole, { seed: SEED, numRuns: 300 });
});

/** @returns what is left of the lines */
const FAULTS: Readonly<Record<string, (lines: string[], at: number) => string[]>> = {
  'a line is missing': (lines, at) => lines.toSpliced(at, 1),
  'both lines of a frame are missing': (lines, at) => lines.toSpliced(at - (at % 2), 2),
  'a line comes twice': (lines, at) => lines.toSpliced(at, 0, lines[at] ?? ''),
  'a frame comes twice': (lines, at) =>
    lines.toSpliced(at - (at % 2), 0, ...lines.slice(at - (at % 2), at - (at % 2) + 2)),
  'two frames have changed places': (lines, at) =>
    lines.toSpliced(
      at - (at % 2),
      4,
      ...lines.slice(at - (at % 2) + 2, at - (at % 2) + 4),
      ...lines.slice(at - (at % 2), at - (at % 2) + 2),
    ),
  'a line is garbage': (lines, at) => lines.toSpliced(at, 1, 'what is a frame?'),
  'a line has no end': (lines, at) => lines.toSpliced(at, 0, 'x'.repeat(100_000)),
  'it ends in the middle of a line': (lines, at) => [...lines.slice(0, at), (lines[at] ?? '').slice(0, 8)],
};

for (const [fault, apply] of Object.entries(FAULTS)) {
  test(`${fault}: what is told before an error, or the end, is a beginning of the truth`, async () => {
    const damaged = fc.asyncProperty(anyTimes, anySizes, fc.nat(), async (times, sizes, place) => {
      const lines = printed(times);
      // That the first frame comes twice cannot be told from a count that begins anew.
      const at = place % lines.length;
      if (fault.endsWith('twice') && at < 2) return;
      const text = apply(lines, at).join('\n');
      const got = await read(fault.startsWith('it ends') ? text : `${text}\n`, sizes);
      assert.equal(got.times, times.slice(0, got.times.length));
      if (got.error !== null) assert.is((got.error as TroupeError).code, 'decode_failed');
      assert.ok(got.error === null || got.error instanceof TroupeError);
    });
    await fc.assert(damaged, { seed: SEED, numRuns: 100 });
  });
}

test.run();
