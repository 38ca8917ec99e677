/**
 * The models on this node's disk: those in the model folders under their names, and any other .onnx below a root by
 * its path. A model is read and adapted once per version of its files.
 *
 * C1 A path is followed to the real file first; only then is it held against the roots, so no link leads out of them.
 * C2 A name finds a model folder's file and nothing else; the first folder that has it wins.
 * C3 A replaced file is noticed at the next `resolve`: what was read is kept per (path, size, time of change).
 * C4 An unusable file in a model folder does not keep the others from being used; asked for by name it says why.
 * C5 What `resolve` returns has been tried (trial.ts). What is listed has only been read, so that a start tries nothing.
 */
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { parse as parseToml } from 'smol-toml';
import type { ModelCatalog } from '../../actors/ports/inference.ts';
import { TroupeError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { LocalModel } from '../../domain/model.ts';
import { problemsOf } from '../../domain/parse.ts';
import { placeBelow } from '../files/roots.ts';
import { adapt, ModelSettings } from './adapt.ts';
import { readModelFile, sha256 } from './model-file.ts';
import { readOnnx } from './onnx-file.ts';

export interface ModelCatalogOptions {
  /** Folders whose .onnx files are registered under their names; one that does not exist holds none. */
  readonly dirs: readonly string[];
  /** Folders below which models may be named by path. */
  readonly roots: readonly string[];
  /** Whether a model may be used at all; it throws why not. Without one every model that can be read may. */
  readonly trial?: (model: LocalModel) => Promise<void>;
}

export async function openModelCatalog(options: ModelCatalogOptions): Promise<ModelCatalog> {
  const catalog = new FileCatalog(options);
  await catalog.registerAll();
  return catalog;
}

const EXTENSION = '.onnx';

interface CacheEntry {
  readonly version: string;
  readonly model: Promise<LocalModel>;
}

class FileCatalog implements ModelCatalog {
  readonly #dirs: readonly string[];
  readonly #roots: readonly string[];
  readonly #trial: (model: LocalModel) => Promise<void>;
  readonly #registered = new Map<string, LocalModel>();
  /** By real path. As many entries as model files were asked for. */
  readonly #cache = new Map<string, CacheEntry>();

  constructor({ dirs, roots, trial = async () => {} }: ModelCatalogOptions) {
    this.#dirs = dirs;
    this.#trial = trial;
    this.#roots = [...roots, ...dirs];
  }

  list(): readonly LocalModel[] {
    return [...this.#registered.values()].sort((a, b) => (a.info.name < b.info.name ? -1 : 1));
  }

  async registerAll(): Promise<void> {
    for (const dir of this.#dirs) {
      for (const file of await filesIn(dir)) {
        if (!file.endsWith(EXTENSION)) continue;
        await this.#registeredModel(path.basename(file, EXTENSION)).catch(ignoreUnusable); // C4
      }
    }
  }

  async resolve(nameOrPath: string): Promise<LocalModel> {
    const model = await this.#find(nameOrPath);
    await this.#trial(model); // C5
    return model;
  }

  async #find(nameOrPath: string): Promise<LocalModel> {
    const registered = await this.#registeredModel(nameOrPath);
    if (registered !== null) return registered;
    if (!nameOrPath.endsWith(EXTENSION)) {
      const known = this.list().map(model => model.info.name);
      const text = `no model is named ${nameOrPath}; there are ${known.join(', ') || 'none'}, or give the path of an .onnx file. Names are listed by GET /api/v1/models.`;
      throw new TroupeError('model_not_found', text);
    }
    const file = await this.#allowed(path.resolve(nameOrPath));
    return this.#load(file, path.basename(nameOrPath, EXTENSION));
  }

  /** C2 */
  async #registeredModel(name: string): Promise<LocalModel | null> {
    if (path.basename(name) !== name || name === '') return null;
    for (const dir of this.#dirs) {
      const file = await realpath(path.join(dir, name + EXTENSION)).catch(() => null);
      if (file === null) continue;
      this.#registered.delete(name);
      const model = await this.#load(file, name);
      this.#registered.set(name, model);
      return model;
    }
    this.#registered.delete(name);
    return null;
  }

  /** C1 */
  async #allowed(file: string): Promise<string> {
    const place = await placeBelow(file, this.#roots);
    // The same words whether it exists or not: what lies outside of the roots stays unknown.
    if (place === null) {
      const message = `${file} is not below a root of this node (${this.#roots.join(', ')}), or is a link that leads out of them. Move the model below one of them.`;
      throw new TroupeError('source_not_allowed', message);
    }
    if (place.exists) return place.real;
    throw new TroupeError(
      'model_not_found',
      `there is no file ${file}. Check the path; relative ones start at the node’s folder.`,
    );
  }

  /** C3 */
  async #load(file: string, name: string): Promise<LocalModel> {
    const settingsFile = `${file.slice(0, -path.extname(file).length)}.toml`;
    const version = [name, await versionOf(file), await versionOf(settingsFile)].join('|');
    const known = this.#cache.get(file);
    if (known?.version === version) return known.model;
    const model = readModel(file, settingsFile, name);
    this.#cache.set(file, { version, model });
    model.catch(() => this.#cache.delete(file));
    return model;
  }
}

async function readModel(file: string, settingsFile: string, name: string): Promise<LocalModel> {
  const bytes = await readModelFile(file);
  const settings = await readSettings(settingsFile);
  try {
    return { file, info: adapt(name, await sha256(bytes), readOnnx(bytes), settings) };
  } catch (error) {
    if (!(error instanceof TroupeError)) throw error;
    throw new TroupeError(error.code, `${file} cannot be used: ${error.message}`, { cause: error });
  }
}

/** The settings beside a model; none when there is no such file. It must be the file itself: a link could lead out (C1). */
async function readSettings(file: string): Promise<ModelSettings> {
  const found = await stat(file).catch(() => null);
  if (found === null) return {};
  const refuse = (why: string): TroupeError => new TroupeError('model_unsupported', `${file} ${why}`);
  if (!found.isFile() || (await realpath(file)) !== file)
    throw refuse('is not a plain file. Put the settings themselves there, not a link to them');
  if (found.size > LIMITS.modelTomlBytes) throw refuse(`has more than ${LIMITS.modelTomlBytes} bytes`);
  const text = await readFile(file, 'utf8');
  let settings: unknown;
  try {
    settings = parseToml(text);
  } catch (error) {
    // Only the first line: the rest quotes the file.
    throw refuse(`is not TOML: ${error instanceof Error ? error.message.split('\n')[0] : ''}`);
  }
  const problems = problemsOf(ModelSettings, settings);
  if (problems.length > 0) throw refuse(`is not valid: ${problems.map(p => `${p.path} ${p.message}`).join('; ')}`);
  return settings as ModelSettings;
}

async function filesIn(dir: string): Promise<string[]> {
  try {
    return (await readdir(dir)).sort();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

const versionOf = async (file: string): Promise<string> => {
  const found = await stat(file, { bigint: true }).catch(() => null);
  return found === null ? '' : `${found.size} ${found.mtimeNs} ${found.ino}`;
};

function ignoreUnusable(error: unknown): void {
  if (!(error instanceof TroupeError)) throw error;
}
