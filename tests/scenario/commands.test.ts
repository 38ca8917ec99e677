/** Every command in every state: what is answered, and where the scenario then stands (docs: API, scenarios). */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HEADERS } from '../../src/domain/subjects.ts';
import { crash, Play, REQUEST } from './play.ts';

/** How to get there, by a name. */
const STATES: Record<string, () => Play> = {
  init_startup: () => {
    const play = new Play();
    play.create();
    return play;
  },
  'in_startup_processing, unplaced': () => {
    const play = STATES['init_startup']?.() ?? new Play();
    play.unplaced({ node: 'n1', code: 'unavailable', message: 'full' });
    return play;
  },
  'in_startup_processing, placed': () => {
    const play = STATES['init_startup']?.() ?? new Play();
    play.placed();
    return play;
  },
  active: () => new Play().toActive(),
  'active, waiting for a restart': () => {
    const play = new Play().toActive();
    play.exited(crash(), { seq: 5 });
    return play;
  },
  init_shutdown: () => {
    const play = new Play().toActive();
    play.command('stop');
    return play;
  },
  in_shutdown_processing: () => {
    const play = STATES['init_shutdown']?.() ?? new Play();
    play.settle();
    return play;
  },
  'inactive, never started': () => {
    const play = new Play();
    play.create({ start: false });
    return play;
  },
  'inactive, stopped': () => new Play().toActive().toStopped(),
  'inactive, failed': () => {
    const play = new Play().toActive();
    play.exited(crash('gone', 'source_changed'), { seq: 5 });
    play.settle();
    return play;
  },
  'inactive, completed': () => {
    const play = new Play().toActive();
    play.exited('normal', { result: 'end', seq: 9 });
    return play;
  },
};

const COMMANDS: Record<string, (play: Play) => ReturnType<Play['command']>> = {
  create: play => play.create(),
  start: play => play.command('start'),
  'start the same': play => play.command('start', REQUEST),
  'start another': play => play.command('start', { ...REQUEST, threshold: 0.9 }),
  'start afresh': play => play.command('start', { from: 'start' }),
  stop: play => play.command('stop'),
  delete: play => play.command('delete'),
};

const starting = {
  create: 'scenario_exists',
  start: 'unchanged',
  'start the same': 'unchanged',
  'start another': 'spec_conflict',
  'start afresh': 'illegal_transition',
  delete: 'scenario_running',
};
const ending = {
  ...starting,
  start: 'illegal_transition',
  'start the same': 'illegal_transition',
  stop: 'changed',
};
const ended = {
  create: 'scenario_exists',
  start: 'changed init_startup',
  'start the same': 'changed init_startup',
  'start another': 'spec_conflict',
  'start afresh': 'changed init_startup run 2',
  stop: 'unchanged',
  delete: 'no answer before the log is gone',
};
const EXPECTED: Record<string, Record<string, string>> = {
  init_startup: { ...starting, stop: 'changed in_shutdown_processing' },
  'in_startup_processing, unplaced': { ...starting, stop: 'changed in_shutdown_processing' },
  'in_startup_processing, placed': { ...starting, stop: 'changed init_shutdown' },
  active: { ...starting, stop: 'changed init_shutdown' },
  'active, waiting for a restart': { ...starting, stop: 'changed in_shutdown_processing' },
  init_shutdown: ending,
  in_shutdown_processing: ending,
  'inactive, never started': ended,
  'inactive, stopped': ended,
  'inactive, failed': ended,
  'inactive, completed': { ...ended, start: 'unchanged', 'start the same': 'unchanged' },
};

/** What the caller learns, in words; the scenario in the answer is the one committed. */
function outcome(play: Play, command: string): string {
  const before = play.doc;
  const answer = COMMANDS[command]?.(play);
  if (answer === undefined) return 'no answer before the log is gone';
  if (answer.problem !== undefined) {
    assert.equal(play.doc, before, 'a refusal changes nothing');
    assert.is(play.facts.at(-1)?.subject, 'troupe.rejected.scenario.cam');
    return answer.problem.code;
  }
  assert.equal(answer.scenario, play.doc);
  if (answer.changed === false) {
    assert.is(play.doc, before);
    return 'unchanged';
  }
  if (play.doc.state === before.state) return 'changed';
  return `changed ${play.doc.state}${play.doc.run === before.run ? '' : ` run ${play.doc.run}`}`;
}

const test = suite('commands of a scenario');

for (const [state, make] of Object.entries(STATES)) {
  test(`${state}: each command is answered as the API says`, () => {
    const found = Object.fromEntries(Object.keys(COMMANDS).map(command => [command, outcome(make(), command)]));
    assert.equal(found, EXPECTED[state]);
  });

  test(`${state}: a stop, or nothing to stop, ends in inactive with the log's end known, and says how`, () => {
    for (const logEnd of ['end', 'closed'] as const) {
      const play = make();
      const { outcome: before } = play.doc;
      play.command('stop');
      play.command('stop');
      for (let rounds = 0; play.doc.state !== 'inactive' && rounds < 5; rounds++) {
        play.settle(logEnd);
        if (play.timers.includes('overdue-0')) play.fire('overdue-0');
      }
      assert.is(play.doc.state, 'inactive');
      assert.is(play.doc.ending, null);
      assert.equal(
        play.errands.filter(errand => !errand.key.startsWith('reap')),
        [],
      );
      const wasEnded = state.startsWith('inactive');
      assert.is(play.doc.outcome, wasEnded ? before : logEnd === 'end' ? 'completed' : 'stopped');
    }
  });
}

