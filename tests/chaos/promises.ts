/**
 * What Troupe promises of a run, looked for in what it left behind: the prediction log, the facts of its scenarios, and what is
 * known of each. Pure. Each promise that does not hold is a sentence that begins with its number.
 *
 * PR1 Attempts never fall along a log. One opens it once, before its first batch; what follows is its own until the next opens.
 * PR2 A writer's records count up from 0, and none is there twice.
 * PR3 Every record begins after the position of the one before: no frame is passed twice, none left out, and counts add up.
 * PR4 Nothing follows `end`. After `closed` only a newer attempt opens.
 * PR5 States go along the machine, each from where the one before went, and the same way as the scenario itself tells it.
 * PR6 `inactive` only when the log holds `end` or `closed`, with nothing written after it before the next start (L5).
 * PR7 Who is `completed` has exactly one `end`, and the frames that an undisturbed run has, each with the same result.
 * PR8 Who gives up has had as many attempts in a row, since it was started, as that takes, and the log has no frame of any of them.
 */
import { isDeepStrictEqual } from 'node:util';
import type { LogEntry } from '../../src/actors/ports/prediction-log.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { LogRecord, Position } from '../../src/domain/log-record.ts';
import { atThreshold, predictionLine } from '../../src/domain/prediction.ts';
import type { ScenarioState } from '../../src/domain/scenario.ts';
import { isLegal } from '../support/state-machine.ts';

/** A transition as its scenario's facts tell it, in the order they were stored. */
export interface Moved {
  /** Equal for a fact that was stored twice. */
  readonly key: string;
  /** Wall clock of the server when it was committed, or, where that is not known, stated, ms. */
  readonly at: number;
  readonly from: ScenarioState | null;
  readonly to: ScenarioState;
}

