/** The asking and the waiting: Z1–Z6. Nodes answer as scripted, over a bus in memory. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { placeRunner } from '../../src/actors/orchestrator/place-runner.ts';
import { fromJson, toJson } from '../../src/domain/json.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { Assignment, AttemptBody, ProblemBody, Unplaced } from '../../src/domain/messages.ts';
import type { NodeView } from '../../src/domain/node.ts';
import type { PlacementStrategy } from '../../src/domain/placement-strategy.ts';
import type { ScenarioDoc } from '../../src/domain/scenario-doc.ts';
import { SUBJECTS } from '../../src/domain/subjects.ts';
import { MemoryServer } from '../../src/infra/memory/memory-server.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';
import { nodeView } from './node-view.ts';
import { ENGINE, MODEL, Play, SOURCE } from './play.ts';

const RETRY_MS = 10_000;
const ANSWER_MS = 5_000;

/** `take`, `full`, `gone` (no such file), a problem; `silent` never answers; `leave`: nor listens any more; `die`: nor lives. */
type Word = 'take' | 'full' | 'gone' | 'silent' | 'leave' | 'die';

const PROBLEM: Readonly<Record<'full' | 'gone', ProblemBody>> = {
  full: { code: 'unavailable', message: 'all slots are taken' },
  gone: { code: 'source_unreadable', message: 'video.mp4 is not there' },
};

class World {
  readonly clock = new VirtualClock();
  readonly bus = new MemoryServer({ clock: this.clock, partitions: LIMITS.partitions }).bus();
  readonly nodes = new Map<string, NodeView>();
  /** Every request in order: `node scenario`. */
  readonly asked: string[] = [];
  /** Requests that are out, and the most there ever were. */
  out = 0;
  most = 0;
  readonly plays = new Map<string, Play>();
  /** How often a scenario's state was looked up. */
  looked = 0;
  readonly told: Unplaced[] = [];
  readonly answers: string[] = [];
  readonly #listeners = new Set<(node: NodeView) => void>();
  readonly #execute;

  constructor(strategy: PlacementStrategy = 'least_loaded') {
    const directory = {
      alive: () => [...this.nodes.values()],
      isGone: (id: string) => !this.nodes.has(id),
      onCapacity: (changed: (node: NodeView) => void) => {
        this.#listeners.add(changed);
        return { close: () => this.#listeners.delete(changed) };
      },
    };
    const scenarios = {
      find: (id: string): ScenarioDoc | null => {
        this.looked += 1;
        return this.plays.get(id)?.doc ?? null;
      },
      unplaced: (_: string, body: Unplaced) => this.told.push(body),
    };
    this.#execute = placeRunner(
      { bus: this.bus, clock: this.clock, directory, scenarios },
      { strategy, answerMs: ANSWER_MS, retryMs: RETRY_MS },
    );
  }

  /** @param script one word per request, the last one for all that follow; none: it does not listen */
  node(id: string, script: readonly Word[], view: Partial<NodeView> = {}, answerMs = 0): void {
    this.nodes.set(id, nodeView(id, view));
    const words = [...script];
    if (words.length === 0) return;
    const subscription = this.bus.subscribe(SUBJECTS.control(id, 'start'), ({ reply, body }) => {
      const { scenario, run, segment, attempt } = fromJson(body) as Assignment;
      assert.equal({ run, segment, attempt }, { run: 1, segment: 0, attempt: 1 });
      this.asked.push(`${id} ${scenario}`);
      const word = (words.length > 1 ? words.shift() : words[0]) as Word;
      if (word === 'leave' || word === 'die') subscription.close();
      if (word === 'die') this.nodes.delete(id);
      if (word === 'silent' || word === 'leave' || word === 'die') return;
      this.out += 1;
      this.most = Math.max(this.most, this.out);
      this.clock.timer(answerMs, () => {
        this.out -= 1;
        const known = this.nodes.get(id);
        if (word === 'take' && known !== undefined)
          this.nodes.set(id, nodeView(id, { ...known, running: known.running + 1 }));
        const accepted = { kind: 'accepted', pid: 7, source: SOURCE, model: MODEL, engine: ENGINE };
        const said = word === 'take' ? accepted : { kind: 'refused', problem: PROBLEM[word] };
        if (reply !== null) this.bus.publish(reply, toJson(said));
      });
    });
  }

