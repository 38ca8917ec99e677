/**
 * Small documents under compare-and-set: the state of durable actors, partition claims and leases (KV buckets).
 * Values are opaque bytes. Keys are `<kind>.<id>`. Revisions are one increasing sequence per bucket.
 */

export interface StateEntry {
  readonly key: string;
  readonly value: Uint8Array;
  /** > 0; unique and increasing within the bucket. */
  readonly revision: number;
}

/** A watcher first gets every current entry, then `current` once, then every change. */
export type StateChange =
  | { readonly kind: 'entry'; readonly entry: StateEntry }
  | { readonly kind: 'deleted'; readonly key: string; readonly revision: number }
  | { readonly kind: 'current' };

export interface StateStore {
  /** The entry as the leader has it, never a replica's older one; null when absent or deleted. */
  get(key: string): Promise<StateEntry | null>;
  /**
   * Writes when the key's last revision is `expected` (0: the key is absent or deleted).
   * @returns the new revision
   * @throws WriteConflict | WriteRetry | WriteUnknown
   */
  put(key: string, value: Uint8Array, expected: number): Promise<number>;
  /** Deletes under the same condition. @throws WriteConflict | WriteRetry | WriteUnknown */
  delete(key: string, expected: number): Promise<void>;
  /**
   * Removes what deletions that this client has known of for `minAgeMs` left in the store, such as markers for watchers
   * that were away. Readers and writers notice nothing.
   * @throws a retryable TroupeError: what is left is removed by a later call
   */
  tidy(minAgeMs: number): Promise<void>;
  /**
   * Ends when the signal aborts; throws when the watch is lost beyond recovery.
   * @param certain throws also where, after a broken connection, nothing tells whether the bucket is still the one that was
   *   read: for who begins anew at no cost and would otherwise keep for ever what a store that was put back has lost
   */
  watch(signal: AbortSignal, certain?: boolean): AsyncIterable<StateChange>;
}
