/**
 * What a scenario supervisor says happened, on `troupe.event.scenario.<id>.<type>`: the shape of each fact beside its head
 * `{v, id, at, causationId}`, and the words in which a timeline tells it. docs/EVENTS.md has the same table for readers.
 */
import Type, { type Static, type TSchema } from 'typebox';
import { LIMITS } from './limits.ts';
import { Refusal } from './messages.ts';
import { parseJson, problemsOf } from './parse.ts';
import { ScenarioState } from './scenario.ts';

const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

const Attempt = { run: Type.Integer(), segment: Type.Integer(), attempt: Type.Integer() };
const Node = { node: nullable(Type.String()) };
const Cause = { code: Type.Optional(Type.String()), frame: Type.Optional(Type.Integer()) };

const fact = <T extends TSchema>(schema: T, text: (fact: Static<T>) => string) => ({ schema, text });

const LOSSES: Readonly<Record<string, string>> = {
  silent: 'its heartbeat stayed away',
  stalled: 'it made no progress',
  gone: 'its node has no such runner any more',
  node: 'it is lost with its node',
};

export const SCENARIO_FACTS = {
  state: fact(
    Type.Object({
      run: Type.Integer(),
      from: nullable(ScenarioState),
      to: ScenarioState,
      reason: nullable(Type.String()),
    }),
    ({ from, to, reason }) => `${from === null ? 'accepted' : from} → ${to}${reason === null ? '' : `: ${reason}`}`,
  ),
  placed: fact(
    Type.Object({ ...Attempt, node: Type.String(), pid: Type.Integer() }),
    ({ attempt, node, pid }) => `attempt ${attempt} was placed on node ${node}, pid ${pid}`,
  ),
  unplaced: fact(
    Type.Object({ ...Attempt, refusals: Type.Array(Refusal), more: Type.Integer() }),
    ({ attempt, refusals, more }) => {
      if (refusals.length === 0) return `attempt ${attempt} waits: no node with the runner role is alive`;
      const said = refusals.map(({ node, message }) => `${node}: ${message}`);
      return `no node takes attempt ${attempt}: ${said.join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
    },
  ),
  began: fact(Type.Object({ ...Attempt, frame: Type.Optional(Type.Integer()) }), ({ attempt, frame }) => {
    if (frame === undefined || frame === 0) return `attempt ${attempt} committed its first results`;
    return `attempt ${attempt} went on at frame ${frame} and committed its first results`;
  }),
  exited: fact(
    Type.Object({
      ...Attempt,
      ...Node,
      ...Cause,
      reason: Type.String(),
      result: nullable(Type.String()),
      fruitful: Type.Boolean(),
    }),
    ({ attempt, node, reason, result, frame }) => {
      const where = `${node === null ? '' : ` on node ${node}`}${frame === undefined ? '' : ` at frame ${frame}`}`;
      if (reason === 'fenced') return `attempt ${attempt}${where} was fenced: the log has a newer attempt`;
      const left = { end: '; its log is at the end', closed: '; it closed its log' }[result ?? ''] ?? '';
      return `the runner of attempt ${attempt}${where} ended: ${reason}${left}`;
    },
  ),
  lost: fact(
    Type.Object({ ...Attempt, ...Node, cause: Type.String(), forMs: Type.Number() }),
    ({ attempt, node, cause, forMs }) =>
      `attempt ${attempt} on node ${node ?? '?'} counts as dead: ${LOSSES[cause] ?? cause} (${Math.round(forMs)} ms)`,
  ),
  fenced: fact(
    Type.Object(Attempt),
    ({ attempt }) => `attempt ${attempt}, replaced before, was fenced: the log has a newer one`,
  ),
  restart: fact(
    Type.Object({
      ...Attempt,
      code: Type.String(),
      reason: Type.String(),
      fruitful: Type.Boolean(),
      delayMs: Type.Integer(),
    }),
    ({ attempt, delayMs }) =>
      delayMs === 0
        ? `attempt ${attempt + 1} follows at once`
        : `attempt ${attempt + 1} follows after ${delayMs} ms: attempt ${attempt} committed no new frame`,
  ),
  overdue: fact(
    Type.Object(Attempt),
    ({ attempt }) => `the runner of attempt ${attempt} did not end when told to: its log is closed over it`,
  ),
  closed: fact(
    Type.Object({ run: Type.Integer(), segment: Type.Integer(), result: Type.String() }),
    ({ segment, result }) =>
      result === 'end' ? `the log of segment ${segment} was at its end` : `the log of segment ${segment} was closed`,
  ),
  failed: fact(
    Type.Object({ ...Cause, run: Type.Integer(), code: Type.String(), message: Type.String() }),
    ({ message, frame }) => `given up: ${message}${frame === undefined ? '' : ` (frame ${frame})`}`,
  ),
  deleted: fact(Type.Object({ run: Type.Integer() }), () => 'deleted with its results'),
} as const;

export type ScenarioFactType = keyof typeof SCENARIO_FACTS;

/** Facts of a scenario's runners, on `troupe.event.runner.<scenario>.<run>.<segment>.<type>`: for those who want only these. */
export const RUNNER_FACTS = {
  failed: Type.Object({
    attempt: Type.Integer(),
    code: Type.String(),
    message: Type.String(),
    frame: Type.Optional(Type.Integer()),
  }),
} as const;

export const TimelineItem = Type.Object({
  at: Type.String({ description: 'wall clock of who saw it; the order is that of the journal' }),
  type: Type.String({ description: 'of the fact: docs/EVENTS.md' }),
  text: Type.String({ description: 'the fact in words' }),
  run: Type.Optional(Type.Integer()),
  segment: Type.Optional(Type.Integer()),
  attempt: Type.Optional(Type.Integer()),
  node: Type.Optional(Type.String()),
  frame: Type.Optional(Type.Integer()),
  code: Type.Optional(Type.String()),
});
export type TimelineItem = Static<typeof TimelineItem>;

const Head = Type.Object({
  id: Type.String(),
  causationId: Type.Optional(Type.String()),
  at: Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT[0-9:.]+Z$' }),
});
const SHOWN = ['run', 'segment', 'attempt', 'node', 'frame', 'code'] as const;

/** null: none of these facts. `key` is the same for a fact that was stored twice. */
export function readFact(
  type: string,
  bytes: Uint8Array,
): { readonly key: string; readonly item: TimelineItem } | null {
  const known = Object.hasOwn(SCENARIO_FACTS, type) ? SCENARIO_FACTS[type as ScenarioFactType] : null;
  const head = parseJson(Head, bytes);
  if (known === null || head === null || problemsOf(known.schema, head).length > 0) return null;
  const text = (known.text as (fact: unknown) => string)(head);
  const said: Readonly<Record<string, unknown>> = { ...head };
  const shown = SHOWN.filter(key => key in known.schema.properties && (said[key] ?? null) !== null);
  const item = {
    at: head.at,
    type,
    text: text.slice(0, LIMITS.reasonChars).toWellFormed(),
    ...Object.fromEntries(shown.map(key => [key, said[key]])),
  };
  // A scenario that is created anew numbers its first facts like the one before.
  return { key: `${head.id} ${head.causationId}`, item };
}
