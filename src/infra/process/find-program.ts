/** Where an external program is: given by the user, else on the search path, else where `npm run setup` put it. */
import { accessSync, constants, statSync } from 'node:fs';
import path from 'node:path';
import { TroupeError } from '../../domain/errors.ts';

export interface ProgramSearch {
  /** TROUPE_FFMPEG, TROUPE_NATS_SERVER …; a wrong one is an error, not a reason to look elsewhere. */
  readonly given: string | undefined;
  /** PATH. */
  readonly searchPath: string | undefined;
  /** `.troupe/bin` of the checkout. */
  readonly own: string;
}

/** @returns an absolute path, or null when there is none. @throws TroupeError invalid_request: `given` is no program */
export function findProgram(name: string, { given, searchPath, own }: ProgramSearch): string | null {
  if (given !== undefined && given !== '') {
    if (isProgram(given)) return path.resolve(given);
    throw new TroupeError('invalid_request', `${given} is not a program: set the path of ${name}, or unset it`);
  }
  // A relative entry would depend on where the node was started.
  const folders = [...(searchPath ?? '').split(path.delimiter).filter(folder => path.isAbsolute(folder)), own];
  const found = folders.map(folder => path.resolve(folder, name)).find(isProgram);
  return found ?? null;
}

/** ffmpeg and its own ffprobe: the one beside it is of the same version. @returns null when either is missing */
export function findFfmpeg(search: ProgramSearch): { ffmpeg: string; ffprobe: string } | null {
  const ffmpeg = findProgram('ffmpeg', search);
  if (ffmpeg === null) return null;
  const ffprobe = findProgram('ffprobe', {
    given: undefined,
    searchPath: [path.dirname(ffmpeg), search.searchPath ?? ''].join(path.delimiter),
    own: search.own,
  });
  return ffprobe === null ? null : { ffmpeg, ffprobe };
}

export function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
