/**
 * The durable mailbox: one ordered stream, partitioned by the hash of (kind, id).
 *
 * Delivery is at least once and in order per partition, from the first retained message. There are no acks:
 * a message goes away only when its actor's owner purges below a committed cursor.
 */

export interface ActorAddress {
  readonly kind: string;
  readonly id: string;
}

export interface OutgoingMessage {
  readonly to: ActorAddress;
  /** `cmd`: public verbs, also published by strangers. `sys`: between actors and nodes. */
  readonly class: 'cmd' | 'sys';
  readonly verb: string;
  /** Header values must be printable ASCII. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

export interface MailboxMessage extends OutgoingMessage {
  /** Stream sequence: > 0, increasing over all partitions. */
  readonly seq: number;
  readonly partition: number;
  /** Wall clock of the server at its arrival, ms. */
  readonly at: number;
}

export interface Mailbox {
  readonly partitions: number;
  /** The partition the server will put this actor's messages in. */
  partitionOf(address: ActorAddress): number;
  /**
   * Resolves when the message is stored (durable).
   * @throws MailboxFull | WriteRetry | WriteUnknown
   */
  send(message: OutgoingMessage): Promise<{ readonly seq: number }>;
  /** Every retained message of the partition, then new ones as they come; ends when the signal aborts. */
  read(partition: number, signal: AbortSignal): AsyncIterable<MailboxMessage>;
  /** Removes this actor's messages up to and including `throughSeq`. Repeating it is harmless. */
  purge(address: ActorAddress, throughSeq: number): Promise<void>;
}
