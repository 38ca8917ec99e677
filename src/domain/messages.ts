/** The internal messages of part 1's cast, as they cross the bus and the mailbox. Senders and receivers share these. */
import Type, { type Static } from 'typebox';
import { Engine } from './engine.ts';
import { Id } from './ids.ts';
import { ModelInfo } from './model.ts';
import { parseJson } from './parse.ts';
import { ScenarioSpec } from './scenario.ts';
import { SourceInfo } from './source.ts';

export const ProblemBody = Type.Object({
  code: Type.String(),
  message: Type.String(),
  frame: Type.Optional(Type.Integer()),
});
export type ProblemBody = Static<typeof ProblemBody>;

const Ref = {
  scenario: Id,
  run: Type.Integer({ minimum: 1 }),
  segment: Type.Integer({ minimum: 0 }),
  attempt: Type.Integer({ minimum: 1 }),
};
export const AttemptBody = Type.Object(Ref);
export type AttemptBody = Static<typeof AttemptBody>;

/** What a node must know to run an attempt. */
export const Assignment = Type.Object({
  ...Ref,
  spec: ScenarioSpec,
  /** The log is known to hold this sequence (L6); 0 when nothing was heard of. */
  lastSeq: Type.Integer({ minimum: 0 }),
  /** Required to be the same file, once known. */
  source: Type.Union([SourceInfo, Type.Null()]),
  /** Required to be equal, once known, unless mixed engines are allowed. */
  engine: Type.Union([Engine, Type.Null()]),
  modelSha256: Type.Union([Type.String(), Type.Null()]),
  /** W3C Trace Context: of the command that started the scenario. */
  traceparent: Type.Optional(Type.String()),
});
export type Assignment = Static<typeof Assignment>;

export const Refusal = Type.Object({ node: Type.String(), ...ProblemBody.properties });
export type Refusal = Static<typeof Refusal>;

/** orchestrator → scenario */
export const Placed = Type.Object({
  ...Ref,
  node: Id,
  pid: Type.Integer(),
  source: SourceInfo,
  model: ModelInfo,
  engine: Engine,
});
export type Placed = Static<typeof Placed>;

/** No node took it, and it waits. */
export const Unplaced = Type.Object({
  ...Ref,
  refusals: Type.Array(Refusal),
  /** Refusals left out. */
  more: Type.Integer({ minimum: 0 }),
});
export type Unplaced = Static<typeof Unplaced>;

/** How long a runner took, ms since it had its orders: these overlap. */
export const Startup = Type.Object({
  claimedMs: Type.Number({ description: 'the log is open' }),
  loadedMs: Type.Number({ description: 'every worker has loaded the model' }),
  decodedMs: Type.Number({ description: 'the first selected frame lies in the ring' }),
  committedMs: Type.Number({ description: 'the first batch is in the log' }),
});
export type Startup = Static<typeof Startup>;

/** node → scenario: the attempt's first batch is committed. */
export const Progressed = Type.Object({
  ...Ref,
  seq: Type.Integer(),
  /** The first source frame that was still to be passed when it began. */
  frame: Type.Optional(Type.Integer({ minimum: 0 })),
  /** Where the time went until then; `checkedMs` is the node's, until it knew that it can run the attempt. */
  startup: Type.Optional(Type.Object({ ...Startup.properties, checkedMs: Type.Number() })),
});
export type Progressed = Static<typeof Progressed>;

export const ExitBody = Type.Union([
  Type.Literal('normal'),
  Type.Literal('shutdown'),
  Type.Literal('killed'),
  Type.Literal('fenced'),
  Type.Object({ error: ProblemBody }),
]);

/** node → scenario: the attempt's process is gone. */
export const Exited = Type.Object({
  ...Ref,
  reason: ExitBody,
  /** How the attempt left its log: ended by `end` or `closed`, or neither. */
  result: Type.Union([Type.Literal('end'), Type.Literal('closed'), Type.Null()]),
  /** The last sequence it wrote or found; 0 when it found nothing. */
  seq: Type.Integer({ minimum: 0 }),
  /** It committed at least one batch. */
  fruitful: Type.Boolean(),
});
export type Exited = Static<typeof Exited>;

/** What a node answers to `start`. */
export const StartAnswer = Type.Union([
  Type.Object({
    kind: Type.Literal('accepted'),
    pid: Type.Integer(),
    source: SourceInfo,
    model: ModelInfo,
    engine: Engine,
  }),
  Type.Object({ kind: Type.Literal('refused'), problem: ProblemBody }),
]);
export type StartAnswer = Static<typeof StartAnswer>;

/** What a node answers to `stop` and `has`. */
export const StopAnswer = Type.Object({
  /** `running`: it was told; `gone`: no such process, and its exit was reported; `unknown`: never heard of it. */
  kind: Type.Union([Type.Literal('running'), Type.Literal('gone'), Type.Literal('unknown')]),
});
export type StopAnswer = Static<typeof StopAnswer>;

/** `close`: end the log and exit. `release`: leave the log open for the next attempt. `kill`: now. */
export const StopRequest = Type.Object({
  ...Ref,
  mode: Type.Union([Type.Literal('close'), Type.Literal('release'), Type.Literal('kill')]),
});
export type StopRequest = Static<typeof StopRequest>;

/** What a node is told on its `drain` subject; answered with its view. */
export const DrainRequest = Type.Object({ draining: Type.Boolean() });

/** Exit codes of a runner's process; 1 is any failure. */
export const RUNNER_EXIT = { inOrder: 0, failed: 1, fenced: 3 } as const;

/** A runner's heartbeat on core NATS. */
export const RunnerBeat = Type.Object({
  key: Type.String(),
  /** Source frames passed; grows while there is progress. */
  progress: Type.Integer(),
  fps: Type.Number(),
});
export type RunnerBeat = Static<typeof RunnerBeat>;

/** Anybody may publish on a heartbeat subject: null for what is no beat. */
export const readRunnerBeat = (bytes: Uint8Array): RunnerBeat | null => parseJson(RunnerBeat, bytes);
