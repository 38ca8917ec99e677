/** Which node to ask first: pure. The nodes themselves have the last word. */
import type { NodeView } from '../../domain/node.ts';

/** Least loaded first (running / slots), ties by id, so that every orchestrator agrees. Only runner nodes. */
export function rankNodes(nodes: readonly NodeView[]): readonly NodeView[] {
  return nodes
    .filter(node => node.roles.includes('runner'))
    .toSorted((a, b) => a.load - b.load || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}
