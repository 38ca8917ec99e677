/** What the documents of this API consist of, by name, and the parameters that several routes share. */
import Type, { type Static } from 'typebox';
import { Engine } from '../domain/engine.ts';
import { Id } from '../domain/ids.ts';
import { ModelInfo } from '../domain/model.ts';
import { NodeView } from '../domain/node.ts';
import { Prediction } from '../domain/prediction.ts';
import { Rejection } from '../domain/rejection.ts';
import { HistoryEntry, Outcome, Progress, ScenarioSpec, ScenarioState, ScenarioView } from '../domain/scenario.ts';
import { TimelineItem } from '../domain/scenario-facts.ts';
import { SourceInfo } from '../domain/source.ts';
import { TreeNode } from '../domain/tree.ts';

const nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

/** A response schema that names a component instead of repeating it. */
const component = <T>(name: string) => Type.Unsafe<T>({ $ref: `${name}#` });

export const Scenario = component<ScenarioView>('Scenario');
export const Tree = component<TreeNode>('TreeNode');

export const ScenarioPage = Type.Object({
  items: Type.Array(Scenario),
  nextCursor: Type.Optional(Type.String()),
});
export type ScenarioPage = Static<typeof ScenarioPage>;

export const PredictionPage = Type.Object({
  complete: Type.Boolean({ description: 'false: the run still goes on or was stopped; what is here has no gap' }),
  items: Type.Array(component<Prediction>('Prediction')),
  nextCursor: Type.Optional(Type.String()),
});
export type PredictionPage = Static<typeof PredictionPage>;

export const Manifest = Type.Object(
  {
    scenario: Id,
    run: Type.Integer(),
    complete: Type.Boolean(),
    spec: ScenarioSpec,
    source: nullable(SourceInfo),
    model: ScenarioView.properties.model,
    engine: nullable(Engine),
    frames: Type.Integer({ description: 'predictions: lines of the JSONL export' }),
    segments: Type.Array(
      Type.Object({
        segment: Type.Integer(),
        frames: Type.Integer(),
        lastFrame: nullable(Type.Integer()),
        engine: nullable(Engine),
        warnings: Type.Array(Type.String()),
      }),
    ),
    sha256: Type.String({ description: 'of the JSONL export, hex' }),
    troupe: Type.String({ description: 'version' }),
  },
  { description: 'what an export is the result of, and the digest it can be checked by' },
);
export type Manifest = Static<typeof Manifest>;

export const Node = component<NodeView>('Node');

export const NodeList = Type.Object({ items: Type.Array(Node) });
export type NodeList = Static<typeof NodeList>;

export const ModelList = Type.Object({ items: Type.Array(component<ModelInfo>('Model')) });
export type ModelList = Static<typeof ModelList>;

export const RejectedPage = Type.Object({
  items: Type.Array(component<Rejection>('Rejection')),
  nextCursor: Type.Optional(Type.String()),
});
export type RejectedPage = Static<typeof RejectedPage>;

export const Timeline = Type.Object({
  items: Type.Array(component<TimelineItem>('TimelineItem')),
  omitted: Type.Integer({ description: 'facts before these that are left out' }),
});
export type Timeline = Static<typeof Timeline>;

export const StateEvent = Type.Object(
  {
    ...HistoryEntry.properties,
    run: Type.Integer(),
    outcome: nullable(Outcome),
    scenario: Type.Optional(component<ScenarioView>('Scenario')),
  },
  {
    $id: 'StateEvent',
    description: 'data of a `state` event; `scenario`, as it is now, is in the one of its newest transition',
  },
);
export type StateEvent = Static<typeof StateEvent>;

export const ProgressEvent = Type.Object(
  { run: Type.Integer(), progress: Progress },
  { $id: 'ProgressEvent', description: 'data of a `progress` event' },
);
export type ProgressEvent = Static<typeof ProgressEvent>;

export const DeletedEvent = Type.Object(
  { at: Type.String(), from: ScenarioState, to: Type.Literal('deleted'), run: Type.Integer() },
  { $id: 'DeletedEvent', description: 'data of the `deleted` event, the last one' },
);
export type DeletedEvent = Static<typeof DeletedEvent>;

export const COMPONENTS: readonly object[] = [
  { ...ScenarioView, $id: 'Scenario' },
  { ...Prediction, $id: 'Prediction' },
  { ...NodeView, $id: 'Node' },
  { ...ModelInfo, $id: 'Model' },
  { ...Rejection, $id: 'Rejection' },
  { ...TimelineItem, $id: 'TimelineItem' },
  StateEvent,
  ProgressEvent,
  DeletedEvent,
  {
    ...TreeNode.$defs.TreeNode,
    properties: { ...TreeNode.$defs.TreeNode.properties, children: Type.Array(Type.Ref('TreeNode#')) },
    $id: 'TreeNode',
  },
];

export const IdParams = Type.Object({ id: Type.String({ ...Id, examples: ['demo'] }) });

export const NodeParams = Type.Object({ node: Type.String({ ...Id, examples: ['n1'] }) });

export const RunQuery = {
  run: Type.Optional(Type.Integer({ minimum: 1, description: 'the latest when absent' })),
};
