/** Expecting a TroupeError. */
import * as assert from 'uvu/assert';
import { type ProblemCode, TroupeError } from '../../src/domain/errors.ts';

export function refusal(run: () => unknown): TroupeError {
  try {
    run();
  } catch (error) {
    if (error instanceof TroupeError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

export async function rejection(promise: Promise<unknown>, code: ProblemCode, message: RegExp): Promise<void> {
  const error = await promise.then(
    () => new Error('it was accepted'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof TroupeError)) throw error;
  assert.is(error.code, code);
  assert.match(error.message, message);
}
