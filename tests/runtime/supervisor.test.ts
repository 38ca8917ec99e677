import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ExitReason } from '../../src/actors/runtime/exit-reason.ts';
import type { RestartType, Strategy, SupervisorFlags } from '../../src/actors/runtime/restart-plan.ts';
import { type ChildSpec, Supervisor, type SupervisorEvent } from '../../src/actors/runtime/supervisor.ts';
import { task } from '../../src/actors/runtime/task.ts';
import type { TreeNode } from '../../src/domain/tree.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';

const test = suite('Supervisor');

/** Children that live until told otherwise, and a diary of what was done to them. */
class Nursery {
  readonly clock = new VirtualClock();
  readonly diary: string[] = [];
  readonly events: SupervisorEvent[] = [];
  readonly #exits = new Map<string, (reason: ExitReason) => void>();
  /** Starts that fail, by id: how many more. */
  readonly failing = new Map<string, number>();
  /** Starts that wait. */
  readonly held = new Map<string, Promise<void>>();
  /** Ids of children that do not end when asked to. */
  readonly deaf = new Set<string>();

  spec(id: string, restart: RestartType = 'permanent', shutdown: ChildSpec['shutdown'] = 'infinity'): ChildSpec {
    const start = async () => {
      await this.held.get(id);
      const failures = this.failing.get(id) ?? 0;
      if (failures > 0) {
        this.failing.set(id, failures - 1);
        this.diary.push(`fail ${id}`);
        throw new Error(`${id} cannot start`);
      }
      this.diary.push(`start ${id}`);
      const { promise, resolve } = Promise.withResolvers<ExitReason>();
      this.#exits.set(id, resolve);
      return {
        exited: promise,
        pid: 7,
        stop: () => {
          this.diary.push(`stop ${id}`);
          if (!this.deaf.has(id)) resolve('shutdown');
        },
        kill: () => {
          this.diary.push(`kill ${id}`);
          resolve('killed');
        },
      };
    };
    return { id, kind: 'test', type: 'worker', restart, shutdown, start };
  }

  supervise(flags: Partial<SupervisorFlags>, specs: readonly ChildSpec[], id = 'root'): Promise<Supervisor> {
    return Supervisor.start(
      {
        id,
        node: 'n1',
        flags: { strategy: 'one_for_one', intensity: 3, periodMs: 1_000, ...flags },
        clock: this.clock,
        event: event => this.events.push(event),
      },
      specs,
    );
  }

  /** The child ends by itself; what its supervisor does about it follows. */
  async end(id: string, reason: ExitReason = { error: { code: 'internal', message: 'a defect' } }): Promise<void> {
    this.#exits.get(id)?.(reason);
    await this.clock.settle();
  }

  /** What was written since the last call. */
  news(): string[] {
    return this.diary.splice(0);
  }
}

/** `a` to `d`, permanent but for the third. */
async function four(strategy: Strategy, third: RestartType = 'permanent'): Promise<[Nursery, Supervisor]> {
  const nursery = new Nursery();
  const specs = ['a', 'b', 'c', 'd'].map(id => nursery.spec(id, id === 'c' ? third : 'permanent'));
  const supervisor = await nursery.supervise({ strategy }, specs);
  nursery.news();
  return [nursery, supervisor];
}

const states = (supervisor: Supervisor): string[] => supervisor.tree().map(({ id, state }) => `${id} ${state}`);

test('V1: children start in order and stop in reverse', async () => {
  const nursery = new Nursery();
  const supervisor = await nursery.supervise({}, [nursery.spec('a'), nursery.spec('b'), nursery.spec('c')]);
  supervisor.stop();
  assert.is(await supervisor.exited, 'shutdown');
  assert.equal(nursery.news(), ['start a', 'start b', 'start c', 'stop c', 'stop b', 'stop a']);
});

test('V1: a child that fails to start at the beginning stops those before it, and the start is refused with why', async () => {
  const nursery = new Nursery();
  nursery.failing.set('c', 1);
  const specs = ['a', 'b', 'c', 'd'].map(id => nursery.spec(id));
  const refused = await nursery.supervise({}, specs).catch((error: Error) => error.message);
  assert.is(refused, 'c cannot start');
  assert.equal(nursery.news(), ['start a', 'start b', 'fail c', 'stop b', 'stop a']);
});

