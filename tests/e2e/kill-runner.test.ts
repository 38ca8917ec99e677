// serial
// shared
/** The promise that matters most: kill the runner at random, and nothing in the result changes. */
import { createHash } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Prediction } from '../../src/domain/prediction.ts';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import { startTestNode, type TestNode } from '../support/node.ts';
import { waitUntil } from '../support/wait-until.ts';

const KILLS = 12;
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const test = suite('kill the runner at random');

/** One kill, either soon after a runner was placed (before its first record, most likely) or when it has made way. */
async function killOnce(node: TestNode, id: string, random: SeededRandom): Promise<boolean> {
  const early = random.float() < 0.3;
  const leastFrames = (await node.get(id)).progress.framesDone + (early ? 0 : Math.ceil(random.float() * 24));
  const delayMs = random.float() * 150;
  let pid: number | null = null;
  let over = false;
  await waitUntil(
    'a runner can be killed, or the scenario has ended',
    async () => {
      const { state, runners, progress } = await node.get(id);
      over = state === 'inactive';
      pid = runners[0]?.state === 'running' && progress.framesDone >= leastFrames ? (runners[0]?.pid ?? null) : null;
      return over || pid !== null;
    },
    60_000,
  );
  if (over || pid === null) return false;
  await new Promise(resolve => setTimeout(resolve, delayMs));
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    return false; // it had just ended
  }
  const killed = pid;
  await waitUntil('the kill is noticed', async () => (await node.get(id)).runners[0]?.pid !== killed, 60_000);
  return true;
}

test(`${KILLS} random SIGKILLs of the runner leave the export byte-identical to an undisturbed run`, async () => {
  const seed = Number(process.env['TROUPE_TEST_SEED'] ?? Math.floor(Math.random() * 1e9));
  console.log(`seed ${seed}`);
  await using node = await startTestNode({ workers: 1 });
  const request = {
    source: { uri: 'test_videos/test_video.mp4' },
    model: 'shapes',
    restart: { intensity: 1000, periodMs: 60_000 },
  };
  await node.create({ id: 'undisturbed', ...request });
  assert.is((await node.ended('undisturbed')).outcome, 'completed');

  await node.create({ id: 'killed', ...request });
  const random = new SeededRandom(seed);
  let kills = 0;
  while (kills < KILLS) {
    const killed = await killOnce(node, 'killed', random);
    if (!killed && (await node.get('killed')).state === 'inactive') break;
    if (killed) kills += 1;
  }
  const ended = await node.ended('killed');
  assert.is(kills, KILLS, 'the video lasted long enough for all kills');
  assert.is(ended.outcome, 'completed', JSON.stringify(ended.error));
  // The last kill may meet a runner that has written the end and is only about to exit.
  assert.ok((ended.runners[0]?.restarts ?? 0) >= KILLS - 1);

  const [expected, actual] = await Promise.all([node.export('undisturbed'), node.export('killed')]);
  assert.is(sha256(actual), sha256(expected));
  const frames = actual
    .trimEnd()
    .split('\n')
    .map(line => (JSON.parse(line) as Prediction).frame);
  assert.equal(
    frames,
    Array.from({ length: 600 }, (_, i) => i),
    'every frame once and in order',
  );
});

test.run();
