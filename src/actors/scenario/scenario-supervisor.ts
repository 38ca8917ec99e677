/**
 * The scenario supervisor: the six states of one scenario and the attempts of its runners. Pure.
 *
 * It owns: which attempt of each segment is the current one, when the next is made, when to give up, how it ends.
 * It does not own: where an attempt runs (orchestrator), the process (node), whether a write counts (the log).
 *
 * X1 An attempt is numbered in committed state before anything is dispatched; messages of older attempts change nothing.
 * X2 `inactive` only when every segment's log is known to hold `end` or `closed` (L5).
 * X3 `active` when the first batch of the run is committed, not before.
 * X4 A stop or start that finds nothing to do answers at once.
 * X5 `fenced` of the current attempt is a crash, of an older one nothing (L3).
 * X6 More than `intensity` counted restarts in `period`, or five attempts in a row without a new frame: `failed`.
 *    Node loss, drain and fencing are counted only against an attempt that committed nothing. Permanent errors fail at once.
 * X7 A runner that does not answer a stop is stopped at the log: the supervisor writes `closed` with the next attempt number (L4).
 * X8 Run numbers of an id do not repeat while anything of an earlier life can still be running: they go on over deletion,
 *    until its tombstone goes (M7).
 * X9 What every live node refuses for good fails, unless the node that had it last may have been the one to take it.
 * X10 An attempt that committed a new frame is followed by the next one in the same commit. Only a fruitless one is waited
 *    after: `backoffFirstMs`, and twice as long after each further one in a row.
 */
