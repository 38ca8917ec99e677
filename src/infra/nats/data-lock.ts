/**
 * One process tree per DATA folder.
 *
 * DL1 At most one holder at a time, also when two start in the same instant: the kernel decides (flock).
 * DL2 The lock goes when its holder dies, however it dies, and never while it lives: there is no lease, no pid to misread.
 *
 * Node cannot call flock itself, but a flock belongs to the *open file*, not to the process that asked for it. So we open
 * the file, let `flock(1)` lock the descriptor that it inherits, and keep it: flock(1) is gone, the lock is ours until
 * the last copy of the descriptor is closed. A child that is given the descriptor prolongs the lock by its own life.
 * (A pid file cannot tell a reused pid; an abstract socket ends at a container's border while DATA does not.)
 */
import { spawnSync } from 'node:child_process';
import { closeSync, constants, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { TroupeError } from '../../domain/errors.ts';

export interface DataLock extends Disposable {
  /** Give it to a child to make the lock last until that child is gone too. */
  readonly fd: number;
}

const POLL_MS = 50;
/** Of macOS's open(2), which can lock by itself. */
const DARWIN_O_EXLOCK = 0x20;

/**
 * Locks `folder/name`, creating both. Waits up to `waitMs` for a holder that is just going.
 * @throws TroupeError unavailable, naming the holder
 */
export async function lockFile(folder: string, name: string, waitMs: number, signal?: AbortSignal): Promise<DataLock> {
  mkdirSync(folder, { recursive: true });
  const file = path.join(folder, name);
  for (const start = performance.now(); ; ) {
    const fd = tryLock(file);
    if (fd !== null) {
      ftruncateSync(fd);
      writeSync(fd, `${process.pid}\n`, 0);
      return held(fd);
    }
    if (performance.now() - start >= waitMs) {
      const holder = readFileSync(file, 'utf8').trim();
      const who = holder === '' ? 'another process' : `process ${holder}`;
      throw new TroupeError('unavailable', `${folder} is in use by ${who}: stop it, or choose another folder.`);
    }
    await delay(POLL_MS, undefined, signal === undefined ? {} : { signal });
  }
}

/** DL1: the open and locked descriptor, or null when another holds the lock. */
function tryLock(file: string): number | null {
  const flags = constants.O_RDWR | constants.O_CREAT;
  if (process.platform === 'darwin') {
    try {
      return openSync(file, flags | DARWIN_O_EXLOCK | constants.O_NONBLOCK, 0o600);
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return null;
      throw error;
    }
  }
  const fd = openSync(file, flags, 0o600);
  const flock = spawnSync('flock', ['-n', '-x', '3'], { stdio: ['ignore', 'ignore', 'ignore', fd] });
  if (flock.status === 0) return fd;
  closeSync(fd);
  if (flock.status === 1) return null;
  throw new TroupeError(
    'unavailable',
    `${file} cannot be locked: flock(1) of util-linux is needed, and a file system that can lock.`,
    {
      cause: flock.error,
    },
  );
}

function held(fd: number): DataLock {
  let open = true;
  return {
    fd,
    [Symbol.dispose]() {
      if (open) closeSync(fd);
      open = false;
    },
  };
}
