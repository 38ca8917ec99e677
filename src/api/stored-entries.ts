/** What the journal holds now of a filter, for a request: in order, each entry once looked at and let go. */
import type { Clock } from '../actors/ports/clock.ts';
import type { Journal, JournalEntry, JournalExtent } from '../actors/ports/journal.ts';
import { TroupeError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';

export interface JournalReadPorts {
  readonly journal: Journal;
  readonly clock: Clock;
}

/** @throws TroupeError unavailable (retryable): not all could be read in time */
export async function* storedEntries(
  { journal, clock }: JournalReadPorts,
  filter: string,
  extent: JournalExtent,
): AsyncIterable<JournalEntry> {
  const late = new AbortController();
  const timer = clock.timer(LIMITS.journalReadMs, () => late.abort());
  try {
    yield* journal.stored(filter, extent, late.signal);
  } finally {
    timer.cancel();
  }
  if (late.signal.aborted) {
    const message = `What is stored could not be read within ${LIMITS.journalReadMs} ms. Try again.`;
    throw new TroupeError('unavailable', message, { retryable: true });
  }
}