  /** The node's beat, as the directory tells of it when there is more room. */
  grows(id: string, view: Partial<NodeView>): void {
    const known = this.nodes.get(id) ?? nodeView(id);
    const { load: _, ...before } = known;
    const next = nodeView(id, { ...before, ...view });
    this.nodes.set(id, next);
    for (const tell of this.#listeners) tell(next);
  }

  /** The first attempt of a new scenario is to be placed. @returns gives it up */
  place(id: string, turn = 0): AbortController {
    const play = this.plays.get(id) ?? new Play(id);
    if (!this.plays.has(id)) play.create();
    this.plays.set(id, play);
    const stop = new AbortController();
    const errand = { key: id, kind: 'place-runner', body: { ...play.asked, turn } };
    this.#execute({ kind: 'orchestrator', id: 'o' }, errand, stop.signal).then(
      ({ verb, body }) => {
        const { scenario, node } = body as AttemptBody & { node?: string };
        this.answers.push([verb, scenario, node].filter(Boolean).join(' '));
      },
      error => this.answers.push(`${id}: ${(error as Error).message}`),
    );
    return stop;
  }

  /** Refusals last told, as `node: message`. */
  get reasons(): string[] | undefined {
    return this.told.at(-1)?.refusals.map(({ node, message }) => `${node}: ${message}`);
  }

  /** By default well before anything is asked anew by time alone. */
  async until(done: () => boolean, withinMs = RETRY_MS / 2): Promise<void> {
    await this.clock.runUntil(done, this.clock.monotonic() + withinMs);
    assert.ok(done());
  }
}

const test = suite('place-runner');

test('a node that refuses is passed over; the one that accepts is named', async () => {
  const world = new World();
  world.node('a', ['gone']);
  world.node('b', ['take']);
  world.node('c', ['take']);
  world.place('cam');
  await world.until(() => world.answers.length > 0);
  assert.equal([world.answers, world.asked, world.told], [['accepted cam b'], ['a cam', 'b cam'], []]);
});

test('Z1: a node whose answer is lost is asked again while it lives, and no other before it has answered', async () => {
  const world = new World();
  world.node('a', ['silent', 'silent', 'take']);
  world.node('b', ['take']);
  world.place('cam');
  await world.until(() => world.answers.length > 0, 4 * ANSWER_MS);
  assert.equal([world.answers, world.asked], [['accepted cam a'], ['a cam', 'a cam', 'a cam']]);
});

test('Z1: a node that surely heard nothing is passed over at once', async () => {
  const world = new World();
  world.node('a', []);
  world.node('b', ['take']);
  world.place('cam');
  await world.until(() => world.answers.length > 0);
  assert.equal(world.answers, ['accepted cam b']);
});

test('Z2: when a node that may have taken the attempt dies, nobody else is asked in this round', async () => {
  for (const words of [['die'], ['silent', 'die'], ['leave']] as const) {
    const world = new World();
    world.node('a', words);
    world.node('b', ['take']);
    world.place('cam');
    await world.until(() => world.told.length > 0, 4 * ANSWER_MS);
    assert.equal(world.reasons, ['a: the node does not answer']);
    const rested = world.clock.monotonic();
    world.nodes.delete('a');
    world.node('aa', ['gone']);
    world.place('other'); // aa has room again after it: that opens no new round for cam
    await world.until(() => world.answers.includes('accepted other b'));
    await world.clock.advance(RETRY_MS - 1 - (world.clock.monotonic() - rested));
    assert.equal(world.asked.includes('b cam'), false);
    await world.clock.advance(1);
    assert.equal(world.answers, ['accepted other b', 'accepted cam b'], 'the next round is open to all');
  }
});

test('Z3, Z4: in a round every node is asked at most once, and every one that does not refuse by its view before none took it', async () => {
  const anyNode = fc.record({
    word: fc.constantFrom<Word>('take', 'full', 'gone'),
    view: fc.record({
      slots: fc.constant(2),
      running: fc.nat(2),
      draining: fc.boolean(),
      engine: fc.constantFrom(ENGINE, { ...ENGINE, cpu: 'arm64' }),
    }),
  });
  const strategies = fc.constantFrom<PlacementStrategy>('least_loaded', 'round_robin', 'hot_model');
  await fc.assert(
    fc.asyncProperty(fc.array(anyNode, { maxLength: 6 }), strategies, fc.nat(9), async (nodes, strategy, turn) => {
      const world = new World(strategy);
      nodes.forEach(({ word, view }, i) => world.node(`n${i}`, [word], view));
      // Its first attempt ran with ENGINE: only there may it go on.
      const play = new Play('cam');
      play.create();
      play.record = { ...play.record, state: { ...play.doc, engine: ENGINE } };
      world.plays.set('cam', play);
      world.place('cam', turn);
      await world.until(() => world.answers.length + world.told.length > 0);
      assert.is(new Set(world.asked).size, world.asked.length);
      const fit = nodes.map(({ view }) => !view.draining && view.running < 2 && view.engine === ENGINE);
      for (const [i, may] of fit.entries()) if (!may) assert.not(world.asked.includes(`n${i} cam`));
      const taken = nodes.some(({ word }, i) => word === 'take' && fit[i]);
      assert.is(world.answers.length, taken ? 1 : 0);
      if (taken) return;
      assert.is(world.asked.length, fit.filter(Boolean).length);
      const [told] = world.told;
      assert.equal(
        told?.refusals.map(({ node }) => node).sort(),
        nodes.map((_, i) => `n${i}`),
      );
    }),
    { seed: 3, numRuns: 200 },
  );
});

