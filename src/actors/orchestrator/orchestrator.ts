/**
 * The orchestrator of one partition: root of its tree. Has the attempts of its scenario supervisors placed on nodes. Pure; the
 * asking itself is the errand `place-runner`.
 *
 * Y1 Its children are the scenario supervisors that exist in the partition: derived, so no table can grow or be wrong.
 * Y2 One placement per segment: a newer attempt replaces an older one, a withdrawn one is asked for no more.
 * Y3 A placement that no node took is tried again when capacity changes and at the latest after `placementRetryMs`:
 *    never "in the queue for ever".
 */
import Type, { type Static } from 'typebox';
import { Assignment, AttemptBody, Placed, Refusal } from '../../domain/messages.ts';
import { attemptKey } from '../../domain/scenario-doc.ts';
import type { Behaviour, Context, Errand } from '../runtime/behaviour.ts';

const Refused = Type.Object({ key: Type.String(), round: Type.Integer(), refusals: Type.Array(Refusal) });

const VERBS = {
  place: { class: 'sys', body: Assignment },
  withdraw: { class: 'sys', body: AttemptBody },
  accepted: { class: 'signal', body: Placed },
  refused: { class: 'signal', body: Refused },
  capacity: { class: 'signal', body: Type.Object({}) },
  retry: { class: 'timer', body: Type.Object({ slot: Type.String() }) },
} as const;

interface Placement {
  readonly assignment: Assignment;
  /** Counts the rounds of asking; each round is a new errand. */
  readonly round: number;
  /** `asking`: an errand is out. `waiting`: nobody took it; the timer asks again. */
  readonly phase: 'asking' | 'waiting';
}

export interface OrchestratorDoc {
  /** By `<scenario>.<segment>`. */
  readonly placements: Readonly<Record<string, Placement>>;
}

export interface OrchestratorSettings {
  readonly placementRetryMs: number;
}

const EMPTY: OrchestratorDoc = { placements: {} };

export function orchestrator(settings: OrchestratorSettings): Behaviour<OrchestratorDoc> {
  return {
    kind: 'orchestrator',
    version: 1,
    verbs: VERBS,
    receive(state, message, context) {
      const doc = state ?? EMPTY;
      const body = message.body;
      switch (message.verb as keyof typeof VERBS) {
        case 'place':
          return place(doc, body as Assignment, context);
        case 'withdraw':
          return withdraw(doc, body as AttemptBody, context);
        case 'accepted':
          return accepted(doc, body as Placed, context);
        case 'refused':
          return refused(doc, body as Static<typeof Refused>, context, settings);
        case 'capacity':
          return Object.keys(doc.placements).reduce((next, slot) => retry(next, slot, context), doc);
        case 'retry':
          return retry(doc, (body as { slot: string }).slot, context);
      }
    },
    errands,
  };
}

function place(doc: OrchestratorDoc, assignment: Assignment, context: Context): OrchestratorDoc {
  const slot = slotOf(assignment);
  const before = doc.placements[slot]?.assignment;
  if (before !== undefined && isNewer(before, assignment)) return doc; // Y2
  context.cancel(`retry-${slot}`);
  context.tell({ kind: 'scenario', id: assignment.scenario }, 'placing', refOf(assignment));
  return { ...doc, placements: { ...doc.placements, [slot]: { assignment, round: 0, phase: 'asking' } } };
}

function withdraw(doc: OrchestratorDoc, ref: AttemptBody, context: Context): OrchestratorDoc {
  const slot = slotOf(ref);
  const placement = doc.placements[slot];
  if (placement === undefined || attemptKey(placement.assignment) !== attemptKey(ref)) return doc;
  return without(doc, slot, context);
}

function accepted(doc: OrchestratorDoc, body: Placed, context: Context): OrchestratorDoc {
  // Told even when it is no longer wanted: the scenario supervisor then has that runner killed.
  context.tell({ kind: 'scenario', id: body.scenario }, 'placed', body);
  const slot = slotOf(body);
  const placement = doc.placements[slot];
  return placement === undefined || attemptKey(placement.assignment) !== attemptKey(body)
    ? doc
    : without(doc, slot, context);
}

/** Y3 */
function refused(
  doc: OrchestratorDoc,
  body: Static<typeof Refused>,
  context: Context,
  settings: OrchestratorSettings,
): OrchestratorDoc {
  const found = Object.entries(doc.placements).find(([, p]) => attemptKey(p.assignment) === body.key);
  if (found === undefined || found[1].round !== body.round) return doc;
  const [slot, placement] = found;
  const { assignment } = placement;
  context.tell({ kind: 'scenario', id: assignment.scenario }, 'unplaced', {
    ...refOf(assignment),
    refusals: body.refusals,
  });
  context.timer(`retry-${slot}`, settings.placementRetryMs, 'retry', { slot });
  return { ...doc, placements: { ...doc.placements, [slot]: { ...placement, phase: 'waiting' } } };
}

function retry(doc: OrchestratorDoc, slot: string, context: Context): OrchestratorDoc {
  const placement = doc.placements[slot];
  if (placement?.phase !== 'waiting') return doc;
  context.cancel(`retry-${slot}`);
  const next: Placement = { ...placement, phase: 'asking', round: placement.round + 1 };
  return { ...doc, placements: { ...doc.placements, [slot]: next } };
}

const errands = (doc: OrchestratorDoc): Errand[] =>
  Object.values(doc.placements)
    .filter(placement => placement.phase === 'asking')
    .map(({ assignment, round }) => ({
      key: `place.${attemptKey(assignment)}.${round}`,
      kind: 'place-runner',
      body: { assignment, round },
    }));

function without(doc: OrchestratorDoc, slot: string, context: Context): OrchestratorDoc {
  context.cancel(`retry-${slot}`);
  const { [slot]: _, ...placements } = doc.placements;
  return { ...doc, placements };
}

const slotOf = (ref: AttemptBody): string => `${ref.scenario}.${ref.segment}`;

const refOf = ({ scenario, run, segment, attempt }: AttemptBody): AttemptBody => ({ scenario, run, segment, attempt });

/** Whether `a` is a later attempt than `b`. */
const isNewer = (a: AttemptBody, b: AttemptBody): boolean =>
  a.run > b.run || (a.run === b.run && a.attempt > b.attempt);