test('a scenario that does not exist: create and a start with a body make one, all else is not found', () => {
  for (const verb of ['stop', 'delete', 'start']) {
    assert.is(new Play().command(verb)?.problem?.code, 'scenario_not_found');
  }
  const play = new Play();
  assert.is(play.command('start', REQUEST)?.changed, true);
  assert.is(play.doc.state, 'init_startup');
  assert.is(new Play().command('create', { ...REQUEST, colour: 'red' })?.problem?.code, 'invalid_request');
  assert.is(new Play().command('create', { model: 'shapes' })?.problem?.code, 'invalid_request');
  for (const wrong of [{ from: 'middle' }, { model: 'shapes' }, { sauce: 1 }, [], null])
    assert.is(new Play().command('start', wrong)?.problem?.code, 'invalid_request', JSON.stringify(wrong));
  assert.is(new Play().toActive().command('start', { from: 'middle' })?.problem?.code, 'invalid_request');
});

test('created with start:false it is inactive without an outcome, and nothing is asked of the world', () => {
  const play = new Play();
  const answer = play.create({ start: false });
  assert.equal([answer?.scenario?.state, answer?.scenario?.outcome], ['inactive', null]);
  assert.equal(play.path, ['inactive']);
  assert.equal(play.told, []);
});

test('idempotency: the same key and body answer the scenario of before, whatever the order of keys; another body is a conflict', () => {
  const play = new Play();
  const key = { [HEADERS.idempotencyKey]: 'k1' };
  play.create({ threshold: 0.5 }, key);
  const again = play.create({ threshold: 0.5 }, key);
  assert.equal([again?.changed, again?.problem], [false, undefined]);
  const { model, source } = REQUEST;
  assert.is(play.command('create', { threshold: 0.5, model, source }, key)?.changed, false);
  assert.is(play.create({ threshold: 0.6 }, key)?.problem?.code, 'idempotency_conflict');
  assert.is(play.create({ threshold: 0.5 }, { [HEADERS.idempotencyKey]: 'k2' })?.problem?.code, 'scenario_exists');
  assert.is(play.told.filter(message => message.verb === 'place').length, 1);
});

test('a scenario that is being deleted is no longer there; its id is free when its log is gone', () => {
  const play = new Play().toActive().toStopped();
  assert.is(play.command('delete', {}, {}, 'first'), undefined);
  assert.equal(
    play.errands.map(errand => errand.kind),
    ['purge-log'],
  );
  for (const verb of ['stop', 'start', 'delete']) {
    assert.is(play.command(verb, {}, {}, 'second')?.problem?.code, 'scenario_not_found');
  }
  assert.is(play.create()?.problem?.code, 'scenario_exists');
  const { answers } = play.deliver('signal', 'purged', {});
  assert.equal(answers, [{ inbox: 'first', body: { scenario: null, changed: true } }]);
  assert.is(play.state, null);
  assert.is(play.create()?.scenario?.state, 'init_startup');
});

test('a log is removed only when no runner that may still write to it is left to kill', () => {
  const play = new Play().toActive();
  play.command('stop');
  play.fire('overdue-0');
  assert.equal(play.errands.map(errand => errand.kind).sort(), ['close-log', 'stop-runner']);
  play.deliver('signal', 'closed', { run: 1, segment: 0, result: 'closed', seq: 9 });
  assert.is(play.doc.state, 'inactive');
  play.command('delete');
  assert.equal(
    play.errands.map(errand => errand.kind),
    ['stop-runner'],
  );
  play.settle();
  assert.equal(
    play.errands.map(errand => errand.kind),
    ['purge-log'],
  );
});

test('X8: run numbers of an id never repeat, not even over deletion', () => {
  const play = new Play().toActive().toStopped();
  play.command('start', { from: 'start' });
  play.progressed(20);
  play.toStopped();
  assert.equal([play.doc.run, play.doc.pastRuns.map(past => past.run)], [2, [1]]);
  play.command('delete');
  play.settle();
  assert.is(play.create()?.scenario?.run, 3);
  play.command('stop');
  play.settle();
  play.command('delete');
  play.settle();
  assert.is(play.create()?.scenario?.run, 4);
});

test('a new run begins with nothing of the old one but its record', () => {
  const play = new Play().toActive().toStopped();
  play.command('start', { from: 'start' });
  const { run, attempt, lastSeq, source, engine, modelSha256 } = play.assignment;
  assert.equal(
    { run, attempt, lastSeq, source, engine, modelSha256 },
    { run: 2, attempt: 1, lastSeq: 0, source: null, engine: null, modelSha256: null },
  );
  assert.equal(play.doc.pastRuns, [{ run: 1, complete: false, lastSeq: 9 }]);
});

test('going on after a stop is the next attempt of the same run, told what the log holds', () => {
  const play = new Play().toActive().toStopped();
  play.command('start');
  const { run, attempt, lastSeq } = play.assignment;
  assert.equal([run, attempt, lastSeq], [1, 2, 9]);
  assert.equal([play.doc.outcome, play.doc.reason, play.doc.error], [null, null, null]);
});

test('going on after a failure forgets the failure', () => {
  const play = STATES['inactive, failed']?.() ?? new Play();
  assert.is(play.doc.error?.code, 'source_changed');
  play.command('start');
  assert.equal([play.doc.outcome, play.doc.reason, play.doc.error], [null, null, null]);
});

test.run();
