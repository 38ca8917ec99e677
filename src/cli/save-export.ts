/**
 * A result as a file.
 *
 * J2 The results' file appears when it is whole, or not at all.
 * J4 Its manifest lies beside it before it appears, and has the digest of the very bytes that were written; of a run that goes on
 *    there is none, since it says something else every moment.
 */
import { createHash, randomBytes } from 'node:crypto';
import { accessSync, constants, createWriteStream, statSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { TroupeError } from '../domain/errors.ts';
import { parse } from '../domain/parse.ts';
import { Prediction } from '../domain/prediction.ts';
import type { Client } from './client.ts';
import { type Manifest, manifestFile } from './manifest.ts';
import { json } from './terminal.ts';

export interface SavedExport {
  /** null: not counted in this format. */
  readonly frames: number | null;
  readonly detections: ReadonlyMap<string, number>;
}

export interface SaveOptions {
  readonly out: string;
  readonly format: 'jsonl' | 'csv' | 'coco';
  readonly run?: number | undefined;
}

/** @throws TroupeError invalid_request: it can't be written there */
export async function saveExport(client: Client, id: string, { out, format, run }: SaveOptions): Promise<SavedExport> {
  refuseUnwritable(out);
  const part = path.join(path.dirname(out), `.${path.basename(out)}.${randomBytes(4).toString('hex')}.part`);
  try {
    const tally = new Tally();
    const chunks = client.export(id, format, run);
    const counted = (all: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> => tally.pass(all);
    await pipeline(chunks, format === 'jsonl' ? counted : same, createWriteStream(part));
    if (format === 'jsonl') await saveManifest(out, await client.manifest(id, run), tally.sha256());
    await rename(part, out);
    return { frames: format === 'jsonl' ? tally.frames : null, detections: tally.detections };
  } catch (cause) {
    if (!(cause instanceof Error && 'syscall' in cause)) throw cause;
    const text = `${out} cannot be written (${(cause as NodeJS.ErrnoException).code}): make room, or choose another --out.`;
    throw new TroupeError('unavailable', text, { cause });
  } finally {
    await rm(part, { force: true });
  }
}

/** J4 */
async function saveManifest(out: string, manifest: Manifest, sha256: string): Promise<void> {
  const file = manifestFile(out);
  if (manifest.sha256 === sha256) {
    await writeFile(file, `${json(manifest)}\n`);
    return;
  }
  await rm(file, { force: true });
  if (!manifest.complete) return;
  const text = `the export of ${manifest.scenario} is not what its manifest says: it changed meanwhile. Export it again.`;
  throw new TroupeError('unavailable', text, { retryable: true });
}

async function* same(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  yield* chunks;
}

/** Before any work is done for it. @throws TroupeError invalid_request */
export function refuseUnwritable(out: string): void {
  const folder = path.dirname(path.resolve(out));
  const refuse = (what: string, cause?: unknown): TroupeError =>
    new TroupeError('invalid_request', `${what}: choose another --out.`, { cause });
  let isFolder: boolean | undefined;
  try {
    accessSync(folder, constants.W_OK);
    isFolder = statSync(out, { throwIfNoEntry: false })?.isDirectory();
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENAMETOOLONG') throw refuse(`${out} is too long a name`, cause);
    throw refuse(`${folder} is no folder that can be written to`, cause);
  }
  if (isFolder === true) throw refuse(`${out} is a folder`);
}

/** Counts what passes. */
class Tally {
  frames = 0;
  readonly detections = new Map<string, number>();
  #rest = '';
  readonly #decoder = new TextDecoder();
  readonly #hash = createHash('sha256');

  sha256(): string {
    return this.#hash.digest('hex');
  }

  async *pass(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    for await (const chunk of chunks) {
      this.#hash.update(chunk);
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
