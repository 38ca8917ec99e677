/**
 * The StateStore port on a KV bucket, in the bucket's own layout: `nats kv` reads and writes it too.
 *
 * SS1 Reads are the leader's (`allow_direct` is off, the stream API answers).
 * SS2 A bucket keeps one message per key, so its stream from the first message on is every current entry, oldest first,
 *     and then every change: a watch is one read of it, and resumes by sequence like any other.
 * SS3 A deletion stores a marker. Whoever made it, or met it at the beginning of a watch, removes it when told to tidy up:
 *     by its own sequence, and only where that is a marker of that key still: a store that was put back to an older copy gives
 *     sequences again. Without it the key is as absent as with it.
 * SS4 A watch is current when it has come to the message that was the leader's newest when it began. A consumer's `pending`
 *     tells how many follow in the copy it reads, and that one may lag. Should the newest go meanwhile (SS3), with nothing after
 *     it, the leader is asked again.
 * SS5 It is not current before it has come to what was stored while it read, either: a new entry takes its key's old one away
 *     from before the reader. A lease that was renewed in that moment would be taken for none.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { JetStreamApiError } from '@nats-io/jetstream';
import type { MsgHdrs } from '@nats-io/transport-node';
import { headers } from '@nats-io/transport-node';
import type { StateChange, StateEntry, StateStore } from '../../actors/ports/state-store.ts';
import { WriteConflict, WriteRetry } from '../../actors/ports/write-outcome.ts';
import { kvKey, kvStream, kvSubject } from '../../domain/subjects.ts';
import type { Nats } from './connection.ts';
import { readOrdered } from './ordered-read.ts';
import { ask, insist, write } from './outcome.ts';

/** How long a watch waits for the newest message before it asks which one that is now. */
const LOOK_AGAIN_MS = 1_000;
/** How often it goes on to what was newest when it had come to what was newest: enough for what is renewed in each round. */
const MOST_LOOKS = 8;
const OPERATION = 'KV-Operation';
const EMPTY = new Uint8Array();