import { isDeepStrictEqual } from 'node:util';
import Type, { type Static } from 'typebox';
import { sameEngine } from '../../domain/engine.ts';
import { PERMANENT_CODES, type ProblemCode, TroupeError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import { AttemptBody, Exited, Placed, type ProblemBody, Progressed, Unplaced } from '../../domain/messages.ts';
import { parse } from '../../domain/parse.ts';
import { ScenarioRequest, type ScenarioState } from '../../domain/scenario.ts';
import {
  ANY_NODE,
  type AttemptRef,
  attemptKey,
  isComplete,
  lastSeqOf,
  type ScenarioDoc,
  type SegmentDoc,
  transitions,
} from '../../domain/scenario-doc.ts';
import type { RUNNER_FACTS, SCENARIO_FACTS, ScenarioFactType } from '../../domain/scenario-facts.ts';
import { sameSpec, toSpec } from '../../domain/scenario-spec.ts';
import { HEADERS } from '../../domain/subjects.ts';
import { orchestratorOf } from '../orchestrator-address.ts';
import type { Behaviour, Context, Errand, Inbound, Monitor } from '../runtime/behaviour.ts';
import { describeExit, type ExitReason } from '../runtime/exit-reason.ts';
import { admitRestart } from '../runtime/restart-plan.ts';

const Lost = Type.Object({ key: Type.String(), cause: Type.String(), forMs: Type.Number() });
const Stopping = Type.Object({ key: Type.String(), known: Type.Boolean() });
const Closed = Type.Object({
  run: Type.Integer(),
  segment: Type.Integer(),
  result: Type.Union([Type.Literal('end'), Type.Literal('closed')]),
  seq: Type.Integer(),
});
const CreateBody = Type.Object({ ...ScenarioRequest.properties }, { additionalProperties: false });
/** `start`: nothing (go on), `{from: "start"}` (a new run), or a whole request (create, or the same again: `CreateBody`). */
const GoOnBody = Type.Object({ from: Type.Optional(Type.Literal('start')) }, { additionalProperties: false });

const VERBS = {
  create: { class: 'cmd', body: CreateBody },
  start: { class: 'cmd', body: Type.Unknown() },
  stop: { class: 'cmd', body: Type.Object({}, { additionalProperties: false }) },
  delete: { class: 'cmd', body: Type.Object({}, { additionalProperties: false }) },
  placing: { class: 'sys', body: AttemptBody },
  placed: { class: 'sys', body: Placed },
  unplaced: { class: 'signal', body: Unplaced },
  postponed: { class: 'sys', body: AttemptBody },
  progressed: { class: 'sys', body: Progressed },
  exited: { class: 'sys', body: Exited },
  retry: { class: 'timer', body: AttemptBody },
  ask: { class: 'timer', body: AttemptBody },
  overdue: { class: 'timer', body: AttemptBody },
  lost: { class: 'signal', body: Lost },
  stopping: { class: 'signal', body: Stopping },
  reaped: { class: 'signal', body: Stopping },
  closed: { class: 'signal', body: Closed },
  purged: { class: 'signal', body: Type.Object({}) },
} as const;

export interface ScenarioSettings {
  /** Restart delays: first, and most. */
  readonly backoffFirstMs: number;
  readonly backoffMostMs: number;
  /** How long a runner may take to end in good order before its log is closed over it (X7). */
  readonly shutdownMs: number;
  /** When an attempt that its orchestrator put off is asked for again. */
  readonly placementRetryMs: number;
  /** Silence, or beats without progress, that count as loss. */
  readonly silenceMs: number;
  readonly stallMs: number;
}

export function scenarioSupervisor(settings: ScenarioSettings): Behaviour<ScenarioDoc> {
  return {
    kind: 'scenario',
    version: 1,
    verbs: VERBS,
    receive(doc, message, context) {
      if (doc === null) return receiveNew(message, context);
      const next = receive(doc, message, context, settings);
      if (next === doc || next === null) return next;
      const stamped = { ...next, updatedAt: new Date(context.now).toISOString() };
      if (message.class === 'cmd' && stamped.deleting === null) context.reply({ scenario: stamped, changed: true });
      return stamped;
    },
    errands: doc => errands(doc),
    monitors: doc => monitors(doc, settings),
    inspect: doc =>
      doc.segments.map(({ segment, phase, node, pid, restarts, attempt }) => ({
        id: `runner/${doc.id}.${doc.run}.${segment}`,
        kind: 'runner',
        state: phase,
        node,
        pid,
        restarts,
        attempt,
      })),
    trace: doc => doc.traceparent,
    remnant: doc => ({
      lastRun: doc.run,
      lastSeq: Math.max(...doc.pastRuns.map(past => past.lastSeq), lastSeqOf(doc.segments)),
    }),
  };
}

// ── commands ──────────────────────────────────────────────────────────────────────────────────────────────────────

function receiveNew(message: Inbound, context: Context): ScenarioDoc | null {
  const { id } = context.self;
  if (message.class !== 'cmd') return null; // X1: whatever it was about is deleted
  if (message.verb === 'create' || (message.verb === 'start' && isRequest(message.body))) {
    const request = parse(CreateBody, message.body, 'The scenario');
    const spec = toSpec(request);
    const at = new Date(context.now).toISOString();
    const run = Number(context.remnant['lastRun'] ?? 0) + 1; // X8
    const key = message.headers[HEADERS.idempotencyKey];
    const doc: ScenarioDoc = {
      id,
      spec,
      state: 'inactive',
      outcome: null,
      ending: null,
      reason: null,
      run,
      pastRuns: [],
      segments: newSegments(spec.segments),
      restarts: [],
      source: null,
      model: null,
      engine: null,
      error: null,
      warnings: [],
      history: [],
      createdAt: at,
      updatedAt: at,
      idempotency: key === undefined ? null : { key, body: JSON.stringify(message.body), at },
      deleting: null,
    };
    const start = message.verb === 'start' || request.start !== false;
    const created = start ? begin(doc, context) : record(doc, 'inactive', 'created', context);
    context.reply({ scenario: created, changed: true });
    return created;
  }
  if (message.verb === 'start') parse(GoOnBody, message.body, "The body of 'start'");
  throw notFound(id);
}

function receive(doc: ScenarioDoc, message: Inbound, context: Context, settings: ScenarioSettings): ScenarioDoc | null {
  const body = message.body;
  if (doc.deleting !== null && message.class === 'cmd') throw alreadyGone(doc.id, message);
  switch (message.verb as keyof typeof VERBS) {
    case 'create':
      return create(doc, message, context);
    case 'start':
      return start(doc, body, context);
    case 'stop':
      return stop(doc, context, settings);
    case 'delete':
      return remove(doc, message);
    case 'placing':
      return placing(doc, body as AttemptBody, context);
    case 'placed':
      return placed(doc, body as Placed, context);
    case 'unplaced':
      return unplaced(doc, body as Unplaced, context, settings);
    case 'postponed':
      return postponed(doc, body as AttemptBody, context, settings);
    case 'ask':
      return ask(doc, body as AttemptBody, context);
    case 'progressed':
      return progressed(doc, body as Progressed, context);
    case 'exited':
      return exited(doc, body as Exited, context, settings);
    case 'retry':
      return retry(doc, body as AttemptBody, context);
    case 'overdue':
      return overdue(doc, body as AttemptBody, context);
    case 'lost':
      return lost(doc, body as Static<typeof Lost>, context, settings);
    case 'stopping':
      return stopping(doc, body as Static<typeof Stopping>, context);
    case 'reaped':
      return reaped(doc, (body as Static<typeof Stopping>).key);
    case 'closed':
      return closed(doc, body as Static<typeof Closed>, context);
    case 'purged':
      return purged(doc, context);
  }
}

function create(doc: ScenarioDoc, message: Inbound, context: Context): ScenarioDoc {
  const key = message.headers[HEADERS.idempotencyKey];
  if (key !== undefined && key === doc.idempotency?.key) {
    if (!isDeepStrictEqual(message.body, JSON.parse(doc.idempotency.body))) {
      throw new TroupeError(
        'idempotency_conflict',
        `The idempotency key was used for another body at ${doc.idempotency.at}. Use a new key for a new scenario.`,
      );
    }
    return unchanged(doc, context);
  }
  throw new TroupeError(
    'scenario_exists',
    `There is a scenario '${doc.id}' already. Choose another id, start it, or delete it first.`,
  );
}

function start(doc: ScenarioDoc, body: unknown, context: Context): ScenarioDoc {
  const again = isRequest(body);
  if (again && !sameSpec(toSpec(parse(CreateBody, body, 'The scenario')), doc.spec)) {
    throw new TroupeError(
      'spec_conflict',
      `Scenario '${doc.id}' exists with another specification. Start it with an empty body, or use another id.`,
    );
  }
  const afresh = !again && parse(GoOnBody, body, "The body of 'start'").from === 'start';
  switch (doc.state) {
    case 'init_shutdown':
    case 'in_shutdown_processing':
      throw new TroupeError(
        'illegal_transition',
        `Scenario '${doc.id}' is shutting down. Start it when it is inactive.`,
      );
    case 'inactive':
      if (afresh) return begin(newRun(doc), context);
      return isComplete(doc.segments) ? unchanged(doc, context) : begin(doc, context); // X4
    default:
      if (!afresh) return unchanged(doc, context); // X4
      throw new TroupeError(
        'illegal_transition',
        `Scenario '${doc.id}' is running. Stop it before you begin a new run.`,
      );
  }
}

function stop(doc: ScenarioDoc, context: Context, settings: ScenarioSettings): ScenarioDoc {
  if (doc.state === 'inactive') return unchanged(doc, context); // X4
  if (isEnding(doc)) {
    context.reply({ scenario: doc, changed: true });
    return doc;
  }
  const moved = record({ ...doc, ending: 'stopped' }, 'init_shutdown', 'stop requested', context);
  return shutDown(moved, context, settings);
}

function remove(doc: ScenarioDoc, message: Inbound): ScenarioDoc {
  if (doc.state !== 'inactive') {
    throw new TroupeError('scenario_running', `Scenario '${doc.id}' is ${doc.state}. Stop it before you delete it.`);
  }
  return { ...doc, deleting: { inbox: message.headers[HEADERS.reply] ?? null } };
}

// ── placement ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** A start, or going on: every segment that has no end yet gets its next attempt. */
function begin(doc: ScenarioDoc, context: Context): ScenarioDoc {
  let next: ScenarioDoc = {
    ...doc,
    outcome: null,
    ending: null,
    error: null,
    reason: null,
    restarts: [],
    warnings: [],
    traceparent: context.traceparent,
  };
  next = record(next, 'init_startup', 'start requested', context);
  for (const segment of next.segments) {
    if (segment.result !== 'end') next = dispatch(next, { ...segment, fruitless: 0 }, context);
  }
  return next;
}

/** X1: the next attempt, numbered in this commit; the outbox carries it on. */
function dispatch(doc: ScenarioDoc, segment: SegmentDoc, context: Context): ScenarioDoc {
  const attempt = segment.attempt + 1;
  context.tell(orchestratorOf(doc.id), 'place', refOf(doc, { ...segment, attempt }));
  return put(doc, { ...segment, attempt, phase: 'placing', node: null, pid: null, result: null });
}

function placing(doc: ScenarioDoc, ref: AttemptBody, context: Context): ScenarioDoc {
  return currentOf(doc, ref) === null || doc.state !== 'init_startup'
    ? doc
    : record(doc, 'in_startup_processing', 'an orchestrator looks for a node', context);
}

function placed(doc: ScenarioDoc, body: Placed, context: Context): ScenarioDoc {
  const owner = doc.segments[body.segment];
  if (owner === undefined) return doc;
  if (currentOf(doc, body) === null) {
    // X1: stopped or replaced meanwhile. It teaches only what no later attempt has told.
    if (doc.run !== body.run) return put(doc, reap(owner, body, body.node));
    const known = doc.source === null ? learn(doc, body) : doc;
    return put(known, { ...reap(owner, body, body.node), lastNode: owner.lastNode ?? body.node });
  }
  const taken: SegmentDoc = { ...owner, lastNode: body.node };
  const known = learn(doc, body);
  if (owner.phase !== 'placing') return put(known, taken); // it has ended before this arrived
  publish(context, 'placed', { ...attemptOf(body), node: body.node, pid: body.pid });
  const next = put({ ...known, reason: null }, { ...taken, phase: 'running', node: body.node, pid: body.pid });
  return next.state === 'init_startup'
    ? record(next, 'in_startup_processing', `placed on node ${body.node}`, context)
    : next;
}

/** What the node that took the attempt found out about source, model and engine. */
function learn(doc: ScenarioDoc, { source, model, engine }: Placed): ScenarioDoc {
  const { name, sha256, family, classes } = model;
  const mixed = doc.engine !== null && !sameEngine(doc.engine, engine);
  const warnings = mixed ? [...doc.warnings, `the engine changed from ${JSON.stringify(doc.engine)}`] : doc.warnings;
  return { ...doc, source, model: { name, sha256, family, classes }, engine, warnings: warnings.slice(-20) };
}

/**
 * X9: it waits, with every node's reason, unless no waiting can mend it: every live node refuses for good, and with them the
 * node that had it last. That one may only be away for the moment, and have what the others lack.
 */
function unplaced(doc: ScenarioDoc, body: Unplaced, context: Context, settings: ScenarioSettings): ScenarioDoc {
  const segment = currentOf(doc, body);
  if (segment === null || segment.phase !== 'placing') return doc;
  const { refusals, more } = body;
  const [first] = refusals;
  if (doc.reason !== reasonOf(body)) publish(context, 'unplaced', { ...attemptOf(body), refusals, more });
  const forGood = refusals.every(({ code }) => PERMANENT_CODES.has(code as ProblemCode));
  const hasRefused = (node: string): boolean => refusals.some(refusal => refusal.node === node);
  if (first === undefined || !forGood || !lastNodes(doc, segment).every(hasRefused)) {
    return waitFor(doc, reasonOf(body), context);
  }
  const allSame = refusals.every(({ message }) => message === first.message);
  return fail(doc, { code: first.code, message: allSame ? first.message : reasonOf(body) }, context, settings);
}

/** Where the segment ran last, or its siblings when it has not run yet; nowhere in a run that was never placed. */
function lastNodes(doc: ScenarioDoc, { lastNode }: SegmentDoc): readonly string[] {
  return lastNode === undefined ? doc.segments.flatMap(other => other.lastNode ?? []) : [lastNode];
}

function reasonOf({ refusals, more }: Unplaced): string {
  if (refusals.length === 0) return 'no node with the runner role is alive';
  const said = refusals.map(({ node, message }) => `${node}: ${message}`);
  return [...said, ...(more > 0 ? [`and ${more} more nodes`] : [])].join('; ').slice(0, LIMITS.reasonChars);
}

function waitFor(doc: ScenarioDoc, reason: string, context: Context): ScenarioDoc {
  if (doc.state !== 'init_startup') return doc.reason === reason ? doc : { ...doc, reason };
  return record({ ...doc, reason }, 'in_startup_processing', reason, context);
}

/** Its orchestrator holds as many as it can. */
function postponed(doc: ScenarioDoc, ref: AttemptBody, context: Context, settings: ScenarioSettings): ScenarioDoc {
  const segment = currentOf(doc, ref);
  if (segment === null || segment.phase !== 'placing') return doc;
  context.timer(`ask-${ref.segment}`, settings.placementRetryMs, 'ask', refOf(doc, segment));
  return waitFor(doc, `${LIMITS.placementsWaiting} attempts wait for a node before this one`, context);
}

function ask(doc: ScenarioDoc, ref: AttemptBody, context: Context): ScenarioDoc {
  const segment = currentOf(doc, ref);
  if (segment?.phase === 'placing') context.tell(orchestratorOf(doc.id), 'place', refOf(doc, segment));
  return doc;
}

function retry(doc: ScenarioDoc, ref: AttemptBody, context: Context): ScenarioDoc {
  const segment = currentOf(doc, ref);
  return segment === null || segment.phase !== 'backoff' ? doc : dispatch(doc, segment, context);
}

// ── the running attempt ───────────────────────────────────────────────────────────────────────────────────────────

/** X3 */
function progressed(doc: ScenarioDoc, body: Progressed, context: Context): ScenarioDoc {
  const segment = currentOf(doc, body);
  if (segment === null) return doc;
  if (segment.fruitfulAttempt !== body.attempt) {
    const { frame } = body;
    publish(context, 'began', { ...attemptOf(body), ...(frame === undefined ? {} : { frame }) });
  }
  const next = put(doc, {
    ...segment,
    fruitfulAttempt: body.attempt,
    lastSeq: Math.max(segment.lastSeq, body.seq),
  });
  return isStarting(next) ? activate(next, 'first results committed', context) : next;
}

function exited(doc: ScenarioDoc, body: Exited, context: Context, settings: ScenarioSettings): ScenarioDoc {
  const segment = currentOf(doc, body);
  if (segment === null) {
    // X5: an older attempt's end changes nothing, beside that there is nothing left to kill.
    if (body.reason === 'fenced') publish(context, 'fenced', attemptOf(body));
    return reaped(doc, attemptKey(body));
  }
  if (segment.phase === 'ended' || segment.phase === 'backoff' || segment.phase === 'idle') return doc;
  context.cancel(overdueTimer(segment));
  publishExit(segment, body, context);
  const heard: SegmentDoc = {
    ...segment,
    node: null,
    pid: null,
    lastSeq: Math.max(segment.lastSeq, body.seq),
    ...(body.fruitful ? { fruitfulAttempt: body.attempt } : {}),
  };
  if (body.result === 'end') return finish(put(doc, { ...heard, phase: 'ended', result: 'end' }), context);
  if (doc.ending !== null) {
    return body.result === 'closed'
      ? finish(put(doc, { ...heard, phase: 'ended', result: 'closed' }), context)
      : put(doc, close(heard));
  }
  return restart(put(doc, heard), heard, body.reason as ExitReason, context, settings);
}

/** Also for those who want nothing but the failures of runners. */
function publishExit(segment: SegmentDoc, body: Exited, context: Context): void {
  const { reason, result, fruitful } = body;
  const error = typeof reason === 'string' ? null : reason.error;
  const { code, frame } = error ?? {};
  const cause = { ...(code === undefined ? {} : { code }), ...(frame === undefined ? {} : { frame }) };
  const said = { reason: describeExit(reason as ExitReason), result, fruitful };
  publish(context, 'exited', { ...attemptOf(body), node: segment.node, ...cause, ...said });
  if (error === null) return;
  const runner = { kind: 'runner', id: `${body.scenario}.${body.run}.${body.segment}` };
  const type: keyof typeof RUNNER_FACTS = 'failed';
  context.publish(type, { attempt: body.attempt, ...error }, runner);
}

const LOSSES: Readonly<Record<string, string>> = {
  stalled: 'made no progress',
  gone: 'is gone',
  node: 'is lost with its node',
};

function lost(doc: ScenarioDoc, body: Static<typeof Lost>, context: Context, settings: ScenarioSettings): ScenarioDoc {
  const segment = doc.segments.find(s => s.phase === 'running' && attemptKey(refOf(doc, s)) === body.key);
  if (segment === undefined) return doc;
  const how = LOSSES[body.cause] ?? 'did not beat';
  const { node } = segment;
  publish(context, 'lost', { ...attemptOf(refOf(doc, segment)), node, cause: body.cause, forMs: body.forMs });
  const message = `the runner of attempt ${segment.attempt} on node ${segment.node} ${how} (${Math.round(body.forMs)} ms)`;
  const reaping = segment.node === null ? segment : reap(segment, refOf(doc, segment), segment.node);
  const orphan: SegmentDoc = { ...reaping, node: null, pid: null };
  // What a node takes with it, or does not know any more since it began anew, is not this scenario's fault (X6).
  const ofNode = body.cause === 'gone' || body.cause === 'node';
  const reason: ExitReason = { error: { code: ofNode ? 'unavailable' : 'runner_lost', message } };
  return restart(put(doc, orphan), orphan, reason, context, settings);
}

/** X6 */
function restart(
  doc: ScenarioDoc,
  segment: SegmentDoc,
  reason: ExitReason,
  context: Context,
  settings: ScenarioSettings,
): ScenarioDoc {
  const fruitful = segment.fruitfulAttempt === segment.attempt;
  const fruitless = fruitful ? 0 : segment.fruitless + 1;
  const said = describeExit(reason);
  const error: ProblemBody = typeof reason === 'string' ? { code: 'runner_lost', message: said } : reason.error;
  const down: SegmentDoc = { ...segment, phase: 'backoff', node: null, pid: null, fruitless };
  const waiting = put(doc, down);
  if (typeof reason !== 'string' && PERMANENT_CODES.has(reason.error.code)) {
    return fail(waiting, error, context, settings);
  }
  if (fruitless >= LIMITS.fruitlessAttempts) {
    const message = `${fruitless} attempts in a row committed no new frame; the last one: ${error.message}`;
    return fail(waiting, { ...error, message }, context, settings);
  }
  const excused = fruitful && (reason === 'fenced' || reason === 'shutdown' || error.code === 'unavailable');
  const admitted = excused ? doc.restarts : admitRestart(doc.restarts, doc.spec.restart, context.now);
  if (admitted === null) {
    const { intensity, periodMs } = doc.spec.restart;
    const message = `more than ${intensity} restarts in ${periodMs} ms; the last one: ${error.message}`;
    return fail(waiting, { ...error, message }, context, settings);
  }
  const counted: ScenarioDoc = { ...doc, restarts: admitted, reason: `attempt ${segment.attempt}: ${said}` };
  const next: SegmentDoc = { ...down, restarts: segment.restarts + 1 };
  const base = Math.min(settings.backoffFirstMs * 2 ** (fruitless - 1), settings.backoffMostMs);
  const delayMs = fruitful ? 0 : Math.round(base * (0.8 + 0.4 * context.random.float()));
  const why = { reason: said, code: error.code, fruitful, delayMs };
  publish(context, 'restart', { ...attemptOf(refOf(doc, segment)), ...why });
  if (fruitful) return dispatch(counted, next, context); // X10
  context.timer(`retry-${segment.segment}`, delayMs, 'retry', refOf(doc, segment));
  return put(counted, next);
}

// ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────────

function fail(doc: ScenarioDoc, error: ProblemBody, context: Context, settings: ScenarioSettings): ScenarioDoc {
  const failed: ScenarioDoc = { ...doc, ending: 'failed', error, reason: error.message };
  publish(context, 'failed', { run: doc.run, ...error });
  return shutDown(record(failed, 'in_shutdown_processing', error.message, context), context, settings);
}

/** Every segment on its way to an end: runners are asked, what has no runner is closed at the log. */
function shutDown(doc: ScenarioDoc, context: Context, settings: ScenarioSettings): ScenarioDoc {
  let next = doc;
  for (const segment of doc.segments) {
    context.cancel(`retry-${segment.segment}`);
    switch (segment.phase) {
      case 'running':
        next = put(next, { ...segment, phase: 'stopping' });
        context.timer(overdueTimer(segment), settings.shutdownMs, 'overdue', refOf(doc, segment));
        break;
      case 'placing':
        context.tell(orchestratorOf(doc.id), 'withdraw', refOf(doc, segment));
        // A node may be about to start it: it must be gone before the log that fences it is (DELETE).
        next = put(next, close(reap(segment, refOf(doc, segment), ANY_NODE)));
        break;
      case 'idle':
      case 'backoff':
        next = put(next, close(segment));
        break;
      case 'stopping':
      case 'closing':
      case 'ended':
        break;
    }
  }
  const waits = next.segments.some(segment => segment.phase === 'stopping');
  const moved =
    waits || next.state === 'in_shutdown_processing'
      ? next
      : record(next, 'in_shutdown_processing', 'no runner to wait for', context);
  return finish(moved, context);
}

/** X7: this attempt number is the supervisor's own. */
const close = (segment: SegmentDoc): SegmentDoc => ({
  ...segment,
  phase: 'closing',
  attempt: segment.attempt + 1,
  node: null,
  pid: null,
});

function overdue(doc: ScenarioDoc, ref: AttemptBody, context: Context): ScenarioDoc {
  const segment = currentOf(doc, ref);
  if (segment === null || segment.phase !== 'stopping') return doc;
  publish(context, 'overdue', attemptOf(ref));
  return put(doc, close(segment.node === null ? segment : reap(segment, refOf(doc, segment), segment.node)));
}

/** The node has told the runner, or knows no such runner any more. */
function stopping(doc: ScenarioDoc, body: Static<typeof Stopping>, context: Context): ScenarioDoc {
  const segment = doc.segments.find(s => s.phase === 'stopping' && attemptKey(refOf(doc, s)) === body.key);
  if (segment === undefined) return doc;
  const moved =
    doc.state === 'init_shutdown' ? record(doc, 'in_shutdown_processing', 'the runner was told', context) : doc;
  if (body.known) return moved;
  context.cancel(overdueTimer(segment));
  return put(moved, close(segment));
}

function reaped(doc: ScenarioDoc, key: string): ScenarioDoc {
  for (const segment of doc.segments) {
    const left = segment.reaping.filter(older => attemptKey({ ...refOf(doc, segment), ...older }) !== key);
    if (left.length < segment.reaping.length) return put(doc, { ...segment, reaping: left });
  }
  return doc;
}

function closed(doc: ScenarioDoc, body: Static<typeof Closed>, context: Context): ScenarioDoc {
  const segment = doc.segments[body.segment];
  if (doc.run !== body.run || segment?.phase !== 'closing') return doc;
  const lastSeq = Math.max(segment.lastSeq, body.seq);
  publish(context, 'closed', { run: body.run, segment: body.segment, result: body.result });
  return finish(put(doc, { ...segment, phase: 'ended', result: body.result, lastSeq }), context);
}

/** X2 */
function finish(doc: ScenarioDoc, context: Context): ScenarioDoc {
  if (!doc.segments.every(segment => segment.phase === 'ended')) return doc;
  const complete = isComplete(doc.segments);
  let next = doc;
  if (isStarting(next)) next = activate(next, 'all results committed', context);
  if (next.state !== 'in_shutdown_processing') {
    next = record(next, 'in_shutdown_processing', complete ? 'the source has ended' : 'every log is closed', context);
  }
  // The log has the last word: with every end in it nothing is missing, whatever was on its way.
  const outcome = complete ? 'completed' : (doc.ending ?? 'completed');
  const failed = outcome === 'failed';
  const done: ScenarioDoc = {
    ...next,
    outcome,
    ending: null,
    reason: failed ? next.reason : null,
    error: failed ? next.error : null,
  };
  return record(done, 'inactive', outcome, context);
}

function purged(doc: ScenarioDoc, context: Context): ScenarioDoc | null {
  if (doc.deleting === null) return doc;
  publish(context, 'deleted', { run: doc.run });
  if (doc.deleting.inbox !== null) context.reply({ scenario: null, changed: true }, doc.deleting.inbox);
  return null;
}

// ── what is owed and watched ──────────────────────────────────────────────────────────────────────────────────────

function errands(doc: ScenarioDoc): Errand[] {
  const owed: Errand[] = [];
  for (const segment of doc.segments) {
    const ref = refOf(doc, segment);
    if (segment.phase === 'stopping') {
      owed.push({
        key: `stop.${attemptKey(ref)}`,
        kind: 'stop-runner',
        body: { ...ref, node: segment.node, mode: 'close' },
      });
    }
    if (segment.phase === 'closing') {
      owed.push({ key: `close.${attemptKey(ref)}`, kind: 'close-log', body: ref });
    }
    for (const { node, ...older } of segment.reaping) {
      const old = { ...ref, ...older };
      owed.push({ key: `reap.${attemptKey(old)}`, kind: 'stop-runner', body: { ...old, node, mode: 'kill' } });
    }
  }
  // A runner that has not opened its log yet would begin it anew once it is gone.
  if (doc.deleting !== null && owed.length === 0) {
    owed.push({ key: 'purge', kind: 'purge-log', body: { scenario: doc.id } });
  }
  return owed;
}

function monitors(doc: ScenarioDoc, settings: ScenarioSettings): Monitor[] {
  const { silenceMs, stallMs } = settings;
  return doc.segments
    .filter(segment => segment.phase === 'running')
    .map(segment => ({
      key: attemptKey(refOf(doc, segment)),
      kind: 'heartbeat',
      body: { silenceMs, stallMs, node: segment.node, ...refOf(doc, segment) },
    }));
}

// ── small words ───────────────────────────────────────────────────────────────────────────────────────────────────

const refOf = (doc: ScenarioDoc, segment: SegmentDoc): AttemptRef => ({
  scenario: doc.id,
  run: doc.run,
  segment: segment.segment,
  attempt: segment.attempt,
});

const attemptOf = ({ run, segment, attempt }: AttemptBody) => ({ run, segment, attempt });

const publish = <T extends ScenarioFactType>(
  context: Context,
  type: T,
  body: Static<(typeof SCENARIO_FACTS)[T]['schema']>,
): void => context.publish(type, body);

/** X1: the segment, when the message speaks of its current attempt. */
function currentOf(doc: ScenarioDoc, ref: AttemptBody): SegmentDoc | null {
  const segment = doc.segments[ref.segment];
  return doc.run === ref.run && segment?.attempt === ref.attempt ? segment : null;
}

const put = (doc: ScenarioDoc, segment: SegmentDoc): ScenarioDoc => ({
  ...doc,
  segments: doc.segments.map(s => (s.segment === segment.segment ? segment : s)),
});

const reap = (segment: SegmentDoc, { run, attempt }: AttemptBody, node: string): SegmentDoc => ({
  ...segment,
  reaping: [...segment.reaping.filter(r => r.run !== run || r.attempt !== attempt), { run, attempt, node }].slice(-8),
});

const newSegments = (count: number): SegmentDoc[] =>
  Array.from({ length: count }, (_, segment) => ({
    segment,
    phase: 'idle',
    attempt: 0,
    node: null,
    pid: null,
    restarts: 0,
    fruitless: 0,
    fruitfulAttempt: 0,
    lastSeq: 0,
    result: null,
    reaping: [],
  }));

const newRun = (doc: ScenarioDoc): ScenarioDoc => ({
  ...doc,
  run: doc.run + 1,
  pastRuns: [...doc.pastRuns, { run: doc.run, complete: isComplete(doc.segments), lastSeq: lastSeqOf(doc.segments) }],
  segments: newSegments(doc.spec.segments).map((fresh, i) => ({ ...fresh, reaping: doc.segments[i]?.reaping ?? [] })),
  source: null,
  model: null,
  engine: null,
});

const isStarting = (doc: ScenarioDoc): boolean => doc.state === 'init_startup' || doc.state === 'in_startup_processing';

const isEnding = (doc: ScenarioDoc): boolean => doc.state === 'init_shutdown' || doc.state === 'in_shutdown_processing';

const overdueTimer = (segment: SegmentDoc): string => `overdue-${segment.segment}`;

/** Meant as a whole request, complete or not. */
const isRequest = (body: unknown): boolean =>
  typeof body === 'object' && body !== null && ('source' in body || 'model' in body);

function unchanged(doc: ScenarioDoc, context: Context): ScenarioDoc {
  context.reply({ scenario: doc, changed: false });
  return doc;
}

/** Until its log is gone a deleted scenario is not found, and its id not free. */
const alreadyGone = (id: string, { verb, body }: Inbound): TroupeError =>
  verb === 'create' || isRequest(body)
    ? new TroupeError('scenario_exists', `Scenario '${id}' is being deleted. Try again.`, { retryable: true })
    : notFound(id);

const notFound = (id: string): TroupeError =>
  new TroupeError(
    'scenario_not_found',
    `There is no scenario '${id}'. Create it with POST /api/v1/scenarios, or start it with a body that has source and model.`,
  );

/** A runner may be faster than the word that it was placed: no state is left out. */
function activate(doc: ScenarioDoc, reason: string, context: Context): ScenarioDoc {
  const placed = doc.state === 'init_startup' ? record(doc, 'in_startup_processing', 'placed', context) : doc;
  return record(placed, 'active', reason, context);
}

/** A transition: state, public history, and the fact for everyone who listens. */
function record(doc: ScenarioDoc, to: ScenarioState, reason: string | null, context: Context): ScenarioDoc {
  const from = doc.history.length === 0 ? null : doc.state;
  const n = (transitions(doc).at(-1)?.n ?? 0) + 1;
  const entry = { n, run: doc.run, at: new Date(context.now).toISOString(), from, to, reason };
  publish(context, 'state', { from, to, reason, run: doc.run });
  return { ...doc, state: to, history: [...doc.history, entry].slice(-LIMITS.historyEntries) };
}
