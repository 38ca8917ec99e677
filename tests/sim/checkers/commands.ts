/**
 * Whatever message an actor was given is carried out in one commit and in no second one; every message that was stored is behind its
 * actor's cursor in the end; one that nobody could carry out is refused, by one refusal; and a sender's answer is true: what was
 * answered as done is committed. Of an actor that never existed nothing is kept: its refusals may come once from each owner.
 */
import { STREAMS } from '../../../src/domain/subjects.ts';
import type { Evidence, Letter } from '../history.ts';

export function commandsTwice({ history, ending }: Evidence): readonly string[] {
  const found: string[] = [];
  const commits = history.commits();
  /** Of each message the commits that say that they come of it, by the number of what they sent. */
  const carriedOut = new Map<string, Set<number>>();
  const refusals = new Map<string, Set<string>>();
  const forgotten = new Set<string>();
  for (const { kind, id, record } of commits) {
    if (record === null) forgotten.add(`${kind}.${id}`);
    for (const { number, headers, body, subject } of record?.outbox ?? []) {
      const cause = headers?.['Troupe-Causation-Id'] ?? textOf(body['causationId']);
      // What names no message is a timer's or the runtime's own; every message has another id.
      if (!/^(mailbox\.|request\.)/.test(cause)) continue;
      const key = `${cause} at ${kind}.${id}`;
      const isRefusal = subject?.startsWith('troupe.rejected.') === true;
      const revisions = carriedOut.get(key) ?? new Set();
      if (!isRefusal) carriedOut.set(key, revisions.add(number[0]));
      if (isRefusal) {
        const ids = refusals.get(cause) ?? new Set();
        ids.add(textOf(body['id']));
        refusals.set(cause, ids);
      }
    }
  }
  for (const [key, revisions] of carriedOut)
    if (revisions.size > 1) found.push(`${key} was carried out by ${revisions.size} commits: ${[...revisions].join()}`);
  for (const { body } of history.facts(STREAMS.rejected)) {
    const cause = textOf(body['causationId'] ?? body['id']);
    refusals.set(cause, (refusals.get(cause) ?? new Set()).add(textOf(body['id'])));
  }

  const letters = history.letters();
  const cursors = new Map<string, number>();
  for (const { kind, id, record } of commits)
    if (record !== null) cursors.set(`${kind}.${id}`, Math.max(cursors.get(`${kind}.${id}`) ?? 0, record.cursor));
  for (const letter of letters) {
    const { kind, id, seq } = letter;
    const cause = letter.headers['Troupe-Id'] ?? `mailbox.${seq}`;
    if (ending.converged && kind === 'scenario' && seq > (cursors.get(`${kind}.${id}`) ?? 0))
      found.push(`${kind}.${id}: message ${seq} (${letter.verb}) was never looked at`);
    const times = refusals.get(cause)?.size ?? 0;
    if (times > 1 && !forgotten.has(`${kind}.${id}`))
      found.push(`${kind}.${id}: message ${seq} (${letter.verb}) was refused ${times} times`);
    if (ending.converged && times === 0 && isImpossible(letter))
      found.push(`${kind}.${id}: message ${seq} (${letter.verb} ${letter.text}) was neither carried out nor refused`);
  }
  return found;
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

const PUBLIC: ReadonlySet<string> = new Set(['create', 'start', 'stop', 'delete']);

/** A command that nobody can carry out, whatever state its scenario is in. */
function isImpossible({ kind, class: cls, verb, text }: Letter): boolean {
  if (cls !== 'cmd') return false;
  return kind !== 'scenario' || !PUBLIC.has(verb) || text.includes('rubbish') || text === '{"v":1';
}
