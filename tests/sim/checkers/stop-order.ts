/**
 * When a commit calls a scenario inactive, the log of every segment of its run holds `end` or `closed` as its last record. A log is
 * removed only while its scenario is being deleted, and nothing of a deleted life is written after that.
 */
import { STREAMS } from '../../../src/domain/subjects.ts';
import { type Evidence, scenarioCommits } from '../history.ts';

export function stopOrder({ history }: Evidence): readonly string[] {
  const found: string[] = [];
  const commits = scenarioCommits(history.commits());
  const lives = history.logs();
  const active = new Map<string, boolean>();
  for (const { id, index, revision, doc } of commits) {
    const ended = doc?.state === 'inactive' && doc.outcome !== null;
    if (doc !== null && ended && active.get(id) === true) {
      for (const { segment } of doc.segments) {
        const lines = lives
          .filter(life => life.scenario === id && life.run === doc.run && life.segment === segment)
          .flatMap(life => life.lines)
          .filter(line => line.index < index);
        const last = lines.at(-1)?.record.kind;
        if (last !== 'end' && last !== 'closed')
          found.push(`${id}, revision ${revision}: inactive, and the log of segment ${segment} ends with ${last}`);
      }
    }
    active.set(id, doc !== null && doc.state !== 'inactive');
  }
  for (const event of history.standing) {
    if (event.kind !== 'purged' || event.stream !== STREAMS.log) continue;
    const id = event.filter.split('.')[2] ?? '';
    const before = commits.findLast(commit => commit.id === id && commit.index < event.index)?.doc ?? null;
    // Afterwards, too: an order that was given twice arrives late.
    if (before !== null && before.deleting === null && !findsNothing(lives, id, event.index))
      found.push(`${id}: its logs are removed while it is ${before.state}`);
  }
  const lastRuns = new Map<string, number>();
  for (const { id, index, doc } of commits) {
    if (doc !== null) {
      lastRuns.set(id, doc.run);
      continue;
    }
    const run = lastRuns.get(id) ?? 0;
    for (const life of lives)
      for (const line of life.lines)
        if (life.scenario === id && life.run <= run && line.index > index)
          found.push(`${id}: record ${line.seq} of run ${life.run}, which was deleted`);
  }
  return found;
}

/** Nothing was there to be removed. */
const findsNothing = (lives: ReturnType<Evidence['history']['logs']>, id: string, index: number): boolean =>
  !lives.some(life => life.scenario === id && (life.lines[0]?.index ?? index) < index);
