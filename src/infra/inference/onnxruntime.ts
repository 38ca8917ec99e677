/** The one door to onnxruntime: its version, its settings, and loading it without telemetry. */
import type { InferenceSession } from 'onnxruntime-node';
import onnxruntime from 'onnxruntime-node/package.json' with { type: 'json' };
import { TroupeError } from '../../domain/errors.ts';

/** Part of the engine; known without loading the native library. */
export const ENGINE = { onnxruntime: onnxruntime.version, provider: 'cpu' } as const;

/**
 * onnxruntime sends usage data over HTTPS unless this is set when its library is loaded. Its C code sees what the *main*
 * thread sets (a worker's `process.env` is a copy), so the main thread calls this before it starts workers.
 */
export function disableTelemetry(): void {
  process.env['ORT_DISABLE_TELEMETRY'] = '1';
}

/** One thread per session: parallelism comes from sessions, and sums keep one order of additions. */
export const SESSION_OPTIONS = {
  executionProviders: ['cpu'],
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  logSeverityLevel: 3,
  extra: { session: { load_model_format: 'ONNX' } },
} as const satisfies InferenceSession.SessionOptions;

export function cannotLoad(message: string): TroupeError {
  const why = withoutPlace(message);
  const advice = 'Check that it runs there, or export it again.';
  return new TroupeError(
    'model_unsupported',
    `onnxruntime ${ENGINE.onnxruntime} cannot load the model: ${why} ${advice}`,
  );
}

/** Its errors begin with a line of its own source. */
const withoutPlace = (message: string): string => message.replace(/^\S+\.(cc|h):\d+ .*?\) (?=[A-Z])/s, '').trim();
