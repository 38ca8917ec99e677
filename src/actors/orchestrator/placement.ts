/** Which node to ask first, and what to tell of those that refuse: pure. The nodes themselves have the last word. */
import { PERMANENT_CODES, type ProblemCode } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Refusal } from '../../domain/messages.ts';
import type { NodeView } from '../../domain/node.ts';
import type { PlacementStrategy } from '../../domain/placement-strategy.ts';

/** What the order depends on beside the nodes. */
export interface Wanted {
  /** As the scenario names it. */
  readonly model: string;
  /** Counts the placements of an orchestrator. */
  readonly turn: number;
}

/**
 * Every runner node once, in the order in which they are to be asked; ties by id, so that every orchestrator agrees. Those
 * that are draining come last, since they refuse.
 */
export function rankNodes(
  strategy: PlacementStrategy,
  nodes: readonly NodeView[],
  { model, turn }: Wanted,
): readonly NodeView[] {
  const runners = nodes.filter(node => node.roles.includes('runner')).toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const [open, draining] = [runners.filter(node => !node.draining), runners.filter(node => node.draining)];
  switch (strategy) {
    case 'least_loaded':
      return [...open.toSorted(byLoad), ...draining];
    case 'round_robin': {
      const first = open.length === 0 ? 0 : turn % open.length;
      return [...open.slice(first), ...open.slice(0, first), ...draining];
    }
    case 'hot_model':
      return [...open.toSorted((a, b) => coldness(a, model) - coldness(b, model) || byLoad(a, b)), ...draining];
  }
}

const byLoad = (a: NodeView, b: NodeView): number => a.load - b.load;

/** 0: it runs there or ran lately. 1: it is registered there. */
const coldness = ({ warm, models }: NodeView, model: string): number =>
  warm.includes(model) ? 0 : models.includes(model) ? 1 : 2;

export const isPermanent = ({ code }: Pick<Refusal, 'code'>): boolean => PERMANENT_CODES.has(code as ProblemCode);

/**
 * What a scenario is told of its refusals: a bounded part of them, in an order that changes only when they do. The node that
 * ran the segment last and those that refuse for now come first, because on them depends whether it waits.
 */
export function tellable(refusals: readonly Refusal[], lastNode: string | null) {
  const weight = (refusal: Refusal): number => (refusal.node === lastNode ? 0 : isPermanent(refusal) ? 2 : 1);
  const told = refusals
    .toSorted((a, b) => weight(a) - weight(b) || (a.node < b.node ? -1 : 1))
    .slice(0, LIMITS.refusalsTold)
    .map(({ message, ...refusal }) => ({ ...refusal, message: message.slice(0, LIMITS.refusalChars) }));
  return { refusals: told, more: refusals.length - told.length };
}
