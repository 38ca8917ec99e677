/** Facts and refusals that outlive their writer: `troupe.event.>` and `troupe.rejected.>`. Stored, read in order. */

export interface JournalEntry {
  readonly subject: string;
  readonly seq: number;
  readonly at: number;
  readonly body: Uint8Array;
}

export interface Journal {
  /** Stores one fact. @throws WriteRetry | WriteUnknown; repeating after either may store it twice: facts carry an `id`. */
  append(subject: string, body: Uint8Array): Promise<void>;
  /** Entries of a subject filter from a sequence on, then new ones; ends when the signal aborts. */
  read(filter: string, fromSeq: number, signal: AbortSignal): AsyncIterable<JournalEntry>;
}
