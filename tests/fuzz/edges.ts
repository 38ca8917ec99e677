/** All edges, by how long a case takes. */
import type { Edge } from './edge.ts';
import { command } from './edges/command.ts';
import { config } from './edges/config.ts';
import { frameTimesEdge } from './edges/frame-times.ts';
import { http } from './edges/http.ts';
import { modelSettings } from './edges/model-settings.ts';
import { nats } from './edges/nats.ts';
import { onnx } from './edges/onnx.ts';
import { probe } from './edges/probe.ts';
import { projection } from './edges/projection.ts';
import { records } from './edges/records.ts';

/** What a function reads: no process, no server. */
export const PARSERS: readonly Edge[] = [
  records,
  onnx,
  probe,
  config,
  modelSettings,
  frameTimesEdge,
  projection,
  command,
];
export const EDGES: readonly Edge[] = [...PARSERS, http, nats];