test('V1: a child that ends before all are started is restarted after that; when one fails to start it is not', async () => {
  for (const fails of [false, true]) {
    const nursery = new Nursery();
    const gate = Promise.withResolvers<void>();
    nursery.held.set('b', gate.promise);
    if (fails) nursery.failing.set('c', 1);
    const specs = ['a', 'b', 'c'].map(id => nursery.spec(id));
    const starting = nursery.supervise({}, specs).catch((error: Error) => error.message);
    await nursery.clock.settle();
    await nursery.end('a');
    gate.resolve();
    await nursery.clock.settle();
    assert.equal(
      nursery.news(),
      fails ? ['start a', 'start b', 'fail c', 'stop b', 'stop a'] : ['start a', 'start b', 'start c', 'start a'],
    );
    assert.is(typeof (await starting), fails ? 'string' : 'object');
  }
});

test('V1: the children of a simple_one_for_one are asked all at once, and it has exited when the last one has', async () => {
  const nursery = new Nursery();
  const specs = ['a', 'b', 'c'].map(id => nursery.spec(id, 'permanent', id === 'c' ? 100 : 'infinity'));
  for (const id of ['a', 'b', 'c']) nursery.deaf.add(id);
  const supervisor = await nursery.supervise({ strategy: 'simple_one_for_one' }, specs);
  nursery.news();
  let exited = false;
  void supervisor.exited.then(() => {
    exited = true;
  });
  supervisor.stop();
  await nursery.clock.settle();
  assert.equal(nursery.news(), ['stop c', 'stop b', 'stop a']);
  await nursery.end('a', 'shutdown');
  await nursery.clock.advance(100);
  assert.equal([nursery.news(), exited], [['kill c'], false]);
  await nursery.end('b', 'shutdown');
  assert.is(await supervisor.exited, 'shutdown');
});

test('S2: one_for_one restarts the one that ended', async () => {
  const [nursery, supervisor] = await four('one_for_one');
  await nursery.end('b');
  assert.equal(nursery.news(), ['start b']);
  assert.equal(
    supervisor.tree().map(row => row.restarts),
    [0, 1, 0, 0],
  );
});

test('S2: one_for_all restarts all', async () => {
  const [nursery] = await four('one_for_all');
  await nursery.end('b');
  assert.equal(nursery.news(), ['stop d', 'stop c', 'stop a', 'start a', 'start b', 'start c', 'start d']);
});

test('S2: rest_for_one restarts it and those started after it', async () => {
  const [nursery] = await four('rest_for_one');
  await nursery.end('b');
  assert.equal(nursery.news(), ['stop d', 'stop c', 'start b', 'start c', 'start d']);
});

test('S2: simple_one_for_one restarts the one that ended', async () => {
  const [nursery] = await four('simple_one_for_one');
  await nursery.end('b');
  assert.equal(nursery.news(), ['start b']);
});

test('S1: a temporary child is not restarted, not even when a sibling’s death took it down, and leaves the table', async () => {
  const [nursery, supervisor] = await four('one_for_all', 'temporary');
  await nursery.end('b');
  assert.equal(nursery.news(), ['stop d', 'stop c', 'stop a', 'start a', 'start b', 'start d']);
  assert.equal(supervisor.ids, ['a', 'b', 'd']);
  const [other, table] = await four('one_for_one', 'temporary');
  await other.end('c');
  assert.equal([other.news(), table.ids], [[], ['a', 'b', 'd']]);
});

for (const [reason, restarted] of [
  ['normal', false],
  ['shutdown', false],
  ['killed', true],
  ['fenced', true],
] as const)
  test(`S1: a transient child is ${restarted ? '' : 'not '}restarted after '${reason}'`, async () => {
    const [nursery, supervisor] = await four('one_for_one', 'transient');
    await nursery.end('c', reason);
    assert.equal(nursery.news(), restarted ? ['start c'] : []);
    assert.is(states(supervisor)[2], restarted ? 'c running' : 'c terminated');
  });

test('S1: a permanent child is restarted after a normal end too', async () => {
  const [nursery] = await four('one_for_one');
  await nursery.end('c', 'normal');
  assert.equal(nursery.news(), ['start c']);
});

test('S3, V4: more than `intensity` restarts within `period`: all are stopped and the supervisor exits shutdown', async () => {
  const [nursery, supervisor] = await four('one_for_one');
  for (let i = 0; i < 3; i++) await nursery.end('b');
  assert.equal(nursery.news(), ['start b', 'start b', 'start b']);
  await nursery.end('b');
  assert.equal(nursery.news(), ['stop d', 'stop c', 'stop a']);
  assert.is(await supervisor.exited, 'shutdown');
  assert.is(nursery.events.filter(event => event.type === 'gave_up').length, 1);
  const refused = await supervisor.startChild(nursery.spec('e')).catch((error: Error) => error.message);
  assert.is(refused, 'supervisor root has ended');
});

