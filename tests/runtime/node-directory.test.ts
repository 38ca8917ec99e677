import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HeartbeatDirectory } from '../../src/actors/directory/node-directory.ts';
import type { NodeView } from '../../src/domain/node.ts';
import { SUBJECTS } from '../../src/domain/subjects.ts';
import { MemoryServer } from '../../src/infra/memory/memory-server.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';

const test = suite('HeartbeatDirectory');

const SILENCE_MS = 1_000;

const view = (id: string, running = 0, pid = 1): NodeView => ({
  id,
  roles: ['runner'],
  slots: 4,
  running,
  load: running / 4,
  roots: [],
  engine: { decoder: 'd', onnxruntime: '1', provider: 'cpu', cpu: 'x64' },
  models: [],
  sandbox: 'full',
  warm: [],
  draining: false,
  pid,
  partitions: [],
  version: '0',
  startedAt: '2030-01-01T00:00:00.000Z',
});

function listening() {
  const clock = new VirtualClock();
  const bus = new MemoryServer({ clock, partitions: 1 }).bus();
  const link = { up: true };
  const listener = {
    ...bus,
    get connected() {
      return link.up;
    },
  };
  const directory = new HeartbeatDirectory({ clock, bus: listener }, SILENCE_MS);
  const beat = async (body: unknown): Promise<void> => {
    if (link.up) bus.publish(SUBJECTS.heartbeat('n', 'node', 'n'), Buffer.from(JSON.stringify(body)));
    await clock.settle();
  };
  const alive = (): string[] => directory.alive().map(node => node.id);
  return { clock, link, directory, beat, alive };
}

test('N1: a node is alive from its first beat until it was silent for `silenceMs`', async () => {
  const { clock, beat, alive } = listening();
  assert.equal(alive(), []);
  await beat(view('n1'));
  await beat(view('n2'));
  for (let i = 0; i < 4; i++) {
    await clock.advance(250);
    await beat(view('n1'));
  }
  assert.equal(alive(), ['n1', 'n2']);
  await clock.advance(1);
  assert.equal(alive(), ['n1']);
});

test('N1: the dead are forgotten also when nobody asks, and what is no view is no node', async () => {
  const { clock, beat, alive, directory } = listening();
  for (const body of [null, 7, {}, { ...view('x'), slots: 'many' }]) await beat(body);
  assert.equal(alive(), []);
  await beat(view('n1'));
  await clock.advance(10 * SILENCE_MS);
  directory.close();
  assert.equal([alive(), clock.pending], [[], 0]);
});

test('N2: one that was cut off keeps what it knew until it has listened again for `silenceMs`', async () => {
  const { clock, link, beat, alive } = listening();
  await beat(view('n1'));
  await beat(view('n2'));
  link.up = false;
  await clock.advance(60_000); // nobody asks meanwhile
  link.up = true;
  assert.equal(alive(), ['n1', 'n2']);
  await clock.advance(SILENCE_MS / 2);
  await beat(view('n1'));
  assert.equal(alive(), ['n1', 'n2']);
  await clock.advance(SILENCE_MS / 2 + 1);
  assert.equal(alive(), ['n1']);
});

test('N2: one that was itself late has no right to judge', async () => {
  const clock = new VirtualClock();
  const bus = new MemoryServer({ clock, partitions: 1 }).bus();
  let paused = 0;
  const late = {
    now: () => clock.now(),
    monotonic: () => clock.monotonic() + paused,
    timer: clock.timer.bind(clock),
    sleep: clock.sleep.bind(clock),
  };
  const directory = new HeartbeatDirectory({ clock: late, bus }, SILENCE_MS);
  bus.publish(SUBJECTS.heartbeat('n1', 'node', 'n1'), Buffer.from(JSON.stringify(view('n1'))));
  await clock.settle();
  paused = 60_000;
  assert.is(directory.alive().length, 1);
  await clock.advance(SILENCE_MS + 1);
  assert.is(directory.alive().length, 0);
});

test('who waits for capacity is told of a new node, a restarted one, a freed slot and a model that got warm, and of nothing else', async () => {
  const { beat, directory } = listening();
  let told = 0;
  const subscription = directory.onCapacity(() => {
    told++;
  });
  const tell = async (body: NodeView): Promise<number> => {
    const before = told;
    await beat(body);
    return told - before;
  };
  const heard: number[] = [];
  const warm = { ...view('n1', 1, 2), warm: ['m'] };
  for (const body of [
    view('n1'),
    view('n1'),
    view('n1', 2),
    view('n1', 1),
    view('n1', 1, 2),
    warm,
    warm,
    { ...warm, warm: [] },
  ])
    heard.push(await tell(body));
  assert.equal(heard, [1, 0, 0, 1, 1, 1, 0, 0]);
  subscription.close();
  assert.is(await tell(view('n3')), 0);
});

test.run();
