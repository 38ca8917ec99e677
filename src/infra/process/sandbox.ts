/**
 * What programs that read strangers' files may touch: the sandbox round ffmpeg, ffprobe and the trial of a model.
 *
 * SB1 `full`: bubblewrap. The program sees the files it is given and the system's programs and libraries, all read-only, and
 *     nothing else: no network, no other process, no place to write, no privilege. And the bounds of `limits`.
 * SB2 `limits`: prlimit. Memory, open files and the size of files written are bounded, and there are no core dumps. A lower
 *     bound that this process is under itself stays.
 * SB3 `none`: neither. What bounds a program by itself (whitelists, picture size, deadlines) holds at every level.
 * SB4 A level is had only if a program really ran in it; one that was demanded and does not work is an error.
 * SB5 Its owner notices nothing: descriptors and exit codes are the program's own, SIGKILL ends it, and in `full` so does its
 *     parent's death. (A program that died of a signal ends with 128 + its number there, as in a shell.)
 *
 * There is no bound on CPU time: videos may be hours long. A probe has a deadline, and a decoder that stalls is replaced.
 */
import { lstatSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { totalmem } from 'node:os';
import path from 'node:path';
import Type, { type Static } from 'typebox';
import { TroupeError, toProblem } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import { SandboxLevel } from '../../domain/node.ts';
import type { SandboxWish } from '../config.ts';
import { findProgram, isProgram } from './find-program.ts';

/** Plain data: a node hands it to its runner processes. */
export const Sandbox = Type.Object({
  level: SandboxLevel,
  /** Absolute paths of the programs that make it. */
  prlimit: Type.Union([Type.String(), Type.Null()]),
  bwrap: Type.Union([Type.String(), Type.Null()]),
});
export type Sandbox = Static<typeof Sandbox>;

export const NO_SANDBOX: Sandbox = { level: 'none', prlimit: null, bwrap: null };

export interface Confinement {
  /** What is wanted of prlimit. */
  readonly bounds: {
    /** Address space, bytes; not for V8, which reserves far more than it uses. */
    readonly as?: number;
    /** Private memory that can be written to, bytes. */
    readonly data?: number;
    readonly nofile?: number;
    /** Bytes of a file that is written; pipes are no files. */
    readonly fsize?: number;
  };
  /** Real paths of all that is read beside the system's programs and libraries; the program itself is there in any case. */
  readonly readable: readonly string[];
}

/** The command to start in place of a program. */
export function confined(
  { prlimit, bwrap }: Sandbox,
  program: string,
  args: readonly string[],
  { bounds, readable }: Confinement,
): { readonly program: string; readonly args: readonly string[] } {
  const limits = Object.entries({ ...bounds, core: 0 }).map(([name, value]) => `--${name}=${notAbove(name, value)}`);
  const shown = new Set([...linked(program), ...readable].filter(file => !isSystem(file)));
  const binds = [...shown].flatMap(file => ['--ro-bind', file, file]);
  const walls = [...WALLS, ...privileges(), ...system(), ...binds, '--remount-ro', '/', '--chdir', '/', '--'];
  const [first = program, ...rest] = [
    ...(prlimit === null ? [] : [prlimit, ...limits, '--']),
    ...(bwrap === null ? [] : [bwrap, ...walls]),
    ...[program, ...args],
  ];
  return { program: first, args: rest };
}

/** A model's trial (TR1). */
export const TRIAL_BOUNDS = { data: Math.floor(Math.min(LIMITS.trialBytes, totalmem() / 2)) };

/** A program, what it links to step by step, and what that is in the end, whose libraries may lie beside it. */
function linked(program: string): string[] {
  const steps = [program];
  for (let at = program; steps.length < LIMITS.linksFollowed; steps.push(at)) {
    if (lstatSync(at, { throwIfNoEntry: false })?.isSymbolicLink() !== true) break;
    at = path.resolve(path.dirname(at), readlinkSync(at));
  }
  try {
    return [...steps, realpathSync(program)];
  } catch {
    return steps; // it leads nowhere: starting it says so
  }
}

/** As /proc/self/limits calls what prlimit bounds. */
const LIMIT_NAMES: Readonly<Record<string, string>> = {
  as: 'Max address space',
  data: 'Max data size',
  nofile: 'Max open files',
  fsize: 'Max file size',
  core: 'Max core file size',
};

/** SB2: nobody but root may raise a hard limit, and one that it may not makes prlimit start nothing. */
function notAbove(name: string, wanted: number): number {
  let limits: string;
  try {
    limits = readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return wanted;
  }
  const row = limits.split('\n').find(line => line.startsWith(`${LIMIT_NAMES[name]} `));
  const hard = /\s(\d+)\s+\S+\s*$/.exec(row ?? '')?.[1];
  return hard === undefined ? wanted : Math.min(wanted, Number(hard)); // or it is unlimited
}

/** SB1. No session of its own: it stays in its owner's process group, and without /dev there is no terminal to reach. */
const WALLS = [
  ...['--die-with-parent', '--unshare-ipc', '--unshare-pid', '--unshare-net', '--unshare-uts', '--unshare-cgroup-try'],
  ...['--cap-drop', 'ALL'],
];

/**
 * Root needs no user namespace, and in one it could not read other users' files any more: among what is there to be read, it
 * keeps that right alone.
 */
const privileges = (): string[] => (process.getuid?.() === 0 ? ['--cap-add', 'CAP_DAC_OVERRIDE'] : ['--unshare-user']);

/** Where Linux systems keep programs and libraries; symbolic links among them stay such. */
const SYSTEM = [
  ...['/usr/bin', '/usr/lib', '/usr/lib32', '/usr/lib64', '/usr/local/lib', '/bin', '/lib', '/lib32', '/lib64'],
  ...['/etc/ld.so.cache', '/etc/alternatives', '/nix/store', '/gnu/store'],
];

const isSystem = (file: string): boolean => SYSTEM.some(folder => file.startsWith(`${folder}/`));

let systemArguments: readonly string[] | null = null;

function system(): readonly string[] {
  systemArguments ??= SYSTEM.flatMap(file => {
    const found = lstatSync(file, { throwIfNoEntry: false });
    if (found === undefined) return [];
    return found.isSymbolicLink() ? ['--symlink', readlinkSync(file), file] : ['--ro-bind', file, file];
  });
  return systemArguments;
}

export interface SandboxFound {
  readonly sandbox: Sandbox;
  /** Why it is no better, and what to do about it; null when it is the best there is. */
  readonly lacks: string | null;
}

const adviceOnWalls = (why: string): string =>
  /namespace|uid map|not permitted|permission/i.test(why)
    ? 'Allow namespaces (in a container: --security-opt seccomp=unconfined, or run it as a user that may make them)'
    : 'A program has there its own file and the system’s folders (/usr, /lib): install it with what it needs in those';

/**
 * SB4: the level that is wanted, or for `auto` the best one that works.
 * @param attempt starts a program in the sandbox and throws when it does not run
 * @throws TroupeError unavailable, saying what to do
 */
export async function findSandbox(
  wish: SandboxWish,
  places: { readonly searchPath: string; readonly own: string },
  attempt: (sandbox: Sandbox) => Promise<void>,
): Promise<SandboxFound> {
  if (wish === 'none') return { sandbox: NO_SANDBOX, lacks: null };
  const prlimit = findProgram('prlimit', { given: undefined, ...places });
  // One that does not work must not hide the one that does.
  const bwraps = new Set(
    [findProgram('bwrap', { given: undefined, ...places }), path.resolve(places.own, 'bwrap')].filter(
      file => file !== null && isProgram(file),
    ),
  );
  const lacks: string[] = [];
  const works = async (sandbox: Sandbox, toDo: (why: string) => string): Promise<boolean> => {
    try {
      await attempt(sandbox);
      return true;
    } catch (error) {
      const { message } = toProblem(error);
      lacks.push(`${sandbox.level} does not work here: ${message}. ${toDo(message)}`);
      return false;
    }
  };
  const found = async (): Promise<Sandbox> => {
    if (prlimit === null) {
      lacks.push('there is no prlimit. Install util-linux (on Linux)');
      return NO_SANDBOX;
    }
    if (wish === 'limits') lacks.push('limits is what was asked for');
    else if (bwraps.size === 0)
      lacks.push('there is no bwrap. Install bubblewrap (apt-get install bubblewrap), or run: npm run setup');
    else
      for (const bwrap of bwraps) {
        const full: Sandbox = { level: 'full', prlimit, bwrap };
        if (await works(full, adviceOnWalls)) {
          lacks.length = 0;
          return full;
        }
      }
    const limits: Sandbox = { level: 'limits', prlimit, bwrap: null };
    return (await works(limits, () => 'Install util-linux')) ? limits : NO_SANDBOX;
  };
  const sandbox = await found();
  const demanded = wish === 'require' ? 'full' : wish;
  if (demanded !== 'auto' && demanded !== sandbox.level) {
    const message = `--sandbox ${wish}: ${lacks.join('; ')}. Or take what this machine has with --sandbox auto, which would be ${sandbox.level}.`;
    throw new TroupeError('unavailable', message);
  }
  return { sandbox, lacks: lacks.join('; ') || null };
}
