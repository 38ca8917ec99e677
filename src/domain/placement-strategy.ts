/** In which order an orchestrator asks nodes to take an attempt. */
import Type, { type Static } from 'typebox';

/**
 * - `least_loaded`: the node with the smallest share of its slots taken.
 * - `round_robin`: node after node, in order of id.
 * - `hot_model`: a node where the model runs or ran lately, then one that has it registered, then the others.
 */
export const PlacementStrategy = Type.Union([
  Type.Literal('least_loaded'),
  Type.Literal('round_robin'),
  Type.Literal('hot_model'),
]);
export type PlacementStrategy = Static<typeof PlacementStrategy>;
