/**
 * What the predecessors got wrong, 1 to 8: the real orchestrators, supervisors, nodes and runners in a simulated world
 * without chance faults; each test strikes where the defect was.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { LogRecord } from '../../src/domain/log-record.ts';
import { readRunnerBeat } from '../../src/domain/messages.ts';
import { SUBJECTS } from '../../src/domain/subjects.ts';
import { assertWhole, records, story } from '../runner/log-rules.ts';
import { type NodePlan, quietPlan } from '../sim/storm.ts';
import { World } from '../sim/world.ts';

const FRAMES = 150;
const REQUEST = { source: { uri: `v${FRAMES}` }, model: 'm', restart: { intensity: 100, periodMs: 1000 } };
const LONG_MS = 600_000;

const KEY = { scenario: 'cam', run: 1, segment: 0 };

const logOf = (world: World): Promise<LogRecord[]> => records(world.server.predictionLog(), KEY);

async function until(
  world: World,
  sentence: string,
  predicate: () => boolean | Promise<boolean>,
  stepMs = 50,
): Promise<void> {
  for (
    const from = world.clock.monotonic();
    world.clock.monotonic() - from < LONG_MS;
    await world.clock.advance(stepMs)
  ) {
    if (await predicate()) return;
  }
  throw new Error(`in vain: ${sentence}; ${JSON.stringify(await world.doc('cam'))}`);
}

/** One machine with an orchestrator, others with runners; none is up yet. */
function worldOf(seed: number, runners: readonly string[]): World {
  const node = (name: string, role: 'orchestrator' | 'runner'): NodePlan => ({
    name,
    roles: [role],
    slots: 8,
    wallOffsetMs: 0,
    rate: 1,
  });
  return new World(quietPlan(seed, [node('o1', 'orchestrator'), ...runners.map(name => node(name, 'runner'))]));
}

const command = (world: World, verb: string, body: unknown = {}): boolean =>
  world.publish(`troupe.cmd.scenario.cam.${verb}`, JSON.stringify(body));
const lastOf = async (world: World): Promise<LogRecord | undefined> =>
  (await world.server.predictionLog().last(KEY)).entry?.record;
const passed = async (world: World): Promise<number> => ((await lastOf(world))?.position?.to ?? -1) + 1;
const state = async (world: World): Promise<string | undefined> => (await world.doc('cam'))?.state;

/** A scenario with some frames in its log. */
async function running(seed: number, nodes = ['n1', 'n2']): Promise<World> {
  const world = worldOf(seed, nodes);
  world.startAll();
  command(world, 'start', REQUEST);
  await until(world, 'ten frames are committed', async () => (await passed(world)) >= 10);
  return world;
}

/** It ends by itself, with every frame once and in order, and nothing left behind. */
async function completes(world: World): Promise<LogRecord[]> {
  await until(
    world,
    'it is completed',
    async () => (await state(world)) === 'inactive' && world.runners().length === 0,
  );
  const found = await logOf(world);
  assertWhole(found);
  assert.is((await world.doc('cam'))?.outcome, 'completed');
  const frames = found.flatMap(record => (record.kind === 'frames' ? record.predictions.map(p => p.frame) : []));
  assert.equal(
    frames,
    Array.from({ length: FRAMES }, (_, frame) => frame),
  );
  assert.equal(world.defects, []);
  return found;
}

const test = suite('defects of the predecessors');

test('defect 1: an orchestrator restart orphans nothing: the runner is adopted, and its death afterwards is noticed', async () => {
  const adopted = await running(1);
  adopted.killNode('o1', 1_000);
  await adopted.clock.advance(1_000);
  assert.match(story(await completes(adopted)), /^open 1,(?!.*open)/, 'the first attempt went through');

  const orphaned = await running(2);
  orphaned.killNode('o1', 1_000);
  orphaned.runners()[0]?.process.freeze();
  await orphaned.clock.advance(1_000);
  assert.match(story(await completes(orphaned)), /open 2/);
});

test('defect 2: a runner that dies or hangs before its first heartbeat is noticed and replaced', async () => {
  for (const strike of ['kill', 'freeze', 'node'] as const) {
    const world = worldOf(3, ['n1', 'n2']);
    world.startAll();
    let beats = 0;
    world.server.bus().subscribe(SUBJECTS.heartbeats('runner'), ({ body }) => {
      if (readRunnerBeat(body)?.progress !== -1) beats += 1; // that one is its node's, which vouches for it
    });
    command(world, 'start', REQUEST);
    await until(world, 'a runner is launched', () => world.launched.length === 1);
    const [runner] = world.runners();
    if (strike === 'kill') runner?.kill();
    else if (strike === 'freeze') runner?.process.freeze();
    else world.killNode(runner?.process.machine ?? '', LONG_MS);
    assert.is(beats, 0);
    await until(world, 'another is launched', () => world.launched.length === 2);
    assert.match(story(await completes(world)), /open 2/);
  }
});