test('S3: restarts further apart than `period` go on for ever', async () => {
  const [nursery, supervisor] = await four('one_for_one');
  for (let i = 0; i < 10; i++) {
    await nursery.end('b');
    await nursery.clock.advance(400);
  }
  assert.is(nursery.news().length, 10);
  assert.is(states(supervisor)[1], 'b running');
});

test('S3: a restart that fails is one more abnormal exit', async () => {
  const [nursery, supervisor] = await four('rest_for_one');
  nursery.failing.set('c', 1);
  await nursery.end('b');
  assert.equal(nursery.news(), ['stop d', 'stop c', 'start b', 'fail c', 'start c', 'start d']);
  nursery.failing.set('c', 9);
  await nursery.end('b');
  assert.equal(nursery.news(), ['stop d', 'stop c', 'start b', 'fail c', 'stop b', 'stop a']);
  assert.is(await supervisor.exited, 'shutdown');
});

test('V2: a restart that fails is tried again behind what came in meanwhile: a stop ends it', async () => {
  const [nursery, supervisor] = await four('one_for_one');
  const gate = Promise.withResolvers<void>();
  nursery.held.set('b', gate.promise);
  nursery.failing.set('b', 9);
  await nursery.end('b');
  supervisor.stop();
  gate.resolve();
  assert.is(await supervisor.exited, 'shutdown');
  assert.equal(nursery.news(), ['fail b', 'stop d', 'stop c', 'stop a']);
});

test('V2: a restart that will be tried again is shown, and given up when the child is terminated', async () => {
  const [nursery, supervisor] = await four('one_for_one');
  const gate = Promise.withResolvers<void>();
  nursery.held.set('b', gate.promise);
  nursery.failing.set('b', 1);
  await nursery.end('b');
  const busy = Promise.withResolvers<void>();
  nursery.held.set('e', busy.promise);
  void supervisor.startChild(nursery.spec('e'));
  const gone = supervisor.terminateChild('b');
  gate.resolve();
  await nursery.clock.settle();
  assert.is(states(supervisor)[1], 'b restarting');
  busy.resolve();
  await gone;
  await nursery.clock.settle();
  assert.equal([nursery.news(), states(supervisor)[1]], [['fail b', 'start e'], 'b terminated']);
});

test('V2: a restart that will be tried again is not, when a sibling’s death has restarted the child meanwhile', async () => {
  const [nursery, supervisor] = await four('one_for_all');
  const gate = Promise.withResolvers<void>();
  nursery.held.set('c', gate.promise);
  nursery.failing.set('c', 1);
  await nursery.end('d');
  await nursery.end('b'); // started by this plan already; its exit comes before the next try
  gate.resolve();
  await nursery.clock.settle();
  assert.equal(nursery.news().slice(3), [
    'start a',
    'start b',
    'fail c',
    'stop a',
    'start a',
    'start b',
    'start c',
    'start d',
  ]);
  assert.equal(states(supervisor), ['a running', 'b running', 'c running', 'd running']);
});

test('V2: an exit while a plan is carried out waits for its turn, and one that the plan covers counts once', async () => {
  const [nursery, supervisor] = await four('one_for_all');
  nursery.deaf.add('d');
  await nursery.end('b');
  assert.equal(nursery.news(), ['stop d']);
  await nursery.end('a'); // the plan is about to stop it
  assert.equal(nursery.news(), []);
  await nursery.end('d', 'killed');
  assert.equal(nursery.news(), ['stop c', 'stop a', 'start a', 'start b', 'start c', 'start d']);
  assert.equal(
    supervisor.tree().map(row => row.restarts),
    [1, 1, 1, 1],
  );
});

test('V2: the end of a child’s earlier incarnation does not touch the later one', async () => {
  const [nursery, supervisor] = await four('one_for_one');
  const before = supervisor.handle('b');
  await nursery.end('b');
  assert.is.not(supervisor.handle('b'), before);
  before?.kill();
  await nursery.clock.settle();
  assert.is(states(supervisor)[1], 'b running');
});

