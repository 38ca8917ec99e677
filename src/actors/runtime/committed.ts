/**
 * What one commit holds and how one message makes the next one: pure.
 *
 * C1 State, timers, cursor and outgoing messages change in ONE record: never torn apart.
 * C2 A message at or below the cursor, or at or below the sender's last number, changes nothing.
 * C3 A message's number is (revision the commit expects, index): increasing per sender, over deletion and re-creation too,
 *    since the server gives revisions once. One without a record has none yet: before it tells anybody anything, it commits
 *    an empty one.
 * C4 A message whose `receive` ended abnormally three times is dead-lettered in the commit that moves the cursor past it.
 * C5 All that one step sends and states comes from one span: of the message's trace, or of the work's that the actor is at, or of
 *    a new one. The facts of a public command have the id of its request.
 */
import Type, { type Static } from 'typebox';
import { quoted } from '../../domain/command-body.ts';
import { type Problem, TroupeError, toProblem } from '../../domain/errors.ts';
import { knownRequestId } from '../../domain/ids.ts';
import { toJson } from '../../domain/json.ts';
import { LIMITS } from '../../domain/limits.ts';
import { problemsOf } from '../../domain/parse.ts';
import { HEADERS, SUBJECTS } from '../../domain/subjects.ts';
import { nextTraceparent, parseTraceparent } from '../../domain/traceparent.ts';
import type { Random } from '../ports/clock.ts';
import type { ActorAddress } from '../ports/mailbox.ts';
import type { Behaviour, Context, Inbound } from './behaviour.ts';

const MessageNumber = Type.Tuple([Type.Integer(), Type.Integer()]);

const OutboxMessage = Type.Union([
  Type.Object({
    kind: Type.Literal('tell'),
    number: MessageNumber,
    to: Type.Object({ kind: Type.String(), id: Type.String() }),
    verb: Type.String(),
    headers: Type.Record(Type.String(), Type.String()),
    body: Type.Unknown(),
  }),
  Type.Object({
    /** A fact or a refusal for the journal. */
    kind: Type.Literal('journal'),
    number: MessageNumber,
    subject: Type.String(),
    body: Type.Unknown(),
  }),
]);
export type OutboxMessage = Static<typeof OutboxMessage>;

export const Committed = Type.Object({
  v: Type.Literal(1),
  /** Version of the behaviour's state. */
  version: Type.Integer(),
  /** Claim of the partition under which it was written. */
  epoch: Type.Integer(),
  /** Marks the writer's own commit, so that an ambiguous write can be recognised. */
  mark: Type.String(),
  /** Mailbox sequence up to which every message of this actor is processed. */
  cursor: Type.Integer(),
  /** null: a tombstone. */
  state: Type.Unknown(),
  /** What outlived the last deletion. */
  remnant: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  /** Wall clock of the deletion; only while it does not exist (M7). */
  died: Type.Optional(Type.Number()),
  timers: Type.Record(
    Type.String(),
    Type.Object({
      /** Wall clock. */
      at: Type.Number(),
      /** From when it was set (M9); absent in records of older versions. */
      delayMs: Type.Optional(Type.Number()),
      verb: Type.String(),
      body: Type.Unknown(),
    }),
  ),
  outbox: Type.Array(OutboxMessage),
  /** Last number per sender, in the order they were last heard; at most `seenSenders`, or `Behaviour.senders`. */
  seen: Type.Record(Type.String(), MessageNumber),
  /** Abnormal ends of the message `head`. */
  deliveries: Type.Object({ head: Type.String(), count: Type.Integer() }),
});
export type Committed = Static<typeof Committed>;

/** One message on its way into an actor. `seq` is 0 for timers and signals, which no stream holds. */
export interface Delivery extends Inbound {
  readonly seq: number;
  /** Of a timer: when it was due. */
  readonly due?: number;
  /** Why the body could not be parsed, when it could not. */
  readonly unreadable?: string;
}

export interface Step {
  readonly next: Committed;
  /** Sent after the commit; lost with the process, as a caller's time-out covers. */
  readonly answers: readonly { readonly inbox: string; readonly body: unknown }[];
}

export const emptyRecord = (version: number): Committed => ({
  v: 1,
  version,
  epoch: 0,
  mark: '',
  cursor: 0,
  state: null,
  timers: {},
  outbox: [],
  seen: {},
  deliveries: { head: '', count: 0 },
});

/** Numbers compare by revision, then index. */
const isRepeat = (last: readonly number[] | undefined, [revision, index]: readonly [number, number]): boolean =>
  last !== undefined && (revision < (last[0] ?? 0) || (revision === last[0] && index <= (last[1] ?? 0)));

