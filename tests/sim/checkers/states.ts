/** Every transition that was committed is one of the machine's, and follows the one before it. */
import type { ScenarioState } from '../../../src/domain/scenario.ts';
import { transitions } from '../../../src/domain/scenario-doc.ts';
import { isLegal } from '../../support/state-machine.ts';
import { type Evidence, scenarioCommits } from '../history.ts';

export function states({ history }: Evidence): readonly string[] {
  const found: string[] = [];
  const known = new Map<string, { state: ScenarioState | null; n: number }>();
  for (const { id, revision, doc } of scenarioCommits(history.commits())) {
    if (doc === null) {
      known.delete(id);
      continue;
    }
    const before = known.get(id) ?? { state: null, n: 0 };
    for (const { n, from, to } of transitions(doc)) {
      if (n <= before.n) continue;
      const at = `${id}, revision ${revision}`;
      if (n !== before.n + 1) found.push(`${at}: transition ${n} after ${before.n}`);
      if (from !== before.state) found.push(`${at}: ${from} → ${to}, and it was ${before.state}`);
      if (!isLegal(from, to)) found.push(`${at}: ${from} → ${to}`);
      before.state = to;
      before.n = n;
    }
    if (doc.state !== before.state) found.push(`${id}, revision ${revision}: ${doc.state} without a transition`);
    known.set(id, before);
  }
  return found;
}
