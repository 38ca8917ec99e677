/** Why a child ended, in OTP's terms, plus `fenced`: a newer attempt took its place. */
import type { ProblemCode } from '../../domain/errors.ts';

export interface ExitError {
  readonly code: ProblemCode;
  readonly message: string;
  readonly frame?: number;
}

export type ExitReason = 'normal' | 'shutdown' | 'killed' | 'fenced' | { readonly error: ExitError };

/** Transient children are restarted after these. */
export const isAbnormal = (reason: ExitReason): boolean => reason !== 'normal' && reason !== 'shutdown';

export const describeExit = (reason: ExitReason): string =>
  typeof reason === 'string' ? reason : `${reason.error.code}: ${reason.error.message}`;
