/** Which nats-server to run, and whether it is recent enough. */
import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { TroupeError } from '../../domain/errors.ts';

/** Older ones acknowledge more than one winner of a compare-and-set race, or lose appends on power loss. */
export const MINIMUM_VERSION = '2.10.27';
/** On clusters: with 2.9, 275 of 300 races on three replicas had more than one winner; 2.12 is what was tried. */
export const MINIMUM_CLUSTER_VERSION = '2.12.0';

/**
 * @param given `TROUPE_NATS_SERVER`, if set
 * @param searchPath `PATH`
 * @param bundled where `npm run setup` puts it
 * @throws TroupeError unavailable
 */
export function findNatsServer(given: string | undefined, searchPath: string, bundled: string): string {
  if (given !== undefined && given !== '') {
    if (isExecutable(given)) return given;
    throw new TroupeError('unavailable', `TROUPE_NATS_SERVER names ${given}, which is not an executable file.`);
  }
  const folders = searchPath.split(path.delimiter).filter(folder => path.isAbsolute(folder));
  const found = [...folders.map(folder => path.join(folder, 'nats-server')), bundled].find(isExecutable);
  if (found !== undefined) return found;
  throw new TroupeError(
    'unavailable',
    'No nats-server found: run `npm run setup`, put nats-server on PATH, or name it in TROUPE_NATS_SERVER.',
  );
}

/** @throws TroupeError unavailable when it cannot be run or is older than 2.10.27 */
export async function checkNatsServer(binary: string): Promise<string> {
  let output: string;
  try {
    output = (await promisify(execFile)(binary, ['--version'], { timeout: 10_000 })).stdout;
  } catch (cause) {
    throw new TroupeError('unavailable', `${binary} cannot be run.`, { cause });
  }
  const version = /v?(\d+\.\d+\.\d+)/.exec(output)?.[1] ?? 'unknown';
  refuseOlderThan(MINIMUM_VERSION, version, binary);
  return version;
}

/** @throws TroupeError unavailable */
export function refuseOlderThan(minimum: string, version: string, what: string): void {
  const [have, want] = [numbers(version), numbers(minimum)];
  const at = want.findIndex((n, i) => n !== have[i]);
  if (at === -1 || (have[at] ?? -1) > (want[at] ?? 0)) return;
  throw new TroupeError(
    'unavailable',
    `${what} is nats-server ${version}; Troupe needs ${minimum} or newer, since older ones can confirm two conflicting writes.`,
  );
}

const numbers = (version: string): number[] => version.split(/[.-]/, 3).map(Number);

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
