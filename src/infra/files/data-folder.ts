/** Small files of a node's DATA folder: whose it is, and where the node that runs over it is reached. */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

/**
 * Random, made when the folder is new: tells a node that was started again from another one of the same name.
 * @param fresh what a new folder gets
 */
export async function dataIdentity(data: string, fresh: string): Promise<string> {
  const file = path.join(data, 'identity');
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
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
