/**
 * Reads a stream in order, from a sequence on, for as long as the reader wants: what every reader here is made of.
 *
 * OR1 No gap and no repeat within one read, whatever happens to the server, the connection or the server's consumer.
 * OR2 Whatever the server may have sent into a broken connection is asked for again: a consumer is never resumed, a new one
 *     starts after the last message handed on. (The client's own ordered consumer notices a loss only at the next message.)
 * OR3 A stream that was replaced, or restored to before what was read, is an error: its sequence numbers mean other messages now.
 *    It may have grown past that again: then it has another message, of another time, where the last one was that was handed on;
 *    or, when that one is gone, messages before its place that are later than it was, and would be skipped. Where all of them
 *    are gone, too, as may be with one message per subject, nothing tells: an error only for who asks to be certain.
 * OR4 A reader that is slow holds back the server: at most `natsReadAhead` messages are under way or in memory.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { AckPolicy, DeliverPolicy, type JsMsg } from '@nats-io/jetstream';
import { LIMITS } from '../../domain/limits.ts';
import type { Nats } from './connection.ts';
import { ask, isStreamNotFound, streamInfo } from './outcome.ts';
import { deliveredAt, storedAt } from './stored-message.ts';

export interface Range {
  readonly stream: string;
  /** Stored subjects; wildcards allowed. */
  readonly filter: string;
  readonly fromSeq: number;
  /** OR3. */
  readonly certain?: boolean;
}

/** OR3. */
export class StreamReplaced extends Error {
  override readonly name = 'StreamReplaced';
}

const RETRY_MS = 100;
/** With the client's defaults a read stalled for over 20 s after a leader loss. */
const PULL = { max_messages: LIMITS.natsReadAhead, expires: 2_000, idle_heartbeat: 500 } as const;
const TROUBLE: ReadonlySet<string> = new Set(['heartbeats_missed', 'consumer_not_found', 'stream_not_found', 'reset']);

/** Ends when the signal aborts. @throws StreamReplaced; JetStream's error when there is no such stream or the connection is closed */
export async function* readOrdered(nats: Nats, range: Range, signal: AbortSignal): AsyncGenerator<JsMsg, void, void> {
  let next = range.fromSeq;
  let last: Met | null = null;
  let created: string | null = null;
  while (!signal.aborted) {
    const opened = await open(nats, range, next, last, signal);
    if (opened === null) return;
    if ((created ??= opened.created) !== opened.created || !opened.goesOn)
      throw new StreamReplaced(`stream ${range.stream} is not the one that was read before`);
    const messages = await opened.consumer.consume(PULL);
    const stop = (): void => messages.stop();
    signal.addEventListener('abort', stop);
    // Aborted while the consumer was made: the listener came too late.
    if (signal.aborted) stop();
    const unlisten = nats.onStatus(status => {
      if (status.type === 'disconnect' || status.type === 'close') stop();
    });
    void (async () => {
      for await (const notice of messages.status()) if (TROUBLE.has(notice.type)) stop();
    })();
    try {
      for await (const message of messages) {
        if (signal.aborted) return;
        if (message.seq < next) continue;
        next = message.seq + 1;
        last = { seq: message.seq, at: deliveredAt(message) };
        yield message;
      }
    } finally {
      signal.removeEventListener('abort', stop);
      unlisten();
      stop();
      // Only tidiness: an abandoned consumer goes by itself after `inactive_threshold`.
      nats.request(() => opened.consumer.delete()).catch(() => false);
    }
  }
}

/** A message that was handed on. */
interface Met {
  readonly seq: number;
  readonly at: number;
}

/** OR2: a new consumer, tried until there is one; null when the signal aborted first. */
async function open(nats: Nats, range: Range, startSeq: number, last: Met | null, signal: AbortSignal) {
  const { stream, filter } = range;
  while (!signal.aborted) {
    try {
      const { created, state } = await ask(nats, () => streamInfo(nats, stream));
      const goesOn = last === null || (state.last_seq >= last.seq && (await isThere(nats, range, last)));
      const consumer = await ask(nats, () =>
        nats.js.consumers.get(stream, { filter_subjects: filter, opt_start_seq: startSeq, inactive_threshold: 30_000 }),
      );
      return { created, goesOn, consumer };
    } catch (error) {
      if (nats.closed || isStreamNotFound(error)) throw error;
      await delay(RETRY_MS, undefined, { signal }).catch(() => signal.aborted);
    }
  }
  return null;
}

/** OR3: and no other message in its place. It may have gone, as purged and replaced ones do. */
async function isThere(nats: Nats, range: Range, { seq, at }: Met): Promise<boolean> {
  const message = await ask(nats, () => nats.jsm.streams.getMessage(range.stream, { seq }));
  if (message !== null) return storedAt(message.timestamp) === at;
  return range.certain !== true && !(await isOvertaken(nats, range, { seq, at }));
}

/** OR3: whether what is later than a message that is gone has sequences before it. A new consumer tells where it would begin. */
async function isOvertaken(nats: Nats, { stream, filter }: Range, { seq, at }: Met): Promise<boolean> {
  const { name, delivered, num_pending } = await ask(nats, () =>
    nats.jsm.consumers.add(stream, {
      ack_policy: AckPolicy.None,
      deliver_policy: DeliverPolicy.StartTime,
      opt_start_time: new Date(at + 1).toISOString(),
      filter_subject: filter,
      inactive_threshold: 30_000_000_000, // ns
      mem_storage: true,
    }),
  );
  nats.request(() => nats.jsm.consumers.delete(stream, name)).catch(() => false);
  // With nothing pending it may be a copy that lags, and nothing would be skipped.
  return num_pending > 0 && delivered.stream_seq + 1 < seq;
}