test('V3: brutal_kill kills at once, without asking', async () => {
  const nursery = new Nursery();
  const supervisor = await nursery.supervise({}, [nursery.spec('a', 'permanent', 'brutal_kill')]);
  await supervisor.terminateChild('a');
  assert.equal(nursery.news(), ['start a', 'kill a']);
});

test('V3: a number of milliseconds is the grace before the kill; a child that ends in time leaves no timer', async () => {
  const nursery = new Nursery();
  nursery.deaf.add('a');
  const specs = [nursery.spec('a', 'permanent', 100), nursery.spec('b', 'permanent', 100)];
  const supervisor = await nursery.supervise({}, specs);
  await supervisor.terminateChild('b');
  assert.is(nursery.clock.pending, 0);
  const gone = supervisor.terminateChild('a');
  await nursery.clock.advance(99);
  assert.equal(nursery.news().slice(2), ['stop b', 'stop a']);
  await nursery.clock.advance(1);
  await gone;
  assert.equal(nursery.news(), ['kill a']);
});

test('V3: infinity waits as long as it takes', async () => {
  const nursery = new Nursery();
  nursery.deaf.add('a');
  const supervisor = await nursery.supervise({}, [nursery.spec('a')]);
  supervisor.stop();
  await nursery.clock.advance(10_000_000);
  assert.equal(nursery.news(), ['start a', 'stop a']);
  await nursery.end('a', 'normal');
  assert.is(await supervisor.exited, 'shutdown');
});

test('V3: a loop that does not listen to its signal is abandoned after its grace', async () => {
  const nursery = new Nursery();
  const deaf = { ...nursery.spec('a', 'permanent', 100), start: async () => task(() => new Promise(() => {})) };
  const supervisor = await nursery.supervise({}, [deaf]);
  supervisor.stop();
  await nursery.clock.advance(100);
  assert.is(await supervisor.exited, 'shutdown');
  assert.is(nursery.events.at(-1)?.reason, 'killed');
});

test('a task exits normal, shutdown or with its error', async () => {
  assert.is(await task(async () => {}).exited, 'normal');
  assert.equal(await task(() => Promise.reject(new Error('x'))).exited, { error: { code: 'internal', message: 'x' } });
  const loop = task(
    signal => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  );
  loop.stop();
  assert.is(await loop.exited, 'shutdown');
});

test('V3: a killed supervisor has exited when all its children have', async () => {
  const nursery = new Nursery();
  const dying = Promise.withResolvers<ExitReason>();
  const slow = { ...nursery.spec('a'), start: async () => ({ exited: dying.promise, stop: () => {}, kill: () => {} }) };
  const supervisor = await nursery.supervise({}, [slow, nursery.spec('b')]);
  let exited = false;
  void supervisor.exited.then(() => {
    exited = true;
  });
  supervisor.kill();
  await nursery.clock.settle();
  assert.equal([nursery.news(), exited], [['start b', 'kill b'], false]);
  dying.resolve('killed');
  assert.is(await supervisor.exited, 'killed');
});

test('V3: a child that is just starting when its supervisor is killed does not outlive it, and nothing is started after it', async () => {
  const nursery = new Nursery();
  const supervisor = await nursery.supervise({ strategy: 'one_for_all' }, [nursery.spec('a'), nursery.spec('b')]);
  const gate = Promise.withResolvers<void>();
  nursery.held.set('a', gate.promise);
  await nursery.end('b');
  supervisor.kill();
  gate.resolve();
  await nursery.clock.settle();
  assert.equal(nursery.news(), ['start a', 'start b', 'stop a', 'start a', 'kill a']);
});

test('V3: a supervisor that is killed while a child starts has exited when that child is gone', async () => {
  const nursery = new Nursery();
  const gate = Promise.withResolvers<void>();
  const dying = Promise.withResolvers<ExitReason>();
  const starting = {
    ...nursery.spec('b'),
    start: async () => {
      await gate.promise;
      return { exited: dying.promise, stop: () => {}, kill: () => {} };
    },
  };
  const supervisor = await nursery.supervise({}, [nursery.spec('a')]);
  const refused = supervisor.startChild(starting).catch((error: Error) => error.message);
  let exited = false;
  void supervisor.exited.then(() => {
    exited = true;
  });
  await nursery.clock.settle();
  supervisor.kill();
  gate.resolve();
  await nursery.clock.settle();
  assert.is(exited, false);
  dying.resolve('killed');
  assert.is(await supervisor.exited, 'killed');
  assert.is(await refused, 'supervisor root was killed');
});

