/** The orchestrator (Y1–Y3), the order in which nodes are asked, and the asking (Z1, Z2). */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type OrchestratorDoc, orchestrator } from '../../src/actors/orchestrator/orchestrator.ts';
import { placeRunner } from '../../src/actors/orchestrator/place-runner.ts';
import { rankNodes } from '../../src/actors/orchestrator/placement.ts';
import { orchestratorIn, orchestratorOf } from '../../src/actors/orchestrator-address.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { Assignment } from '../../src/domain/messages.ts';
import type { NodeView } from '../../src/domain/node.ts';
import { toSpec } from '../../src/domain/scenario-spec.ts';
import { partitionOf, SUBJECTS } from '../../src/domain/subjects.ts';
import { MemoryServer } from '../../src/infra/memory/memory-server.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';
import { Actor, ENGINE, MODEL, REQUEST, SOURCE } from './play.ts';

const RETRY_MS = 10_000;
const world = (): Actor<OrchestratorDoc> => new Actor(orchestrator({ placementRetryMs: RETRY_MS }), 'o');

const assignment = (attempt: number, run = 1, scenario = 'cam'): Assignment => ({
  scenario,
  run,
  segment: 0,
  attempt,
  spec: toSpec(REQUEST),
  lastSeq: 0,
  source: null,
  engine: null,
  modelSha256: null,
});
const refOf = ({ scenario, run, segment, attempt }: Assignment) => ({ scenario, run, segment, attempt });
const placed = (of: Assignment, node = 'n1') => ({
  ...refOf(of),
  node,
  pid: 7,
  source: SOURCE,
  model: MODEL,
  engine: ENGINE,
});
const refusal = { node: 'n1', code: 'unavailable', message: 'full' };
const refused = (of: Assignment, round: number) => ({
  key: `${of.scenario}.${of.run}.${of.segment}.${of.attempt}`,
  round,
  refusals: [refusal],
});

const test = suite('orchestrator');

test('Y2: a newer attempt or run replaces an older one, an older one does not come back', () => {
  const actor = world();
  actor.deliver('sys', 'place', assignment(7));
  assert.equal(actor.lastTold, [{ to: 'scenario/cam', verb: 'placing', body: refOf(assignment(7)) }]);
  actor.deliver('sys', 'place', assignment(8));
  actor.deliver('sys', 'place', assignment(7));
  assert.equal(
    actor.errands.map(errand => errand.key),
    ['place.cam.1.0.8.0'],
  );
  actor.deliver('sys', 'place', assignment(1, 2));
  actor.deliver('sys', 'place', assignment(9, 1));
  assert.equal(
    actor.errands.map(errand => errand.key),
    ['place.cam.2.0.1.0'],
  );
});

test('Y2: a withdrawn placement is asked for no more; the withdrawal of an older one changes nothing', () => {
  const actor = world();
  actor.deliver('sys', 'place', assignment(2));
  actor.deliver('signal', 'refused', refused(assignment(2), 0));
  actor.deliver('sys', 'withdraw', refOf(assignment(1)));
  assert.equal(actor.timers, ['retry-cam.0']);
  actor.deliver('sys', 'withdraw', refOf(assignment(2)));
  assert.equal([actor.timers, actor.errands, actor.state?.placements], [[], [], {}]);
  actor.deliver('signal', 'capacity', {});
  assert.equal(actor.errands, []);
});

test('Y2: what was accepted is told to its scenario, also when it is no longer wanted', () => {
  const actor = world();
  actor.deliver('sys', 'place', assignment(2));
  actor.deliver('signal', 'accepted', placed(assignment(1)));
  assert.equal(actor.lastTold, [{ to: 'scenario/cam', verb: 'placed', body: placed(assignment(1)) }]);
  assert.is(actor.errands.length, 1);
  actor.deliver('signal', 'accepted', placed(assignment(2)));
  assert.equal([actor.lastTold[0]?.verb, actor.state?.placements], ['placed', {}]);
});

test('Y3: what no node took is asked again when its time has come, each round anew', () => {
  const actor = world();
  actor.deliver('sys', 'place', assignment(1));
  for (let round = 0; round < 3; round++) {
    assert.equal(
      actor.errands.map(errand => errand.key),
      [`place.cam.1.0.1.${round}`],
    );
    actor.deliver('signal', 'refused', refused(assignment(1), round));
    assert.equal(actor.lastTold, [
      { to: 'scenario/cam', verb: 'unplaced', body: { ...refOf(assignment(1)), refusals: [refusal] } },
    ]);
    assert.equal([actor.errands, actor.record.timers['retry-cam.0']?.at], [[], actor.now + RETRY_MS]);
    actor.deliver('signal', 'refused', refused(assignment(1), round - 1));
    assert.equal(actor.lastTold, []);
    actor.fire('retry-cam.0');
  }
});

test('Y3: and at once when capacity changes', () => {
  const actor = world();
  for (const id of ['a', 'b', 'c']) actor.deliver('sys', 'place', assignment(1, 1, id));
  for (const id of ['a', 'b']) actor.deliver('signal', 'refused', refused(assignment(1, 1, id), 0));
  actor.deliver('signal', 'capacity', {});
  assert.equal(actor.errands.map(errand => errand.key).sort(), [
    'place.a.1.0.1.1',
    'place.b.1.0.1.1',
    'place.c.1.0.1.0',
  ]);
  assert.equal(actor.timers, []);
});

