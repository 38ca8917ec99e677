/**
 * One scenario from start to end: what `troupe run` and the demo do with a node.
 *
 * J1 A job whose id exists already with the same request goes on where it stopped; with another request it is refused.
 * J2 The results' file appears when it is whole, or not at all (save-export.ts).
 * J3 An interrupted job stops its scenario, so that no work goes on unseen.
 */
import { TroupeError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import type { ScenarioCreation, ScenarioView } from '../domain/scenario.ts';
import { sameSpec, toSpec } from '../domain/scenario-spec.ts';
import type { NodeLink } from './node-link.ts';
import type { ProgressDisplay } from './progress.ts';
import { saveExport } from './save-export.ts';
import { plain } from './terminal.ts';

/** Seconds between two looks at a scenario. */
const LOOK_S = 0.5;

export interface Job {
  readonly request: ScenarioCreation & { readonly id: string };
  /** Where the results go. */
  readonly out: string;
}

export interface JobResult {
  readonly scenario: ScenarioView;
  readonly out: string;
  readonly frames: number;
  /** From asking for it to its end. */
  readonly elapsedMs: number;
  readonly detections: ReadonlyMap<string, number>;
}

/**
 * @throws TroupeError when it can't be created or failed
 * @throws the signal's reason after an interruption, when the scenario is stopped (J3)
 */
export async function runJob(
  link: NodeLink,
  job: Job,
  progress: ProgressDisplay,
  signal: AbortSignal,
): Promise<JobResult> {
  const { id } = job.request;
  const start = performance.now();
  let scenario: ScenarioView;
  try {
    signal.throwIfAborted();
    scenario = await submit(link, job.request, signal);
    while (scenario.state !== 'inactive') {
      signal.throwIfAborted();
      scenario = await link.call(client => client.scenario(id, LOOK_S, signal), signal);
      progress.show(scenario);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    await stop(link, id);
    throw signal.reason;
  }
  const elapsedMs = performance.now() - start;
  if (scenario.outcome === 'failed') throw failure(scenario);
  if (scenario.outcome !== 'completed') {
    throw new TroupeError('unavailable', `${id} was stopped by somebody else; go on with: troupe start ${id}`);
  }
  const { frames, detections } = await link.call(client => saveExport(client, id, { out: job.out, format: 'jsonl' }));
  return { scenario, out: job.out, elapsedMs, frames: frames ?? 0, detections };
}

/** J1 */
async function submit(link: NodeLink, request: Job['request'], signal: AbortSignal): Promise<ScenarioView> {
  const { id } = request;
  try {
    return await link.call(client => client.create(request), signal);
  } catch (error) {
    if (!(error instanceof TroupeError) || error.code !== 'scenario_exists') throw error;
  }
  let known = await link.call(client => client.scenario(id), signal);
  if (!sameSpec(known.spec, toSpec(request))) {
    const text = `there is a scenario ${id} with another request. Choose another --id, or remove it: troupe rm ${id}`;
    throw new TroupeError('scenario_exists', text);
  }
  if (known.state === 'init_shutdown' || known.state === 'in_shutdown_processing') {
    known = await link.call(client => client.scenario(id, LIMITS.waitSeconds), signal);
  }
  if (known.state !== 'inactive' || known.outcome === 'completed') return known;
  return link.call(client => client.start(id), signal);
}

/** J3: also when it was interrupted before it was created. */
async function stop(link: NodeLink, id: string): Promise<void> {
  try {
    await link.call(client => client.stop(id));
    await link.call(client => client.scenario(id, LIMITS.waitSeconds));
  } catch (error) {
    if (!(error instanceof TroupeError) || error.code !== 'scenario_not_found') throw error;
  }
}

function failure({ id, error, outcome }: ScenarioView): TroupeError {
  const what = error === null ? `${id} ended ${outcome}` : `${id} failed: ${error.message}`;
  const where = error?.frame === undefined ? '' : ` (at frame ${error.frame})`;
  const toDo = `When the cause is gone, the same command with --id ${id} goes on where it ended.`;
  return new TroupeError('unavailable', `${what.replace(/\.$/, '')}${where}. ${toDo}`);
}

export function summary({ scenario, out, frames, elapsedMs, detections }: JobResult): string {
  const seconds = elapsedMs / 1000;
  const counts = [...detections].toSorted(([a], [b]) => (a < b ? -1 : 1));
  const width = Math.max(0, ...counts.map(([name]) => plain(name).length));
  return [
    `${plain(scenario.id)}: ${frames} frames in ${seconds.toFixed(1)} s (${Math.round(frames / seconds)} frames/s)`,
    ...(counts.length === 0
      ? ['  no detections']
      : counts.map(([name, n]) => `  ${plain(name).padEnd(width)}  ${n} detections`)),
    `results: ${plain(out)}`,
  ].join('\n');
}
