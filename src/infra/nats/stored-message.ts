/** Messages as they come, stored or not, read alike. */
import type { JsMsg } from '@nats-io/jetstream';
import type { MsgHdrs } from '@nats-io/transport-node';

/** First value of each header. Anybody may have sent the message: headers that cannot be read are none. */
export function headerRecord(message: { readonly headers?: MsgHdrs | undefined }): Record<string, string> {
  const record: Record<string, string> = {};
  try {
    for (const [name, values] of message.headers ?? []) record[name] = values[0] ?? '';
  } catch (error) {
    if ((error as Error).name !== 'InvalidArgumentError') throw error; // the client's word for a name that is none
  }
  return record;
}

/** Arrival of a message that a consumer delivered, ms. */
export const deliveredAt = (message: JsMsg): number => Number(message.timestampNanos / 1_000_000n);

/** Arrival of a message that was fetched, from RFC 3339 with up to 9 decimals, ms; cut like `deliveredAt`, never rounded. */
export const storedAt = (timestamp: string): number => Date.parse(timestamp.replace(/(\.\d{3})\d+/, '$1'));
