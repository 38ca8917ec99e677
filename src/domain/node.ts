/** A live node as `/nodes` shows it. */
import Type, { type Static } from 'typebox';
import { Engine, sameEngine } from './engine.ts';
import { Id } from './ids.ts';

export const NodeRole = Type.Union([Type.Literal('api'), Type.Literal('orchestrator'), Type.Literal('runner')]);
export type NodeRole = Static<typeof NodeRole>;

/** What separates the programs that read strangers' files from everything else; docs/SECURITY.md. */
export const SandboxLevel = Type.Union([Type.Literal('full'), Type.Literal('limits'), Type.Literal('none')]);
export type SandboxLevel = Static<typeof SandboxLevel>;

export const NodeView = Type.Object(
  {
    id: Id,
    roles: Type.Array(NodeRole),
    slots: Type.Integer({ description: 'runners it takes at most' }),
    running: Type.Integer({ description: 'runners it has now' }),
    load: Type.Number({ description: 'running / slots' }),
    draining: Type.Boolean({ description: 'it takes no runners and owns no partitions until it is told otherwise' }),
    roots: Type.Array(Type.String()),
    engine: Type.Union([Engine, Type.Null()], { description: 'null: without the role runner' }),
    sandbox: Type.Union([SandboxLevel, Type.Null()], {
      description: 'round the programs that read videos and try models; null: without the role runner',
    }),
    models: Type.Array(Type.String({ description: 'registered here' })),
    warm: Type.Array(Type.String(), { description: 'models that run here or ran lately, as scenarios name them' }),
    pid: Type.Integer(),
    partitions: Type.Array(Type.Integer()),
    version: Type.String(),
    startedAt: Type.String(),
  },
  { additionalProperties: false },
);
export type NodeView = Static<typeof NodeView>;

/**
 * Why a node that is like this takes no attempt now, or none of a run that began with `engine`; null when it may. The node
 * refuses with it, and who knows the node's view need not ask.
 */
export function unfit(
  node: Pick<NodeView, 'draining' | 'running' | 'slots' | 'engine'>,
  engine: Engine | null,
): string | null {
  if (node.draining) return 'the node is draining';
  if (node.running >= node.slots) return `all ${node.slots} slots are taken`;
  if (engine === null || node.engine === null || sameEngine(engine, node.engine)) return null;
  return `the run began with another engine (${nameOf(engine)}) than the node's (${nameOf(node.engine)})`;
}

const nameOf = ({ decoder, onnxruntime, provider, cpu }: Engine): string =>
  `${decoder}, onnxruntime ${onnxruntime}, ${provider}, ${cpu}`;
