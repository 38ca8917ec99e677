/**
 * The prediction log's records: one literal subject per (scenario, run, segment), each append naming the
 * subject's last sequence. The log is the checkpoint and the fence; the rules L1–L9 are in docs/LOG.md.
 */

import Type, { type Static } from 'typebox';
import { Engine } from './engine.ts';
import { toJson } from './json.ts';
import { parseJson } from './parse.ts';
import { Prediction } from './prediction.ts';
import { SourceIdentity } from './source.ts';

const Head = {
  v: Type.Literal(1),
  attempt: Type.Integer({ minimum: 1 }),
  at: Type.String({ description: 'wall clock of the writer, RFC 3339' }),
  traceparent: Type.Optional(Type.String()),
};
const Writer = {
  ...Head,
  /** Random per writer process: tells my landed write from another's (L2). */
  nonce: Type.String(),
  /** Counts this writer's records from 0. */
  n: Type.Integer({ minimum: 0 }),
};

/** Where a log stands after a record: the last record alone tells where to go on. */
export const Position = Type.Object(
  {
    /** Last source frame passed, inclusive; it advances over frames that were sampled out too. */
    to: Type.Integer({ minimum: 0 }),
    /** Times of source frames to−1 and to, ms; the seek target of a resume lies in their middle. */
    prevPts: Type.Union([Type.Number(), Type.Null()]),
    lastPts: Type.Union([Type.Number(), Type.Null()]),
    /** Time of the first frame in the sampled range, ms: `fps` counts from it. */
    startPts: Type.Union([Type.Number(), Type.Null()]),
    /** Time of the last frame selected, ms: with it `fps` goes on where it was, even where times jump back or are missing. */
    selectedPts: Type.Optional(Type.Union([Type.Number(), Type.Null()])),
    /** Predictions in the log so far. */
    frames: Type.Integer({ minimum: 0 }),
  },
  { additionalProperties: true },
);
export type Position = Static<typeof Position>;

/** `open`, `end` and `closed` repeat the position of the record before them; null while no frame was passed. */
const Standing = { position: Type.Union([Position, Type.Null()]) };

export const OpenRecord = Type.Object(
  { ...Writer, ...Standing, kind: Type.Literal('open'), source: SourceIdentity, engine: Engine },
  { additionalProperties: true },
);
export type OpenRecord = Static<typeof OpenRecord>;

export const FramesRecord = Type.Object(
  {
    ...Writer,
    kind: Type.Literal('frames'),
    /** First source frame passed; the last one is `position.to`. */
    from: Type.Integer({ minimum: 0 }),
    /** After this record. */
    position: Position,
    predictions: Type.Array(Prediction),
  },
  { additionalProperties: true },
);
export type FramesRecord = Static<typeof FramesRecord>;

export const EndRecord = Type.Object(
  {
    ...Writer,
    ...Standing,
    kind: Type.Literal('end'),
    /** Predictions in the log. */
    frames: Type.Integer({ minimum: 0 }),
    warnings: Type.Array(Type.String()),
  },
  { additionalProperties: true },
);
export type EndRecord = Static<typeof EndRecord>;

export const ClosedRecord = Type.Object(
  { ...Head, ...Standing, kind: Type.Literal('closed') },
  { additionalProperties: true },
);
export type ClosedRecord = Static<typeof ClosedRecord>;

export const LogRecord = Type.Union([OpenRecord, FramesRecord, EndRecord, ClosedRecord]);
export type LogRecord = Static<typeof LogRecord>;

/** Names one log. `run` and `segment` count from 1 and 0. */
export interface LogKey {
  readonly scenario: string;
  readonly run: number;
  readonly segment: number;
}

/** One line of JSON: a log can be read with `nats stream view`. */
export const encodeLogRecord = (record: LogRecord): Uint8Array => toJson(record);

/** The record in these bytes; null when they hold none. */
export const parseLogRecord = (bytes: Uint8Array): LogRecord | null => parseJson(LogRecord, bytes);
