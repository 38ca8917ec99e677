/**
 * The Bus port on core NATS.
 *
 * BU1 At most once and never late: what is published while disconnected is dropped, not sent when the connection is back
 *     (an old heartbeat would look like life).
 * BU2 A reply subject that is no inbox is none: an answer would be published with our rights, not with the asker's.
 */
import { errors, headers, type Msg, type MsgHdrs } from '@nats-io/transport-node';
import { type Bus, type BusMessage, NoResponder } from '../../actors/ports/bus.ts';
import { SUBJECTS } from '../../domain/subjects.ts';
import type { Nats } from './connection.ts';
import { headerRecord } from './stored-message.ts';

export function natsBus(nats: Nats): Bus {
  const { connection } = nats;
  return {
    publish(subject, body, header) {
      if (nats.linked && !connection.isDraining()) connection.publish(subject, body, options(header));
    },

    subscribe(subject, receive, queue) {
      const subscription = connection.subscribe(subject, {
        ...(queue === undefined ? {} : { queue }),
        callback: (error, message) => {
          // Away from the client's parser: a defect of the receiver crashes us, not the connection.
          queueMicrotask(() => {
            if (error !== null) throw error;
            if (!subscription.isClosed()) receive(busMessage(message));
          });
        },
      });
      return { close: () => subscription.unsubscribe() };
    },

    async request(subject, body, timeoutMs, header) {
      try {
        return busMessage(await connection.request(subject, body, { timeout: timeoutMs, ...options(header) }));
      } catch (error) {
        if (error instanceof errors.RequestError && error.isNoResponders())
          throw new NoResponder(`nobody listens on ${subject}`, { cause: error });
        throw error;
      }
    },

    get connected() {
      return nats.connected;
    },

    flush: () => connection.flush(),
  };
}

function options(header: Readonly<Record<string, string>> | undefined): { headers?: MsgHdrs } {
  if (header === undefined) return {};
  const all = headers();
  for (const [name, value] of Object.entries(header)) all.set(name, value);
  return { headers: all };
}

const busMessage = (message: Msg): BusMessage => ({
  subject: message.subject,
  headers: headerRecord(message),
  body: message.data,
  reply: message.reply !== undefined && SUBJECTS.isInbox(message.reply) ? message.reply : null, // BU2
});
