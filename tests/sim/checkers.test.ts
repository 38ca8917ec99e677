/** Each checker is content with what happened, and goes red when one thing in it is broken. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { toJson } from '../../src/domain/json.ts';
import { BUCKETS, kvSubject, STREAMS, SUBJECTS } from '../../src/domain/subjects.ts';
import { CHECKERS, PROMISES, type PromiseName } from './checkers.ts';
import { FAULTS, OPERATIONS, Weather } from './faults.ts';
import { type Ending, type Event, type Evidence, History, type StoredRecord } from './history.ts';
import { addOutcome, emptyCells, emptyReport } from './report.ts';
import { shrink } from './shrink.ts';
import { type Outcome, simulate } from './simulate.ts';
import { type Plan, quietPlan, type ScenarioPlan, type Strike } from './storm.ts';

const FRAMES = 20;
const request = { source: { uri: `v${FRAMES}` }, model: 'scripted' };
const command = (atMs: number, verb: string, body: unknown = {}): Strike => ({
  atMs,
  deed: { kind: 'command', scenario: 'a', verb, body, way: { kind: 'bare', times: 1 } },
});
const PLAN: Plan = {
  ...quietPlan(1, [{ name: 'n1', roles: ['orchestrator', 'runner', 'api'], slots: 4, wallOffsetMs: 0, rate: 1 }]),
  scenarios: [
    {
      id: 'a',
      frames: FRAMES,
      poison: null,
      onFrameError: 'fail',
      wanted: 'completed',
      restart: { intensity: 5, periodMs: 60_000 },
    },
  ],
  strikes: [
    command(0, 'start', request),
    { atMs: 2_500, deed: { kind: 'kill runner', scenario: 'a' } },
    command(3_500, 'begin', { rubbish: 1 }),
  ],
  stormMs: 4_000,
};

let run: Outcome;
const test = suite('checkers');

test.before(async () => {
  run = await simulate(PLAN);
});

test('what happened in a quiet run breaks no promise, and has what the tests below break', () => {
  assert.equal(run.violations, []);
  const attempts = run.evidence.history.logs().flatMap(life => life.lines.map(line => line.record.attempt));
  assert.equal([...new Set(attempts)], [1, 2]);
});

/** The evidence with other events, numbered anew. */
function withEvents(edit: (events: readonly Event[]) => readonly Event[]): Evidence {
  const all = edit(run.evidence.history.all).map((event, index): Event => ({ ...event, index }));
  return { ...run.evidence, history: new History(all) };
}
const withEnding = (ending: Partial<Ending>): Evidence => ({
  ...run.evidence,
  ending: { ...run.evidence.ending, ...ending },
});

const isStored = (event: Event, subject: string, words: string): boolean =>
  event.kind === 'stored' && event.subject === subject && Buffer.from(event.body).includes(words);
const LOG = SUBJECTS.log({ scenario: 'a', run: 1, segment: 0 });
const DOC = kvSubject(BUCKETS.state, 'scenario.a');
const stored = (events: readonly Event[], subject: string, words: string): Event[] =>
  events.filter(event => isStored(event, subject, words));
const recordIn = (event: Event): StoredRecord & { readonly state: object } =>
  JSON.parse(event.kind === 'stored' ? Buffer.from(event.body).toString() : 'null');
/** What is stored, with something else in it. */
const rewritten = (event: Event, from: string, to: string): Event =>
  event.kind === 'stored'
    ? { ...event, body: Buffer.from(Buffer.from(event.body).toString().replace(from, to)) }
    : event;
const without = (events: readonly Event[], gone: Event | undefined): Event[] => events.filter(event => event !== gone);
const launched = (attempt: number): Event => ({
  kind: 'launched',
  process: `attempt ${attempt}`,
  attempt: { scenario: 'a', run: 1, segment: 0, attempt },
  atMs: 0,
  index: 0,
});
const letterOf = (verb: string, seq: number, headers: Readonly<Record<string, string>>): Event => ({
  kind: 'stored',
  stream: STREAMS.mailbox,
  subject: SUBJECTS.mailboxStored(0, 'scenario', 'a', 'cmd', verb),
  seq,
  headers,
  body: Buffer.from('{}'),
  atMs: 0,
  index: 0,
});
const calmOf = (events: readonly Event[]): number => events.findIndex(event => event.kind === 'calm');

