// serial
// shared
/** Memory stays bounded in the whole runner process: decoder, ring, inference threads, order, log. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { startTestNode } from '../support/node.ts';
import { waitUntil } from '../support/wait-until.ts';
import { ffmpeg } from '../video/clips.ts';

const test = suite('runner memory');
const folder = mkdtempSync(path.join(tmpdir(), 'troupe-runner-memory-'));
test.after(() => rmSync(folder, { recursive: true, force: true }));

const FRAMES = 20_000;

/** KiB of memory in RAM that is the process' own; null when it has ended. */
function residentKiB(pid: number): number | null {
  try {
    const kib = /^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kib === undefined ? null : Number(kib);
  } catch {
    return null;
  }
}

test('over 20,000 tiny frames the runner grows less than 5 % from the second quarter to the last', async () => {
  const clip = path.join(folder, 'clip.avi');
  ffmpeg('-f', 'lavfi', '-i', `testsrc=s=64x48:r=1000:d=${FRAMES / 1000}`, '-c:v', 'mpeg4', '-g', '100', clip);
  await using node = await startTestNode();
  // Every tenth frame is inferred: all of them are decoded, ordered and passed, in a test's time.
  await node.create({ id: 'long', source: { uri: clip }, model: 'colorblob', sampling: { every: 10 } });
  const samples: { frame: number; kib: number }[] = [];
  await waitUntil(
    'the scenario has ended',
    async () => {
      const { state, runners, progress } = await node.get('long');
      const kib = typeof runners[0]?.pid === 'number' ? residentKiB(runners[0].pid) : null;
      if (kib !== null && progress.lastFrame !== null) samples.push({ frame: progress.lastFrame, kib });
      return state === 'inactive';
    },
    170_000,
  );
  const ended = await node.get('long');
  assert.is(ended.outcome, 'completed', JSON.stringify(ended.error));
  assert.is(ended.progress.lastFrame, FRAMES - 1);
  // The floor: its peaks are garbage that waits for a collector, which on a busy machine comes when it can.
  const floor = (from: number, to: number): number =>
    Math.min(...samples.filter(s => s.frame >= from && s.frame < to).map(s => s.kib));
  // The first quarter warms up: code is compiled, arenas find their size.
  const early = floor(FRAMES / 4, FRAMES / 2);
  const late = floor((3 * FRAMES) / 4, FRAMES);
  assert.ok(Number.isFinite(early) && Number.isFinite(late), `too few samples: ${samples.length}`);
  console.log(`resident: ${early} KiB, then ${late} KiB; ${samples.length} samples`);
  assert.ok(late < early * 1.05, `${early} KiB, then ${late} KiB`);
});

test.run();
