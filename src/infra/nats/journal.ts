/** The Journal port: facts and refusals, each in a stream of its own. */
import type { JsMsg } from '@nats-io/jetstream';
import type { Journal, JournalEntry } from '../../actors/ports/journal.ts';
import { journalStream } from '../../domain/subjects.ts';
import type { Nats } from './connection.ts';
import { readOrdered } from './ordered-read.ts';
import { ask, streamInfo, write } from './outcome.ts';
import { deliveredAt } from './stored-message.ts';

export function natsJournal(nats: Nats): Journal {
  return {
    async append(subject, body) {
      await write(nats, () => nats.js.publish(subject, body, { expect: { streamName: journalStream(subject) } }));
    },

    async *read(filter, fromSeq, signal): AsyncGenerator<JournalEntry, void, void> {
      for await (const message of readOrdered(nats, { stream: journalStream(filter), filter, fromSeq }, signal))
        yield entryOf(message);
    },

    async extent(filter) {
      const stream = journalStream(filter);
      const last = await ask(nats, () => nats.jsm.streams.getMessage(stream, { last_by_subj: filter }));
      if (last === null) return null;
      const { state } = await ask(nats, () => streamInfo(nats, stream));
      return { firstSeq: Math.min(state.first_seq, last.seq), lastSeq: last.seq };
    },

    async *stored(filter, { firstSeq, lastSeq }, signal): AsyncGenerator<JournalEntry, void, void> {
      const range = { stream: journalStream(filter), filter, fromSeq: firstSeq };
      for await (const message of readOrdered(nats, range, signal)) {
        if (message.seq <= lastSeq) yield entryOf(message);
        // The last one may have aged out since the caller heard of it.
        if (message.seq >= lastSeq || message.info.pending === 0) return;
      }
    },
  };
}

const entryOf = (message: JsMsg): JournalEntry => ({
  subject: message.subject,
  seq: message.seq,
  at: deliveredAt(message),
  body: message.data,
});