const BROKEN: Readonly<Record<PromiseName, Readonly<Record<string, () => Evidence>>>> = {
  'every selected frame once and in order': {
    'a batch is missing': () => withEvents(events => without(events, stored(events, LOG, '"kind":"frames"')[1])),
    'a batch comes twice': () =>
      withEvents(events =>
        events.flatMap(event => (event === stored(events, LOG, '"kind":"frames"')[1] ? [event, event] : [event])),
      ),
    'a frame has the result of another': () =>
      withEvents(events =>
        events.map(event => (isStored(event, LOG, '"box":[7,') ? rewritten(event, '"box":[7,', '"box":[8,') : event)),
      ),
    'it is completed without an end': () =>
      withEvents(events => without(events, stored(events, LOG, '"kind":"end"')[0])),
  },
  'no write by a stale attempt or owner after a newer one': {
    'an attempt writes after the next one': () =>
      withEvents(events => {
        const stale = stored(events, LOG, '"attempt":1,')[0] as Event;
        return [...events, stale];
      }),
    'two writers of one attempt': () =>
      withEvents(events => {
        const last = stored(events, LOG, '"kind":"frames"').at(-1) as Event;
        return events.map(event => (event === last ? rewritten(event, '"nonce":"', '"nonce":"x') : event));
      }),
    'an owner of a lower epoch': () =>
      withEvents(events => {
        const last = stored(events, DOC, '"epoch"').at(-1) as Event;
        return [...events, { ...last, body: toJson({ ...recordIn(last), epoch: 0 }) } as Event];
      }),
  },
  'each accepted command once': {
    'a command is carried out twice': () =>
      withEvents(events => {
        const first = stored(events, DOC, '"causationId":"mailbox.1"')[0] as Event;
        const record = recordIn(first);
        const outbox = record.outbox.map(message => ({
          ...message,
          number: [message.number[0] + 1, message.number[1]],
        }));
        return [...events, { ...first, body: toJson({ ...record, outbox }) } as Event];
      }),
    'a command is never looked at': () => withEvents(events => [...events, letterOf('stop', 1_000, {})]),
    'a stop is thrown away': () =>
      withEvents(events => {
        const at = events.findIndex(event => isStored(event, DOC, '"state":"active"'));
        const record = recordIn(events[at] as Event);
        const letter = letterOf('stop', 1_000, {});
        const ignored = { ...events[at], body: toJson({ ...record, cursor: 1_000, outbox: [] }) } as Event;
        return [...events.slice(0, at + 1), letter, ignored, ...events.slice(at + 1)];
      }),
    'an answer tells of what was not done yet': () =>
      withEvents(events => [
        ...events,
        letterOf('stop', 1_000, { 'Troupe-Id': 'request.r1' }),
        { kind: 'answered', request: 'r1', changed: true, problem: null, atMs: 0, index: 0 },
      ]),
    'one that nobody can carry out is not refused': () =>
      withEvents(events =>
        events
          .filter(event => event.kind !== 'stored' || event.stream !== STREAMS.rejected)
          .map(event =>
            isStored(event, DOC, 'troupe.rejected') ? rewritten(event, 'troupe.rejected', 'troupe.event') : event,
          ),
      ),
  },
  'states only along the machine': {
    'a state is left out': () =>
      withEvents(events => events.map(event => rewritten(event, '"to":"in_startup_processing"', '"to":"active"'))),
    'a state without a transition': () =>
      withEvents(events => {
        const last = stored(events, DOC, '"state":"inactive"').at(-1) as Event;
        return [...events, rewritten(last, '"state":"inactive"', '"state":"active"')];
      }),
  },
  'late messages revive nothing': {
    'a record while it is inactive': () =>
      withEvents(events => [...events, stored(events, LOG, '"attempt":2,')[1] as Event]),
    'it begins again by what was no command': () =>
      withEvents(events => {
        const first = stored(events, DOC, '"state":"init_startup"')[0] as Event;
        return [...events, rewritten(first, '"causationId":"mailbox.1"', '"causationId":"timer"')];
      }),
    'a runner of an attempt that nobody numbered': () => withEvents(events => [...events, launched(9)]),
  },
  'restarts within limits': {
    'six launches in a row without a frame': () =>
      withEvents(events => [...events, ...Array.from({ length: 6 }, () => launched(1))]),
    'more fruitless ones in a period than it may have': () => {
      const [scenario] = PLAN.scenarios;
      const evidence = withEvents(events => [...events, launched(1), launched(2), launched(3)]);
      const strict = { ...scenario, restart: { intensity: 1, periodMs: 60_000 } } as ScenarioPlan;
      return { ...evidence, plan: { ...PLAN, scenarios: [strict] } };
    },
    'it fails at the first death of a runner': () =>
      withEvents(events => events.map(event => rewritten(event, '"outcome":"completed"', '"outcome":"failed"'))),
    'it fails for good, and nothing has happened that never passes': () =>
      withEvents(events =>
        events.map(event =>
          rewritten(
            rewritten(event, '"outcome":"completed"', '"outcome":"failed"'),
            '"error":null',
            '"error":{"code":"model_unsupported","message":""}',
          ),
        ),
      ),
  },
  'stop order: a log is closed before its scenario is inactive, and gone only after a DELETE': {
    'it is inactive before its log is closed': () =>
      withEvents(events => {
        const end = stored(events, LOG, '"kind":"end"')[0] as Event;
        return [...without(events, end), end];
      }),
    'a log is removed while it runs': () =>
      withEvents(events => {
        const at = calmOf(events);
        const purge = {
          kind: 'purged',
          stream: STREAMS.log,
          filter: SUBJECTS.logOfScenario('a'),
          throughSeq: 99,
        } as const;
        return [...events.slice(0, at), { ...purge, atMs: 0, index: 0 }, ...events.slice(at)];
      }),
  },
  'everything is done in bounded time when faults end': {
    'it is not': () => withEnding({ converged: false }),
  },
  'each projection equals the log': {
    'a frame is missing': () =>
      withEnding({
        shown: run.evidence.ending.shown.map(shown => ({ ...shown, predictions: shown.predictions.slice(1) })),
      }),
    'a detection is lost': () =>
      withEnding({
        shown: run.evidence.ending.shown.map(shown => ({
          ...shown,
          predictions: shown.predictions.map((prediction, i) =>
            i === 3 ? { ...prediction, detections: [] } : prediction,
          ),
        })),
      }),
    'there is nothing of a run': () => withEnding({ shown: [] }),
    'there is something of a run that was removed': () =>
      withEnding({
        shown: run.evidence.ending.shown.flatMap(shown => [shown, { ...shown, run: 7 }]),
      }),
    'a list is empty': () => withEnding({ mirrored: [] }),
    'the end is missing': () =>
      withEnding({ shown: run.evidence.ending.shown.map(shown => ({ ...shown, ended: false })) }),
    'a list is behind': () =>
      withEnding({ mirrored: run.evidence.ending.mirrored.map(listed => ({ ...listed, state: 'active' })) }),
  },
  'no orphan': {
    'a runner is left': () =>
      withEvents(events => events.filter(event => event.kind !== 'died' || !event.process.startsWith('a.1.0.2'))),
  },
  'no actor meets a defect': { 'one has': () => withEnding({ defects: ['a defect'] }) },
};

