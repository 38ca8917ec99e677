/** What an event stream tells: real gateways over one store, each API node with a projection of its own. */
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HeartbeatDirectory } from '../../src/actors/directory/node-directory.ts';
import { Gateway } from '../../src/actors/gateway/gateway.ts';
import { ScenarioMirror } from '../../src/actors/gateway/scenario-mirror.ts';
import type { Clock } from '../../src/actors/ports/clock.ts';
import type { EventPosition, EventQuery, ScenarioEvent } from '../../src/actors/ports/gateway.ts';
import type { ProjectionStore } from '../../src/actors/ports/projection.ts';
import { emptyRecord } from '../../src/actors/runtime/committed.ts';
import { encodeRecord } from '../../src/actors/runtime/record-codec.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { atThreshold, type Prediction } from '../../src/domain/prediction.ts';
import { BUCKETS } from '../../src/domain/subjects.ts';
import { MemoryServer } from '../../src/infra/memory/memory-server.ts';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';
import { openProjection } from '../../src/infra/sqlite/projection-store.ts';
import { IDENTITY, LogWriter, prediction } from '../projection/log-entries.ts';
import { temporaryFolder } from '../projection/temporary-folder.ts';
import { crash, Play } from '../scenario/play.ts';

const test = suite('scenario events');

/** One API node: its mirror, its projection, its gateway. */
class ApiNode {
  readonly projection: ProjectionStore;
  readonly gateway: Gateway;
  readonly #over = new AbortController();
  readonly #folder = temporaryFolder();

