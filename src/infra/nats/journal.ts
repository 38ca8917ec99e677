/** The Journal port: facts and refusals, each in a stream of its own. */
import type { Journal, JournalEntry } from '../../actors/ports/journal.ts';
import { journalStream } from '../../domain/subjects.ts';
import type { Nats } from './connection.ts';
import { readOrdered } from './ordered-read.ts';
import { write } from './outcome.ts';
import { deliveredAt } from './stored-message.ts';

export function natsJournal(nats: Nats): Journal {
  return {
    async append(subject, body) {
      await write(nats, () => nats.js.publish(subject, body, { expect: { streamName: journalStream(subject) } }));
    },

    async *read(filter, fromSeq, signal): AsyncGenerator<JournalEntry, void, void> {
      for await (const message of readOrdered(nats, { stream: journalStream(filter), filter, fromSeq }, signal))
        yield { subject: message.subject, seq: message.seq, at: deliveredAt(message), body: message.data };
    },
  };
}
