/**
 * Core NATS: at most once, nothing stored. For heartbeats, node control requests and replies; never for a
 * message whose loss would matter without a timer that repeats it.
 */

export interface BusMessage {
  readonly subject: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** Inbox of a requester, if any. */
  readonly reply: string | null;
}

export interface Subscription {
  close(): void;
}

export class NoResponder extends Error {
  override readonly name = 'NoResponder';
}

export interface Bus {
  publish(subject: string, body: Uint8Array, headers?: Readonly<Record<string, string>>): void;
  /** @param queue members of one queue group share the messages */
  subscribe(subject: string, receive: (message: BusMessage) => void, queue?: string): Subscription;
  /** @throws NoResponder when nobody listens, an Error named TimeoutError after `timeoutMs` */
  request(
    subject: string,
    body: Uint8Array,
    timeoutMs: number,
    headers?: Readonly<Record<string, string>>,
  ): Promise<BusMessage>;
  /** True while connected to a server. */
  readonly connected: boolean;
  /** Resolves when what was published so far has reached the server. */
  flush(): Promise<void>;
}
