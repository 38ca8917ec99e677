/** The scenario as the outside sees it (API.md): its specification, its six states and its public view. */
import Type, { type Static } from 'typebox';
import { Engine } from './engine.ts';
import { Id } from './ids.ts';
import { ModelInfo } from './model.ts';
import { Sampling } from './sampling.ts';
import { SourceInfo } from './source.ts';

const nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

export const RestartLimits = Type.Object(
  {
    intensity: Type.Integer({ minimum: 0, maximum: 1000, default: 5 }),
    periodMs: Type.Integer({ minimum: 1, maximum: 86_400_000, default: 60_000 }),
  },
  { additionalProperties: false },
);
export type RestartLimits = Static<typeof RestartLimits>;

/** What a user asks for; the body of `create` and `start`. Unknown fields are refused. */
export const ScenarioRequest = Type.Object(
  {
    source: Type.Object(
      { uri: Type.String({ minLength: 1, maxLength: 4096, description: 'a path below one of the node roots' }) },
      { additionalProperties: false },
    ),
    model: Type.String({
      minLength: 1,
      maxLength: 4096,
      description: 'a registered name or the path of an .onnx file',
    }),
    sampling: Type.Optional(Sampling),
    threshold: Type.Optional(Type.Number({ minimum: 0, maximum: 1, default: 0.25 })),
    recordThreshold: Type.Optional(Type.Number({ minimum: 0, maximum: 1, default: 0.1 })),
    iou: Type.Optional(Type.Number({ minimum: 0, maximum: 1, default: 0.45 })),
    classes: Type.Optional(Type.Array(Type.String({ minLength: 1 }), { minItems: 1, maxItems: 1000 })),
    segments: Type.Optional(Type.Integer({ minimum: 1, maximum: 1024, default: 1 })),
    inference: Type.Optional(
      Type.Union([
        Type.Object({ kind: Type.Literal('local') }, { additionalProperties: false }),
        Type.Object({ kind: Type.Literal('remote'), url: Type.String() }, { additionalProperties: false }),
      ]),
    ),
    onFrameError: Type.Optional(Type.Union([Type.Literal('fail'), Type.Literal('skip')])),
    restart: Type.Optional(Type.Partial(RestartLimits, { additionalProperties: false })),
    allowMixedEngine: Type.Optional(Type.Boolean({ default: false })),
    start: Type.Optional(Type.Boolean({ default: true })),
  },
  { additionalProperties: false },
);
export type ScenarioRequest = Static<typeof ScenarioRequest>;

/** The POST body: a request with an optional id of the caller's choice. */
export const ScenarioCreation = Type.Object(
  { id: Type.Optional(Id), ...ScenarioRequest.properties },
  { additionalProperties: false },
);
export type ScenarioCreation = Static<typeof ScenarioCreation>;

/** A request with every default filled in: what runs, and what two requests are compared by. */
export const ScenarioSpec = Type.Object(
  {
    source: Type.Object({ uri: Type.String() }),
    model: Type.String(),
    sampling: Sampling,
    threshold: Type.Number(),
    recordThreshold: Type.Number(),
    iou: Type.Number(),
    classes: nullable(Type.Array(Type.String())),
    segments: Type.Integer(),
    inference: Type.Union([
      Type.Object({ kind: Type.Literal('local') }),
      Type.Object({ kind: Type.Literal('remote'), url: Type.String() }),
    ]),
    onFrameError: Type.Union([Type.Literal('fail'), Type.Literal('skip')]),
    restart: RestartLimits,
    allowMixedEngine: Type.Boolean(),
  },
  { additionalProperties: false },
);
export type ScenarioSpec = Static<typeof ScenarioSpec>;

export const ScenarioState = Type.Union([
  Type.Literal('init_startup'),
  Type.Literal('in_startup_processing'),
  Type.Literal('active'),
  Type.Literal('init_shutdown'),
  Type.Literal('in_shutdown_processing'),
  Type.Literal('inactive'),
]);
export type ScenarioState = Static<typeof ScenarioState>;

export const Outcome = Type.Union([Type.Literal('completed'), Type.Literal('stopped'), Type.Literal('failed')]);
export type Outcome = Static<typeof Outcome>;

export const ScenarioError = Type.Object({
  code: Type.String(),
  message: Type.String(),
  frame: Type.Optional(Type.Integer()),
});
export type ScenarioError = Static<typeof ScenarioError>;

export const RunnerView = Type.Object({
  segment: Type.Integer(),
  attempt: Type.Integer(),
  node: nullable(Type.String()),
  pid: nullable(Type.Integer()),
  state: Type.String({ description: 'placing, starting, running, backoff, stopping, closing or ended' }),
  restarts: Type.Integer(),
});
export type RunnerView = Static<typeof RunnerView>;

export const Progress = Type.Object({
  framesDone: Type.Integer({ description: 'selected frames with a committed result' }),
  framesTotal: nullable(Type.Integer({ description: 'estimate until the end is known' })),
  fps: nullable(Type.Number()),
  etaMs: nullable(Type.Number()),
  lastFrame: nullable(Type.Integer({ description: 'last source frame passed' })),
});
export type Progress = Static<typeof Progress>;

export const HistoryEntry = Type.Object({
  at: Type.String(),
  from: nullable(ScenarioState),
  to: ScenarioState,
  reason: nullable(Type.String()),
});
export type HistoryEntry = Static<typeof HistoryEntry>;

/** The public scenario. */
export const ScenarioView = Type.Object({
  id: Id,
  state: ScenarioState,
  outcome: nullable(Outcome),
  reason: nullable(Type.String()),
  complete: Type.Boolean({ description: 'true when every selected frame of the run has its result' }),
  run: Type.Integer(),
  runs: Type.Array(Type.Integer()),
  spec: ScenarioSpec,
  source: nullable(SourceInfo),
  model: nullable(
    Type.Object({
      name: ModelInfo.properties.name,
      sha256: ModelInfo.properties.sha256,
      family: ModelInfo.properties.family,
      classes: ModelInfo.properties.classes,
    }),
  ),
  engine: nullable(Engine),
  progress: Progress,
  runners: Type.Array(RunnerView),
  error: nullable(ScenarioError),
  warnings: Type.Array(Type.String()),
  history: Type.Array(HistoryEntry),
  createdAt: Type.String(),
  updatedAt: Type.String(),
});
export type ScenarioView = Static<typeof ScenarioView>;
