/** A live node as `/nodes` shows it. */
import Type, { type Static } from 'typebox';
import { Engine } from './engine.ts';
import { Id } from './ids.ts';

export const NodeRole = Type.Union([Type.Literal('api'), Type.Literal('orchestrator'), Type.Literal('runner')]);
export type NodeRole = Static<typeof NodeRole>;

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
    models: Type.Array(Type.String()),
    pid: Type.Integer(),
    partitions: Type.Array(Type.Integer()),
    version: Type.String(),
    startedAt: Type.String(),
  },
  { additionalProperties: false },
);
export type NodeView = Static<typeof NodeView>;
