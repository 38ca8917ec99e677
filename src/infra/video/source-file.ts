/** From what a user calls a source to the file that may be read. */
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { TroupeError } from '../../domain/errors.ts';
import { placeBelow } from '../files/roots.ts';

/**
 * @param uri a path, relative to the current folder, or a `file:` URL
 * @returns the real path
 * @throws TroupeError source_not_allowed | source_unreadable | not_supported_yet
 */
export async function resolveSource(uri: string, roots: readonly string[]): Promise<string> {
  const wanted = pathOf(uri);
  const place = await placeBelow(wanted, roots);
  if (place === null) {
    throw new TroupeError(
      'source_not_allowed',
      `${uri} is outside the folders this node may read (${roots.join(', ')}), or a link that leads out of them. Move the file below one of them, or start the node with --root and the folder that the file lies in.`,
    );
  }
  const { real, exists } = place;
  if (!exists) throw unusable(uri, 'there is no such file. Check the path; relative ones start at the node’s folder.');
  if (!(await stat(real)).isFile()) throw unusable(uri, 'it is not a regular file. Name a video file.');
  try {
    await access(real, constants.R_OK);
  } catch (cause) {
    throw unusable(uri, 'permission denied. Let the user of this node read it.', cause);
  }
  return real;
}

const unusable = (uri: string, why: string, cause?: unknown): TroupeError =>
  new TroupeError('source_unreadable', `cannot read ${uri}: ${why}`, { cause });

function pathOf(uri: string): string {
  if (uri === '' || uri.includes('\0')) throw unusable(JSON.stringify(uri), 'this is no file name.');
  const isFileUrl = /^file:\//i.test(uri);
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(uri) && !isFileUrl) {
    throw new TroupeError('not_supported_yet', `${uri}: only local files are read. Download it below a root first.`);
  }
  try {
    return path.resolve(isFileUrl ? fileURLToPath(uri) : uri);
  } catch (cause) {
    throw unusable(uri, 'this is no local file URL. Write file:///path/to/video.', cause);
  }
}
