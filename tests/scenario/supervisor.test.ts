/** The scenario supervisor's invariants X1–X10, each by the message that would break it. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LIMITS } from '../../src/domain/limits.ts';
import { attemptKey, type SegmentDoc } from '../../src/domain/scenario-doc.ts';
import { crash, ENGINE, Play } from './play.ts';

function withoutLastNode(segment: SegmentDoc): Omit<SegmentDoc, 'lastNode'> {
  const { lastNode: _, ...others } = segment;
  return others;
}

const test = suite('scenario supervisor');

const verbs = (play: Play): string[] => play.lastTold.map(message => message.verb);

test('X1: an attempt is numbered in the commit that asks for its placement', () => {
  const play = new Play();
  play.create();
  assert.equal([play.segment.attempt, play.assignment.attempt], [1, 1]);
  play.placed();
  play.exited(crash());
  assert.is(play.segment.attempt, 1);
  play.fire('retry-0');
  assert.equal([play.segment.attempt, play.assignment.attempt, verbs(play)], [2, 2, ['place']]);
});

test('X1: messages of older attempts and runs change nothing but what is still to be killed', () => {
  const make = (): Play => {
    const play = new Play().toActive().toStopped();
    play.command('start', { from: 'start' });
    play.placed();
    play.exited(crash());
    play.again();
    play.exited(crash(), { seq: 12 });
    play.again();
    play.progressed(30);
    return play;
  };
  const stale = fc.constantFrom(
    ...[1, 2, 3].map(attempt => ({ run: 1, attempt })),
    ...[1, 2].map(attempt => ({ run: 2, attempt })),
  );
  const message = fc.record({
    ref: stale,
    kind: fc.constantFrom(
      'placing',
      'placed',
      'unplaced',
      'progressed',
      'exited',
      'retry',
      'overdue',
      'lost',
      'stopping',
      'reaped',
      'closed',
    ),
    reason: fc.constantFrom(
      crash(),
      crash('gone', 'source_changed'),
      'fenced' as const,
      'normal' as const,
      'shutdown' as const,
    ),
    result: fc.constantFrom('end' as const, 'closed' as const, undefined),
    seq: fc.nat(1000),
    known: fc.boolean(),
  });
  const settled = (play: Play) => ({
    ...play.doc,
    updatedAt: '',
    segments: play.doc.segments.map(segment => ({ ...segment, reaping: [] })),
  });
  fc.assert(
    fc.property(fc.array(message, { maxLength: 30 }), messages => {
      const play = make();
      const before = settled(play);
      for (const { ref: old, kind, reason, result, seq, known } of messages) {
        const ref = { ...play.ref, ...old };
        const key = attemptKey(ref);
        if (kind === 'placed') play.placed('elsewhere', ref, { ...ENGINE, cpu: 'other' });
        else if (kind === 'progressed') play.progressed(seq, ref);
        else if (kind === 'exited') play.exited(reason, { seq, ...(result === undefined ? {} : { result }) }, ref);
        else if (kind === 'unplaced')
          play.deliver('sys', 'unplaced', {
            ...ref,
            refusals: [{ node: 'n', code: 'source_unreadable', message: 'm' }],
          });
        else if (kind === 'placing') play.deliver('sys', 'placing', ref);
        else if (kind === 'retry' || kind === 'overdue') {
          play.record = { ...play.record, timers: { ...play.record.timers, late: { at: 0, verb: kind, body: ref } } };
          play.fire('late');
        } else if (kind === 'lost') play.deliver('signal', 'lost', { key, cause: 'silent', forMs: 1 });
        else if (kind === 'closed')
          play.deliver('signal', 'closed', { run: old.run, segment: 0, result: result ?? 'end', seq });
        else play.deliver('signal', kind, { key, known });
        assert.equal(play.lastTold, []);
      }
      assert.equal(settled(play), before);
      assert.equal(
        play.errands.filter(errand => !errand.key.startsWith('reap.')),
        [],
      );
    }),
    { seed: 1, numRuns: 300 },
  );
});

test('X1: an attempt that is placed when it is no longer wanted is killed, whichever run it is of', () => {
  const play = new Play();
  play.create();
  const first = play.ref;
  play.command('stop');
  play.placed('n1', first);
  assert.equal(
    play.errands.filter(errand => errand.kind === 'stop-runner').map(errand => errand.body),
    [{ ...first, node: 'n1', mode: 'kill' }],
  );
  play.settle();
  play.command('start', { from: 'start' });
  play.placed('n2', first);
  assert.equal(
    play.errands.map(errand => errand.body),
    [{ ...first, node: 'n2', mode: 'kill' }],
  );
  play.exited('fenced', {}, first);
  assert.equal(play.errands, []);
});

test('X1: what is left to kill outlives a new run', () => {
  const play = new Play().toActive();
  const old = play.ref;
  play.command('stop');
  play.fire('overdue-0');
  play.deliver('signal', 'closed', { run: 1, segment: 0, result: 'closed', seq: 9 });
  play.command('start', { from: 'start' });
  assert.equal(
    play.errands.map(errand => errand.body),
    [{ ...old, node: 'n1', mode: 'kill' }],
  );
});

test('X1: what a later attempt told of source and engine is not overwritten by the late word of an older one', () => {
  const play = new Play();
  play.create();
  const first = play.ref;
  play.exited(crash(), { seq: 4 });
  play.placed('n1', first);
  assert.equal(play.doc.engine, ENGINE);
  play.again();
  play.placed('n9', first, { ...ENGINE, cpu: 'other' });
  assert.equal([play.doc.engine, play.doc.warnings], [ENGINE, []]);
});

test('X2: inactive only when the log is known to hold its end', () => {
  const play = new Play().toActive();
  play.command('stop');
  play.exited('shutdown', { seq: 5 });
  assert.is.not(play.doc.state, 'inactive');
  assert.equal(
    play.errands.map(errand => errand.kind),
    ['close-log'],
  );
  play.settle('closed', 6);
  assert.equal([play.doc.state, play.doc.outcome, play.segment.lastSeq], ['inactive', 'stopped', 6]);

  const failed = new Play().toActive();
  failed.exited(crash('gone', 'source_changed'), { seq: 5 });
  assert.is(failed.doc.state, 'in_shutdown_processing');
  assert.equal(
    failed.errands.map(errand => errand.kind),
    ['close-log'],
  );
  failed.settle();
  assert.equal(
    [failed.doc.state, failed.doc.outcome, failed.doc.error?.code],
    ['inactive', 'failed', 'source_changed'],
  );
});

test('X2: a scenario that was failing while its last runner wrote the end is complete: nothing is missing', () => {
  const play = new Play().toActive();
  play.exited({ error: { code: 'source_changed', message: 'another file' } });
  assert.is(play.doc.ending, 'failed');
  play.settle('end', 40);
  assert.equal([play.doc.state, play.doc.outcome, play.doc.error], ['inactive', 'completed', null]);
});

test('X3: active when the first batch is committed, not when it is placed', () => {
  const play = new Play();
  play.create();
  play.placing();
  play.placed();
  assert.is(play.doc.state, 'in_startup_processing');
  play.progressed(2);
  assert.equal(play.path, ['init_startup', 'in_startup_processing', 'active']);
});

test('X3: a first batch that is heard of before the placement leaves out no state', () => {
  const play = new Play();
  play.create();
  play.progressed(2);
  assert.equal(play.path, ['init_startup', 'in_startup_processing', 'active']);
  const short = new Play();
  short.create();
  short.exited('normal', { result: 'end', seq: 3 });
  assert.equal(short.path, ['init_startup', 'in_startup_processing', 'active', 'in_shutdown_processing', 'inactive']);
  assert.is(short.doc.outcome, 'completed');
  short.placed('n1');
  assert.equal([short.doc.state, short.doc.engine], ['inactive', ENGINE]);
});

test('a natural end goes active → in_shutdown_processing → inactive, completed', () => {
  const play = new Play().toActive();
  play.exited('normal', { result: 'end', seq: 9 });
  assert.equal(play.path.slice(2), ['active', 'in_shutdown_processing', 'inactive']);
  assert.equal([play.doc.outcome, play.doc.reason, play.segment.lastSeq, play.timers], ['completed', null, 9, []]);
});

test('a natural end while a stop is under way is completed at once, and nothing is left to be done', () => {
  for (const told of [false, true]) {
    const play = new Play().toActive();
    play.command('stop');
    if (told) play.settle();
    play.exited('normal', { result: 'end', seq: 9 });
    assert.equal([play.doc.state, play.doc.outcome, play.errands, play.timers], ['inactive', 'completed', [], []]);
  }
});

test('X5: fenced is a crash of the current attempt, and nothing of an older one', () => {
  const play = new Play().toActive();
  play.exited('fenced');
  assert.is(play.segment.attempt, 2);
  play.again();
  const before = play.doc;
  play.exited('fenced', {}, { ...play.ref, attempt: 1 });
  assert.equal(play.doc, before);
});

test('X6: the restart after which there were more than `intensity` in `periodMs` is not made: failed', () => {
  const play = new Play().toActive({ restart: { intensity: 2, periodMs: 10_000 } });
  for (const seq of [5, 6]) {
    play.exited(crash(), { seq });
    assert.is(play.doc.state, 'active');
    play.again();
  }
  play.exited(crash('the third'), { seq: 7 });
  assert.is(play.doc.state, 'in_shutdown_processing');
  assert.match(play.doc.error?.message ?? '', /more than 2 restarts in 10000 ms; the last one: the third/);
  assert.equal(
    play.errands.map(errand => errand.kind),
    ['close-log'],
    'the runner is gone: there is none to ask',
  );
  play.settle();
  assert.equal([play.doc.outcome, play.segment.restarts], ['failed', 2]);
});

test('X6: restarts older than `periodMs` do not count', () => {
  const play = new Play().toActive({ restart: { intensity: 1, periodMs: 10_000 } });
  for (let seq = 5; seq < 12; seq++) {
    play.now += 10_001;
    play.exited(crash(), { seq });
    play.again();
  }
  assert.is(play.doc.state, 'active');
});

test('X6: five attempts in a row without a new frame fail, however slow; a new frame starts the count again', () => {
  const play = new Play().toActive({ restart: { intensity: 100, periodMs: 60_000 } });
  play.exited(crash(), { seq: 5 });
  for (let i = 1; i < LIMITS.fruitlessAttempts; i++) {
    play.again();
    play.now += 3_600_000;
    play.exited(crash());
  }
  play.again();
  play.progressed(7);
  play.exited(crash(), { seq: 7 });
  for (let i = 1; i <= LIMITS.fruitlessAttempts; i++) {
    assert.is(play.doc.state, 'active', `after ${i - 1}`);
    play.again();
    play.now += 3_600_000;
    play.exited(crash('still'));
  }
  play.settle();
  assert.equal([play.doc.state, play.doc.outcome], ['inactive', 'failed']);
  assert.match(play.doc.error?.message ?? '', /5 attempts in a row committed no new frame; the last one: still/);
});

test('X6: a permanent error fails at once and keeps its frame', () => {
  const play = new Play().toActive();
  play.exited({ error: { code: 'source_changed', message: 'another file', frame: 7 } });
  play.settle();
  assert.equal(play.doc.error, { code: 'source_changed', message: 'another file', frame: 7 });
  assert.equal([play.doc.outcome, play.segment.attempt, play.timers], ['failed', 2, []]);
});

test('X6: drain, fencing, node loss and lost NATS are excused when the attempt committed something, and only then', () => {
  for (const reason of ['fenced', 'shutdown', crash('NATS', 'unavailable')] as const) {
    const play = new Play().toActive({ restart: { intensity: 0, periodMs: 60_000 } });
    play.exited(reason, { seq: 5 });
    assert.equal([play.doc.state, play.doc.restarts], ['active', []]);
    play.again();
    play.exited(reason);
    assert.is(play.doc.state, 'in_shutdown_processing');
  }
  for (const cause of ['gone', 'node']) {
    const play = new Play().toActive({ restart: { intensity: 0, periodMs: 60_000 } });
    play.lost(cause);
    assert.equal([play.doc.state, play.segment.phase, play.doc.restarts], ['active', 'placing', []]);
    play.again();
    play.lost(cause);
    assert.equal([play.doc.state, play.doc.error?.code], ['in_shutdown_processing', 'unavailable']);
  }
});

test('X6: a runner that is lost on a node that lives counts, whatever it committed', () => {
  for (const cause of ['silent', 'stalled']) {
    const play = new Play().toActive({ restart: { intensity: 0, periodMs: 60_000 } });
    play.lost(cause);
    assert.equal([play.doc.state, play.doc.error?.code], ['in_shutdown_processing', 'runner_lost']);
  }
});

test('X10: an attempt that committed a frame is followed at once by the next, in the commit that counts the restart', () => {
  const play = new Play().toActive();
  for (const seq of [5, 6, 7]) {
    play.exited(crash(), { seq });
    const { attempt, phase, restarts, lastSeq } = play.segment;
    assert.equal([attempt, phase, restarts, lastSeq], [seq - 3, 'placing', seq - 4, seq]);
    assert.equal([play.timers, verbs(play), play.assignment.lastSeq], [[], ['place'], seq]);
    assert.is(play.doc.restarts.length, seq - 4, 'X6: it counts');
    play.again();
  }
  play.lost();
  assert.equal([play.segment.attempt, play.segment.phase, play.timers], [4, 'backoff', ['retry-0']]);
});

test('X10: delays after fruitless attempts grow from the first to the most, each with some chance in it', () => {
  const delays: number[] = [];
  const play = new Play('cam', { backoffMostMs: 1_000 }).toActive({ restart: { intensity: 100, periodMs: 1 } });
  play.exited(crash(), { seq: 5 });
  play.again();
  for (let i = 0; i < 4; i++) {
    play.exited(crash());
    delays.push((play.record.timers['retry-0']?.at ?? 0) - play.now);
    play.again();
  }
  delays.forEach((delayMs, i) => {
    const base = Math.min(200 * 2 ** i, 1_000);
    assert.ok(delayMs >= 0.8 * base && delayMs <= 1.2 * base, `${delayMs} is not near ${base}`);
    assert.is.not(delayMs, base);
  });
});

test('X7: a runner that does not answer a stop is stopped at the log with the next attempt number, and then killed', () => {
  const play = new Play().toActive();
  play.command('stop');
  const stopped = play.ref;
  assert.equal(
    play.errands.map(errand => errand.body),
    [{ ...stopped, node: 'n1', mode: 'close' }],
  );
  play.fire('overdue-0');
  const [close, kill] = play.errands;
  assert.equal([close?.kind, close?.body], ['close-log', { ...stopped, attempt: 2 }]);
  assert.equal([kill?.kind, kill?.body], ['stop-runner', { ...stopped, node: 'n1', mode: 'kill' }]);
  play.settle();
  assert.equal([play.doc.state, play.doc.outcome, play.errands], ['inactive', 'stopped', []]);
});

test('X7: a node that knows no such runner any more is not waited for', () => {
  const play = new Play().toActive();
  play.command('stop');
  play.deliver('signal', 'stopping', { key: attemptKey(play.ref), known: false });
  assert.equal([play.timers, play.errands.map(errand => errand.kind)], [[], ['close-log']]);
});

test('a stop before anything was placed withdraws the placement and closes the log', () => {
  const play = new Play();
  play.create();
  const { attempt: _, ...ref } = play.ref;
  play.command('stop');
  assert.equal(
    play.lastTold.map(message => [message.verb, message.body]),
    [['withdraw', { ...ref, attempt: 1 }]],
  );
  assert.equal(
    play.errands.map(errand => errand.body),
    [
      { ...ref, attempt: 2 },
      { ...ref, attempt: 1, node: '*', mode: 'kill' },
    ],
  );
});

test('L5: the log of a deleted scenario is removed when what was being placed is gone from every node', () => {
  const play = new Play();
  play.create();
  const first = play.ref;
  play.command('stop');
  play.deliver('signal', 'closed', { run: 1, segment: 0, result: 'closed', seq: 2 });
  assert.is(play.doc.state, 'inactive');
  play.command('delete');
  assert.equal(
    play.errands.map(errand => errand.kind),
    ['stop-runner'],
  );
  play.deliver('signal', 'reaped', { key: attemptKey(first), known: true });
  assert.equal(
    play.errands.map(errand => errand.kind),
    ['purge-log'],
  );
});

test('a stop between two attempts makes no further one', () => {
  const play = new Play().toActive();
  play.exited(crash(), { seq: 5 });
  play.again();
  play.exited(crash());
  play.command('stop');
  assert.equal([play.timers, play.errands.map(errand => errand.kind)], [[], ['close-log']]);
});

test('no node that can take it: in_startup_processing with every node’s reason; what all refuse for good fails, withdrawn once', () => {
  const play = new Play();
  play.create();
  play.unplaced();
  assert.equal([play.doc.state, play.doc.reason], ['in_startup_processing', 'no node with the runner role is alive']);
  const gone = { node: 'a', code: 'source_unreadable', message: 'not there' };
  play.unplaced(gone, { node: 'b', code: 'unavailable', message: 'all slots are taken' });
  assert.equal([play.doc.state, play.doc.reason], ['in_startup_processing', 'a: not there; b: all slots are taken']);
  play.placed();
  assert.is(play.doc.reason, null);
  const failing = new Play();
  failing.create();
  failing.unplaced(gone, { ...gone, node: 'b' });
  assert.equal(verbs(failing), ['withdraw']);
  failing.settle();
  assert.equal(
    [failing.doc.outcome, failing.doc.error],
    ['failed', { code: 'source_unreadable', message: 'not there' }],
  );
});

test('X9: a run that had a node waits while that node is away, whatever the others refuse; it fails when that node refuses too', () => {
  const gone = { node: 'a', code: 'source_unreadable', message: 'not there' };
  for (const early of [false, true]) {
    const play = new Play().toActive();
    assert.is(play.segment.lastNode, 'n1');
    const first = play.ref;
    play.exited('shutdown', { seq: 5 });
    // The word that an attempt was taken may come when it has ended, or another is on its way.
    if (early) play.record = { ...play.record, state: { ...play.doc, segments: [withoutLastNode(play.segment)] } };
    if (early) play.placed('n1', first);
    play.unplaced(gone, { ...gone, node: 'b' });
    assert.equal([play.segment.phase, play.doc.reason], ['placing', 'a: not there; b: not there']);
    play.unplaced(gone, { ...gone, node: 'n1', message: 'gone too' });
    assert.equal(play.doc.error, { code: 'source_unreadable', message: 'a: not there; n1: gone too' });
  }
  const ended = new Play();
  ended.create();
  ended.exited(crash());
  ended.placed('n7');
  assert.equal([ended.segment.phase, ended.segment.lastNode], ['backoff', 'n7']);
});

test('X9: a new run was never placed; nor, as far as one can tell, was one of a document of an older version', () => {
  const gone = { node: 'a', code: 'source_unreadable', message: 'not there' };
  const again = new Play().toActive().toStopped();
  again.command('start', { from: 'start' });
  again.unplaced(gone);
  assert.equal(again.doc.error?.code, 'source_unreadable');
  const old = new Play().toActive();
  old.exited('shutdown', { seq: 5 });
  old.record = { ...old.record, state: { ...old.doc, segments: [withoutLastNode(old.segment)] } };
  old.unplaced(gone);
  assert.equal(old.doc.error?.code, 'source_unreadable');
});

test('X9: a segment that has not run yet waits for the nodes that ran its siblings', () => {
  const gone = { node: 'a', code: 'source_unreadable', message: 'not there' };
  const play = new Play();
  play.create();
  play.placed('n1');
  const next = { ...withoutLastNode(play.segment), segment: 1, phase: 'placing' as const };
  play.record = { ...play.record, state: { ...play.doc, segments: [play.segment, next] } };
  const second = { ...play.ref, segment: 1 };
  play.deliver('signal', 'unplaced', { ...second, refusals: [gone], more: 0 });
  assert.equal([play.doc.segments[1]?.phase, play.doc.error], ['placing', null]);
  play.deliver('signal', 'unplaced', { ...second, refusals: [gone, { ...gone, node: 'n1' }], more: 0 });
  assert.is(play.doc.error?.code, 'source_unreadable');
});

test('a reason names every node that was told of, and is bounded', () => {
  const play = new Play();
  play.create();
  const full = { code: 'unavailable', message: 'all 4 slots are taken' };
  play.deliver('signal', 'unplaced', { ...play.ref, refusals: [{ node: 'a', ...full }], more: 7 });
  assert.is(play.doc.reason, 'a: all 4 slots are taken; and 7 more nodes');
  const many = Array.from({ length: LIMITS.refusalsTold }, (_, i) => ({
    node: `n${i}`,
    code: 'unavailable',
    message: 'x'.repeat(LIMITS.refusalChars),
  }));
  play.deliver('signal', 'unplaced', { ...play.ref, refusals: many, more: 0 });
  assert.is(play.doc.reason?.length, LIMITS.reasonChars);
});

test('an attempt that its orchestrator put off waits with the reason, and asks again; when it is no longer wanted it does not', () => {
  const play = new Play();
  play.create();
  play.deliver('sys', 'postponed', play.ref);
  assert.is(play.doc.state, 'in_startup_processing');
  assert.match(play.doc.reason ?? '', /^\d+ attempts wait for a node before this one$/);
  play.fire('ask-0');
  assert.equal(play.lastTold, [{ to: play.told[0]?.to, verb: 'place', body: play.ref }]);
  play.deliver('sys', 'postponed', play.ref);
  play.deliver('sys', 'postponed', { ...play.ref, attempt: 7 });
  play.placed();
  play.fire('ask-0');
  assert.equal([play.lastTold, play.segment.phase, play.doc.reason], [[], 'running', null]);
});

test('liveness starts at dispatch: a placed attempt is watched before its first beat; silence kills it and makes the next', () => {
  const play = new Play();
  play.create();
  assert.equal(play.monitors, []);
  play.placed();
  assert.equal(
    play.monitors.map(monitor => monitor.key),
    [attemptKey(play.ref)],
  );
  const old = play.ref;
  play.lost();
  assert.equal([play.segment.phase, play.monitors], ['backoff', []]);
  assert.equal(
    play.errands.map(errand => errand.body),
    [{ ...old, node: 'n1', mode: 'kill' }],
  );
  play.fire('retry-0');
  assert.is(play.assignment.attempt, 2);
});

test('an engine that changed is noted', () => {
  const play = new Play().toActive({ allowMixedEngine: true });
  play.exited(crash(), { seq: 5 });
  assert.is(play.assignment.engine, null);
  play.placed('n2', play.ref, { ...ENGINE, cpu: 'other' });
  assert.match(play.doc.warnings.join(), /engine changed/);
  const strict = new Play().toActive();
  strict.exited(crash(), { seq: 5 });
  assert.equal(strict.assignment.engine, ENGINE);
});

test.run();
