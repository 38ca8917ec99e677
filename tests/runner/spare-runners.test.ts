/** Spares: RS1–RS4, with processes that end when and as the test says, in virtual time. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SpareRunners } from '../../src/actors/node/spare-runners.ts';
import { Supervisor } from '../../src/actors/runtime/supervisor.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';
import { ScriptedProcess } from './scripted-process.ts';

const REST_MS = 1_000;
const MOST_MS = 60_000;
const PREPARE = { settings: 'these' };

async function start(count: number) {
  const clock = new VirtualClock();
  const processes: ScriptedProcess[] = [];
  const startedAt: number[] = [];
  /** As each is launched. */
  const world = { dieAtOnce: false, fail: false, held: Promise.resolve() };
  const reports: string[] = [];
  const supervisor = await Supervisor.start({
    id: 'spares',
    node: 'n1',
    flags: { strategy: 'simple_one_for_one', intensity: 0, periodMs: 1 },
    clock,
    event: () => {},
  });
  const launcher = {
    launch: async (_role: 'runner', assignment: unknown) => {
      await world.held;
      if (world.fail) throw new Error('no more processes');
      const process = new ScriptedProcess(processes.length + 1);
      process.send(assignment);
      processes.push(process);
      startedAt.push(clock.monotonic());
      if (world.dieAtOnce) process.exit(1);
      return process;
    },
  };
  const spares = new SpareRunners(
    { launcher, supervisor, clock, report: what => reports.push(what) },
    { count, prepare: PREPARE, restMs: REST_MS, mostMs: MOST_MS },
  );
  const table = (): (number | null)[] => supervisor.tree().map(child => child.pid);
  return { clock, processes, startedAt, world, reports, supervisor, spares, table };
}

const test = suite('spare runners');

test('RS3: spares are told to get ready, and stand in the tree with their processes', async () => {
  const { clock, processes, spares, supervisor, table } = await start(2);
  await clock.advance(60_000);
  assert.equal(table(), [], 'none before they are asked for');
  spares.keep();
  await clock.advance(60_000);
  assert.equal(table(), [1, 2]);
  assert.equal(
    processes.map(process => process.heard),
    [[PREPARE], [PREPARE]],
  );
  assert.equal(
    supervisor.tree().map(child => [child.kind, child.state]),
    [
      ['spare', 'running'],
      ['spare', 'running'],
    ],
  );
});

test('RS1: a spare is given one job, and is nobody’s spare then', async () => {
  const { clock, processes, spares, supervisor, table } = await start(2);
  spares.keep();
  await clock.advance(60_000);
  const taken = await Promise.all([1, 2, 3].map(job => spares.launch('runner', { job })));
  assert.equal(
    taken.map(process => process.pid),
    [1, 2, 3],
    'the third had to be started',
  );
  await clock.settle();
  assert.equal(table(), []);
  assert.equal(
    processes.map(process => process.heard),
    [[PREPARE, { job: 1 }], [PREPARE, { job: 2 }], [{ job: 3 }]],
  );
  supervisor.stop();
  await supervisor.exited;
  assert.equal(
    processes.map(process => process.killed),
    [[], [], []],
    'no supervisor of spares kills a runner',
  );
});

test('RS1: a supervisor that is killed in the same moment does not kill what was just given away', async () => {
  const { clock, processes, spares, supervisor } = await start(2);
  spares.keep();
  await clock.advance(10_000);
  const launched = spares.launch('runner', {});
  supervisor.kill();
  await launched;
  await clock.settle();
  assert.equal(
    processes.map(process => process.killed),
    [[], ['SIGKILL']],
  );
});

test('RS1: a spare that has died is not given away, and a runner that dies makes no spare', async () => {
  const { clock, processes, spares, table } = await start(1);
  spares.keep();
  await clock.advance(1);
  processes[0]?.exit(null, 'SIGKILL');
  await clock.settle();
  const runner = await spares.launch('runner', { job: 1 });
  assert.is(runner.pid, 2);
  await clock.advance(10_000);
  assert.equal(table(), [3]);
  processes[1]?.exit(0);
  await clock.advance(10_000);
  assert.equal([table(), processes.length], [[3], 3]);
});

