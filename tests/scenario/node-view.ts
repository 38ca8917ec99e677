/** A runner node as its heartbeats show it. */
import type { NodeView } from '../../src/domain/node.ts';
import { ENGINE } from './play.ts';

export function nodeView(id: string, view: Partial<NodeView> = {}): NodeView {
  const { slots = 4, running = 0 } = view;
  return {
    id,
    roles: ['runner'],
    slots,
    running,
    load: slots === 0 ? 1 : running / slots,
    roots: [],
    engine: ENGINE,
    models: [],
    sandbox: 'full',
    warm: [],
    draining: false,
    pid: 1,
    partitions: [],
    version: '0',
    startedAt: '',
    ...view,
  };
}
