/** The search for broken promises finds each of them: a whole run, and the same run with one thing wrong. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { LogEntry } from '../../src/actors/ports/prediction-log.ts';
import type { LogRecord, Position } from '../../src/domain/log-record.ts';
import { predictionLine } from '../../src/domain/prediction.ts';
import type { ScenarioState } from '../../src/domain/scenario.ts';
import { endRecord, framesRecord, openRecord } from '../support/log-records.ts';
import { broken, type Left, type Moved, movesOf } from './promises.ts';

const test = suite('broken promises');
const START_MS = 1_000;

const entries = (records: readonly LogRecord[]): LogEntry[] =>
  records.map((record, i) => ({
    key: { scenario: 'cam', run: 1, segment: 0 },
    seq: 10 + i,
    record,
    at: START_MS + i,
    bytes: 1,
  }));
const positionAt = (frames: number): Position | null => (frames === 0 ? null : framesRecord(1, 1, 0, frames).position);
const at = <T extends LogRecord>(record: T, frames: number): T => ({ ...record, position: positionAt(frames) });
const closedAt = (attempt: number, frames: number): LogRecord => {
  const { nonce: _, n: __, source: ___, engine: ____, ...head } = openRecord(attempt);
  return { ...head, kind: 'closed', position: positionAt(frames) };
};

/** Two batches, a death, a stop that its supervisor wrote, a third attempt that ends. */
const whole: readonly LogRecord[] = [
  at(openRecord(1), 0),
  framesRecord(1, 1, 0, 4),
  at(openRecord(2), 4),
  framesRecord(2, 1, 4, 4),
  closedAt(3, 8),
  at(openRecord(4), 8),
  framesRecord(4, 1, 8, 2),
  at(endRecord(4, 2, 10), 10),
];
const move = (from: ScenarioState | null, to: ScenarioState, ms: number): Moved => ({
  key: `${from} ${to} ${ms}`,
  at: ms,
  from,
  to,
});
const moves: readonly Moved[] = [
  move(null, 'init_startup', 990),
  move('init_startup', 'in_startup_processing', 995),
  move('in_startup_processing', 'active', 1001),
  move('active', 'init_shutdown', 1003),
  move('init_shutdown', 'in_shutdown_processing', 1004),
  move('in_shutdown_processing', 'inactive', 1004),
  move('inactive', 'init_startup', 1004.5),
  move('init_startup', 'in_startup_processing', 1005),
  move('in_startup_processing', 'active', 1006),
  move('active', 'in_shutdown_processing', 1008),
  move('in_shutdown_processing', 'inactive', 1009),
];
const lines = Array.from({ length: 10 }, (_, frame) => predictionLine({ frame, ptsMs: null, detections: [] }));

const left = (log: readonly LogRecord[] = whole, more: Partial<Left> = {}): Left => ({
  id: 'cam',
  log: entries(log),
  moves,
  history: moves,
  outcome: 'completed',
  threshold: 0.25,
  deaths: [],
  gaveUpAt: [],
  expected: `${lines.join('\n')}\n`,
  ...more,
});
/** The log with some records in place of one. */
const instead = (index: number, ...records: readonly LogRecord[]): Left => left(whole.toSpliced(index, 1, ...records));
const without = (index: number): Left => instead(index);
const also = (index: number, record: LogRecord): Left => left(whole.toSpliced(index, 0, record));

const deathsOf = (...attempts: readonly number[]) => attempts.map(attempt => ({ attempt, at: 1006.2 }));

test('PR8: five attempts without a frame since the start are enough to give up, whatever earlier ones did', () => {
  const deaths = [{ attempt: 2, at: 1002 }, ...deathsOf(5, 6, 7, 8, 9)];
  assert.equal(broken(left(whole, { deaths, gaveUpAt: [1006.5] })), []);
});

test('PR6: a transition was when its commit was stored; a fact that was stated later does not excuse what came between', () => {
  const facts = moves.map(({ key, at, from, to }) => ({
    scenario: 'cam',
    type: 'state',
    at: at + 500,
    key,
    body: { from, to },
  }));
  const committedAt = new Map(moves.map(({ key, at }) => [key, at]));
  assert.equal(movesOf({ facts, committedAt }, 'cam'), moves);
  const early = new Map([...committedAt].map(([key, at]) => [key, at === 1009 ? 1006.5 : at]));
  const found = broken(left(whole, { moves: movesOf({ facts, committedAt: early }, 'cam') }));
  assert.match(found.join(), 'PR6 cam: it became inactive over a log that had frames last');
  assert.equal(
    movesOf({ facts, committedAt: new Map() }, 'cam').map(({ at }) => at),
    moves.map(({ at }) => at + 500),
  );
});

test('a run that keeps every promise breaks none, also when its facts were stored twice', () => {
  assert.equal(broken(left()), []);
  assert.equal(broken(left(whole, { moves: [...moves, ...moves.slice(-3)] })), []);
});

