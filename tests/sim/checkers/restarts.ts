/**
 * Between two starts of a scenario no more than `fruitlessAttempts` runners in a row are launched without a new frame in the log;
 * the restarts that count are never more than its own limits allow; and it fails only for one of these, or by what never passes.
 */
import { LIMITS } from '../../../src/domain/limits.ts';
import { type Evidence, scenarioCommits } from '../history.ts';

export function restarts({ plan, history }: Evidence): readonly string[] {
  const found: string[] = [];
  const commits = scenarioCommits(history.commits());
  const restored = history.all.some(event => event.kind === 'restored');
  for (const { id, restart, poison } of plan.scenarios) {
    for (const { revision, doc } of commits.filter(commit => commit.id === id)) {
      if (doc !== null && doc.restarts.length > restart.intensity)
        found.push(`${id}, revision ${revision}: ${doc.restarts.length} restarts, at most ${restart.intensity}`);
    }
    // Starts, launches and frames in the order in which they happened.
    let row = 0;
    let launches: string[] = [];
    for (const event of history.standing) {
      if (event.kind === 'launched' && event.attempt.scenario === id) {
        row += 1;
        launches.push(event.process);
        if (row > LIMITS.fruitlessAttempts && !restored)
          found.push(`${id}: ${row} launches in a row without a new frame: ${launches.join(', ')}`);
      } else if (event.kind === 'stored' && isNew(event.subject, id, event.body)) {
        row = 0;
        launches = [];
      } else if (event.kind === 'stored' && event.subject.endsWith(`scenario.${id}`)) {
        const commit = commits.find(other => other.index === event.index);
        if (commit?.doc?.state === 'init_startup') row = 0;
      }
    }
    if (poison === null) continue;
    const last = commits.findLast(commit => commit.id === id);
    if (last?.doc?.state === 'inactive' && last.doc.outcome === 'completed')
      found.push(`${id} cannot be decoded, and is completed`);
  }
  return found;
}

const FRAMES = Buffer.from('"kind":"frames"');
const START = Buffer.from('"kind":"open"');

const isNew = (subject: string, id: string, body: Uint8Array): boolean =>
  subject.startsWith(`troupe.prediction.${id}.`) &&
  Buffer.from(body).includes(FRAMES) &&
  !Buffer.from(body).includes(START);