export function natsStateStore(nats: Nats, bucket: string): StateStore {
  const stream = kvStream(bucket);

  /** Markers to be removed by their sequences, and since when they are known (SS3). */
  const markers = new Map<number, { readonly key: string; readonly knownAt: number }>();
  let tidying: Promise<void> | null = null;
  const mark = (seq: number, key: string): void => {
    if (markers.get(seq)?.key === key) return;
    markers.delete(seq); // its place is that of when it became known
    markers.set(seq, { key, knownAt: performance.now() });
  };

  /** The last message of a key, or of all with `>`: an entry, or the marker of a deletion. */
  const last = (key: string) =>
    ask(nats, () => nats.jsm.streams.getMessage(stream, { last_by_subj: kvSubject(bucket, key) }));

  const store = async (key: string, value: Uint8Array, expected: number, header?: MsgHdrs): Promise<number> => {
    const ack = await write(nats, () =>
      nats.js.publish(kvSubject(bucket, key), value, {
        expect: { streamName: stream, lastSubjectSequence: expected },
        ...(header === undefined ? {} : { headers: header }),
      }),
    );
    return ack.seq;
  };

  return {
    async get(key) {
      const message = await last(key);
      if (message === null || isMarker(message.header)) return null;
      return { key, value: message.data, revision: message.seq };
    },

    async put(key, value, expected) {
      try {
        return await store(key, value, expected);
      } catch (error) {
        if (expected !== 0 || !(error instanceof WriteConflict)) throw error;
        const revision = await markerOf(key, error);
        return await store(key, value, revision);
      }
    },

    async delete(key, expected) {
      const header = headers();
      header.set(OPERATION, 'DEL');
      mark(await store(key, EMPTY, expected, header), key);
    },

    tidy(minAgeMs) {
      tidying ??= removeMarkers(performance.now() - minAgeMs).finally(() => {
        tidying = null;
      });
      return tidying;
    },

    async *watch(signal, certain = false): AsyncGenerator<StateChange, void, void> {
      // SS4
      let newest = await last('>');
      let current = newest === null;
      const begun = newest?.seq ?? 0;
      let seen = 0;
      let looks = 0;
      if (current) yield { kind: 'current' };
      const over = new AbortController();
      const reading = AbortSignal.any([signal, over.signal]);
      const messages = readOrdered(nats, { stream, filter: kvSubject(bucket, '>'), fromSeq: 1, certain }, reading);
      try {
        for (let next = messages.next(); ; ) {
          const got = current ? await next : await Promise.race([next, delay(LOOK_AGAIN_MS, null, { ref: false })]);
          if (got === null) {
            newest = await last('>');
          } else {
            if (got.done) return;
            const message = got.value;
            next = messages.next();
            next.catch(() => false); // awaited in the next round
            seen = message.seq;
            const key = kvKey(bucket, message.subject);
            const isOld = message.seq <= begun;
            if (!isMarker(message.headers)) yield { kind: 'entry', entry: entryOf(key, message.data, message.seq) };
            else if (isOld) mark(message.seq, key);
            else yield { kind: 'deleted', key, revision: message.seq };
          }
          if (current || seen < (newest?.seq ?? 0)) continue;
          if (got !== null && ++looks < MOST_LOOKS) newest = await last('>'); // SS5
          if (seen < (newest?.seq ?? 0)) continue;
          current = true;
          yield { kind: 'current' };
        }
      } finally {
        over.abort(new Error('the watch ended')); // a `return` would wait for the message that is waited for
      }
    },
  };

  async function removeMarkers(knownBefore: number): Promise<void> {
    for (const [seq, { key, knownAt }] of markers) {
      if (knownAt > knownBefore) return; // they are in the order in which they became known
      const message = await ask(nats, () => nats.jsm.streams.getMessage(stream, { seq }));
      if (message?.subject === kvSubject(bucket, key) && isMarker(message.header))
        await ask(nats, () => nats.jsm.streams.deleteMessage(stream, seq, false).catch(throwUnlessGone));
      markers.delete(seq);
    }
  }

  /** The first write was refused for certain, so whatever happens here, the same write may be sent again. */
  async function markerOf(key: string, refusal: WriteConflict): Promise<number> {
    const message = await last(key).catch((cause: unknown) => {
      throw new WriteRetry('whether the key is deleted cannot be told now', { cause });
    });
    if (message === null) throw new WriteRetry('the key went away in between');
    if (!isMarker(message.header)) throw refusal;
    return message.seq;
  }
}

/**
 * The revision of a key's last entry or deletion; 0: there is none. Asked past the connection's NC4, and no proof: in a cluster a
 * leader that is cut off from the others answers for a while by what it has.
 * @throws whatever keeps it from being known
 */
export async function storedRevision({ jsm }: Nats, bucket: string, key: string): Promise<number> {
  const last = { last_by_subj: kvSubject(bucket, key) };
  return (await insist(() => jsm.streams.getMessage(kvStream(bucket), last)))?.seq ?? 0;
}

/**
 * Proves that this is the revision of the key's last entry or deletion, by putting an entry on top of it, past the connection's NC4:
 * only who has the others' consent acknowledges that.
 * @throws when it is not, or cannot be proved now
 */
export async function putUpon(
  { js }: Nats,
  bucket: string,
  key: string,
  revision: number,
  value: Uint8Array,
): Promise<void> {
  const expect = { streamName: kvStream(bucket), lastSubjectSequence: revision };
  await js.publish(kvSubject(bucket, key), value, { expect });
}

/** nats-server's answers for a sequence that is not there: "sequence not found", and "delete failed" with the store's word. */
const SEQUENCE_NOT_FOUND = 10043;
const DELETE_FAILED = 10057;

/** Another client was quicker, or a new entry has replaced the marker. */
function throwUnlessGone(error: unknown): void {
  const { code, message } = error instanceof JetStreamApiError ? error : { code: 0, message: '' };
  if (code !== SEQUENCE_NOT_FOUND && !(code === DELETE_FAILED && /no message found/.test(message))) throw error;
}

const isMarker = (header: MsgHdrs | undefined): boolean => (header?.get(OPERATION) ?? '') !== '';

const entryOf = (key: string, value: Uint8Array, revision: number): StateEntry => ({ key, value, revision });