for (const [name, wrong, promise] of [
  [
    'an older attempt opens after a newer one',
    also(5, at(openRecord(2), 8)),
    /^PR1 cam: record 15 .* begins after attempt 3/,
  ],
  ['an attempt opens twice', also(3, at(openRecord(2, 'other'), 4)), /^PR1 cam: .*begins after attempt 2/],
  [
    'an older attempt writes after a newer one has opened',
    also(4, framesRecord(1, 2, 8, 2)),
    /^PR1 cam: .*not of the attempt that opened the log last \(2\)/,
  ],
  [
    'another process writes under the same attempt',
    instead(3, { ...framesRecord(2, 1, 4, 4), nonce: 'other' }),
    /^PR1 cam: .*not of the attempt/,
  ],
  ['a batch comes before any open', without(0), /^PR1 cam: .*\(none\)/],
  ['a record is there twice', also(2, framesRecord(1, 1, 0, 4)), /^PR2 cam: .*number 1 after 1/],
  ['a record is missing', without(1), /^PR3 cam: /],
  ['frames are passed twice', instead(3, framesRecord(2, 1, 2, 6)), /^PR3 cam: .*begins at frame 2, due was 4/],
  ['frames are left out', instead(3, framesRecord(2, 1, 5, 3)), /^PR3 cam: .*begins at frame 5, due was 4/],
  [
    'a batch counts wrongly',
    instead(1, { ...framesRecord(1, 1, 0, 4), position: { ...framesRecord(1, 1, 0, 4).position, frames: 5 } }),
    /^PR3 cam: .*does not add up to 5/,
  ],
  [
    'frames are out of order',
    instead(1, { ...framesRecord(1, 1, 0, 4), predictions: framesRecord(1, 1, 0, 4).predictions.toReversed() }),
    /^PR3 cam: .*out of its order/,
  ],
  ['an open stands elsewhere', instead(2, at(openRecord(2), 3)), /^PR3 cam: .*stands elsewhere/],
  ['the end counts wrongly', instead(7, at(endRecord(4, 2, 9), 10)), /^PR3 cam: .*counts 9 frames of 10/],
  ['something follows the end', left([...whole, at(openRecord(5), 10)]), /^PR4 cam: .*follows the end/],
  [
    'the same attempt goes on after its log was closed',
    instead(4, closedAt(3, 8), framesRecord(3, 2, 8, 2)),
    /^PR4 cam: .*follows a log that was closed/,
  ],
  [
    'a state is left out',
    left(whole, { moves: moves.toSpliced(2, 1) }),
    /^PR5 cam: active → init_shutdown is stated after/,
  ],
  [
    'a state comes that the machine has not',
    left(whole, { moves: moves.toSpliced(3, 3, move('active', 'inactive', 1004)) }),
    /^PR5 cam: active → inactive is no way/,
  ],
  ['the history tells it otherwise', left(whole, { history: moves.slice(0, 3) }), /^PR5 cam: stated is/],
  [
    'it is inactive before its log has an end',
    left(whole, { moves: moves.toSpliced(10, 1, move('in_shutdown_processing', 'inactive', 1006.5)) }),
    /^PR6 cam: it became inactive over a log that had frames last/,
  ],
  [
    'something is written while it is inactive',
    left(whole, { moves: moves.toSpliced(6, 1, move('inactive', 'init_startup', 1005.5)) }),
    /^PR6 cam: record 15 \(open\) was written while/,
  ],
  ['it is completed without an end', without(7), /^PR7 cam: .*its log has 0 ends/],
  [
    'a result is another',
    instead(6, {
      ...framesRecord(4, 1, 8, 2),
      predictions: [...framesRecord(4, 1, 8, 1).predictions, { frame: 9, ptsMs: 1, detections: [] }],
    }),
    /^PR7 cam: result 9 is .*"ptsMs":1/,
  ],
  [
    'a result is missing',
    left(whole, { expected: `${[...lines, predictionLine({ frame: 10, ptsMs: null, detections: [] })].join('\n')}\n` }),
    /^PR7 cam: it has 10 results of 11/,
  ],
  [
    'it gives up too soon',
    left(whole, { deaths: [{ attempt: 2, at: 1002 }, ...deathsOf(5, 6, 7, 8)], gaveUpAt: [1006.5] }),
    /^PR8 cam: it gave up after 4 attempts/,
  ],
  [
    'it gives up though one of the last attempts got somewhere',
    left(whole, { deaths: deathsOf(4, 5, 6, 7, 8), gaveUpAt: [1006.5] }),
    /^PR8 cam: it gave up over attempts 4, 5, 6, 7, 8, of which 4 had committed frames/,
  ],
] as const)
  test(`${promise.source.slice(1, 4)}: ${name}`, () => {
    const found = broken(wrong);
    assert.ok(
      found.some(sentence => promise.test(sentence)),
      found.join('\n'),
    );
  });

test.run();
