/**
 * An export against its manifest, offline with what `run` and `export --out` left.
 *
 * VF1 The first fact that differs is named: a line that is no prediction, a frame that is missing, twice or out of order, the
 *     number of frames, the digest of the bytes. Where every frame is there, the digest alone says that a value was changed.
 * VF2 Memory is bounded by the longest line, whatever the file is.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { TroupeError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import { invalidRequest, problemsOf } from '../domain/parse.ts';
import { Prediction } from '../domain/prediction.ts';
import type { Client } from './client.ts';
import { Manifest, manifestFile } from './manifest.ts';

export interface Verification {
  readonly file: string;
  readonly ok: boolean;
  readonly frames: number;
  readonly sha256: string;
  readonly text: string;
}

interface ManifestSource {
  readonly manifest?: string | undefined;
  readonly id?: string | undefined;
  readonly run?: number | undefined;
}

/** @throws TroupeError invalid_request: there is none, or it is none */
export async function readManifest(
  file: string,
  { manifest, id, run }: ManifestSource,
  client: () => Client,
  signal: AbortSignal,
): Promise<Manifest> {
  if (id !== undefined) return client().manifest(id, run);
  const where = manifest ?? manifestFile(file);
  let value: unknown;
  try {
    value = JSON.parse(/^https?:\/\//.test(where) ? await fetched(where, signal) : await readFile(where, 'utf8'));
  } catch (cause) {
    signal.throwIfAborted();
    const why =
      cause instanceof Error && 'code' in cause && cause.code === 'ENOENT' ? 'is not there' : 'cannot be read';
    const text = `the manifest ${where} ${why}: name it with --manifest FILE or URL, or take it from a node with --id ID.`;
    throw new TroupeError('invalid_request', text, { cause });
  }
  const errors = problemsOf(Manifest, value);
  if (errors.length > 0) {
    const { message } = invalidRequest(`the manifest ${where}`, errors);
    const toDo = 'Name another with --manifest FILE or URL, or take it from a node with --id ID.';
    throw new TroupeError('invalid_request', `${message} ${toDo}`, { errors });
  }
  return value as Manifest;
}

async function fetched(url: string, signal: AbortSignal): Promise<string> {
  const deadline = AbortSignal.timeout(LIMITS.clientAnswerMs);
  const response = await fetch(url, { signal: AbortSignal.any([signal, deadline]) });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return response.text();
}

/** @throws TroupeError invalid_request: the file can't be read */
export async function verifyFile(file: string, manifest: Manifest, signal: AbortSignal): Promise<Verification> {
  const hash = createHash('sha256');
  const order = new FrameOrder(manifest);
  let wrong: string | null = null;
  try {
    for await (const line of linesOf(file, hash, signal)) wrong ??= order.next(line);
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof TroupeError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TroupeError('invalid_request', `${file} cannot be read (${why}): name the export that is to be checked.`);
  }
  const { frames } = order;
  const sha256 = hash.digest('hex');
  const of = `the manifest of ${manifest.scenario}, run ${manifest.run}`;
  if (wrong === null && frames !== manifest.frames) wrong = `it has ${frames} frames, ${of} says ${manifest.frames}`;
  if (wrong === null && sha256 !== manifest.sha256) {
    wrong = `its frames are all there, but its bytes are others: sha256 ${sha256}, ${of} says ${manifest.sha256}`;
  }
  const again = `Write it again: troupe export ${manifest.scenario} --run ${manifest.run} --out ${file}`;
  const good = `${file}: ${frames} frames${order.range}, each once and in order, sha256 ${sha256} as in ${of}`;
  const part = manifest.complete ? '' : '; the run was not complete when this was written';
  const ok = wrong === null;
  return { file, ok, frames, sha256, text: ok ? `${good}${part}` : `${file}: ${wrong}. ${again}` };
}

/** VF1 */
class FrameOrder {
  readonly #manifest: Manifest;
  readonly #first: number;
  /** null: `fps` chooses by times that an export does not have of the frames between. */
  readonly #step: number | null;
  #line = 0;
  #last: number | null = null;
  frames = 0;

  constructor(manifest: Manifest) {
    const { every = 1, fps, from = 0 } = manifest.spec.sampling;
    this.#manifest = manifest;
    this.#first = from;
    this.#step = fps === undefined ? every : null;
  }

  get range(): string {
    return this.#last === null ? '' : ` (to ${this.#last})`;
  }

  /** @returns what is wrong with this line, as a sentence's beginning */
  next(text: string): string | null {
    this.#line += 1;
    const frame = frameOf(text);
    if (frame === null) return `line ${this.#line} is no prediction`;
    const last = this.#last;
    this.#last = frame;
    this.frames += 1;
    if (frame === last) return `line ${this.#line} has frame ${frame} a second time`;
    if (last !== null && frame < last) return `line ${this.#line} is out of order: frame ${frame} after frame ${last}`;
    const due = last === null ? this.#first : last + (this.#step ?? 1);
    const gap = this.#step === null ? frame < due : frame !== due;
    if (!gap) return null;
    if (frame > due) return `line ${this.#line} has frame ${frame}: frame ${due} is missing`;
    return `line ${this.#line} has frame ${frame}, which ${this.#manifest.scenario} does not select`;
  }
}

function frameOf(line: string): number | null {
  try {
    const value: unknown = JSON.parse(line);
    return problemsOf(Prediction, value).length === 0 ? (value as Prediction).frame : null;
  } catch {
    return null;
  }
}

/** VF2: the lines without their ends, every byte hashed. */
async function* linesOf(
  file: string,
  hash: { update(bytes: Uint8Array): unknown },
  signal: AbortSignal,
): AsyncIterable<string> {
  let rest = Buffer.alloc(0);
  for await (const chunk of createReadStream(file, { signal }) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    let bytes = Buffer.concat([rest, chunk]);
    for (let end = bytes.indexOf(0x0a); end !== -1; end = bytes.indexOf(0x0a)) {
      yield bytes.toString('utf8', 0, end);
      bytes = bytes.subarray(end + 1);
    }
    if (bytes.length > LIMITS.payloadBytes) {
      throw new TroupeError('invalid_request', `${file} is no JSONL export: a line of it has no end. Name one.`);
    }
    rest = Buffer.from(bytes);
  }
  if (rest.length > 0) yield rest.toString('utf8');
}
