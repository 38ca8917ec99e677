/** Reads a model file whole: a bounded regular file, nothing else. */
import { webcrypto } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { TroupeError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';

/** @throws TroupeError model_not_found | model_unsupported */
export async function readModelFile(file: string): Promise<Buffer<ArrayBuffer>> {
  // Opening a named pipe would wait for its writer, in one of the few threads that do all of this process' file work.
  await using handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: Error) => {
    const what = 'Check that it is there and that the user of this node may read it';
    throw new TroupeError('model_not_found', `the model ${file} cannot be read: ${cause.message}. ${what}.`, { cause });
  });
  const stat = await handle.stat();
  if (!stat.isFile()) throw new TroupeError('model_unsupported', `${file} is not a regular file. Name an .onnx file.`);
  if (stat.size > LIMITS.modelBytes) {
    throw new TroupeError(
      'model_unsupported',
      `${file} has ${stat.size} bytes; at most ${LIMITS.modelBytes} are read. Use a smaller model.`,
    );
  }
  return handle.readFile();
}

/** Hex; computed off the event loop. */
export const sha256 = async (bytes: Uint8Array<ArrayBuffer>): Promise<string> =>
  Buffer.from(await webcrypto.subtle.digest('SHA-256', bytes)).toString('hex');