  constructor(server: MemoryServer, clock: Clock) {
    const store = server.stateStore(BUCKETS.state);
    const bus = server.bus();
    this.projection = openProjection(path.join(this.#folder.path, 'p.db'));
    const mirror = new ScenarioMirror(store, clock, this.projection, (_, error) => assert.unreachable(String(error)));
    void mirror.run(this.#over.signal);
    this.gateway = new Gateway({
      bus,
      clock,
      random: new SeededRandom(1),
      mailbox: server.mailbox(),
      store,
      mirror,
      projection: this.projection,
      directory: new HeartbeatDirectory({ clock, bus }, 1_000),
      models: { list: () => [], resolve: () => Promise.reject(new Error('no models')) },
      digest: text => text,
      inbox: '_INBOX.test',
      unready: () => [],
      stalled: async () => [],
    });
  }

  close(): void {
    this.#over.abort();
    this.gateway.close();
    this.projection.close();
    this.#folder[Symbol.dispose]();
  }
}

/** A reader that takes whatever is told. */
interface Reader {
  readonly events: ScenarioEvent[];
  /** Where it stands by the last thing it got. */
  position: EventPosition | null;
  over: boolean;
  stop(): void;
}

class Stage {
  readonly clock = new VirtualClock();
  readonly #server = new MemoryServer({ clock: this.clock, partitions: LIMITS.partitions });
  readonly #store = this.#server.stateStore(BUCKETS.state);
  readonly nodes: ApiNode[] = [];
  readonly readers: Reader[] = [];
  #revision = 0;

  node(): ApiNode {
    const node = new ApiNode(this.#server, this.clock);
    this.nodes.push(node);
    return node;
  }

  /** As its cell would. */
  async commit(play: Play): Promise<void> {
    const value = encodeRecord({ ...emptyRecord(1), state: play.state, remnant: { lastRun: 1, lastSeq: 0 } });
    this.#revision = await this.#store.put('scenario.cam', value, this.#revision);
    await this.clock.settle();
  }

  async read(node: ApiNode, query: Partial<EventQuery> = {}): Promise<Reader> {
    const stop = new AbortController();
    const all = {
      types: new Set(['state', 'progress', 'prediction'] as const),
      run: null,
      after: null,
      fromNow: false,
    };
    const told = await node.gateway.events('cam', { ...all, ...query }, stop.signal);
    const reader: Reader = { events: [], position: query.after ?? null, over: false, stop: () => stop.abort() };
    this.readers.push(reader);
    void (async () => {
      for await (const event of told) {
        reader.events.push(event);
        if (event.kind === 'state') reader.position = event.position ?? reader.position;
        if (event.kind === 'predictions')
          reader.position = { ...event.position, frame: (event.predictions.at(-1)?.frame ?? 0) + 1 };
      }
      reader.over = true;
    })();
    await this.pass();
    return reader;
  }

  /** Time for everybody to do what there is to do. */
  async pass(ms = 3 * LIMITS.eventPaceMs): Promise<void> {
    await this.clock.settle();
    await this.clock.advance(ms);
    await this.clock.settle();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const reader of this.readers) reader.stop();
    await this.pass();
    for (const node of this.nodes) node.close();
  }
}

const predictions = ({ events }: Reader): Prediction[] =>
  events.flatMap(event => (event.kind === 'predictions' ? event.predictions : []));
const frames = (reader: Reader): number[] => predictions(reader).map(({ frame }) => frame);
const states = ({ events }: Reader): string[] => events.flatMap(e => (e.kind === 'state' ? [e.change.to] : []));
const kinds = ({ events }: Reader): string[] => events.map(e => (e.kind === 'state' ? e.change.to : e.kind));
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

const FRAMES = 350;
/** Run 1 with its end at sequence 13, then run 2. */
const LOG = new LogWriter().run('cam', 1, FRAMES).run('cam', 2, 64);
const END = LOG.entries.findIndex(({ record }) => record.kind === 'end') + 1;
const apply = (node: ApiNode, from: number, to: number): void =>
  node.projection.apply(IDENTITY, LOG.entries.slice(from, to));
/** Its first batch is in the log; `seq` is what the scenario heard of. */
const active = (): Play => new Play().toActive();
const completed = (play: Play): Play => {
  play.exited('normal', { result: 'end', seq: END });
  return play;
};

test('a reader begins with the state as it is, then gets every prediction of the run, each once and in order, as they come', async () => {
  await using stage = new Stage();
  const node = stage.node();
  const play = active();
  await stage.commit(play);
  apply(node, 0, 3);
  const reader = await stage.read(node);
  assert.equal(kinds(reader).slice(0, 2), ['active', 'predictions']);
  for (let at = 3; at < END; at++) {
    apply(node, at, at + 1);
    await stage.pass();
  }
  assert.equal(frames(reader), upTo(FRAMES));
  assert.equal(
    predictions(reader),
    upTo(FRAMES).map(frame => atThreshold(prediction(frame), 0.25)),
  );
  const [first] = reader.events;
  assert.ok(first?.kind === 'state' && first.change.scenario?.id === 'cam' && first.change.run === 1);
});

test('EV3: inactive comes after the last prediction, however late the projection is', async () => {
  await using stage = new Stage();
  const node = stage.node();
  const play = active();
  await stage.commit(play);
  apply(node, 0, 3);
  const reader = await stage.read(node);
  await stage.commit(completed(play));
  apply(node, 3, END - 4);
  await stage.pass(10_000);
  assert.equal(states(reader), ['active', 'in_shutdown_processing'], 'the end is not told yet');
  assert.ok(frames(reader).length > 64, 'what there is, is');
  apply(node, END - 4, END);
  await stage.pass();
  assert.equal(frames(reader), upTo(FRAMES));
  assert.equal(kinds(reader).slice(-3), ['predictions', 'progress', 'inactive']);
  const last = reader.events.at(-1);
  assert.ok(last?.kind === 'state' && last.change.outcome === 'completed' && last.change.scenario?.complete === true);
  const progress = reader.events.findLast(event => event.kind === 'progress');
  assert.equal([progress?.progress.framesDone, progress?.progress.framesTotal], [FRAMES, FRAMES]);
});

test('EV1, EV2: a reader that is cut off anywhere goes on at another node, whose projection lags or was rebuilt, and misses and repeats nothing', async () => {
  await using stage = new Stage();
  const [here, there] = [stage.node(), stage.node()];
  const play = active();
  await stage.commit(play);
  apply(here, 0, 6);
  const first = await stage.read(here);
  first.stop();
  await stage.commit(completed(play));
  apply(here, 6, END);
  const second = await stage.read(there, { after: first.position });
  assert.equal(frames(second), [], 'this one has nothing of the log yet');
  apply(there, 0, 3);
  await stage.pass();
  apply(there, 3, END - 2);
  await stage.pass();
  const mid = [...frames(first), ...frames(second)];
  assert.equal(mid, upTo(mid.length));
  there.projection.reset();
  await stage.pass();
  apply(there, 0, END);
  await stage.pass();
  assert.equal([...frames(first), ...frames(second)], upTo(FRAMES));
  assert.equal([...states(first), ...states(second)], ['active', 'in_shutdown_processing', 'inactive']);
  // Every position in between, too.
  for (const after of [first.position, second.position]) {
    const again = await stage.read(here, { after });
    assert.equal(frames(again), upTo(FRAMES).slice(after?.frame ?? 0));
  }
});

test('EV2: runs follow one another, each to its end, also for a reader that was away for both', async () => {
  await using stage = new Stage();
  const node = stage.node();
  const play = active();
  await stage.commit(play);
  apply(node, 0, 5);
  const here = await stage.read(node);
  const away = here.position;
  completed(play);
  play.command('start', { from: 'start' });
  play.placing();
  play.placed();
  play.progressed(END + 2);
  await stage.commit(play);
  apply(node, 5, LOG.entries.length);
  await stage.pass();
  const late = await stage.read(node, { after: away });
  const runs = (reader: Reader): (readonly [number, number])[] =>
    reader.events.flatMap(event =>
      event.kind === 'predictions' ? event.predictions.map(({ frame }) => [event.position.run, frame] as const) : [],
    );
  const wanted = [...upTo(FRAMES).map(frame => [1, frame]), ...upTo(64).map(frame => [2, frame])];
  assert.equal(runs(here), wanted);
  assert.equal(runs(late), wanted.slice(away?.frame));
  const told = ['in_shutdown_processing', 'inactive', 'init_startup', 'in_startup_processing', 'active'];
  assert.equal([states(here).slice(1), states(late)], [told, told]);
  const inactive = late.events.findIndex(event => event.kind === 'state' && event.change.to === 'inactive');
  assert.ok(late.events.slice(inactive).every(event => event.kind !== 'predictions' || event.position.run === 2));
  const of1 = await stage.read(node, { run: 1 });
  assert.equal(frames(of1), upTo(FRAMES));
  assert.ok(!kinds(of1).includes('progress'), 'of an earlier run there is none');
});

test('an ended scenario is told at once, then its predictions, then how far it came; a later start goes on in the same stream', async () => {
  await using stage = new Stage();
  const node = stage.node();
  const play = active().toStopped();
  await stage.commit(play);
  apply(node, 0, 9);
  const reader = await stage.read(node);
  assert.equal([kinds(reader)[0], kinds(reader).at(-1)], ['inactive', 'progress']);
  const before = frames(reader).length;
  assert.equal(frames(reader), upTo(before));
  play.command('start');
  play.placing();
  play.placed();
  play.progressed(10);
  await stage.commit(play);
  apply(node, 9, END);
  await stage.pass();
  assert.ok(before > 0 && before < FRAMES);
  assert.equal(frames(reader), upTo(FRAMES));
  assert.equal(states(reader), ['inactive', 'init_startup', 'in_startup_processing', 'active']);
});

test('from=now leaves out what is there; types leave out what is not wanted', async () => {
  await using stage = new Stage();
  const node = stage.node();
  await stage.commit(active());
  apply(node, 0, 3);
  const now = await stage.read(node, { fromNow: true });
  const only = await stage.read(node, { types: new Set(['prediction']) });
  assert.equal(frames(now), []);
  apply(node, 3, 4);
  await stage.pass();
  assert.equal(frames(now), upTo(96).slice(64));
  assert.equal([frames(only), new Set(kinds(only))], [upTo(96), new Set(['predictions'])]);
  const again = await stage.read(node, { after: now.position, fromNow: true });
  assert.equal(frames(again), [], 'going on, it goes on where it was');
});

test('EV6: from=now leaves out what is there also at a node that has not read it yet, and after it was cut off there', async () => {
  await using stage = new Stage();
  const node = stage.node();
  const play = active();
  play.progressed(3);
  await stage.commit(play);
  const now = await stage.read(node, { fromNow: true });
  const only = await stage.read(node, { fromNow: true, types: new Set(['state']) });
  apply(node, 0, 2);
  await stage.pass();
  assert.equal([frames(now), now.position, states(now), only.position], [[], null, ['active'], null]);
  apply(node, 2, 3);
  await stage.pass();
  apply(node, 3, 4);
  await stage.pass();
  assert.equal(frames(now), upTo(96).slice(64));
});

test('run= is what is told, also to a reader that was cut off in another run', async () => {
  await using stage = new Stage();
  const node = stage.node();
  const play = completed(active());
  play.command('start', { from: 'start' });
  play.placing();
  play.placed();
  play.progressed(END + 2);
  await stage.commit(play);
  apply(node, 0, LOG.entries.length);
  const of2 = await stage.read(node, { run: 2 });
  assert.equal(frames(of2), upTo(64));
  const of1 = await stage.read(node, { run: 1, after: of2.position });
  assert.equal(frames(of1), upTo(FRAMES));
});

test('EV3: how far an ended scenario came is told behind its last prediction, however late the projection is', async () => {
  await using stage = new Stage();
  const node = stage.node();
  await stage.commit(completed(active()));
  const reader = await stage.read(node);
  apply(node, 0, END - 2);
  await stage.pass(5_000);
  assert.ok(!kinds(reader).includes('progress'), kinds(reader).join());
  apply(node, END - 2, END);
  await stage.pass();
  assert.equal([kinds(reader)[0], kinds(reader).at(-1), frames(reader).length], ['inactive', 'progress', FRAMES]);
});

test('the last event of a deleted scenario is its deletion, and another of its id is another one', async () => {
  await using stage = new Stage();
  const node = stage.node();
  const play = completed(active());
  await stage.commit(play);
  apply(node, 0, END);
  const reader = await stage.read(node);
  play.command('delete');
  await stage.commit(play);
  await stage.pass();
  assert.equal([kinds(reader).at(-1), reader.over], ['deleted', true]);
  const next = new Play();
  next.now += 60_000;
  next.create();
  await stage.commit(next);
  const after = await stage.read(node, { after: reader.position });
  assert.equal(
    [states(after), frames(after)],
    [['init_startup'], []],
    'of the old one nothing is told, not even its frames',
  );
});

test('a scenario that was deleted and made anew unseen ends the stream all the same', async () => {
  await using stage = new Stage();
  const node = stage.node();
  await stage.commit(active());
  const reader = await stage.read(node);
  const next = new Play();
  next.now += 60_000;
  next.create();
  await stage.commit(next);
  await stage.pass();
  assert.equal([kinds(reader), reader.over], [['active', 'progress', 'deleted'], true]);
});

test('EV5: progress is told once a second while it changes; an ended scenario is silent but for a word every 15 s, and looked at no more often', async () => {
  await using stage = new Stage();
  const node = stage.node();
  const play = active();
  await stage.commit(play);
  apply(node, 0, 2);
  const reader = await stage.read(node);
  const count = (kind: string): number => kinds(reader).filter(other => other === kind).length;
  assert.is(count('progress'), 1);
  for (let at = 2; at < 8; at++) {
    apply(node, at, at + 1);
    await stage.pass(LIMITS.eventPaceMs);
  }
  await stage.pass(LIMITS.progressMs);
  assert.ok(count('progress') >= 2 && count('progress') <= 3, `${count('progress')}`);
  await stage.commit(completed(play));
  apply(node, 8, END);
  await stage.pass();
  const before = reader.events.length;
  let looked = 0;
  const { query } = node.projection;
  node.projection.query = (...args) => {
    looked += 1;
    return query.apply(node.projection, args);
  };
  await stage.pass(3.5 * LIMITS.eventQuietMs);
  assert.equal([kinds(reader).slice(before), looked], [['quiet', 'quiet', 'quiet'], 3]);
});

test('a reader that was away for more transitions than are kept goes on with those there are, and misses no prediction', async () => {
  await using stage = new Stage();
  const node = stage.node();
  const play = active();
  await stage.commit(play);
  apply(node, 0, 3);
  const first = await stage.read(node);
  first.stop();
  for (let i = 0; i < 12; i++) {
    play.toStopped();
    play.command('start');
    play.placing();
    play.placed();
    play.progressed(9);
  }
  play.exited(crash());
  play.again();
  await stage.commit(completed(play));
  apply(node, 3, END);
  const second = await stage.read(node, { after: first.position });
  assert.equal([...frames(first), ...frames(second)], upTo(FRAMES));
  assert.is(states(second).length, LIMITS.historyEntries);
  assert.is(states(second).at(-1), 'inactive');
});

test('EV2: and none of the run before, when its end is among the transitions that are no longer kept', async () => {
  await using stage = new Stage();
  const node = stage.node();
  const play = active();
  await stage.commit(play);
  apply(node, 0, 3);
  const first = await stage.read(node);
  first.stop();
  completed(play);
  play.command('start', { from: 'start' });
  for (let i = 0; i < 12; i++) {
    play.placing();
    play.placed();
    play.progressed(END + 2);
    play.toStopped();
    play.command('start');
  }
  await stage.commit(play);
  apply(node, 3, 5);
  const second = await stage.read(node, { after: first.position });
  apply(node, 5, LOG.entries.length);
  await stage.pass();
  assert.equal([...frames(first), ...frames(second)], [...upTo(FRAMES), ...upTo(64)]);
});

test.run();