test('RS2: what was given away is replaced, one by one, each after a rest', async () => {
  const { clock, startedAt, spares, table } = await start(2);
  spares.keep();
  await clock.advance(10_000);
  const takenAt = clock.monotonic();
  await spares.launch('runner', {});
  await spares.launch('runner', {});
  await clock.advance(REST_MS - 1);
  assert.is(startedAt.length, 2, 'the processor belongs to the attempts');
  await clock.advance(10_000);
  assert.equal(table(), [3, 4]);
  assert.equal(startedAt.slice(2), [takenAt + REST_MS, takenAt + 2 * REST_MS]);
});

test('RS2: a program that dies at once is started less and less often; one that holds is started as soon as ever', async () => {
  const { clock, startedAt, world, spares, table } = await start(3);
  world.dieAtOnce = true;
  spares.keep();
  await clock.advance(600_000);
  const gaps = startedAt.slice(1).map((at, i) => at - (startedAt[i] ?? 0));
  assert.equal(gaps.slice(0, 7), [2_000, 4_000, 8_000, 16_000, 32_000, MOST_MS, MOST_MS]);
  world.dieAtOnce = false;
  await clock.advance(MOST_MS + 2 * REST_MS);
  assert.equal(table().length, 3);
  await clock.advance(MOST_MS);
  assert.is(table().length, 3);
});

test('RS2: an old spare that dies is replaced as soon as the first', async () => {
  const { clock, startedAt, processes, spares } = await start(1);
  spares.keep();
  for (let i = 0; i < 4; i++) {
    await clock.advance(2 * MOST_MS);
    processes.at(-1)?.exit(null, 'SIGKILL');
    const diedAt = clock.monotonic();
    await clock.advance(2 * REST_MS);
    assert.is(startedAt.at(-1), diedAt + 2 * REST_MS);
  }
});

test('RS2: a process that cannot be started is reported and tried again, later each time', async () => {
  const { clock, world, reports, spares, table } = await start(1);
  world.fail = true;
  spares.keep();
  await clock.advance(10_000);
  assert.equal(reports, ['spare', 'spare', 'spare']);
  world.fail = false;
  await clock.advance(10_000);
  assert.equal(table(), [1]);
});

test('RS4: stopped, it kills its spares at once and starts none; runners are launched as ever', async () => {
  for (const given of [0, 1]) {
    const { clock, processes, spares, table } = await start(2);
    spares.keep();
    await clock.advance(10_000);
    if (given > 0) await spares.launch('runner', { job: 1 });
    spares.stop();
    assert.equal(
      processes.map(process => process.killed),
      [given > 0 ? [] : ['SIGKILL'], ['SIGKILL']],
    );
    await clock.advance(600_000);
    assert.equal([table(), processes.length], [[], 2]);
    assert.is((await spares.launch('runner', { job: 2 })).pid, 3);
    await clock.advance(600_000);
    assert.is(processes.length, 3);
  }
});

test('RS4: a spare that is just being started is killed too', async () => {
  const { clock, processes, spares, table, world } = await start(1);
  const held = Promise.withResolvers<void>();
  world.held = held.promise;
  spares.keep();
  await clock.advance(10);
  spares.stop();
  held.resolve();
  await clock.advance(600_000);
  assert.equal([processes.map(process => process.killed), table()], [[['SIGKILL']], []]);
});

test('RS4: it stops with its supervisor, whoever ended that', async () => {
  const { clock, processes, supervisor, reports, spares } = await start(1);
  spares.keep();
  await clock.advance(10_000);
  supervisor.kill();
  assert.is(await supervisor.exited, 'killed');
  await clock.advance(600_000);
  assert.equal([processes.length, processes[0]?.killed, reports], [1, ['SIGKILL'], []]);
});

test('without spares a runner is launched as ever, and nothing else is', async () => {
  const { clock, processes, spares } = await start(0);
  spares.keep();
  await clock.advance(10_000);
  const { pid } = await spares.launch('runner', { job: 1 });
  await clock.advance(10_000);
  assert.equal([pid, processes.map(process => process.heard)], [1, [[{ job: 1 }]]]);
});

test.run();