test('V3: a supervisor that is killed while it stops asks nobody any more, and exits killed', async () => {
  const nursery = new Nursery();
  const supervisor = await nursery.supervise({}, [
    nursery.spec('a', 'permanent', 100),
    nursery.spec('b'),
    nursery.spec('c'),
  ]);
  nursery.deaf.add('b');
  supervisor.stop();
  await nursery.clock.settle();
  supervisor.kill();
  assert.is(await supervisor.exited, 'killed');
  await nursery.clock.settle();
  assert.equal(nursery.news().slice(3), ['stop c', 'stop b', 'kill b', 'kill a']);
  assert.is(nursery.clock.pending, 0);
});

test('V3: a kill in the middle of a plan ends the plan: nothing more is started', async () => {
  const nursery = new Nursery();
  const supervisor = await nursery.supervise({ strategy: 'one_for_all' }, [nursery.spec('a'), nursery.spec('b')]);
  nursery.deaf.add('a');
  await nursery.end('b');
  supervisor.kill();
  assert.is(await supervisor.exited, 'killed');
  await nursery.clock.settle();
  assert.equal(nursery.news(), ['start a', 'start b', 'stop a', 'kill a']);
  assert.equal(
    nursery.events.filter(({ type }) => type === 'exited').map(({ child }) => child),
    ['b', 'a'],
  );
});

test('V4: a parent restarts a nested supervisor that gave up, with fresh children', async () => {
  const nursery = new Nursery();
  const inner: ChildSpec = {
    ...nursery.spec('inner'),
    type: 'supervisor',
    start: () => nursery.supervise({ intensity: 0 }, [nursery.spec('x'), nursery.spec('y')], 'inner'),
  };
  const root = await nursery.supervise({}, [inner]);
  nursery.news();
  await nursery.end('x');
  assert.equal(nursery.news(), ['stop y', 'start x', 'start y']);
  const [row] = root.tree();
  assert.equal([row?.strategy, row?.restarts, row?.children.map(child => child.id)], ['one_for_one', 1, ['x', 'y']]);
  root.stop();
  await root.exited;
  assert.equal(nursery.news(), ['stop y', 'stop x']);
});

/** root → middle → inner → x, y; `restart` is how the middle keeps the inner one. */
async function threeLevels(intensities: { root: number; middle: number; inner: number }, restart: RestartType) {
  const nursery = new Nursery();
  const inner: ChildSpec = {
    ...nursery.spec('inner', restart),
    type: 'supervisor',
    start: () => nursery.supervise({ intensity: intensities.inner }, [nursery.spec('x'), nursery.spec('y')], 'inner'),
  };
  const middle: ChildSpec = {
    ...nursery.spec('middle'),
    type: 'supervisor',
    start: () => nursery.supervise({ intensity: intensities.middle }, [nursery.spec('m'), inner], 'middle'),
  };
  const root = await nursery.supervise({ intensity: intensities.root }, [nursery.spec('r'), middle]);
  const gaveUp = (): string[] =>
    nursery.events.filter(event => event.type === 'gave_up').map(event => `${event.supervisor} over ${event.child}`);
  nursery.news();
  return { nursery, root, gaveUp };
}

test('V4: a crash loop escalates level by level up to the root, each level counting the restarts of the one below', async () => {
  const { nursery, root, gaveUp } = await threeLevels({ root: 1, middle: 1, inner: 1 }, 'permanent');
  const whole = ['stop y', 'start x', 'start y'];
  await nursery.end('x');
  assert.equal([nursery.news(), gaveUp()], [['start x'], []]);
  await nursery.end('x');
  assert.equal([nursery.news(), gaveUp()], [whole, ['inner over x']]);
  for (let i = 0; i < 2; i++) await nursery.end('x');
  // The middle one has restarted the inner one once already: it gives up, and the root restarts it whole.
  assert.equal(nursery.news(), ['start x', 'stop y', 'stop m', 'start m', 'start x', 'start y']);
  assert.equal(gaveUp().slice(1), ['inner over x', 'middle over inner']);
  for (let i = 0; i < 4; i++) await nursery.end('x');
  assert.equal(nursery.news(), ['start x', ...whole, 'start x', 'stop y', 'stop m', 'stop r']);
  assert.equal(gaveUp().slice(3), ['inner over x', 'inner over x', 'middle over inner', 'root over middle']);
  assert.is(await root.exited, 'shutdown');
  assert.is(nursery.clock.pending, 0);
});

