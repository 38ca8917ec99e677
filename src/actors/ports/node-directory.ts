/** The live nodes, as their heartbeats tell. */
import type { NodeView } from '../../domain/node.ts';
import type { Subscription } from './bus.ts';

export interface NodeDirectory {
  /** Nodes whose last beat is recent, this one included. */
  alive(): readonly NodeView[];
  /** No beat of it was heard for as long as a live node's silence can last. Unsure is false. */
  isGone(node: string): boolean;
  /** Calls back when a node comes or its capacity grows; for placements that wait. */
  onCapacity(changed: (node: NodeView) => void): Subscription;
}