for (const promise of PROMISES) {
  for (const [how, broken] of Object.entries(BROKEN[promise]))
    test(`${promise}: seen when ${how}`, () => {
      assert.ok(CHECKERS[promise](broken()).length > 0);
    });
}

test('a plan with fewer faults meets the same ones as before where they are left', () => {
  const settings = { seed: 7, rate: 0.3, operations: new Set(OPERATIONS) };
  const all = new Weather({ ...settings, only: null });
  for (let turn = 0; turn < 200; turn++) all.decide('n1', 'store.put', 42, turn);
  const some = all.met.filter((_, i) => i % 3 === 0);
  const fewer = new Weather({ ...settings, only: new Set(some.map(({ id }) => id)) });
  for (let turn = 0; turn < 200; turn++) fewer.decide('n1', 'store.put', 42, turn);
  assert.equal(fewer.met, some);
  assert.equal(new Set(all.met.map(({ fault }) => fault)), new Set(FAULTS['store.put']));
});

test('a fault that no run has met is told of', () => {
  const report = emptyReport();
  addOutcome(report, run);
  assert.ok(emptyCells(report).includes('store.put pending'));
});

test('a failing plan is made small: only what breaks the promise is left', async () => {
  const noise: Strike[] = [1_000, 2_000, 3_000].map(atMs => ({ atMs, deed: { kind: 'kill runner', scenario: 'a' } }));
  const strikes: Strike[] = [
    ...PLAN.strikes.slice(0, 1),
    ...noise,
    {
      atMs: 3_500,
      deed: { kind: 'command', scenario: 'p', verb: 'start', body: request, way: { kind: 'bare', times: 1 } },
    },
  ];
  // It is said that every decoder fails, and none does: so `p` is completed, and must not be.
  const poisoned = {
    id: 'p',
    frames: FRAMES,
    poison: 3,
    onFrameError: 'fail',
    wanted: 'completed',
    restart: { intensity: 5, periodMs: 1 },
  } as const;
  const failed = await simulate({ ...PLAN, scenarios: [...PLAN.scenarios, poisoned], strikes });
  assert.ok(failed.violations.some(({ promise }) => promise === 'restarts within limits'));
  const { outcome } = await shrink(failed, 60);
  assert.ok(outcome.violations.some(({ promise }) => promise === 'restarts within limits'));
  assert.ok(outcome.plan.strikes.length <= 1, JSON.stringify(outcome.plan.strikes));
});

test.run();
