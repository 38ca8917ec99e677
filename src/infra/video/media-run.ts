/** One run of ffmpeg or ffprobe over an untrusted file, wherever it takes place. */
import type { Readable } from 'node:stream';
import type { Complaints } from './complaints.ts';

export interface MediaExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Disposing kills it and resolves when it is gone. */
export interface MediaRun extends AsyncDisposable {
  readonly stdout: Readable;
  /** What it writes on file descriptor 3. */
  readonly side: Readable;
  readonly complaints: Complaints;
  /** Resolves when it has ended and its stderr is read; rejects when it could not be started. */
  readonly exited: Promise<MediaExit>;
  /** Whether it had written nothing on stderr when it wrote what was read last on another pipe. */
  wasSilent(): Promise<boolean>;
}

/** Starts one; an aborted signal kills it at once. */
export type RunMedia = (program: 'ffmpeg' | 'ffprobe', args: readonly string[], signal: AbortSignal) => MediaRun;
