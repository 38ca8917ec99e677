/**
 * A run's exports and the digest of the JSONL one, in bounded memory.
 *
 * X1 What is streamed for an ended run is all of it or breaks off with an error: never a shorter file that looks whole.
 * X2 The event loop turns between pages.
 * X3 CSV is quoted as RFC 4180 has it, with the line ends of JSONL. Class names are the model's words and stay what they are: one
 *    that begins with `=`, `+`, `-` or `@` is a formula to a spreadsheet that is not told to import text, and changing it here
 *    would make it another name to every other reader.
 */
import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import type { RunView } from '../actors/ports/gateway.ts';
import type { PredictionReader } from '../actors/ports/projection.ts';
import { LIMITS } from '../domain/limits.ts';
import { type Prediction, predictionLine } from '../domain/prediction.ts';

export async function* exportLines(projection: PredictionReader, view: RunView): AsyncIterable<string> {
  for await (const page of exportPages(projection, view)) yield `${page.map(predictionLine).join('\n')}\n`;
}

/** X3 */
export async function* exportCsv(projection: PredictionReader, view: RunView): AsyncIterable<string> {
  yield 'frame,pts_ms,class,class_id,score,x,y,w,h\n';
  for await (const page of exportPages(projection, view)) yield page.map(csvRows).join('');
}

/** A row a detection; none for a frame without any, nor for one that was skipped. */
function csvRows(prediction: Prediction): string {
  if (!('detections' in prediction)) return '';
  const { frame, ptsMs, detections } = prediction;
  return detections
    .map(({ class: name, classId, score, box }) =>
      [frame, ptsMs ?? '', csvField(name), classId, score, ...box].join(',').concat('\n'),
    )
    .join('');
}

const csvField = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

async function* exportPages(projection: PredictionReader, view: RunView): AsyncIterable<readonly Prediction[]> {
  const { scenario, run, threshold, ended } = view;
  const due = framesOf(projection, view);
  let frames = 0;
  for (const page of projection.pages(scenario.id, run, threshold)) {
    frames += page.length;
    yield page;
    // X2
    await turn();
  }
  // X1: the scenario was deleted, or the projection began anew, while this was read.
  if (ended && frames !== due) throw new Error(`export of ${scenario.id} run ${run} has ${frames} frames of ${due}`);
}

const framesOf = (projection: PredictionReader, { scenario, run }: RunView): number =>
  projection.heads(scenario.id, run).reduce((sum, head) => sum + head.framesDone, 0);

export interface ExportDigest {
  readonly frames: number;
  readonly sha256: string;
}

/** Digests of exports; those of ended runs are computed once. */
export class ExportDigests {
  readonly #projection: PredictionReader;
  readonly #ended = new Map<string, Promise<ExportDigest>>();

  constructor(projection: PredictionReader) {
    this.#projection = projection;
  }

  of(view: RunView): Promise<ExportDigest> {
    if (!view.ended) return this.#compute(view);
    // A stopped run that was started again has another last sequence.
    const key = `${view.scenario.id}/${view.run}/${view.lastSeq}`;
    const known = this.#ended.get(key);
    if (known !== undefined) return known;
    const made = this.#compute(view);
    this.#ended.set(key, made);
    made.catch(() => this.#ended.delete(key));
    const oldest = this.#ended.keys().next();
    if (this.#ended.size > LIMITS.digests && oldest.done !== true) this.#ended.delete(oldest.value);
    return made;
  }

  async #compute(view: RunView): Promise<ExportDigest> {
    const hash = createHash('sha256');
    let frames = 0;
    for await (const lines of exportLines(this.#projection, view)) {
      hash.update(lines);
      for (let at = lines.indexOf('\n'); at !== -1; at = lines.indexOf('\n', at + 1)) frames++;
    }
    return { frames, sha256: hash.digest('hex') };
  }
}