/** A fact of any scenario. */
export interface Stated {
  readonly scenario: string;
  readonly type: string;
  readonly at: number;
  readonly key: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** What was found: facts, and by their keys when they were committed, where that is known. */
export interface Found {
  readonly facts: readonly Stated[];
  readonly committedAt: ReadonlyMap<string, number>;
}

export const movesOf = ({ facts, committedAt }: Found, id: string): Moved[] =>
  facts.flatMap(({ scenario, type, key, at, body }) =>
    scenario === id && type === 'state'
      ? [{ key, at: committedAt.get(key) ?? at, from: body['from'] as Moved['from'], to: body['to'] as Moved['to'] }]
      : [],
  );

/** A scenario that gave up, in its own words: started again it goes on, as it does for a user. */
export const GAVE_UP = /attempts in a row committed no new frame/;

/** What scenarios state of attempts that ended without an end. */
export interface Attempts {
  readonly deaths: readonly { readonly attempt: number; readonly at: number }[];
  /** When it gave up. */
  readonly gaveUpAt: readonly number[];
}

export function attemptsOf({ facts, committedAt }: Found, id: string): Attempts {
  const own = facts.filter(({ scenario }) => scenario === id);
  const when = ({ key, at }: Stated): number => committedAt.get(key) ?? at;
  const isDeath = ({ type, body }: Stated): boolean =>
    type === 'lost' || (type === 'exited' && body['result'] === null);
  const isGivingUp = ({ type, body }: Stated): boolean => type === 'failed' && GAVE_UP.test(String(body['message']));
  return {
    deaths: own.filter(isDeath).map(fact => ({ attempt: Number(fact.body['attempt']), at: when(fact) })),
    gaveUpAt: own.filter(isGivingUp).map(when),
  };
}

export interface Left extends Attempts {
  readonly id: string;
  readonly log: readonly LogEntry[];
  readonly moves: readonly Moved[];
  /** As the committed scenario has them. */
  readonly history: readonly { readonly from: ScenarioState | null; readonly to: ScenarioState }[];
  readonly outcome: string | null;
  readonly threshold: number;
  /** The JSONL export of an undisturbed run. */
  readonly expected: string;
}

/** @returns a sentence for each promise that does not hold */
export function broken(left: Left): string[] {
  return [...ofLog(left.log), ...ofStates(left), ...ofEnd(left), ...ofResult(left), ...ofGivingUp(left)].map(
    sentence => `${sentence.slice(0, 3)} ${left.id}: ${sentence.slice(4)}`,
  );
}

function* ofLog(log: readonly LogEntry[]): Generator<string> {
  let last: LogRecord | null = null;
  let writer: { attempt: number; nonce: string; n: number } | null = null;
  let position: Position | null = null;
  for (const { record, seq } of log) {
    const at = `record ${seq} (${record.kind} of attempt ${record.attempt})`;
    const isOwners = record.kind === 'closed' && !('nonce' in record);
    const begins = record.kind === 'open' || isOwners;
    if (last !== null && begins && record.attempt <= last.attempt)
      yield `PR1 ${at} begins after attempt ${last.attempt}`;
    if (last?.kind === 'end') yield `PR4 ${at} follows the end`;
    if (last?.kind === 'closed' && record.kind !== 'open' && !isOwners) yield `PR4 ${at} follows a log that was closed`;
    if ('nonce' in record) {
      if (record.kind === 'open') {
        if (record.n !== 0) yield `PR2 ${at} is its writer's number ${record.n}`;
      } else if (writer === null || record.attempt !== writer.attempt || record.nonce !== writer.nonce) {
        yield `PR1 ${at} is not of the attempt that opened the log last (${writer?.attempt ?? 'none'})`;
      } else if (record.n !== writer.n + 1) {
        yield `PR2 ${at} is its writer's number ${record.n} after ${writer.n}`;
      }
      const { attempt, nonce, n } = record;
      writer = { attempt, nonce, n };
    }
    if (record.kind === 'frames') yield* ofBatch(record, position, at);
    else if (!isDeepStrictEqual(record.position, position)) yield `PR3 ${at} stands elsewhere than the record before`;
    if (record.kind === 'end' && record.frames !== (position?.frames ?? 0))
      yield `PR3 ${at} counts ${record.frames} frames of ${position?.frames ?? 0}`;
    position = record.position;
    last = record;
  }
}

function* ofBatch(record: Extract<LogRecord, { kind: 'frames' }>, before: Position | null, at: string) {
  const due = (before?.to ?? -1) + 1;
  if (record.from !== due) yield `PR3 ${at} begins at frame ${record.from}, due was ${due}`;
  const { to, frames } = record.position;
  if (frames !== (before?.frames ?? 0) + record.predictions.length) yield `PR3 ${at} does not add up to ${frames}`;
  let lastFrame = record.from - 1;
  for (const { frame } of record.predictions) {
    if (frame <= lastFrame || frame > to) yield `PR3 ${at} has frame ${frame} out of its order`;
    lastFrame = frame;
  }
}

const moveName = ({ from, to }: { from: ScenarioState | null; to: ScenarioState }): string => `${from} → ${to}`;

/** Facts as they were stated: each once, where it was stored first. */
function stated(moves: readonly Moved[]): Moved[] {
  const seen = new Set<string>();
  return moves.filter(({ key }) => !seen.has(key) && seen.add(key));
}

function* ofStates({ moves, history }: Left): Generator<string> {
  let state: ScenarioState | null = null;
  for (const move of stated(moves)) {
    const { from, to } = move;
    if (from !== state) yield `PR5 ${moveName(move)} is stated after it had become ${state}`;
    if (!isLegal(from, to)) yield `PR5 ${moveName(move)} is no way of the machine`;
    state = to;
  }
  const told = stated(moves).slice(-history.length).map(moveName);
  const kept = history.map(moveName);
  if (!isDeepStrictEqual(told, kept)) yield `PR5 stated is ${told.join(', ')}; its history is ${kept.join(', ')}`;
}

function* ofEnd({ moves, log }: Left): Generator<string> {
  const times = stated(moves);
  for (const [i, move] of times.entries()) {
    if (move.to !== 'inactive' || move.from === null) continue;
    const startsAt = times.slice(i + 1).find(({ to }) => to === 'init_startup')?.at ?? Number.POSITIVE_INFINITY;
    const before = log.filter(entry => entry.at <= move.at).at(-1)?.record.kind;
    if (before !== 'end' && before !== 'closed')
      yield `PR6 it became inactive over a log that had ${before ?? 'nothing'} last`;
    const after = log.find(entry => entry.at > move.at && entry.at < startsAt);
    if (after !== undefined) yield `PR6 record ${after.seq} (${after.record.kind}) was written while it was inactive`;
  }
}

function* ofResult({ log, outcome, threshold, expected }: Left): Generator<string> {
  const ends = log.filter(({ record }) => record.kind === 'end').length;
  if (outcome !== 'completed') return;
  if (ends !== 1) yield `PR7 it is completed and its log has ${ends} ends`;
  const lines = log.flatMap(({ record }) =>
    record.kind === 'frames' ? record.predictions.map(p => predictionLine(atThreshold(p, threshold))) : [],
  );
  const wanted = expected.trimEnd().split('\n');
  const at = lines.findIndex((line, i) => line !== wanted[i]);
  if (at !== -1) yield `PR7 result ${at} is ${lines[at]}, undisturbed it is ${wanted[at]}`;
  else if (lines.length !== wanted.length) yield `PR7 it has ${lines.length} results of ${wanted.length}`;
}

function* ofGivingUp({ log, moves, deaths, gaveUpAt }: Left): Generator<string> {
  for (const at of gaveUpAt) {
    const startedAt = moves.findLast(move => move.to === 'init_startup' && move.at < at)?.at ?? 0;
    const since = deaths.filter(death => death.at >= startedAt && death.at <= at);
    const attempts = [...new Set(since.map(({ attempt }) => attempt))].slice(-LIMITS.fruitlessAttempts);
    if (attempts.length < LIMITS.fruitlessAttempts) yield `PR8 it gave up after ${attempts.length} attempts`;
    const committed = log.find(
      ({ record, at: storedAt }) => record.kind === 'frames' && attempts.includes(record.attempt) && storedAt <= at,
    );
    if (committed !== undefined)
      yield `PR8 it gave up over attempts ${attempts.join(', ')}, of which ${committed.record.attempt} had committed frames`;
  }
}