test('V4: a transient supervisor that gave up has exited shutdown and is not restarted', async () => {
  const { nursery, root, gaveUp } = await threeLevels({ root: 0, middle: 0, inner: 0 }, 'transient');
  await nursery.end('x');
  assert.equal([nursery.news(), gaveUp()], [['stop y'], ['inner over x']]);
  const [, middle] = root.tree();
  assert.equal(
    middle?.children.map(({ id, state }) => `${id} ${state}`),
    ['m running', 'inner terminated'],
  );
});

test('V4: a nested supervisor that cannot start again is one more abnormal exit at its parent, and leaves nothing behind', async () => {
  const { nursery, root, gaveUp } = await threeLevels({ root: 1, middle: 0, inner: 0 }, 'permanent');
  nursery.failing.set('y', 9);
  root.handle('middle')?.stop();
  assert.is(await root.exited, 'shutdown');
  // Though it ended in good order it is restarted: it is permanent. That start fails, and the root gives up.
  const again = ['start m', 'start x', 'fail y', 'stop x', 'stop m'];
  assert.equal(nursery.news(), ['stop y', 'stop x', 'stop m', ...again, 'stop r']);
  assert.equal(gaveUp(), ['root over middle']);
});

test('V5: the tree is the child table: states, pids, restarts, attempts, and what tasks contain', async () => {
  const nursery = new Nursery();
  const inside: TreeNode = {
    id: 'in',
    kind: 'k',
    type: 'worker',
    state: 'running',
    node: null,
    pid: null,
    restarts: 0,
    children: [],
  };
  const loop = {
    ...nursery.spec('t'),
    attempt: 3,
    start: async () =>
      task(
        () => new Promise(() => {}),
        () => [inside],
      ),
  };
  const supervisor = await nursery.supervise({}, [nursery.spec('a'), nursery.spec('b', 'transient'), loop]);
  await nursery.end('b', 'normal');
  const row = { kind: 'test', type: 'worker', node: 'n1', restarts: 0 };
  assert.equal(supervisor.tree(), [
    { ...row, id: 'a', state: 'running', pid: 7, children: [] },
    { ...row, id: 'b', state: 'terminated', pid: null, children: [] },
    { ...row, id: 't', state: 'running', pid: null, attempt: 3, children: [inside] },
  ]);
});

test('V5: a terminated child stays in the table, keeps its id, and is restarted or deleted from there', async () => {
  const nursery = new Nursery();
  const specs = [nursery.spec('a'), nursery.spec('b', 'transient'), nursery.spec('c', 'temporary')];
  const supervisor = await nursery.supervise({}, specs);
  const refusal = async (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => 'none',
      (error: Error) => error.message,
    );
  assert.is(await refusal(supervisor.startChild(nursery.spec('a'))), "root already has a child 'a', which is running");
  assert.is(await refusal(supervisor.deleteChild('a')), "child 'a' of root is running");
  assert.is(await refusal(supervisor.restartChild('a')), "child 'a' of root is running");
  for (const id of ['a', 'c', 'nobody']) await supervisor.terminateChild(id);
  await nursery.end('b', 'normal');
  assert.equal(states(supervisor), ['a terminated', 'b terminated']);
  assert.is(
    await refusal(supervisor.startChild(nursery.spec('a'))),
    "root already has a child 'a', which is terminated",
  );
  nursery.failing.set('a', 1);
  assert.is(await refusal(supervisor.restartChild('a')), 'a cannot start');
  assert.equal(states(supervisor), ['a terminated', 'b terminated']);
  await supervisor.restartChild('a');
  await supervisor.deleteChild('b');
  assert.is(await refusal(supervisor.deleteChild('b')), "root has no child 'b'");
  await supervisor.startChild(nursery.spec('b'));
  assert.equal(states(supervisor), ['a running', 'b running']);
  nursery.failing.set('d', 1);
  assert.is(await refusal(supervisor.startChild(nursery.spec('d'))), 'd cannot start');
  await supervisor.startChild(nursery.spec('d'));
  assert.equal(supervisor.ids, ['a', 'b', 'd']);
});

test('V5: whoever has ended for good leaves the table of a simple_one_for_one', async () => {
  const nursery = new Nursery();
  const specs = [nursery.spec('a', 'transient'), nursery.spec('b'), nursery.spec('c')];
  const supervisor = await nursery.supervise({ strategy: 'simple_one_for_one' }, specs);
  await nursery.end('a', 'normal');
  await supervisor.terminateChild('b');
  assert.equal(states(supervisor), ['c running']);
});

test.run();
