/** A run of ffmpeg or ffprobe that says what it is told to say, in the chunks it is told to say it in. */
import { Readable } from 'node:stream';
import { Complaints } from '../../src/infra/video/complaints.ts';
import type { MediaExit, MediaRun } from '../../src/infra/video/media-run.ts';

export interface MediaScript {
  readonly stdout?: Readable;
  readonly side?: Readable;
  readonly stderr?: string;
  readonly exit?: MediaExit;
}

export function scriptedMedia(script: MediaScript): MediaRun {
  const {
    stdout = Readable.from([]),
    side = Readable.from([]),
    stderr = '',
    exit = { code: 0, signal: null },
  } = script;
  const complaints = new Complaints(Readable.from(stderr === '' ? [] : [Buffer.from(stderr)]));
  return {
    stdout,
    side,
    complaints,
    exited: Promise.resolve(exit),
    async wasSilent() {
      await new Promise(setImmediate);
      await new Promise(setImmediate);
      return complaints.none;
    },
    async [Symbol.asyncDispose]() {
      stdout.destroy();
      side.destroy();
    },
  };
}

/** Bytes in chunks of these sizes, again and again. */
export function inChunks(bytes: Buffer, sizes: readonly number[]): Readable {
  const chunks: Buffer[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = Math.max(1, sizes[i % sizes.length] ?? bytes.length);
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return Readable.from(chunks, { objectMode: false });
}
