/**
 * An inactive scenario becomes active again by a public command alone; nothing is appended to its log meanwhile; and no runner is
 * launched of an attempt that was not numbered in a commit before.
 */
import { type Commit, type Evidence, scenarioCommits } from '../history.ts';

export function revival({ history }: Evidence): readonly string[] {
  const found: string[] = [];
  const commits = scenarioCommits(history.commits());
  const commands = new Set(
    history
      .letters()
      .filter(letter => letter.class === 'cmd' && (letter.verb === 'start' || letter.verb === 'create'))
      .map(letter => letter.headers['Troupe-Id'] ?? `mailbox.${letter.seq}`),
  );
  const resting = new Map<string, number>();
  const spans: { readonly id: string; readonly from: number; readonly to: number }[] = [];
  for (const { id, index, revision, record, doc } of commits) {
    const rests = doc === null || doc.state === 'inactive';
    const since = resting.get(id);
    if (rests && since === undefined) resting.set(id, index);
    if (rests || since === undefined) continue;
    resting.delete(id);
    spans.push({ id, from: since, to: index });
    const cause = causeOf(record);
    if (cause === null || !commands.has(cause))
      found.push(`${id}, revision ${revision}: ${doc.state} again because of ${cause}`);
  }
  for (const [id, from] of resting) spans.push({ id, from, to: Number.POSITIVE_INFINITY });
  const lines = history.logs().flatMap(life => life.lines.map(line => ({ ...line, life })));
  for (const { id, from, to } of spans) {
    const late = lines.filter(line => line.life.scenario === id && line.index > from && line.index < to);
    for (const { seq, record } of late)
      found.push(`${id}: record ${seq} (${record.kind}, attempt ${record.attempt}) while it was inactive`);
  }
  const everything = scenarioCommits(history.commits(history.all));
  for (const event of history.all) {
    if (event.kind !== 'launched') continue;
    const { scenario, run, segment, attempt } = event.attempt;
    const numbered = everything.some(
      ({ id, index, doc }) =>
        id === scenario && index < event.index && doc?.run === run && (doc.segments[segment]?.attempt ?? 0) >= attempt,
    );
    if (!numbered) found.push(`${event.process} is launched before its attempt is committed`);
  }
  return found;
}

/** What the newest transition of a commit came of. */
function causeOf(record: Commit['record']): string | null {
  const fact = record?.outbox.findLast(({ subject }) => subject?.endsWith('.state'));
  return fact === undefined ? null : String(fact.body['causationId']);
}
