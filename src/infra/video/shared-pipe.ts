/**
 * A pipe in shared memory, from a thread that may block to one that may not.
 *
 * SP1 The writer blocks while the pipe is full: what its reader has not taken is never more than the pipe holds.
 * SP2 Bytes come out once and in order, and the end after the last of them.
 */
import { Readable } from 'node:stream';
import { invariant } from '../../domain/errors.ts';

/** Both ends' memory: goes to the writer's thread as a message. */
export interface SharedPipe {
  /** Bytes written and bytes read so far, each modulo 2³². */
  readonly counts: Int32Array<SharedArrayBuffer>;
  readonly bytes: Uint8Array<SharedArrayBuffer>;
}

const WRITTEN = 0;
const READ = 1;

/** @param capacity in bytes, a power of two */
export function sharedPipe(capacity: number): SharedPipe {
  invariant((capacity & (capacity - 1)) === 0, 'counts that wrap around still tell the place in the pipe');
  return {
    counts: new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT)),
    bytes: new Uint8Array(new SharedArrayBuffer(capacity)),
  };
}

/** SP1 */
export function writeBlocking({ counts, bytes }: SharedPipe, data: Uint8Array): void {
  for (let at = 0; at < data.length; ) {
    const written = Atomics.load(counts, WRITTEN);
    const read = Atomics.load(counts, READ);
    const room = bytes.length - ((written - read) | 0);
    if (room === 0) {
      Atomics.wait(counts, READ, read);
      continue;
    }
    const start = written & (bytes.length - 1);
    const part = data.subarray(at, at + Math.min(room, bytes.length - start));
    bytes.set(part, start);
    Atomics.store(counts, WRITTEN, (written + part.length) | 0);
    Atomics.notify(counts, WRITTEN);
    at += part.length;
  }
}

export class SharedPipeReader extends Readable {
  readonly #pipe: SharedPipe;
  #ended = false;

  constructor(pipe: SharedPipe) {
    super();
    this.#pipe = pipe;
  }

  /** Nothing lies in the pipe. */
  get isDrained(): boolean {
    const { counts } = this.#pipe;
    return Atomics.load(counts, WRITTEN) === Atomics.load(counts, READ);
  }

  /** The writer is gone. */
  end(): void {
    this.#ended = true;
    Atomics.notify(this.#pipe.counts, WRITTEN);
  }

  override _read(size: number): void {
    this.#next(size);
  }

  #next(size: number): void {
    const { counts, bytes } = this.#pipe;
    const written = Atomics.load(counts, WRITTEN);
    const read = Atomics.load(counts, READ);
    if (written === read) {
      if (this.#ended)
        this.push(null); // SP2
      else void this.#readLater(written, size);
      return;
    }
    const start = read & (bytes.length - 1);
    const end = Math.min(start + ((written - read) | 0), start + size, bytes.length);
    const chunk = Buffer.from(bytes.subarray(start, end));
    Atomics.store(counts, READ, (read + chunk.length) | 0);
    Atomics.notify(counts, READ);
    this.push(chunk);
  }

  async #readLater(written: number, size: number): Promise<void> {
    await Atomics.waitAsync(this.#pipe.counts, WRITTEN, written).value;
    if (!this.destroyed) this.#next(size);
  }

  /** Lets go of a wait for a writer that writes no more. */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.end();
    done(error);
  }
}
