/** The live nodes, as their heartbeats tell. */
import type { NodeView } from '../../domain/node.ts';
import type { Subscription } from './bus.ts';

export interface NodeDirectory {
  /** Nodes whose last beat is recent, this one included. */
  alive(): readonly NodeView[];
  /** Calls back when a node comes or its capacity grows; for placements that wait. */
  onCapacity(changed: () => void): Subscription;
}
