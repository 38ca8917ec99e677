/**
 * One scenario from start to end: what `troupe run` and the demo do with a node.
 *
 * J1 A job whose id exists already with the same request goes on where it stopped; with another request it is refused.
 * J2 The results' file appears when it is whole, or not at all.
 * J3 An interrupted job stops its scenario, so that no work goes on unseen.
 */
import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { TroupeError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import { parse } from '../domain/parse.ts';
import { Prediction } from '../domain/prediction.ts';
import type { ScenarioCreation, ScenarioView } from '../domain/scenario.ts';
import { sameSpec, toSpec } from '../domain/scenario-spec.ts';
import type { NodeLink } from './node-link.ts';
import type { ProgressDisplay } from './progress.ts';
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
    scenario = await submit(link, job.request);
    while (scenario.state !== 'inactive') {
      signal.throwIfAborted();
      scenario = await link.call(client => client.scenario(id, LOOK_S, signal));
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
  return { scenario, out: job.out, elapsedMs, ...(await save(link, id, job.out)) };
}

/** J1 */
async function submit(link: NodeLink, request: Job['request']): Promise<ScenarioView> {
  const { id } = request;
  try {
    return await link.call(client => client.create(request));
  } catch (error) {
    if (!(error instanceof TroupeError) || error.code !== 'scenario_exists') throw error;
  }
  let known = await link.call(client => client.scenario(id));
  if (!sameSpec(known.spec, toSpec(request))) {
    const text = `there is a scenario ${id} with another request. Choose another --id, or remove it: troupe rm ${id}`;
    throw new TroupeError('scenario_exists', text);
  }
  if (known.state === 'init_shutdown' || known.state === 'in_shutdown_processing') {
    known = await link.call(client => client.scenario(id, LIMITS.waitSeconds));
  }
  if (known.state !== 'inactive' || known.outcome === 'completed') return known;
  return link.call(client => client.start(id));
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
  return new TroupeError('unavailable', `${what}${where}`);
}

/** J2 */
async function save(link: NodeLink, id: string, out: string): Promise<Pick<JobResult, 'frames' | 'detections'>> {
  const part = path.join(path.dirname(out), `.${path.basename(out)}.${randomBytes(4).toString('hex')}.part`);
  try {
    return await link.call(async client => {
      const tally = new Tally();
      await pipeline(client.export(id, 'jsonl'), chunks => tally.pass(chunks), createWriteStream(part));
      await rename(part, out);
      return tally;
    });
  } finally {
    await rm(part, { force: true });
  }
}

/** Counts what passes. */
class Tally {
  frames = 0;
  readonly detections = new Map<string, number>();
  #rest = '';
  readonly #decoder = new TextDecoder();

  async *pass(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    for await (const chunk of chunks) {
      const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split('\n');
      this.#rest = lines.pop() ?? '';
      for (const line of lines) this.#count(parse(Prediction, JSON.parse(line), 'a line of the export'));
      yield chunk;
    }
  }

  #count(prediction: Prediction): void {
    this.frames += 1;
    if (!('detections' in prediction)) return;
    for (const { class: name } of prediction.detections) {
      this.detections.set(name, (this.detections.get(name) ?? 0) + 1);
    }
  }
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
