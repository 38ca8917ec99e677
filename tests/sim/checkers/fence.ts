/**
 * Along a log the attempt never falls, each attempt's records come from the one writer that opened it, numbered without a gap; along
 * an actor's records the owner's epoch never falls, as long as there are any: of an actor that never existed nothing is kept.
 */
import type { Evidence } from '../history.ts';

export function fence({ history }: Evidence): readonly string[] {
  const found: string[] = [];
  for (const { scenario, run, segment, lines } of history.logs()) {
    let attempt = 0;
    let writer: { readonly nonce: string; n: number } | null = null;
    for (const { seq, record } of lines) {
      const at = `${scenario}.${run}.${segment}, record ${seq}`;
      if (record.attempt < attempt) found.push(`${at}: attempt ${record.attempt} writes after attempt ${attempt}`);
      if (record.kind === 'open' && record.attempt <= attempt) found.push(`${at}: attempt ${attempt} is opened again`);
      if (record.kind === 'open') writer = { nonce: record.nonce, n: 0 };
      else if ('nonce' in record) {
        if (record.nonce !== writer?.nonce) found.push(`${at}: ${record.kind} of a writer that has not opened the log`);
        else if (record.n !== writer.n + 1) found.push(`${at}: its record ${record.n} after ${writer.n}`);
        if (writer !== null) writer.n = record.n ?? -1;
      } else writer = null; // closed by the supervisor
      attempt = Math.max(attempt, record.attempt);
    }
  }
  const epochs = new Map<string, number>();
  for (const { kind, id, revision, record } of history.commits()) {
    const key = `${kind}.${id}`;
    if (record === null) epochs.delete(key); // forgotten: a new life
    if (record === null || typeof record.epoch !== 'number') continue;
    const before = epochs.get(key) ?? 0;
    if (record.epoch < before) found.push(`${key}, revision ${revision}: epoch ${record.epoch} after ${before}`);
    epochs.set(key, record.epoch);
  }
  return found;
}
