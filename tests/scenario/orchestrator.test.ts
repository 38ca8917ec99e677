/** The orchestrator: Y2–Y5. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type OrchestratorDoc, orchestrator } from '../../src/actors/orchestrator/orchestrator.ts';
import { orchestratorIn, orchestratorOf } from '../../src/actors/orchestrator-address.ts';
import { liveState } from '../../src/actors/runtime/committed.ts';
import { encodeRecord } from '../../src/actors/runtime/record-codec.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { AttemptBody } from '../../src/domain/messages.ts';
import { HEADERS, partitionOf } from '../../src/domain/subjects.ts';
import { Actor, ENGINE, MODEL, SOURCE } from './play.ts';

const world = (id = 'o'): Actor<OrchestratorDoc> => new Actor(orchestrator, id);

const attempt = (number: number, run = 1, scenario = 'cam', segment = 0): AttemptBody => ({
  scenario,
  run,
  segment,
  attempt: number,
});
const placed = (ref: AttemptBody) => ({ ...ref, node: 'n1', pid: 7, source: SOURCE, model: MODEL, engine: ENGINE });
const keysOf = (actor: Actor<OrchestratorDoc>): string[] => actor.errands.map(errand => errand.key);

const test = suite('orchestrator');

test('Y2: a newer attempt or run replaces an older one, an older one does not come back', () => {
  const actor = world();
  actor.deliver('sys', 'place', attempt(7));
  assert.equal(actor.lastTold, [{ to: 'scenario/cam', verb: 'placing', body: attempt(7) }]);
  actor.deliver('sys', 'place', attempt(8));
  actor.deliver('sys', 'place', attempt(7));
  assert.equal(keysOf(actor), ['place.cam.1.0.8']);
  actor.deliver('sys', 'place', attempt(1, 2));
  actor.deliver('sys', 'place', attempt(9, 1));
  assert.equal(keysOf(actor), ['place.cam.2.0.1']);
  actor.deliver('sys', 'place', attempt(1, 1, 'cam', 1));
  assert.equal(keysOf(actor), ['place.cam.2.0.1', 'place.cam.1.1.1'], 'another segment is another placement');
});

test('Y2: a withdrawn placement is asked for no more; the withdrawal of an older one changes nothing', () => {
  const actor = world();
  actor.deliver('sys', 'place', attempt(2));
  actor.deliver('sys', 'withdraw', attempt(1));
  assert.equal(keysOf(actor), ['place.cam.1.0.2']);
  actor.deliver('sys', 'withdraw', attempt(2));
  assert.equal(keysOf(actor), []);
});

test('Y2: what was accepted is told to its scenario, also when it is no longer wanted', () => {
  const actor = world();
  actor.deliver('sys', 'place', attempt(2));
  actor.deliver('signal', 'accepted', placed(attempt(1)));
  assert.equal(actor.lastTold, [{ to: 'scenario/cam', verb: 'placed', body: placed(attempt(1)) }]);
  assert.is(actor.errands.length, 1);
  actor.deliver('signal', 'accepted', placed(attempt(2)));
  assert.equal([actor.lastTold[0]?.verb, actor.errands], ['placed', []]);
});

test('Y3: a placement stays until a node took it, or it is withdrawn, replaced or wanted no more', () => {
  const verbs = fc.constantFrom('place', 'withdraw', 'accepted', 'unwanted');
  const said = fc.array(fc.tuple(verbs, fc.integer({ min: 1, max: 3 }), fc.constantFrom('a', 'b')));
  fc.assert(
    fc.property(said, messages => {
      const actor = world();
      const expected = new Map<string, number>();
      for (const [verb, number, id] of messages) {
        const ref = attempt(number, 1, id);
        const cls = verb === 'accepted' || verb === 'unwanted' ? 'signal' : 'sys';
        actor.deliver(cls, verb, verb === 'accepted' ? placed(ref) : ref);
        if (verb === 'place') expected.set(id, Math.max(number, expected.get(id) ?? 0));
        else if (expected.get(id) === number) expected.delete(id);
      }
      const waiting = [...expected].map(([id, number]) => `place.${id}.1.0.${number}`);
      assert.equal(keysOf(actor).sort(), waiting.sort());
    }),
    { seed: 3 },
  );
});

test('Y4: as many placements as it takes, with the longest ids and numbers, make a commit that can be stored; one more is put off', () => {
  const actor = world(`15-${'9'.repeat(10)}`);
  const idOf = (n: number): string => String(n).padStart(64, 'x');
  const waiting = Array.from({ length: LIMITS.placementsWaiting }, (_, n) => attempt(999_999, 999_999, idOf(n)));
  actor.deliver('sys', 'place', attempt(1, 1, idOf(LIMITS.placementsWaiting)));
  // What that many messages make of the record, in one step: so many would take their time.
  const seen: [string, [number, number]][] = waiting.map(({ scenario }) => [`scenario.${scenario}`, [999_999_999, 99]]);
  actor.record = {
    ...actor.record,
    state: { turn: 999_999_999, placements: waiting.map(ref => ({ ...ref, turn: 999_999_999 })) },
    seen: Object.fromEntries(seen.slice(0, LIMITS.orchestratorSenders)),
  };
  const bytes = (): number => encodeRecord(actor.record).byteLength;
  assert.ok(bytes() < LIMITS.stateBytes - 64 * 1024, `${bytes()} bytes`);
  const one = attempt(1, 1, 'more');
  const headers = { [HEADERS.from]: 'scenario.more', [HEADERS.number]: '1.0' };
  actor.deliver('sys', 'place', one, headers);
  assert.equal(actor.lastTold, [{ to: 'scenario/more', verb: 'postponed', body: one }]);
  assert.is(actor.state?.placements.length, LIMITS.placementsWaiting);
  assert.is(Object.keys(actor.record.seen).length, LIMITS.orchestratorSenders, 'few senders are remembered');
  const newer = attempt(1_000_000, 999_999, idOf(0));
  actor.deliver('sys', 'place', newer);
  assert.equal(actor.lastTold[0]?.verb, 'placing', 'what replaces another needs no more place');
  actor.deliver('sys', 'withdraw', waiting[1]);
  actor.deliver('sys', 'place', one);
  assert.equal(actor.lastTold, [{ to: 'scenario/more', verb: 'placing', body: one }]);
  assert.ok(bytes() < LIMITS.stateBytes - 64 * 1024);
});

test('Y5: every placement has the next turn, counted in committed state; no two of the cluster’s orchestrators begin with the same', () => {
  const actor = world();
  const turns = (): unknown[] => actor.state?.placements.map(placement => placement.turn) ?? [];
  for (const id of ['a', 'b']) actor.deliver('sys', 'place', attempt(1, 1, id));
  actor.deliver('sys', 'withdraw', attempt(1, 1, 'a'));
  actor.deliver('sys', 'withdraw', attempt(1, 1, 'b'));
  for (const id of ['c', 'd']) actor.deliver('sys', 'place', attempt(1, 1, id));
  const [first = 0] = turns() as number[];
  assert.equal(turns(), [first, first + 1]);
  const firsts = Array.from({ length: LIMITS.partitions }, (_, partition) => {
    const other = world(orchestratorIn(partition).id);
    other.deliver('sys', 'place', attempt(1));
    return other.state?.placements[0]?.turn;
  });
  assert.is(new Set(firsts).size, LIMITS.partitions);
  assert.is(first, 2 + partitionOf('orchestrator', 'o', LIMITS.partitions), 'a, b, and then c');
});

test('a state of version 1 goes on: what waited waits', () => {
  const actor = world();
  const old = (ref: AttemptBody) => ({ assignment: { ...ref, spec: {}, lastSeq: 0 }, round: 3, phase: 'waiting' });
  const state = {
    scenarios: ['a', 'b'],
    placements: { 'a.0': old(attempt(2, 1, 'a')), 'b.1': old(attempt(3, 2, 'b', 1)) },
  };
  actor.record = { ...actor.record, version: 1, state };
  assert.equal(liveState(orchestrator, actor.record), {
    placements: [
      { ...attempt(2, 1, 'a'), turn: 0 },
      { ...attempt(3, 2, 'b', 1), turn: 1 },
    ],
    turn: 2,
  });
  assert.equal(keysOf(actor), ['place.a.1.0.2', 'place.b.2.1.3']);
});

test('a scenario’s orchestrator is the one whose id hashes into the scenario’s partition', () => {
  for (let i = 0; i < 200; i++) {
    const partition = partitionOf('scenario', `cam${i}`, LIMITS.partitions);
    const { kind, id } = orchestratorOf(`cam${i}`);
    assert.is(partitionOf(kind, id, LIMITS.partitions), partition);
    assert.equal(orchestratorIn(partition), { kind, id });
  }
});

test.run();
