/**
 * ffmpeg or ffprobe as WebAssembly in a worker thread, with the pipes that a child process would have.
 *
 * MT1 The thread sees the one file named after `-i` and no other, and has no network.
 * MT2 An aborted signal ends the thread at once, whatever it computes or waits for; disposing ends it and resolves when it is gone.
 */
import type { Worker } from 'node:worker_threads';
import { TroupeError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import { selfThread } from '../process/self-exec.ts';
import { Complaints } from './complaints.ts';
import type { MediaExit, MediaRun } from './media-run.ts';
import { type SharedPipe, SharedPipeReader, sharedPipe } from './shared-pipe.ts';

/** What a thread is told; from another half of this program, so it is not parsed. */
export interface ThreadAssignment {
  readonly module: WebAssembly.Module;
  readonly program: 'ffmpeg' | 'ffprobe';
  readonly args: readonly string[];
  /** MT1 */
  readonly file: string | null;
  /** By file descriptor. */
  readonly pipes: Readonly<Record<1 | 2 | 3, SharedPipe>>;
}

export class MediaThread implements MediaRun {
  readonly stdout: SharedPipeReader;
  readonly side: SharedPipeReader;
  readonly complaints: Complaints;
  readonly exited: Promise<MediaExit>;
  readonly #stderr: SharedPipeReader;
  readonly #worker: Worker;
  readonly #signal: AbortSignal;

  constructor(
    module: WebAssembly.Module,
    program: ThreadAssignment['program'],
    args: readonly string[],
    signal: AbortSignal,
  ) {
    signal.throwIfAborted();
    const pipes = {
      1: sharedPipe(LIMITS.threadStdoutBytes),
      2: sharedPipe(LIMITS.threadSideBytes),
      3: sharedPipe(LIMITS.threadSideBytes),
    };
    this.stdout = new SharedPipeReader(pipes[1]);
    this.#stderr = new SharedPipeReader(pipes[2]);
    this.side = new SharedPipeReader(pipes[3]);
    this.complaints = new Complaints(this.#stderr);
    const input = args.at(args.indexOf('-i') + 1);
    const file = input?.startsWith('file:') ? input.slice('file:'.length) : null;
    const assignment: ThreadAssignment = { module, program, args, file, pipes };
    this.#worker = selfThread('decoder-thread', assignment);
    const { promise, resolve, reject } = Promise.withResolvers<MediaExit>();
    this.exited = promise;
    promise.catch(() => undefined);
    const stderrClosed = new Promise<void>(closed => this.#stderr.once('close', closed));
    this.#worker.once('error', cause =>
      reject(new TroupeError('decode_failed', `the decoder’s thread crashed: ${String(cause)}`, { cause })),
    );
    this.#worker.once('exit', code => {
      for (const reader of this.#readers()) reader.end();
      void stderrClosed.then(() => resolve({ code, signal: null }));
    });
    this.#signal = signal;
    signal.addEventListener('abort', this.#kill, { once: true });
  }

  readonly #kill = (): void => {
    void this.#worker.terminate();
    for (const reader of this.#readers()) reader.destroy();
  };

  #readers(): SharedPipeReader[] {
    return [this.stdout, this.#stderr, this.side];
  }

  async wasSilent(): Promise<boolean> {
    // What it wrote lies in its pipe by now; a turn of the event loop takes at least some of it out.
    do await new Promise(setImmediate);
    while (!this.#stderr.isDrained && !this.#stderr.destroyed); // an aborted one is read no more
    await new Promise(setImmediate);
    return this.complaints.none;
  }

  /** MT2 */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal.removeEventListener('abort', this.#kill);
    this.#kill();
    await this.exited.catch(() => undefined);
  }
}
