/** Which nats-server to run, and whether it is recent enough. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { TroupeError } from '../../domain/errors.ts';
import { findProgram, type ProgramSearch } from '../process/find-program.ts';

/** Older ones acknowledge more than one winner of a compare-and-set race, or lose appends on power loss. */
export const MINIMUM_VERSION = '2.10.27';
/** On clusters: with 2.9, 275 of 300 races on three replicas had more than one winner; 2.12 is what was tried. */
export const MINIMUM_CLUSTER_VERSION = '2.12.0';

/** @throws TroupeError unavailable: there is none; invalid_request: the one given is no program */
export function findNatsServer(search: ProgramSearch): string {
  const found = findProgram('nats-server', search);
  if (found !== null) return found;
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
    const [why] = (cause as Error).message.split('\n'); // the rest is what it said on stderr
    throw new TroupeError(
      'unavailable',
      `${binary} cannot be run: ${why}. Run \`npm run setup\`, or set TROUPE_NATS_SERVER.`,
      { cause },
    );
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
    `${what} is nats-server ${version}; Troupe needs ${minimum} or newer, since older ones can confirm two conflicting writes. Update it.`,
  );
}

const numbers = (version: string): number[] => version.split(/[.-]/, 3).map(Number);