test('Z3: a node is asked for no more at a time than it has room for, and what it takes counts before its next beat', async () => {
  const world = new World();
  world.node('a', ['take'], { slots: 3 }, 100);
  world.node('b', ['take'], { slots: 5 }, 100);
  for (let i = 0; i < 20; i++) world.place(`s${i}`);
  await world.until(() => world.answers.length === 8);
  await world.clock.advance(1_000);
  assert.equal([world.asked.length, world.most], [8, 8]);
  const at = (id: string): number => world.answers.filter(answer => answer.endsWith(` ${id}`)).length;
  assert.equal([at('a'), at('b')], [3, 5]);
  assert.equal(
    world.told.map(({ scenario }) => scenario).sort(),
    Array.from({ length: 12 }, (_, i) => `s${i + 8}`).sort(),
  );
});

test('Z3: a burst is spread as it is asked: the second of two idle nodes gets every other', async () => {
  const world = new World();
  for (const id of ['a', 'b']) world.node(id, ['take'], { slots: 10 }, 100);
  for (let i = 0; i < 6; i++) world.place(`s${i}`);
  await world.until(() => world.answers.length === 6);
  assert.equal(world.asked, ['a s0', 'b s1', 'a s2', 'b s3', 'a s4', 'b s5']);
});

test('Z3: a desk has at most `placementsAsked` requests out; the oldest goes first', async () => {
  const world = new World();
  const count = 3 * LIMITS.placementsAsked;
  world.node('a', ['take'], { slots: 10_000 }, 100);
  for (let i = 0; i < count; i++) world.place(`s${i}`);
  await world.until(() => world.answers.length === count);
  assert.is(world.most, LIMITS.placementsAsked);
  assert.equal(
    world.asked,
    Array.from({ length: count }, (_, i) => `a s${i}`),
  );
});

test('Z3: a node that refuses does not make the desk ask more than that', async () => {
  const world = new World();
  const count = 3 * LIMITS.placementsAsked;
  for (const id of ['a', 'b']) world.node(id, ['gone'], { slots: 10_000 }, 100);
  for (let i = 0; i < count; i++) world.place(`s${i}`);
  await world.until(() => world.told.length === count);
  assert.equal([world.most, world.asked.length], [LIMITS.placementsAsked, 2 * count]);
});

test('Z4: a freed slot costs one request, however many wait, and goes to the one that waits longest', async () => {
  const world = new World();
  world.node('a', ['take'], { slots: 2, running: 2 });
  for (let i = 0; i < 500; i++) world.place(`s${i}`);
  await world.until(() => world.told.length === 500);
  assert.equal(world.asked, [], 'by its view it is full');
  world.looked = 0;
  world.grows('a', { running: 1 });
  await world.until(() => world.answers.length === 1);
  await world.clock.advance(1_000);
  assert.ok(world.looked < 10, `${world.looked} states looked up`);
  assert.equal(world.asked, ['a s0']);
  assert.is(world.told.length, 500, 'who waits on is told nothing new');
  world.grows('a', { running: 0 });
  await world.until(() => world.answers.length === 3);
  assert.equal(world.asked, ['a s0', 'a s1', 'a s2']);
});

test('Z4: room that those in front may not use goes to those behind them', async () => {
  const world = new World();
  world.node('a', ['gone', 'gone', 'gone', 'take'], { slots: 1, running: 1 });
  for (let i = 0; i < 4; i++) world.place(`s${i}`);
  world.grows('a', { running: 0 });
  await world.until(() => world.answers.length === 1);
  assert.equal([world.answers, world.asked], [['accepted s3 a'], ['a s0', 'a s1', 'a s2', 'a s3']]);
  // Nor is a node that refused for good asked again for its next free slot, unless it is another process.
  world.grows('a', { slots: 2 });
  await world.clock.advance(RETRY_MS / 4);
  assert.is(world.asked.length, 4);
  world.grows('a', { pid: 2, slots: 2 });
  await world.until(() => world.answers.length === 2, RETRY_MS / 4);
  assert.equal(world.answers[1], 'accepted s0 a');
});

