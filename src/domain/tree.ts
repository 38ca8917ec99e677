/** A node of the supervision tree as `/tree` shows it, read from the supervisors' own child tables. */
import Type, { type Static } from 'typebox';

export const TreeNode = Type.Cyclic(
  {
    TreeNode: Type.Object({
      id: Type.String({ description: 'child id within its supervisor, such as `scenario/cam1`' }),
      kind: Type.String({ description: 'what it is: node, orchestrator, scenario, runner, nats-server, …' }),
      type: Type.Union([Type.Literal('supervisor'), Type.Literal('worker')]),
      state: Type.String({ description: 'starting, running, restarting, stopping, terminated, …' }),
      strategy: Type.Optional(Type.String()),
      node: Type.Union([Type.String(), Type.Null()]),
      pid: Type.Union([Type.Integer(), Type.Null()]),
      attempt: Type.Optional(Type.Integer()),
      restarts: Type.Integer(),
      children: Type.Array(Type.Ref('TreeNode')),
    }),
  },
  'TreeNode',
);
export type TreeNode = Static<typeof TreeNode>;
