/**
 * What every API node has of every run is what the log holds of it, prediction by prediction, and of a life that was removed it has
 * nothing; its list of scenarios is the committed one: each that lives, and no other.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Prediction } from '../../../src/domain/prediction.ts';
import { type Evidence, type ShownRun, scenarioCommits } from '../history.ts';

export function projection({ plan, history, ending }: Evidence): readonly string[] {
  if (!ending.converged) return [];
  const found: string[] = [];
  const held = new Map<string, { readonly predictions: Prediction[]; ended: boolean }>();
  for (const { scenario, run, lines, purged } of history.logs()) {
    if (purged) continue;
    const of = held.get(nameOf({ scenario, run })) ?? { predictions: [], ended: false };
    held.set(nameOf({ scenario, run }), of);
    for (const { record } of lines) {
      if (record.kind === 'frames') of.predictions.push(...record.predictions);
      if (record.kind === 'end') of.ended = true;
    }
  }
  const scenarios = new Map(
    scenarioCommits(history.commits()).map(({ id, doc }) => [id, doc?.deleting === null ? doc : null]),
  );
  for (const { name, roles } of plan.nodes) {
    if (!roles.includes('api')) continue;
    const shown = new Map(ending.shown.filter(({ node }) => node === name).map(run => [nameOf(run), run]));
    for (const run of shown.keys()) if (!held.has(run)) found.push(`${name} has ${run}, of which there is no log`);
    for (const [run, of] of held) {
      const copy = shown.get(run);
      if (copy === undefined) found.push(`${name} has nothing of ${run}`);
      else if (!isDeepStrictEqual(copy.predictions, of.predictions))
        found.push(
          `${name} has ${copy.predictions.length} predictions of ${run}, the log ${of.predictions.length}, or others`,
        );
      else if (copy.ended !== of.ended) found.push(`${name} has ${run} as ${copy.ended ? '' : 'not '}ended`);
    }
    const listed = new Map(ending.mirrored.filter(({ node }) => node === name).map(line => [line.id, line]));
    for (const id of new Set([...listed.keys(), ...scenarios.keys()])) {
      const [line, doc] = [listed.get(id), scenarios.get(id)];
      if (line?.state !== doc?.state || line?.run !== doc?.run)
        found.push(
          `${name} lists ${id} as ${line?.state ?? 'not there'} in run ${line?.run}; it is ${doc?.state ?? 'not there'} in run ${doc?.run}`,
        );
    }
  }
  return found;
}

const nameOf = ({ scenario, run }: Pick<ShownRun, 'scenario' | 'run'>): string => `${scenario}.${run}`;
