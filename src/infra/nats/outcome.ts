/**
 * What JetStream's answers mean. The codes are nats-server's (server/errors.json).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { JetStreamApiCodes, JetStreamApiError, type StreamInfo } from '@nats-io/jetstream';
import { errors } from '@nats-io/transport-node';
import { MailboxFull, WriteConflict, WriteRetry, WriteUnknown } from '../../actors/ports/write-outcome.ts';
import { TroupeError } from '../../domain/errors.ts';
import { ConnectionLost, type Nats, NotSent } from './connection.ts';

/** "maximum messages per subject exceeded" and "maximum bytes exceeded" share it. */
const STORE_FAILED = 10077;
const MESSAGE_TOO_LARGE = 10054;
const ASK_AGAIN_MS = 1_000;
const LATE = Symbol('late');
const PER_SUBJECT = /per subject/;

/** Runs one durable write. @throws WriteConflict | WriteRetry | WriteUnknown | MailboxFull | TroupeError too_large | a defect */
export async function write<T>(nats: Nats, send: () => Promise<T>): Promise<T> {
  try {
    return await nats.request(send);
  } catch (error) {
    throw writeOutcome(error);
  }
}

/**
 * Runs one question to JetStream, or one order that may be given twice. One that comes while a stream has no leader is
 * answered by nobody, also when it has one a moment later: so it is sent again until the first one's time is over.
 * @throws TroupeError unavailable (retryable) when nobody can answer now
 */
export async function ask<T>(nats: Nats, send: () => Promise<T>): Promise<T> {
  try {
    return await nats.request(() => insist(send));
  } catch (error) {
    if (!isUnanswered(error) && !isRefusedForNow(error)) throw error;
    throw new TroupeError(
      'unavailable',
      'JetStream does not answer. Is NATS up, and has it a majority of its servers?',
      { cause: error, retryable: true },
    );
  }
}

/** @returns what comes first, answer or error, of a question sent again and again */
export async function insist<T>(send: () => Promise<T>): Promise<T> {
  let answer = send();
  for (;;) {
    const patience = new AbortController();
    const late = delay(ASK_AGAIN_MS, LATE, { signal: patience.signal });
    late.catch(() => LATE); // ended with its patience
    try {
      const first = await Promise.race([answer, late]);
      if (first !== LATE) return first;
    } finally {
      patience.abort();
    }
    answer = Promise.race([answer, send()]);
  }
}

/** The stream has no leader now: nobody can tell what is in it. */
class NoLeader extends Error {
  override readonly name = 'NoLeader';
}

/**
 * A stream as its leader describes it. While it has none, any server describes its own copy, which may lag far behind.
 * To be asked through `ask` or `request`.
 */
export async function streamInfo(nats: Nats, stream: string): Promise<StreamInfo> {
  const info = await nats.jsm.streams.info(stream);
  if (info.cluster !== undefined && info.cluster.leader === undefined) throw new NoLeader(`${stream} has no leader`);
  return info;
}

function writeOutcome(error: unknown): unknown {
  if (error instanceof JetStreamApiError) {
    if (error.code === JetStreamApiCodes.StreamWrongLastSequence)
      return new WriteConflict(error.message, { cause: error });
    if (error.code === STORE_FAILED && PER_SUBJECT.test(error.message))
      return new MailboxFull(error.message, { cause: error });
    if (error.code === MESSAGE_TOO_LARGE)
      return new TroupeError('too_large', 'The message is too large for NATS. Send a smaller one.', { cause: error });
  }
  if (isRefusedForNow(error)) return new WriteRetry('JetStream cannot store this now', { cause: error });
  if (isUnanswered(error)) return new WriteUnknown('JetStream did not answer', { cause: error });
  return error;
}

/** Definite: not stored. No responders, no leader (503), too many requests (429), disk or memory full (500, 503), 10164. */
function isRefusedForNow(error: unknown): boolean {
  if (error instanceof JetStreamApiError)
    return (
      error.code === JetStreamApiCodes.StreamWrongLastSequenceUnknown || error.status === 429 || error.status >= 500
    );
  return error instanceof NotSent || error instanceof NoLeader || isNoResponder(error);
}

function isUnanswered(error: unknown): boolean {
  return (
    error instanceof ConnectionLost ||
    error instanceof errors.TimeoutError ||
    error instanceof errors.ClosedConnectionError ||
    error instanceof errors.DrainingConnectionError ||
    error instanceof errors.RequestError
  );
}

/** The client's class for it is not exported. */
const isNoResponder = (error: unknown): boolean => error instanceof Error && error.name === 'JetStreamNotEnabled';

export const isStreamNotFound = (error: unknown): boolean =>
  error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound;
