/** The two shapes in which a stored message comes, read alike. */
import type { JsMsg } from '@nats-io/jetstream';
import type { MsgHdrs } from '@nats-io/transport-node';

/** First value of each header. */
export function headerRecord(headers: MsgHdrs | undefined): Record<string, string> {
  const record: Record<string, string> = {};
  for (const [name, values] of headers ?? []) record[name] = values[0] ?? '';
  return record;
}

/** Arrival of a message that a consumer delivered, ms. */
export const deliveredAt = (message: JsMsg): number => Number(message.timestampNanos / 1_000_000n);

/** Arrival of a message that was fetched, from RFC 3339 with up to 9 decimals, ms; cut like `deliveredAt`, never rounded. */
export const storedAt = (timestamp: string): number => Date.parse(timestamp.replace(/(\.\d{3})\d+/, '$1'));
