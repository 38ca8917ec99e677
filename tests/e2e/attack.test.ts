// serial
// shared
/** Attacks on a running node that once left something behind. */
import { execFileSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { startTestNode } from '../support/node.ts';
import { descendants } from '../support/processes.ts';
import { waitUntil } from '../support/wait-until.ts';

const VIDEO = { source: { uri: 'test_videos/test_video.mp4' }, model: 'shapes' };
const test = suite('attacks on a running node');

/** Living processes: what nobody has collected yet has ended. */
const processes = (): { pid: number; command: string }[] =>
  execFileSync('ps', ['-eo', 'pid=,stat=,comm='], { encoding: 'utf8' })
    .split('\n')
    .map(row => row.trim().split(/\s+/))
    .filter(([, state = 'Z']) => !state.startsWith('Z'))
    .map(([pid, , command = '']) => ({ pid: Number(pid), command }));

const isAlive = (pid: number): boolean => processes().some(other => other.pid === pid);

test('a runner that is killed takes its decoder along, also one that hangs and would never meet the broken pipe', async () => {
  await using node = await startTestNode({ workers: 1 });
  await node.create({ id: 'cam', ...VIDEO });
  let runner = 0;
  let decoder = 0;
  await waitUntil('the runner decodes', async () => {
    runner = (await node.get('cam')).runners[0]?.pid ?? 0;
    const below = runner === 0 ? [] : descendants(runner); // in a sandbox it is no child of the runner's own
    decoder = processes().find(({ pid, command }) => command === 'ffmpeg' && below.includes(pid))?.pid ?? 0;
    return runner !== 0 && decoder !== 0;
  });
  process.kill(decoder, 'SIGSTOP');
  try {
    process.kill(runner, 'SIGKILL');
    await waitUntil('the decoder is gone', () => !isAlive(decoder));
  } finally {
    if (isAlive(decoder)) process.kill(decoder, 'SIGKILL');
  }
  assert.is((await node.ended('cam')).outcome, 'completed');
});

test.run();
