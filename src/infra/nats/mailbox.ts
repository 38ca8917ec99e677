/** The Mailbox port on one stream whose server-side transform chooses the partition. */
import { headers } from '@nats-io/transport-node';
import type { ActorAddress, Mailbox, MailboxMessage } from '../../actors/ports/mailbox.ts';
import { mailboxTokens, partitionOf, STREAMS, SUBJECTS } from '../../domain/subjects.ts';
import type { Nats } from './connection.ts';
import { readOrdered } from './ordered-read.ts';
import { ask, write } from './outcome.ts';
import { deliveredAt, headerRecord } from './stored-message.ts';

/** @param partitions as stored in the cluster (`provision`) */
export function natsMailbox(nats: Nats, partitions: number): Mailbox {
  const partition = ({ kind, id }: ActorAddress): number => partitionOf(kind, id, partitions);
  return {
    partitions,
    partitionOf: partition,

    async send(message) {
      const header = headers();
      for (const [name, value] of Object.entries(message.headers)) header.set(name, value);
      const subject = SUBJECTS.message(message.class, message.to.kind, message.to.id, message.verb);
      const ack = await write(nats, () =>
        nats.js.publish(subject, message.body, { headers: header, expect: { streamName: STREAMS.mailbox } }),
      );
      return { seq: ack.seq };
    },

    async *read(of, signal): AsyncGenerator<MailboxMessage, void, void> {
      const range = { stream: STREAMS.mailbox, filter: SUBJECTS.mailboxPartition(of), fromSeq: 1 };
      for await (const message of readOrdered(nats, range, signal)) {
        const { to, class: cls, verb } = mailboxTokens(message.subject);
        yield {
          seq: message.seq,
          partition: of,
          at: deliveredAt(message),
          to,
          class: cls,
          verb,
          headers: headerRecord(message),
          body: message.data,
        };
      }
    },

    async purge(address, throughSeq) {
      const filter = SUBJECTS.mailboxActor(partition(address), address.kind, address.id);
      // The server purges below `seq`.
      await ask(nats, () => nats.jsm.streams.purge(STREAMS.mailbox, { filter, seq: throughSeq + 1 }));
    },
  };
}
