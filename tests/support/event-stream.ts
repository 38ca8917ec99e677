/** A reader of Server-Sent Events as a browser's: what it got so far, in order. */
export interface ReceivedEvent {
  /** The last one received; '' when there was none. */
  readonly id: string;
  readonly event: string;
  readonly data: Record<string, never> & { readonly [key: string]: unknown };
}

export class EventStream implements AsyncDisposable {
  readonly events: ReceivedEvent[] = [];
  comments = 0;
  retryMs = 0;
  /** The server has ended it, or it broke. */
  over = false;
  lastId = '';
  readonly response: Response;
  readonly #gone: AbortController;
  readonly #done: Promise<void>;

  private constructor(response: Response, gone: AbortController) {
    this.response = response;
    this.#gone = gone;
    this.#done = this.#read().finally(() => {
      this.over = true;
    });
  }

  /** @throws with the answer when it is no event stream */
  static async open(url: string, lastId = ''): Promise<EventStream> {
    const gone = new AbortController();
    const headers = lastId === '' ? {} : { 'last-event-id': lastId };
    const response = await fetch(url, { headers, signal: gone.signal });
    if (response.headers.get('content-type') !== 'text/event-stream') {
      throw new Error(`${response.status} ${await response.text()}`);
    }
    return new EventStream(response, gone);
  }

  of(event: string): ReceivedEvent['data'][] {
    return this.events.filter(received => received.event === event).map(({ data }) => data);
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = '';
    try {
      for await (const chunk of this.response.body ?? []) {
        const blocks = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split('\n\n');
        rest = blocks.pop() ?? '';
        for (const block of blocks) this.#take(block);
      }
    } catch (error) {
      // Cut off, by either side: that it is over is all there is to say.
      if (!(error instanceof Error)) throw error;
    }
  }

  #take(block: string): void {
    const fields = new Map(
      block.split('\n').map(line => [line.slice(0, line.indexOf(':')), line.replace(/^\w*: ?/, '')]),
    );
    if (block.startsWith(':')) this.comments += 1;
    this.retryMs = Number(fields.get('retry') ?? this.retryMs);
    this.lastId = fields.get('id') ?? this.lastId;
    const [event, data] = [fields.get('event'), fields.get('data')];
    if (event !== undefined && data !== undefined) this.events.push({ id: this.lastId, event, data: JSON.parse(data) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#gone.abort();
    await this.#done;
  }
}
