/** Random commands and random answers of the world, in any order, repeated and late: what holds after every one of them. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LIMITS } from '../../src/domain/limits.ts';
import { attemptKey } from '../../src/domain/scenario-doc.ts';
import { crash, type Exit, Play, REQUEST } from './play.ts';

/** The state machine of the API; `null` is not yet created. */
const MACHINE = new Set([
  'null → init_startup',
  'null → inactive',
  'inactive → init_startup',
  'init_startup → in_startup_processing',
  'in_startup_processing → active',
  'init_startup → init_shutdown',
  'in_startup_processing → init_shutdown',
  'active → init_shutdown',
  'init_shutdown → in_shutdown_processing',
  'in_shutdown_processing → inactive',
  // a failure, or the natural end
  'init_startup → in_shutdown_processing',
  'in_startup_processing → in_shutdown_processing',
  'active → in_shutdown_processing',
]);

const event = fc.oneof(
  fc.record({
    kind: fc.constant('command' as const),
    verb: fc.constantFrom('create', 'start', 'stop', 'delete', 'afresh'),
  }),
  fc.record({
    kind: fc.constantFrom('placing' as const, 'placed' as const, 'progressed' as const),
    late: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('unplaced' as const), code: fc.constantFrom('unavailable', 'source_unreadable') }),
  fc.record({
    kind: fc.constant('exited' as const),
    late: fc.boolean(),
    reason: fc.constantFrom<Exit>(crash(), crash('no', 'source_changed'), 'fenced', 'shutdown', 'killed'),
    fruitful: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('ended' as const), result: fc.constantFrom('end' as const, 'closed' as const) }),
  fc.record({ kind: fc.constant('lost' as const), cause: fc.constantFrom('silent', 'stalled', 'gone') }),
  fc.record({ kind: fc.constant('timer' as const), which: fc.nat(3) }),
  fc.record({ kind: fc.constant('errand' as const), which: fc.nat(3), end: fc.boolean(), known: fc.boolean() }),
);
type Event = typeof event extends fc.Arbitrary<infer T> ? T : never;

/** What the world may say just now; what makes no sense just now is left out. */
function play(world: Play, said: Event, seq: number): void {
  if (said.kind === 'command') {
    const { verb } = said;
    world.command(
      verb === 'afresh' ? 'start' : verb,
      verb === 'create' ? REQUEST : verb === 'afresh' ? { from: 'start' } : {},
    );
    return;
  }
  if (world.state === null) return;
  // A word of the attempt before the current one, as a slow network brings it.
  const ref = 'late' in said && said.late ? { ...world.ref, attempt: Math.max(1, world.ref.attempt - 1) } : world.ref;
  const { phase } = world.segment;
  const exists = ref.attempt < world.ref.attempt || phase === 'placing' || phase === 'running' || phase === 'stopping';
  switch (said.kind) {
    case 'placing':
      if (phase === 'placing') world.placing();
      return;
    case 'unplaced':
      if (phase === 'placing') world.unplaced({ node: 'n1', code: said.code, message: 'no' });
      return;
    case 'placed':
      if (exists) world.placed('n1', ref);
      return;
    case 'progressed':
      if (exists) world.progressed(seq, ref);
      return;
    case 'exited':
      if (exists) world.exited(said.reason, { seq, fruitful: said.fruitful }, ref);
      return;
    case 'ended':
      if (said.result === 'closed' ? phase === 'stopping' : exists)
        world.exited('normal', { result: said.result, seq });
      return;
    case 'lost':
      if (world.monitors.length > 0) world.lost(said.cause);
      return;
    case 'timer': {
      const name = world.timers[said.which % Math.max(1, world.timers.length)];
      if (name !== undefined) world.fire(name);
      return;
    }
    case 'errand': {
      const errand = world.errands[said.which % Math.max(1, world.errands.length)];
      if (errand === undefined) return;
      const key = errand.key.slice(errand.key.indexOf('.') + 1);
      if (errand.kind === 'purge-log') world.deliver('signal', 'purged', {});
      else if (errand.kind === 'close-log') {
        world.deliver('signal', 'closed', { run: world.doc.run, segment: 0, result: said.end ? 'end' : 'closed', seq });
      } else if (errand.key.startsWith('reap.')) world.deliver('signal', 'reaped', { key, known: false });
      else world.deliver('signal', 'stopping', { key, known: said.known });
    }
  }
}

/** Whatever is not over is waited for somewhere: by an errand, a timer, a monitor, or an orchestrator. */
function isGoingOn(world: Play): boolean {
  const { phase } = world.segment;
  const key = attemptKey(world.ref);
  switch (phase) {
    case 'placing':
      return (
        attemptKey(world.assignment) === key &&
        world.told.findLast(t => t.verb === 'place' || t.verb === 'withdraw')?.verb === 'place'
      );
    case 'running':
      return world.monitors.some(monitor => monitor.key === key);
    case 'backoff':
      return world.timers.includes('retry-0');
    case 'stopping':
      return world.timers.includes('overdue-0') && world.errands.some(errand => errand.key === `stop.${key}`);
    case 'closing':
      return world.errands.some(errand => errand.key === `close.${key}`);
    case 'idle':
    case 'ended':
      return false;
  }
}

function check(world: Play, lastRun: number): void {
  const { doc, segment } = world;
  let before: string | null = null;
  doc.history.forEach((entry, i) => {
    if (i > 0 || doc.history.length < LIMITS.historyEntries) assert.is(entry.from, before);
    assert.ok(MACHINE.has(`${entry.from} → ${entry.to}`), `${entry.from} → ${entry.to}`);
    before = entry.to;
  });
  assert.is(doc.history.at(-1)?.to, doc.state);
  assert.ok(doc.run > lastRun, 'X8');
  const inactive = doc.state === 'inactive';
  assert.is(inactive, segment.phase === 'ended' || segment.phase === 'idle', `X2: ${doc.state}, ${segment.phase}`);
  assert.is(inactive, !isGoingOn(world), `${doc.state}, ${segment.phase}`);
  if (inactive) {
    assert.is(doc.ending, null);
    assert.equal(world.timers, []);
    assert.is(doc.outcome === null, segment.phase === 'idle');
    if (doc.outcome === 'completed') assert.is(segment.result, 'end');
    if (doc.outcome === 'failed') assert.ok(doc.error);
  } else {
    assert.is(doc.outcome, null);
    assert.is(doc.ending !== null, doc.state === 'init_shutdown' || doc.state === 'in_shutdown_processing');
  }
}

const test = suite('scenario supervisor, random worlds');

test('in every world states follow the machine, inactive means ended, whatever is not over is waited for, and a stop ends it', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 80 }), events => {
      const world = new Play();
      world.create();
      let [lastRun, newest, runs] = [0, 1, 1];
      let attempt = 0;
      events.forEach((said, i) => {
        play(world, said, i + 1);
        if (world.state === null) {
          lastRun = newest;
          return;
        }
        assert.ok(world.doc.run > runs || world.segment.attempt >= attempt, 'attempts only grow');
        [attempt, runs] = [world.segment.attempt, world.doc.run];
        newest = world.doc.run;
        check(world, lastRun);
      });
      if (world.state === null || world.doc.deleting !== null) return;
      world.command('stop');
      for (let rounds = 0; world.doc.state !== 'inactive' && rounds < 4; rounds++) {
        if (world.timers.includes('overdue-0')) world.fire('overdue-0');
        world.settle();
      }
      assert.is(world.doc.state, 'inactive');
      check(world, lastRun);
    }),
    { seed: 20, numRuns: 3_000 },
  );
});

test.run();
