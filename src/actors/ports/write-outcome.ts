/**
 * How a conditional write can end. Shared by every port that writes with compare-and-set.
 *
 * - resolves: the write is durable.
 * - `WriteConflict`: definite refusal; somebody else wrote (NATS 10071). Nothing of this write was stored.
 * - `WriteRetry`: definite refusal without a verdict on the expectation (NATS 10164, no leader, disk full):
 *   the *same* write, with the same expectation, may be sent again.
 * - `WriteUnknown`: a time-out or a lost connection. It may have landed. Read back; never assume.
 *
 * Reads and purges that cannot be answered now throw a retryable `TroupeError`.
 */
import { TroupeError } from '../../domain/errors.ts';

export class WriteConflict extends Error {
  override readonly name = 'WriteConflict';
}

export class WriteRetry extends Error {
  override readonly name = 'WriteRetry';
}

export class WriteUnknown extends Error {
  override readonly name = 'WriteUnknown';
}

/** The receiver's bound for this verb is reached; definite, nothing was stored. */
export class MailboxFull extends Error {
  override readonly name = 'MailboxFull';
}

/** Trouble that passes: the same call may succeed later. A conflict is none, it needs another look. */
export const isPassing = (error: unknown): boolean =>
  error instanceof WriteRetry || error instanceof WriteUnknown || (error instanceof TroupeError && error.retryable);
