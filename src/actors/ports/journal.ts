/** Facts and refusals that outlive their writer: `troupe.event.>` and `troupe.rejected.>`. Stored, read in order. */

export interface JournalEntry {
  readonly subject: string;
  readonly seq: number;
  readonly at: number;
  readonly body: Uint8Array;
}

/** Sequences, inclusive. */
export interface JournalExtent {
  readonly firstSeq: number;
  readonly lastSeq: number;
}

export interface Journal {
  /** Stores one fact. @throws WriteRetry | WriteUnknown; repeating after either may store it twice: facts carry an `id`. */
  append(subject: string, body: Uint8Array): Promise<void>;
  /** Entries of a subject filter from a sequence on, then new ones; ends when the signal aborts. */
  read(filter: string, fromSeq: number, signal: AbortSignal): AsyncIterable<JournalEntry>;
  /**
   * What is stored of a filter now, as the leader has it: its last sequence, and one below which there is nothing of it.
   * null when there is nothing. @throws TroupeError unavailable (retryable)
   */
  extent(filter: string): Promise<JournalExtent | null>;
  /**
   * Entries of a filter with sequences in these bounds, in order; then it ends. Where nothing at all is stored from `firstSeq`
   * on it may wait until the signal aborts.
   */
  stored(filter: string, extent: JournalExtent, signal: AbortSignal): AsyncIterable<JournalEntry>;
}