/** Bounded: a sender that comes back after this many others is taken for a new one. */
function remember(
  seen: Committed['seen'],
  { from, number }: { from: string; number: [number, number] },
  most: number = LIMITS.seenSenders,
): void {
  delete seen[from];
  for (const longest of Object.keys(seen).slice(0, 1 - most)) delete seen[longest];
  seen[from] = number;
}

function senderOf(delivery: Delivery): { from: string; number: [number, number] } | null {
  const from = delivery.headers[HEADERS.from];
  const match = /^(\d+)\.(\d+)$/.exec(delivery.headers[HEADERS.number] ?? '');
  return from === undefined || match === null || delivery.class !== 'sys'
    ? null
    : { from, number: [Number(match[1]), Number(match[2])] };
}

export interface StepInput<State> {
  readonly behaviour: Behaviour<State>;
  readonly self: ActorAddress;
  readonly record: Committed;
  /** Revision the commit will expect: 0 for an actor without a record. */
  readonly revision: number;
  readonly delivery: Delivery;
  readonly now: number;
  readonly random: Random;
}

/** C3: whether the step's messages need numbers that only a stored record gives. */
export const needsRecord = (revision: number, { outbox }: Committed): boolean =>
  revision === 0 && outbox.some(message => message.kind === 'tell');

/** C2: false when the delivery changes nothing and nothing need be written for it. */
export function isNews(record: Committed, delivery: Delivery): boolean {
  if (delivery.seq > 0 && delivery.seq <= record.cursor) return false;
  // A timer that was cancelled or moved while its delivery waited is not this one.
  return delivery.class !== 'timer' || record.timers[delivery.id]?.at === delivery.due;
}

/** The commit that processing this delivery makes. @throws what `receive` throws: see `stepAfterCrash` */
export function step<State>(input: StepInput<State>): Step {
  const { behaviour, self, record, delivery, now } = input;
  const next = begin(record, delivery);
  const sender = senderOf(delivery);
  if (sender !== null) {
    if (isRepeat(record.seen[sender.from], sender.number)) return { next, answers: [] };
    remember(next.seen, sender, behaviour.senders);
  }
  if (delivery.class === 'timer') delete next.timers[delivery.id];

  const answers: { inbox: string; body: unknown }[] = [];
  const inbox = delivery.headers[HEADERS.reply];
  const outgoing = outbox(input, next);
  const context: Context = {
    self,
    now,
    random: input.random,
    get traceparent() {
      return outgoing.traceparent();
    },
    remnant: record.remnant ?? {},
    tell: outgoing.tell,
    reply: (body, to = inbox) => {
      if (to !== undefined) answers.push({ inbox: to, body });
    },
    refuse: problem => {
      if (inbox !== undefined) answers.push({ inbox, body: { problem } });
      outgoing.journal(SUBJECTS.rejected(self.kind, self.id), rejection(delivery, problem));
    },
    publish: (type, body, { kind, id } = self) => outgoing.journal(SUBJECTS.event(kind, id, type), body),
    timer: (name, delayMs, verb, body) => {
      next.timers[name] = { at: now + delayMs, delayMs, verb, body };
    },
    cancel: name => {
      delete next.timers[name];
    },
  };

  if (delivery.unreadable !== undefined) {
    context.refuse({ code: 'invalid_request', message: delivery.unreadable });
    return { next, answers };
  }
  const verb = behaviour.verbs[delivery.verb];
  if (verb === undefined || verb.class !== delivery.class) {
    context.refuse({
      code: 'invalid_request',
      message: `${self.kind} knows no ${delivery.class} verb '${delivery.verb}'`,
    });
    return { next, answers };
  }
  const errors = problemsOf(verb.body, delivery.body);
  if (errors.length > 0) {
    const named = errors.map(({ path, message }) => `${path} ${message}`.trim()).join('; ');
    context.refuse({
      code: 'invalid_request',
      message: `The body of '${delivery.verb}' is not valid: ${named}.`,
      errors,
    });
    return { next, answers };
  }

  const state = liveState(behaviour, record);
  try {
    const after = behaviour.receive(state, delivery, context);
    if (after === null) {
      next.timers = {};
      if (state !== null) {
        next.remnant = behaviour.remnant?.(state) ?? {};
        next.died = now;
      }
    } else delete next.died;
    next.state = after;
  } catch (error) {
    // An expected refusal may be thrown from any depth of `receive`; the state stays as it was.
    if (!(error instanceof TroupeError)) throw error;
    const refused = begin(record, delivery);
    if (delivery.class === 'timer') delete refused.timers[delivery.id];
    next.timers = refused.timers;
    next.outbox = refused.outbox;
    answers.length = 0;
    outgoing.restart();
    context.refuse(toProblem(error));
  }
  return { next, answers };
}

