/**
 * From what a user asked for to what runs.
 *
 * S1 Two requests that mean the same give equal specs: every default is filled in, keys have one order.
 * S2 A spec can run here: what Troupe does not do yet is refused, not ignored.
 * S3 `recordThreshold` never exceeds `threshold`: the log holds at least what reading at `threshold` shows.
 */
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { TroupeError } from './errors.ts';
import { invalidRequest } from './parse.ts';
import type { Sampling } from './sampling.ts';
import type { ScenarioRequest, ScenarioSpec } from './scenario.ts';

/**
 * @param request already parsed against `ScenarioRequest` (further fields, such as `id`, are ignored)
 * @throws TroupeError invalid_request for fields that contradict each other, not_supported_yet (S2)
 */
export function toSpec(request: ScenarioRequest): ScenarioSpec {
  const threshold = request.threshold ?? 0.25;
  const spec: ScenarioSpec = {
    source: { uri: toPath(request.source.uri) },
    model: request.model,
    sampling: toSampling(request.sampling ?? {}),
    threshold,
    recordThreshold: Math.min(request.recordThreshold ?? 0.1, threshold),
    iou: request.iou ?? 0.45,
    classes: request.classes ?? null,
    segments: request.segments ?? 1,
    inference: request.inference ?? { kind: 'local' },
    onFrameError: request.onFrameError ?? 'fail',
    restart: { intensity: request.restart?.intensity ?? 5, periodMs: request.restart?.periodMs ?? 60_000 },
    allowMixedEngine: request.allowMixedEngine ?? false,
  };
  if (spec.model.includes('\0')) throw refuse('model', 'must not contain a NUL character');
  if (spec.segments > 1) throw notYet('segments', 'More than one segment', 'Leave segments out.');
  if (spec.inference.kind === 'remote')
    throw notYet('inference.kind', 'Remote inference', 'Leave inference out: the runner infers.');
  return spec;
}

/** S1: whether two specs mean the same run. */
export const sameSpec = (a: ScenarioSpec, b: ScenarioSpec): boolean => isDeepStrictEqual(a, b);

function toSampling(sampling: Sampling): Sampling {
  const { every, fps, from, to } = sampling;
  if (every !== undefined && fps !== undefined) throw refuse('sampling', 'must not have both every and fps');
  if (from !== undefined && to !== undefined && from > to) throw refuse('sampling.to', `must be >= from (${from})`);
  return {
    ...(every === undefined ? {} : { every }),
    ...(fps === undefined ? {} : { fps }),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
  };
}

function toPath(uri: string): string {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(uri)?.[1]?.toLowerCase();
  if (scheme !== undefined && scheme !== 'file') {
    throw notYet('source.uri', `A ${scheme}:// source`, 'Save it as a file below a root of a node, and name that.');
  }
  let path = uri;
  if (/^file:\//i.test(uri)) {
    try {
      path = fileURLToPath(uri);
    } catch (cause) {
      throw refuse(
        'source.uri',
        `is not a file URL of this machine: ${cause instanceof Error ? cause.message : String(cause)}`,
      );
    }
  }
  if (path.includes('\0')) throw refuse('source.uri', 'must not contain a NUL character');
  return path;
}

const refuse = (path: string, message: string): TroupeError => invalidRequest('The scenario', [{ path, message }]);

const notYet = (path: string, what: string, instead: string): TroupeError =>
  new TroupeError('not_supported_yet', `${what} is not supported by this version of Troupe. ${instead}`, {
    errors: [{ path, message: 'is not supported yet' }],
  });
