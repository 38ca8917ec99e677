/** Small files of a node's DATA folder: whose it is, and where the node that runs over it is reached. */
import { access, constants, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { TroupeError } from '../../domain/errors.ts';

/**
 * Creates the folder where it is missing.
 * @throws TroupeError unavailable: it is none, or this user may not write there
 */
export async function openDataFolder(data: string): Promise<void> {
  try {
    await makeFolder(data);
    if (!(await stat(data)).isDirectory()) throw new Error('it is not a folder');
    await access(data, constants.W_OK | constants.X_OK);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TroupeError(
      'unavailable',
      `DATA ${data} cannot be used: ${why}. Name a folder that this user may write to with --data or TROUPE_DATA.`,
      { cause },
    );
  }
}

/** What a failed call to the system means for who starts a node, when it was about something in DATA; else the error as it is. */
export function dataProblem(error: unknown, data: string): unknown {
  const { syscall, path: at, message } = error as NodeJS.ErrnoException;
  if (syscall === undefined || at === undefined || !at.startsWith(data + path.sep)) return error;
  return new TroupeError(
    'unavailable',
    `${at} cannot be used: ${message}. The node keeps a file or folder of its own there: remove it or mend its permissions, or name another DATA with --data.`,
    { cause: error },
  );
}

/** Not by Node's `recursive`, which never ends where no folder can be made at all, as in /proc. */
async function makeFolder(folder: string): Promise<void> {
  const make = (): Promise<void> =>
    mkdir(folder, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  await make().catch(async (error: NodeJS.ErrnoException) => {
    const parent = path.dirname(folder);
    if (error.code !== 'ENOENT' || parent === folder) throw error;
    await makeFolder(parent);
    await make();
  });
}

/**
 * Random, made when the folder is new: tells a node that was started again from another one of the same name.
 * @param fresh what a new folder gets
 */
export async function dataIdentity(data: string, fresh: string): Promise<string> {
  const file = path.join(data, 'identity');
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    // A failed read, unlike a failed open, does not say of what.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw Object.assign(error as Error, { path: file });
    await writeWhole(file, fresh);
    return fresh;
  }
}

export const writeEndpoint = (data: string, endpoint: Readonly<Record<string, unknown>>): Promise<void> =>
  writeWhole(endpointFile(data), JSON.stringify(endpoint));

/** Nothing when there is none. */
export const forgetEndpoint = (data: string): Promise<void> => rm(endpointFile(data), { force: true });

const endpointFile = (data: string): string => path.join(data, 'endpoint.json');

/** Whole or not at all: a reader never sees half a file. */
async function writeWhole(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, `${text}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
}