/** C4: the commit after `receive` ended abnormally: one more delivery counted, or the message dead-lettered. */
export function stepAfterCrash<State>(
  input: StepInput<State>,
  error: unknown,
): Step & { readonly deadLettered: boolean } {
  const { record, delivery, self } = input;
  const head = `${delivery.class}.${delivery.seq}.${delivery.id}`;
  const count = (record.deliveries.head === head ? record.deliveries.count : 0) + 1;
  if (count < LIMITS.poisonDeliveries) {
    return {
      next: { ...record, outbox: [...record.outbox], deliveries: { head, count } },
      answers: [],
      deadLettered: false,
    };
  }
  const next = begin(record, delivery);
  if (delivery.class === 'timer') delete next.timers[delivery.id];
  const problem: Problem = {
    code: 'internal',
    message: `dead-lettered after ${count} tries: ${toProblem(error).message}`,
  };
  outbox(input, next).journal(SUBJECTS.rejected(self.kind, self.id), rejection(delivery, problem));
  const inbox = delivery.headers[HEADERS.reply];
  return { next, answers: inbox === undefined ? [] : [{ inbox, body: { problem } }], deadLettered: true };
}

/** The record in the shape this behaviour knows. @throws when there is no way to it */
export const upgraded = <State>(behaviour: Behaviour<State>, record: Committed): Committed =>
  record.version === behaviour.version
    ? record
    : { ...record, version: behaviour.version, state: liveState(behaviour, record) };

/** The record's state in the shape this behaviour knows. */
export function liveState<State>(behaviour: Behaviour<State>, record: Committed): State | null {
  if (record.state === null) return null;
  if (record.version === behaviour.version) return record.state as State;
  if (behaviour.upgrade === undefined) throw new Error(`${behaviour.kind} state ${record.version} cannot be upgraded`);
  return behaviour.upgrade(record.state, record.version);
}

/** A copy of the record with the cursor moved past the delivery (C2). */
function begin(record: Committed, delivery: Delivery): Committed {
  return {
    ...record,
    cursor: Math.max(record.cursor, delivery.seq),
    timers: { ...record.timers },
    outbox: [...record.outbox],
    seen: { ...record.seen },
    deliveries: { head: '', count: 0 },
  };
}

/** What is kept of a refused message: enough to see what it was, bounded. */
function rejection(delivery: Delivery, problem: Problem): Record<string, unknown> {
  const bytes = toJson(delivery.body ?? null);
  const requestId = knownRequestId(delivery.headers[HEADERS.requestId]);
  return {
    verb: delivery.verb,
    ...(requestId === null ? {} : { requestId }),
    body: bytes.byteLength > LIMITS.quotedBytes ? quoted(bytes) : delivery.body,
    problem,
  };
}

function outbox<State>(input: StepInput<State>, next: Committed) {
  const { self, revision, delivery, now } = input;
  let index = 0;
  const own = `${self.kind}.${self.id}`;
  const requestId = delivery.class === 'cmd' ? knownRequestId(delivery.headers[HEADERS.requestId]) : null;
  let span: string | null = null;
  // C5: a step that says nothing needs none.
  const traceparent = (): string => {
    span ??= nextTraceparent(traceOf(input), input.random);
    return span;
  };
  return {
    traceparent,
    restart: (): void => {
      index = 0;
    },
    tell: (to: ActorAddress, verb: string, body: unknown): void => {
      const number: [number, number] = [revision, index++];
      next.outbox.push({
        kind: 'tell',
        number,
        to: { kind: to.kind, id: to.id },
        verb,
        headers: {
          [HEADERS.from]: own,
          [HEADERS.number]: number.join('.'),
          [HEADERS.id]: `${own}.${number.join('.')}`,
          [HEADERS.causation]: delivery.id,
          [HEADERS.traceparent]: traceparent(),
        },
        body,
      });
    },
    journal: (subject: string, body: Readonly<Record<string, unknown>>): void => {
      const number: [number, number] = [revision, index++];
      next.outbox.push({
        kind: 'journal',
        number,
        subject,
        body: {
          v: 1,
          id: `${own}.${number.join('.')}`,
          at: new Date(now).toISOString(),
          causationId: delivery.id,
          traceparent: traceparent(),
          ...(requestId === null ? {} : { requestId }),
          ...body,
        },
      });
    },
  };
}

/** C5 */
function traceOf<State>({ behaviour, record, delivery }: StepInput<State>): string | undefined {
  const received = delivery.headers[HEADERS.traceparent];
  if (parseTraceparent(received) !== null) return received;
  const state = liveState(behaviour, record);
  return state === null || delivery.class === 'cmd' ? undefined : behaviour.trace?.(state);
}
