/** A client's connection to a `MemoryServer`, which may break and come back. */

export interface Link {
  readonly connected: boolean;
  /** Counts the connections made so far: another number means that there was a break in between. */
  readonly session: number;
  /** Resolves when connected, or when the signal aborts. */
  online(signal: AbortSignal): Promise<void>;
  /** Asked once for each conditional write: when it is to be applied; null: at once. */
  proposal(): Promise<void> | null;
}

/** One that never breaks. */
export const ALWAYS: Link = { connected: true, session: 0, online: async () => {}, proposal: () => null };