test('defect 3: a second crash before the first stored frame resumes where the first one did', async () => {
  const world = await running(4);
  for (let crashes = 1; crashes <= 3; crashes++) {
    world.runners()[0]?.kill();
    await until(world, 'the next attempt has opened the log', async () => {
      const last = await lastOf(world);
      return last?.kind === 'open' && last.attempt === crashes + 1;
    });
  }
  const opens = (await logOf(world)).filter(record => record.kind === 'open').slice(1);
  const [first] = opens;
  assert.ok((first?.position?.to ?? 0) >= 9);
  assert.equal(
    opens.map(record => record.position),
    opens.map(() => first?.position ?? null),
  );
  await completes(world);
});

test('defect 4: nothing that comes late revives a finished scenario', async () => {
  const world = await running(5);
  await completes(world);
  const before = await world.doc('cam');
  const ref = { scenario: 'cam', run: 1, segment: 0, attempt: 1 };
  const runners = world.launched.length;
  const beat = { key: 'cam.1.0.1', progress: 7, fps: 25 };
  world.server.publish(SUBJECTS.heartbeat('n1', 'runner', 'cam'), Buffer.from(JSON.stringify(beat)));
  const mailbox = world.server.mailbox();
  for (const [verb, body] of [
    ['placing', ref],
    ['progressed', { ...ref, seq: 3 }],
    [
      'exited',
      { ...ref, reason: { error: { code: 'runner_lost', message: 'late' } }, result: null, seq: 0, fruitful: false },
    ],
  ] as const) {
    const headers = {};
    await mailbox.send({
      to: { kind: 'scenario', id: 'cam' },
      class: 'sys',
      verb,
      headers,
      body: Buffer.from(JSON.stringify(body)),
    });
  }
  await world.clock.advance(60_000);
  const after = await world.doc('cam');
  assert.equal([after?.state, after?.outcome, after?.history], [before?.state, before?.outcome, before?.history]);
  assert.is(world.launched.length, runners);
});

test('defect 5: a paused machine and its replacement never both write', async () => {
  const world = await running(6);
  const paused = world.runners()[0]?.process;
  const machine = world.node(paused?.machine ?? '')?.process;
  machine?.freeze();
  paused?.freeze();
  await until(world, 'the replacement has written', async () => {
    const last = await lastOf(world);
    return last?.kind === 'frames' && last.attempt === 2;
  });
  assert.not(paused?.dead, 'nobody could kill it');
  paused?.thaw();
  await until(world, 'the zombie has met the fence and is gone', () => paused?.dead ?? false);
  machine?.thaw();
  const found = await completes(world);
  assert.ok(found.every((record, i) => record.attempt >= (found[i - 1]?.attempt ?? 0)));
});

test('defect 6: a command that is stored is carried out, whenever the orchestrator dies', async () => {
  for (let afterMs = 0; afterMs <= 400; afterMs += 50) {
    const world = worldOf(7, ['n1']);
    world.startNode('n1');
    if (afterMs > 0) world.startNode('o1');
    await until(world, 'it owns its partitions', () => world.clock.monotonic() > 2_000);
    command(world, 'start', REQUEST);
    await world.clock.advance(afterMs);
    world.killNode('o1', 1_000);
    world.startNode('o1'); // where it was not up yet
    await completes(world);
  }
});

test('defect 7: a resume follows the highest contiguous frame, not the last one seen', async () => {
  for (let seed = 20; seed < 23; seed++) {
    const world = await running(seed);
    for (let i = 0; i < 8 && (await state(world)) === 'active'; i++) {
      world.runners()[0]?.kill();
      await world.clock.advance(2_500);
    }
    assert.match(story(await completes(world)), /open [3-9]/);
  }
});

test('defect 8: stopping a scenario that is just finishing, or has just finished, ends it soon', async () => {
  const ended = async (world: World): Promise<boolean> => (await lastOf(world))?.kind === 'end';
  for (const laterMs of [0, 200, 400, 600, 'end', 'inactive'] as const) {
    const world = await running(8, ['n1']);
    await until(world, 'almost the last frame is committed', async () => (await passed(world)) >= FRAMES - 3);
    if (laterMs === 'end') await until(world, 'the end is in the log, and not yet heard of', () => ended(world), 1);
    else if (laterMs === 'inactive') await completes(world);
    else await world.clock.advance(laterMs);
    if (laterMs === 'end') assert.is(await state(world), 'active');
    command(world, 'stop');
    const stoppedAt = world.clock.monotonic();
    await world.clock.advance(10);
    await until(world, 'it is inactive', async () => (await state(world)) === 'inactive');
    const tookMs = world.clock.monotonic() - stoppedAt;
    assert.ok(tookMs < 5_000, `${laterMs}: it took ${tookMs} ms`);
    assertWhole(await logOf(world));
    assert.is((await world.doc('cam'))?.outcome, (await ended(world)) ? 'completed' : 'stopped');
  }
});

test.run();
