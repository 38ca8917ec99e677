/** When nothing goes wrong any more, everything that was wanted is done within a bound; what fails by itself has failed. */
import type { Evidence } from '../history.ts';
import { scenarioCommits } from '../history.ts';

export function convergence({ plan, history, ending }: Evidence): readonly string[] {
  if (ending.converged) return [];
  const commits = scenarioCommits(history.commits());
  return plan.scenarios.map(({ id }) => {
    const last = commits.findLast(commit => commit.id === id);
    const { doc } = last ?? {};
    const where = doc?.segments.map(
      ({ phase, attempt, reaping }) => `${phase} ${attempt}, to be reaped ${reaping.length}`,
    );
    const what = doc ? `${doc.state} ${doc.outcome ?? ''} (${where?.join()}): ${doc.reason}` : 'not there';
    return `after ${ending.tookMs} ms of calm ${id} is ${what}${doc?.deleting ? ', being deleted' : ''}`;
  });
}
