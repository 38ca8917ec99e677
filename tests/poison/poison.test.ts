// serial
/**
 * What kills whoever touches it, each time anew: it ends `failed`, with the cause, after the restarts that were allowed, and who
 * runs beside it on the same node notices nothing.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ScenarioView } from '../../src/domain/scenario.ts';
import { LIVENESS, programs } from '../../src/infra/config.ts';
import { findProgram } from '../../src/infra/process/find-program.ts';
import { startTestNode, type TestNode } from '../support/node.ts';
import { waitUntil } from '../support/wait-until.ts';
import { endless, greedy } from './poisonous-models.ts';

const SOURCE = { uri: 'test_videos/test_video.mp4' };
const WELL = { source: SOURCE, model: 'shapes', sampling: { to: 149 } };
/** Which attempts count is what is tried here: a restart is not waited for, and silence and stalls are told by nobody but where said. */
const PATIENT = { ...LIVENESS, backoffFirstMs: 50, backoffMostMs: 100, misses: 60, stallMs: 120_000 };
/** Bytes of memory that a process of this test may write to, its nodes and their runners among them. */
const MOST_MEMORY = 3 * 2 ** 30;

const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'troupe-poison-')));
const prlimit = findProgram('prlimit', { given: undefined, ...programs() });
const test = suite('poison');
let node: TestNode;
let undisturbed: string;

test.before(async () => {
  node = await startTestNode({ slots: 4, workers: 1, liveness: PATIENT, roots: [process.cwd(), folder] });
  await node.create({ id: 'undisturbed', ...WELL });
  assert.is((await node.ended('undisturbed')).outcome, 'completed');
  undisturbed = await node.export('undisturbed');
});
test.after(async () => {
  await node[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

interface Fact {
  readonly type: string;
  readonly text: string;
}

async function timeline(on: TestNode, id: string): Promise<readonly Fact[]> {
  const { body } = await on.call('GET', `/api/v1/scenarios/${id}/timeline`);
  return (body as unknown as { readonly items: readonly Fact[] }).items;
}

/** Something poisonous, and beside it something that is not. @returns how the poisonous one ended */
async function beside(
  on: TestNode,
  id: string,
  poison: Record<string, unknown>,
  act?: () => Promise<void>,
): Promise<ScenarioView> {
  await on.create({ id, source: SOURCE, model: 'shapes', ...poison });
  await on.create({ id: `beside-${id}`, ...WELL });
  await act?.();
  const ended = await on.ended(id);
  const well = await on.ended(`beside-${id}`);
  assert.is(well.outcome, 'completed', JSON.stringify(well));
  // On a busy machine an impatient node may take it for stuck: that is no death that it caught.
  const facts = await timeline(on, `beside-${id}`);
  const stuck = facts.filter(({ type, text }) => type === 'lost' && text.includes('no progress'));
  assert.is(facts.filter(({ type }) => type === 'restart').length, stuck.length, JSON.stringify(facts));
  assert.ok((await on.export(`beside-${id}`)) === undisturbed, 'who runs beside it has the undisturbed result');
  return ended;
}

/** Sends a signal to each runner of a scenario when `isTime`, until the scenario has ended. */
async function strikeEach(
  id: string,
  signal: NodeJS.Signals,
  isTime: (view: ScenarioView) => boolean,
): Promise<number> {
  const struck = new Set<number>();
  await waitUntil(
    `${id} has ended`,
    async () => {
      const view = await node.get(id);
      const { pid = null, state, attempt = 0 } = view.runners[0] ?? {};
      if (pid !== null && state === 'running' && !struck.has(attempt) && isTime(view)) {
        process.kill(pid, signal);
        struck.add(attempt);
      }
      return view.state === 'inactive';
    },
    120_000,
  );
  return struck.size;
}

test('SIGSEGV each time its log has got on by a frame: failed by the signal, after the restarts that were allowed', async () => {
  let struckAt = 0;
  let struck = 0;
  const ended = await beside(node, 'segv', { restart: { intensity: 3, periodMs: 600_000 } }, async () => {
    struck = await strikeEach('segv', 'SIGSEGV', ({ progress }) => {
      if (progress.framesDone <= struckAt) return false;
      struckAt = progress.framesDone;
      return true;
    });
  });
  assert.is(struck, 4);
  assert.equal([ended.outcome, ended.error?.code], ['failed', 'runner_lost']);
  assert.is(ended.error?.message, 'more than 3 restarts in 600000 ms; the last one: the runner ended by SIGSEGV');
  const items = await timeline(node, 'segv');
  assert.is(items.filter(({ type, text }) => type === 'exited' && text.includes('SIGSEGV')).length, 4);
});

test('abort before every first frame: failed by the signal after five attempts that got nowhere', async () => {
  const ended = await beside(node, 'abort', { restart: { intensity: 1000, periodMs: 1_000 } }, async () => {
    await strikeEach('abort', 'SIGABRT', () => true);
  });
  assert.equal([ended.outcome, ended.error?.code], ['failed', 'runner_lost']);
  assert.is(
    ended.error?.message,
    '5 attempts in a row committed no new frame; the last one: the runner ended by SIGABRT',
  );
});

const needsLimit =
  'a model that asks a real picture for more memory than there may be: failed with its frame and what it asked for';
if (prlimit === null) test.skip(`${needsLimit} — skipped: there is no prlimit`, () => {});
else
  test(needsLimit, async () => {
    execFileSync(prlimit, ['--pid', String(process.pid), `--data=${MOST_MEMORY}`]);
    const model = path.join(folder, 'greedy.onnx');
    writeFileSync(model, greedy());
    const ended = await beside(node, 'greedy', { model, restart: { intensity: 2, periodMs: 600_000 } });
    assert.equal(
      [ended.outcome, ended.error?.code, ended.error?.frame],
      ['failed', 'inference_failed', 0],
      JSON.stringify(ended.error),
    );
    assert.match(ended.error?.message ?? '', /^more than 2 restarts in 600000 ms; the last one: .*alloc/s);
    console.log(ended.error?.message);
    assert.is(ended.runners[0]?.restarts, 2);
  });

test('a model that never comes back from a real picture: its runners are killed, and it has failed for making no progress', async () => {
  const model = path.join(folder, 'endless.onnx');
  writeFileSync(model, endless());
  const liveness = { ...PATIENT, stallMs: 6_000 };
  await using impatient = await startTestNode({ slots: 4, workers: 1, liveness, roots: [process.cwd(), folder] });
  const ended = await beside(impatient, 'endless', { model, restart: { intensity: 1, periodMs: 600_000 } });
  assert.equal([ended.outcome, ended.error?.code], ['failed', 'runner_lost']);
  assert.match(
    ended.error?.message ?? '',
    /^more than 1 restarts in 600000 ms; the last one: the runner of attempt 2 on node test made no progress \(\d+ ms\)$/,
  );
  await waitUntil('its slots are free', async () => {
    const { items } = (await impatient.call('GET', '/api/v1/nodes')).body as unknown as {
      items: { running: number }[];
    };
    return items[0]?.running === 0;
  });
});

test.run();
