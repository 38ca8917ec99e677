/**
 * The orchestrator of one partition: root of its tree. Has the attempts of its scenario supervisors placed on nodes. Pure; the
 * asking itself, and the waiting for a node, is the errand `place-runner`.
 *
 * Y1 Its children are the scenario supervisors that exist in the partition: derived, so no table can grow or be wrong.
 * Y2 One placement per segment: a newer attempt replaces an older one, a withdrawn one is asked for no more.
 * Y3 A placement stays until a node took it or nobody wants it any more: never lost "in the queue".
 * Y4 It holds references, what they stand for is read from the scenario's own state when a node is asked: with
 *    `placementsWaiting` of them its commit is of a size that can be stored. One more is put off, and asks again.
 * Y5 Each placement has its turn, counted in committed state: round robin goes on where it was, whoever goes on with it. The
 *    orchestrators of a cluster begin at different numbers, lest all begin with the same node.
 */
import Type, { type Static } from 'typebox';
import { LIMITS } from '../../domain/limits.ts';
import { AttemptBody, Placed } from '../../domain/messages.ts';
import { attemptKey } from '../../domain/scenario-doc.ts';
import { partitionOf } from '../../domain/subjects.ts';
import type { Behaviour, Context } from '../runtime/behaviour.ts';

const VERBS = {
  place: { class: 'sys', body: AttemptBody },
  withdraw: { class: 'sys', body: AttemptBody },
  accepted: { class: 'signal', body: Placed },
  unwanted: { class: 'signal', body: AttemptBody },
} as const;

/** An attempt that waits for a node. */
export const Placement = Type.Object({ ...AttemptBody.properties, turn: Type.Integer() });
/** Also the body of the errand `place-runner`. */
export type Placement = Static<typeof Placement>;

export interface OrchestratorDoc {
  /** Oldest first. A list, since it is copied with every commit: objects with thousands of keys are slow at that. */
  readonly placements: readonly Placement[];
  /** The next placement's. */
  readonly turn: number;
}

export const orchestrator: Behaviour<OrchestratorDoc> = {
  kind: 'orchestrator',
  version: 2,
  verbs: VERBS,
  senders: LIMITS.orchestratorSenders,
  receive(state, message, context) {
    const doc = state ?? { placements: [], turn: firstTurn(context) };
    const ref = message.body as AttemptBody;
    switch (message.verb as keyof typeof VERBS) {
      case 'place':
        return place(doc, ref, context);
      case 'withdraw':
      case 'unwanted':
        return without(doc, ref);
      case 'accepted':
        // Told even when it is no longer wanted: the scenario supervisor then has that runner killed.
        context.tell({ kind: 'scenario', id: ref.scenario }, 'placed', message.body);
        return without(doc, ref);
    }
  },
  errands: doc => doc.placements.map(body => ({ key: `place.${attemptKey(body)}`, kind: 'place-runner', body })),
  /** Version 1 held whole assignments by scenario and segment, and asked in rounds. */
  upgrade: state => {
    const old = Object.values((state as { placements: Record<string, { assignment: AttemptBody }> }).placements);
    const placements = old.map(({ assignment }, turn) => ({ ...refOf(assignment), turn }));
    return { placements, turn: placements.length };
  },
};

/** Y2, Y4, Y5 */
function place(doc: OrchestratorDoc, ref: AttemptBody, context: Context): OrchestratorDoc {
  const before = doc.placements.find(other => isSameSlot(other, ref));
  if (before !== undefined && !isNewer(ref, before)) return doc;
  const others = before === undefined ? doc.placements : doc.placements.filter(other => other !== before);
  const to = { kind: 'scenario', id: ref.scenario };
  if (others.length >= LIMITS.placementsWaiting) {
    context.tell(to, 'postponed', refOf(ref));
    return doc;
  }
  context.tell(to, 'placing', refOf(ref));
  return { placements: [...others, { ...refOf(ref), turn: doc.turn }], turn: doc.turn + 1 };
}

/** Without this attempt, if it is among those that wait. */
function without(doc: OrchestratorDoc, ref: AttemptBody): OrchestratorDoc {
  const key = attemptKey(ref);
  const placements = doc.placements.filter(other => !isSameSlot(other, ref) || attemptKey(other) !== key);
  return placements.length === doc.placements.length ? doc : { ...doc, placements };
}

/** Y5 */
const firstTurn = ({ self }: Context): number => partitionOf(self.kind, self.id, LIMITS.partitions);

const refOf = ({ scenario, run, segment, attempt }: AttemptBody): AttemptBody => ({ scenario, run, segment, attempt });

const isSameSlot = (a: AttemptBody, b: AttemptBody): boolean => a.scenario === b.scenario && a.segment === b.segment;

/** Whether `a` is a later attempt than `b`. */
const isNewer = (a: AttemptBody, b: AttemptBody): boolean =>
  a.run > b.run || (a.run === b.run && a.attempt > b.attempt);
