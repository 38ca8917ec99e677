/** Rendezvous (highest random weight) hashing: Thaler and Ravishankar, 1998. */
import { partitionOf } from './subjects.ts';

/** 2³² weights: the whole of the hash. */
const WEIGHTS = 2 ** 32;

/** The node that all agree on for a partition, given the same live nodes; null when there is none. */
export function rendezvous(nodes: readonly string[], partition: number): string | null {
  let best: { node: string; weight: number } | null = null;
  for (const node of nodes) {
    const weight = partitionOf(`${partition}/`, node, WEIGHTS);
    if (best === null || weight > best.weight || (weight === best.weight && node < best.node)) best = { node, weight };
  }
  return best?.node ?? null;
}
