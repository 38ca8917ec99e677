/**
 * Watches the disk of an embedded nats-server, which does not get over a full one by itself: a stream whose write once failed
 * for want of space answers no write any more, also when there is room again, until the server starts anew.
 *
 * FD1 The server is started anew only after it said that a write of its own failed, and when there has been room for a while,
 *     proved by writing: on a full disk it does not start, or half a minute later (measured), and a supervisor may give up.
 * FD2 At most once in `natsAnewMs`, whatever the disk does: a supervisor that restarts too much ends the node.
 * FD3 What is wrong is told when it begins, with what to do, and once more when it is over.
 *
 * It reads what the server writes to nats.log: its answer to the writer is none at all.
 */
import { open, rm, statfs } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LIMITS } from '../../domain/limits.ts';

export interface DiskWatchOptions {
  readonly dataDir: string;
  readonly log: (line: string) => void;
  /** The running server's process id; null while there is none. */
  readonly serverPid: () => number | null;
  /** Ends the server, for its supervisor to start it. */
  readonly endServer: () => void;
}

export class DiskWatch {
  readonly #options: DiskWatchOptions;
  readonly #folder: string;
  /** How far nats.log is read. */
  #read = 0;
  /** The server that cannot store, by its own words. */
  #stuckPid: number | null = null;
  #roomSince: number | null = null;
  #endedAt = Number.NEGATIVE_INFINITY;
  #trouble: string | null = null;

  constructor(options: DiskWatchOptions) {
    this.#options = options;
    this.#folder = path.join(options.dataDir, 'nats');
  }

  /** What is wrong and what to do, as a sentence without its full stop; null when nothing is. */
  get trouble(): string | null {
    return this.#trouble;
  }

  /** Until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#look();
      await delay(LIMITS.diskLookMs, undefined, { signal }).catch(() => signal.aborted);
    }
  }

  async #look(): Promise<void> {
    const pid = this.#options.serverPid();
    if (pid !== null && (await this.#complaintsOf(pid))) this.#stuckPid = pid;
    const stuck = pid !== null && this.#stuckPid === pid;
    const free = await freeBytes(this.#folder);
    if (stuck || free < LIMITS.diskFullBytes) this.#tell();
    if (this.#trouble === null) return;
    const now = performance.now();
    if (free < LIMITS.diskRoomBytes) this.#roomSince = null;
    else this.#roomSince ??= now;
    if (this.#roomSince === null || now - this.#roomSince < LIMITS.diskRoomMs) return;
    if (!stuck) {
      this.#trouble = null;
      this.#options.log(`There is room on the disk of DATA ${this.#options.dataDir} again.`);
    } else if (now - this.#endedAt >= LIMITS.natsAnewMs && (await this.#canWrite())) {
      this.#endedAt = now; // FD2
      this.#roomSince = null; // told as over when the new server has had room for as long
      this.#options.log(
        `There is room on the disk of DATA ${this.#options.dataDir} again: nats-server is started anew, which until then stores nothing.`,
      );
      this.#options.endServer();
    }
  }

  /** FD3 */
  #tell(): void {
    if (this.#trouble !== null) return;
    this.#trouble = `the disk of DATA ${this.#options.dataDir} is full: make room there, and everything goes on by itself`;
    this.#options.log(`T${this.#trouble.slice(1)}. Nothing that was acknowledged is lost.`);
  }

  /** Whether this server said since the last look that it found no space. */
  async #complaintsOf(pid: number): Promise<boolean> {
    try {
      await using file = await open(path.join(this.#folder, 'nats.log'));
      const { size } = await file.stat();
      if (size < this.#read) this.#read = 0; // rotated
      const from = Math.max(this.#read, size - LIMITS.diskLogBytes);
      if (from === size) return false;
      const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(size - from), position: from });
      this.#read = from + bytesRead;
      const lines = buffer.toString('utf8', 0, bytesRead).split('\n');
      return lines.some(line => line.startsWith(`[${pid}]`) && line.includes('[ERR]') && NO_SPACE.test(line));
    } catch {
      return false; // a log that cannot be read says nothing
    }
  }

  /** FD1: statfs knows nothing of quotas, nor of file systems that ran out of something else. */
  async #canWrite(): Promise<boolean> {
    const trial = path.join(this.#folder, 'room');
    try {
      await using file = await open(trial, 'w', 0o600);
      await file.write(Buffer.alloc(LIMITS.diskFullBytes, 1));
      await file.sync();
      return true;
    } catch {
      return false;
    } finally {
      await rm(trial, { force: true });
    }
  }
}

/** Go's words for ENOSPC. */
const NO_SPACE = /no space left on device/;

/** What this user may still write; all the room there is when the file system does not tell. */
async function freeBytes(folder: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch {
    return Number.POSITIVE_INFINITY; // FD1 tries it out
  }
}
