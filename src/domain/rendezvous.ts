/** Rendezvous (highest random weight) hashing: Thaler and Ravishankar, 1998. */
import { partitionOf } from './subjects.ts';

/** 2³² weights: the whole of the hash. */
const WEIGHTS = 2 ** 32;

/**
 * The finaliser of MurmurHash3 (Appleby, public domain). FNV alone keeps names that differ in their last byte close
 * together: of n1 to n5 three had 5,000 of 20,000 partitions each and two 2,500; so mixed, all have 3,900 to 4,100.
 */
function mixed(hash: number): number {
  let z = hash;
  z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
  z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
  return (z ^ (z >>> 16)) >>> 0;
}

/** The node that all agree on for a partition, given the same live nodes; null when there is none. */
export function rendezvous(nodes: readonly string[], partition: number): string | null {
  let best: { node: string; weight: number } | null = null;
  for (const node of nodes) {
    const weight = mixed(partitionOf(`${partition}/`, node, WEIGHTS));
    if (best === null || weight > best.weight || (weight === best.weight && node < best.node)) best = { node, weight };
  }
  return best?.node ?? null;
}