test('a scenario’s orchestrator is the one whose id hashes into the scenario’s partition', () => {
  for (let i = 0; i < 200; i++) {
    const partition = partitionOf('scenario', `cam${i}`, LIMITS.partitions);
    const { kind, id } = orchestratorOf(`cam${i}`);
    assert.is(partitionOf(kind, id, LIMITS.partitions), partition);
    assert.equal(orchestratorIn(partition), { kind, id });
  }
});

const node = (id: string, load = 0, roles: NodeView['roles'] = ['runner']): NodeView => ({
  id,
  roles,
  slots: 4,
  running: load * 4,
  load,
  draining: false,
  roots: [],
  engine: ENGINE,
  models: [],
  pid: 1,
  partitions: [],
  version: '0',
  startedAt: '',
});

test('nodes are asked least loaded first, ties by id, whatever order they are heard of in; only runner nodes', () => {
  const nodes = [node('b', 0.5), node('a', 0.5), node('d', 0.25), node('c', 0), node('e', 0, ['api', 'orchestrator'])];
  fc.assert(
    fc.property(fc.shuffledSubarray(nodes, { minLength: nodes.length }), shuffled => {
      assert.equal(
        rankNodes(shuffled).map(({ id }) => id),
        ['c', 'd', 'a', 'b'],
      );
    }),
    { seed: 3 },
  );
});

/** Nodes that answer as scripted: one word per request; `silent` never answers, `leave` neither and listens
 * no more, `die` is also no longer seen; null never listened. */
function asking(script: Record<string, readonly ('accept' | 'refuse' | 'silent' | 'leave' | 'die')[] | null>) {
  const clock = new VirtualClock();
  const bus = new MemoryServer({ clock, partitions: LIMITS.partitions }).bus();
  const asked: string[] = [];
  const alive = new Set(Object.keys(script));
  for (const [id, words] of Object.entries(script)) {
    if (words === null) continue;
    const left = [...words];
    const subscription = bus.subscribe(SUBJECTS.control(id, 'start'), ({ reply, body }) => {
      asked.push(id);
      assert.equal(JSON.parse(Buffer.from(body).toString()), assignment(1));
      const word = left.shift();
      if (word === 'leave' || word === 'die') subscription.close();
      if (word === 'die') alive.delete(id);
      const { node: _, ...accepted } = placed(assignment(1));
      const answer =
        word === 'accept'
          ? { kind: 'accepted', ...accepted }
          : { kind: 'refused', problem: { code: 'unavailable', message: 'full' } };
      if (reply !== null && (word === 'accept' || word === 'refuse'))
        bus.publish(reply, Buffer.from(JSON.stringify(answer)));
    });
  }
  const directory = {
    alive: () => [...alive].map(id => node(id)),
    isGone: (id: string) => !alive.has(id),
    onCapacity: () => ({ close: () => {} }),
  };
  const stop = new AbortController();
  const execute = placeRunner({ bus, clock, directory, answerMs: 5_000 });
  const errand = { key: 'place', kind: 'place-runner', body: { assignment: assignment(1), round: 3 } };
  let answer: unknown = null;
  const done = execute({ kind: 'orchestrator', id: 'o' }, errand, stop.signal).then(
    said => {
      answer = said;
    },
    error => {
      answer = error;
    },
  );
  return {
    asked,
    stop,
    clock,
    answer: async () => {
      await clock.runUntil(() => answer !== null, clock.monotonic() + 600_000);
      await done;
      return answer;
    },
  };
}

test('a node that refuses is passed over; the one that accepts is named', async () => {
  const world = asking({ a: ['refuse'], b: ['accept'], c: ['accept'] });
  assert.equal(await world.answer(), { verb: 'accepted', body: placed(assignment(1), 'b') });
  assert.equal(world.asked, ['a', 'b']);
});

test('what every node refuses is refused with every node’s reason', async () => {
  const problem = { code: 'unavailable', message: 'full' };
  const world = asking({ a: ['refuse'], b: ['refuse'] });
  const refusals = [
    { node: 'a', ...problem },
    { node: 'b', ...problem },
  ];
  assert.equal(await world.answer(), { verb: 'refused', body: { key: 'cam.1.0.1', round: 3, refusals } });
  assert.equal(await asking({}).answer(), { verb: 'refused', body: { key: 'cam.1.0.1', round: 3, refusals: [] } });
});

test('Z1: a node whose answer is lost is asked again while it lives, and no other before it has answered', async () => {
  const world = asking({ a: ['silent', 'silent', 'accept'], b: ['accept'] });
  assert.equal(await world.answer(), { verb: 'accepted', body: placed(assignment(1), 'a') });
  assert.equal(world.asked, ['a', 'a', 'a']);
});

test('Z1: a node that surely heard nothing is passed over at once', async () => {
  const world = asking({ a: null, b: ['accept'] });
  assert.equal(await world.answer(), { verb: 'accepted', body: placed(assignment(1), 'b') });
});

test('Z2: when a node that may have taken the attempt dies, nobody else is asked in this round', async () => {
  for (const words of [['die'], ['silent', 'die'], ['leave']] as const) {
    const world = asking({ a: words, b: ['accept'] });
    const refusals = [{ node: 'a', code: 'unavailable', message: 'the node does not answer' }];
    assert.equal(await world.answer(), { verb: 'refused', body: { key: 'cam.1.0.1', round: 3, refusals } });
    assert.not(world.asked.includes('b'));
  }
});

test('an abandoned placement asks nobody any more', async () => {
  for (const word of ['silent', 'refuse'] as const) {
    const world = asking({ a: [word], b: ['accept'] });
    world.stop.abort(new Error('withdrawn'));
    assert.match(String(await world.answer()), /withdrawn/);
    assert.equal(world.asked, ['a']);
  }
});

test.run();
