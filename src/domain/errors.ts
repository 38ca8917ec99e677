/**
 * Expected failures and their public codes. A code is API (RFC 9457 problem `code`): never rename one.
 * Anything that is not a `TroupeError` is a defect: it crashes the actor that met it and its supervisor decides.
 */

/** HTTP status of each public code. A code that is not listed here does not exist. */
export const PROBLEMS = {
  invalid_request: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  scenario_not_found: 404,
  run_not_found: 404,
  node_not_found: 404,
  method_not_allowed: 405,
  not_acceptable: 406,
  request_timeout: 408,
  scenario_exists: 409,
  idempotency_conflict: 409,
  illegal_transition: 409,
  scenario_running: 409,
  spec_conflict: 409,
  too_large: 413,
  unsupported_media_type: 415,
  source_unreadable: 422,
  source_not_allowed: 422,
  source_changed: 422,
  model_not_found: 422,
  model_unsupported: 422,
  class_unknown: 422,
  not_supported_yet: 422,
  mailbox_full: 429,
  too_many_requests: 429,
  headers_too_large: 431,
  decode_failed: 500,
  inference_failed: 500,
  log_lost: 500,
  internal: 500,
  runner_lost: 500,
  not_ready: 503,
  unavailable: 503,
} as const satisfies Record<string, number>;

export type ProblemCode = keyof typeof PROBLEMS;

export interface ProblemDetail {
  readonly path: string;
  readonly message: string;
}

export interface TroupeErrorOptions {
  readonly cause?: unknown;
  /** True when the same call may succeed later without any change by the caller. */
  readonly retryable?: boolean;
  /** Source frame at which it happened, when it belongs to one. */
  readonly frame?: number;
  /** Where in the request, and what is wrong there. */
  readonly errors?: readonly ProblemDetail[];
}

/** An expected failure: what happened, why, and what to do next, in `message`. */
export class TroupeError extends Error {
  readonly code: ProblemCode;
  readonly retryable: boolean;
  readonly frame: number | undefined;
  readonly errors: readonly ProblemDetail[] | undefined;

  constructor(code: ProblemCode, message: string, options: TroupeErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'TroupeError';
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.frame = options.frame;
    this.errors = options.errors;
  }
}

/** A refusal as data: what actors reply with and what `troupe.rejected` stores. */
export interface Problem {
  readonly code: ProblemCode;
  readonly message: string;
  readonly frame?: number;
  readonly errors?: readonly ProblemDetail[];
}

export function toProblem(error: unknown): Problem {
  if (error instanceof TroupeError) {
    return {
      code: error.code,
      message: error.message,
      ...(error.frame === undefined ? {} : { frame: error.frame }),
      ...(error.errors === undefined ? {} : { errors: error.errors }),
    };
  }
  return { code: 'internal', message: error instanceof Error ? error.message : String(error) };
}

export function fromProblem(problem: Problem): TroupeError {
  return new TroupeError(problem.code, problem.message, {
    ...(problem.frame === undefined ? {} : { frame: problem.frame }),
    ...(problem.errors === undefined ? {} : { errors: problem.errors }),
  });
}

/** Errors that another attempt cannot mend: the scenario fails at once instead of restarting its runner. */
export const PERMANENT_CODES: ReadonlySet<ProblemCode> = new Set([
  'source_unreadable',
  'source_not_allowed',
  'source_changed',
  'model_not_found',
  'model_unsupported',
  'class_unknown',
  'log_lost',
  'not_supported_yet',
]);

/** A broken invariant: a defect, not a failure. Crashes the actor. */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`invariant broken: ${message}`);
}
