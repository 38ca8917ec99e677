/** What README.md declares to be different from Erlang's supervisor, shown. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ExitReason } from '../../src/actors/runtime/exit-reason.ts';
import { admitRestart } from '../../src/actors/runtime/restart-plan.ts';
import { type ChildSpec, Supervisor } from '../../src/actors/runtime/supervisor.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';
import { crash, Play } from '../scenario/play.ts';

const test = suite('Declared differences from OTP');
const clock = new VirtualClock();

/** A worker that ends when it is asked or killed; `dying` keeps a killed one until it resolves. */
function worker(id: string, dying: Promise<void> = Promise.resolve()): ChildSpec {
  const start = async () => {
    const { promise, resolve } = Promise.withResolvers<ExitReason>();
    const kill = (): void => void dying.then(() => resolve('killed'));
    return { exited: promise, stop: () => resolve('shutdown'), kill };
  };
  return { id, kind: 'test', type: 'worker', restart: 'permanent', shutdown: 'infinity', start };
}

function supervise(specs: readonly ChildSpec[], strategy: 'one_for_one' | 'simple_one_for_one' = 'one_for_one') {
  const flags = { strategy, intensity: 1, periodMs: 1_000 };
  return Supervisor.start({ id: 'root', node: 'n1', flags, clock, event: () => {} }, specs);
}

test('a scenario’s restart history outlives its supervisor', () => {
  const play = new Play().toActive({ restart: { intensity: 2, periodMs: 10_000 } });
  for (const seq of [5, 6]) {
    play.exited(crash(), { seq });
    play.again();
    play.record = structuredClone(play.record); // a new owner has what was committed, and nothing else
  }
  play.exited(crash(), { seq: 7 });
  assert.match(play.doc.error?.message ?? '', /more than 2 restarts/);
});

test('a new owner of a scenario adopts the runner that runs: nothing is started', () => {
  const play = new Play().toActive();
  const { attempt } = play.segment;
  play.record = structuredClone(play.record);
  assert.equal([play.doc.state, play.errands, play.segment.attempt], ['active', [], attempt]);
  assert.ok(play.monitors.length > 0, 'it is watched');
});

test('a killed supervisor has exited when all below it have', async () => {
  const gate = Promise.withResolvers<void>();
  const nested: ChildSpec = {
    ...worker('nested'),
    type: 'supervisor',
    start: () => supervise([worker('a', gate.promise)]),
  };
  const root = await supervise([nested]);
  let exited = false;
  void root.exited.then(() => {
    exited = true;
  });
  root.kill();
  await clock.settle();
  assert.is(exited, false);
  gate.resolve();
  assert.is(await root.exited, 'killed');
});

test('a period is counted in milliseconds: Erlang would still count a restart that is 3,001 ms old to one of 3 s', () => {
  const limits = { intensity: 1, periodMs: 3_000 };
  assert.is(admitRestart([0], limits, 3_000), null);
  assert.equal(admitRestart([0], limits, 3_001), [3_001]);
});

test('to terminate a child that is not in the table does nothing', async () => {
  const root = await supervise([worker('a')]);
  await root.terminateChild('nobody');
  assert.equal(root.ids, ['a']);
});

test('a supervisor that has ended refuses to start children, and lets the others be terminated and deleted', async () => {
  const root = await supervise([worker('a')]);
  root.stop();
  await root.exited;
  const refused = async (call: Promise<unknown>) => call.then(String, (error: Error) => error.message);
  assert.is(await refused(root.startChild(worker('b'))), 'supervisor root has ended');
  assert.is(await refused(root.restartChild('a')), 'supervisor root has ended');
  await root.terminateChild('a');
  await root.deleteChild('a');
  assert.equal(root.ids, []);
});

test('children of a simple_one_for_one have ids, which are refused twice', async () => {
  const root = await supervise([worker('a')], 'simple_one_for_one');
  const refused = await root.startChild(worker('a')).catch((error: Error) => error.message);
  assert.is(refused, "root already has a child 'a', which is running");
});

test.run();