test('Z4: nor is room kept for one that runs elsewhere only', async () => {
  const world = new World();
  world.node('a', ['take'], { running: 4 });
  for (const id of ['bound', 'free']) world.place(id);
  const bound = world.plays.get('bound');
  if (bound === undefined) throw new Error('no scenario');
  bound.record = { ...bound.record, state: { ...bound.doc, engine: { ...ENGINE, cpu: 'arm64' } } };
  world.grows('a', { running: 3 });
  await world.until(() => world.answers.length === 1);
  assert.equal(world.asked, ['a free']);
});

test('Z4: one that is being offered when its time has come is not offered twice', async () => {
  const world = new World();
  world.node('a', ['take'], { running: 4 }, 100);
  world.node('b', ['take'], { running: 4 }, 100);
  world.place('cam');
  await world.clock.advance(RETRY_MS - 50);
  world.nodes.set('b', nodeView('b'));
  world.grows('a', { running: 3 });
  await world.clock.advance(1_000);
  assert.is(world.asked.length, 1);
});

test('Z4: what a node refused for now it is offered when it has more room; everyone is asked anew after `retryMs`', async () => {
  const world = new World();
  world.node('a', ['full', 'take']);
  world.node('b', ['gone', 'gone', 'take'], { running: 1 });
  world.place('cam');
  await world.until(() => world.told.length === 1);
  assert.equal(world.reasons, ['a: all slots are taken', 'b: video.mp4 is not there']);
  world.grows('a', { slots: 5 });
  await world.until(() => world.answers.length === 1);
  assert.equal(world.asked, ['a cam', 'b cam', 'a cam']);
  world.nodes.delete('a');
  world.place('other');
  await world.until(() => world.told.length === 2);
  await world.clock.advance(RETRY_MS - 1);
  assert.is(world.asked.length, 4);
  await world.clock.advance(1);
  assert.equal(world.answers.at(-1), 'accepted other b');
});

test('Z4: a node that comes is asked at once', async () => {
  const world = new World();
  world.place('cam');
  await world.until(() => world.told.length === 1);
  assert.equal(world.reasons, []);
  world.node('a', ['take']);
  world.grows('a', {});
  await world.until(() => world.answers.length === 1);
  assert.equal(world.answers, ['accepted cam a']);
});

test('Z5: why it waits is told once, and again when it has changed', async () => {
  const world = new World();
  world.node('a', ['gone']);
  world.place('cam');
  await world.clock.advance(5 * RETRY_MS);
  assert.equal([world.asked.length, world.told.length], [6, 1]);
  world.nodes.set('b', nodeView('b', { running: 4 }));
  await world.clock.advance(RETRY_MS);
  assert.equal(world.reasons, ['b: all 4 slots are taken', 'a: video.mp4 is not there']);
  assert.is(world.told.length, 2);
});

test('Z6: what the scenario no longer wants is not asked for, and given up', async () => {
  const world = new World();
  world.node('a', ['take'], { running: 4 });
  world.place('stopped');
  world.place('placed');
  world.plays.get('stopped')?.command('stop');
  world.plays.get('placed')?.placed('elsewhere');
  await world.clock.advance(RETRY_MS);
  assert.equal(world.answers, ['unwanted stopped', 'unwanted placed']);
  world.place('placed');
  await world.clock.advance(0);
  assert.equal([world.answers.at(-1), world.asked], ['unwanted placed', []]);
});

test('Z6: it is asked for as the scenario’s state is now, not as it was when it began to wait', async () => {
  const world = new World();
  world.node('a', ['take'], { running: 4 });
  world.place('cam');
  const play = world.plays.get('cam');
  if (play === undefined) throw new Error('no scenario');
  play.record = { ...play.record, state: { ...play.doc, engine: { ...ENGINE, cpu: 'arm64' } } };
  world.grows('a', { running: 3 });
  await world.clock.advance(RETRY_MS);
  assert.equal(world.asked, []);
  assert.match(world.reasons?.join() ?? '', /another engine/);
});

test('an abandoned placement asks nobody any more', async () => {
  for (const word of ['silent', 'full'] as const) {
    const world = new World();
    world.node('a', [word]);
    const stop = world.place('cam');
    await world.clock.advance(1);
    stop.abort(new Error('withdrawn'));
    await world.clock.advance(10 * RETRY_MS);
    assert.equal(world.answers, ['cam: withdrawn']);
    assert.equal([world.asked, world.clock.pending], [['a cam'], 0]);
  }
});

test.run();
