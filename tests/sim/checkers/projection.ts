/** What every API node shows of every run is what the log holds of it, and its list of scenarios is the one that was committed. */
import { type Evidence, scenarioCommits } from '../history.ts';

export function projection({ history, ending }: Evidence): readonly string[] {
  if (!ending.converged) return [];
  const found: string[] = [];
  for (const life of history.logs()) {
    if (life.purged) continue;
    const frames = life.lines.flatMap(({ record }) =>
      record.kind === 'frames' ? record.predictions.map(prediction => prediction.frame) : [],
    );
    const ended = life.lines.some(({ record }) => record.kind === 'end');
    for (const shown of ending.shown) {
      if (shown.scenario !== life.scenario || shown.run !== life.run) continue;
      if (shown.frames.join() !== frames.join())
        found.push(
          `${shown.node} shows ${shown.frames.length} frames of ${life.scenario}.${life.run}, the log has ${frames.length}`,
        );
      if (shown.ended !== ended)
        found.push(`${shown.node} shows ${life.scenario}.${life.run} as ${shown.ended ? '' : 'not '}ended`);
    }
  }
  const last = new Map(scenarioCommits(history.commits()).map(({ id, doc }) => [id, doc]));
  for (const { node, id, state, run } of ending.mirrored) {
    const doc = last.get(id);
    if (doc?.state !== state || doc.run !== run)
      found.push(
        `${node} lists ${id} as ${state} in run ${run}; it is ${doc?.state ?? 'not there'} in run ${doc?.run}`,
      );
  }
  return found;
}
