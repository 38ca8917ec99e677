/**
 * The thread of a `MediaThread`: runs ffmpeg or ffprobe once, to its end.
 *
 * MT1 Its file system is in memory but for one file, which is only read; what could reach a network is taken away first.
 * MT3 Nothing is held in memory but what ffmpeg itself holds: the file is read where ffmpeg asks for it, and output goes into
 *     the pipes, which block.
 */
import { fstatSync, openSync, readSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { workerData } from 'node:worker_threads';
import { invariant } from '../../domain/errors.ts';
import { part } from '../process/assets.ts';
import type { ThreadAssignment } from './media-thread.ts';
import { writeBlocking } from './shared-pipe.ts';

/** What is used here of Emscripten's file system. */
interface FileSystem {
  readonly ErrnoError: new (errno: number) => Error;
  makedev(major: number, minor: number): number;
  registerDevice(device: number, operations: StreamOperations): void;
  mkdev(path: string, mode: number, device: number): void;
  mkdirTree(path: string): void;
  create(path: string, mode: number): Node;
  open(path: string, flags: number): Stream;
  close(stream: Stream): void;
  getStream(fd: number): Stream | null | undefined;
}
interface Node {
  stream_ops: StreamOperations;
  node_ops: { readonly getattr: (node: Node) => object };
}
interface Stream {
  readonly fd: number;
  readonly position: number;
  seekable: boolean;
}
interface StreamOperations {
  open?(stream: Stream): void;
  close?(): void;
  read?(stream: Stream, heap: Int8Array, at: number, length: number, position: number): number;
  write?(stream: Stream, heap: Int8Array, at: number, length: number): number;
  llseek?(stream: Stream, offset: number, whence: number): number;
}

interface Core {
  readonly FS: FileSystem;
  /** What ffmpeg ended with, when it ended by `exit`. */
  readonly ret: number;
  readonly _ffmpeg: Main;
  readonly _ffprobe: Main;
  stringsToPtr(strings: readonly string[]): number;
}
type Main = (count: number, args: number) => number;
type CreateCore = (options: {
  instantiateWasm(imports: object, done: (instance: WebAssembly.Instance) => void): object;
}) => Promise<Core>;

const WRITE_ONLY = 1;
/** As a shell has it for a program that aborted. */
const CRASHED = 134;
/** Numbers of errors as WASI has them. */
const EINVAL = 28;
const EIO = 29;

export async function serve(): Promise<never> {
  const { module, program, args, file, pipes } = workerData as ThreadAssignment;
  try {
    const core = await createCore(module);
    for (const fd of [1, 2, 3] as const) {
      replaceDescriptor(core.FS, fd, bytes => writeBlocking(pipes[fd], bytes));
    }
    if (file !== null) showFile(core.FS, file);
    process.exit(run(core, program, args));
  } catch (error) {
    // A file that cannot be opened, or an ffmpeg that went astray on what it read.
    writeBlocking(pipes[2], Buffer.from(`${error instanceof Error ? error.message : String(error)}\n`));
    process.exit(CRASHED);
  }
}

async function createCore(module: WebAssembly.Module): Promise<Core> {
  // MT1: the core would connect through these.
  for (const name of ['WebSocket', 'fetch', 'XMLHttpRequest', 'EventSource']) Reflect.deleteProperty(globalThis, name);
  // It takes itself to be in a web worker and looks where that was loaded from.
  Object.assign(globalThis, { self: { location: { href: '' } } });
  const script = pathToFileURL(part('@ffmpeg/core', 'dist', 'umd', 'ffmpeg-core.js')).href;
  const { default: create } = (await import(script)) as { default: CreateCore };
  return await create({
    instantiateWasm(imports, done) {
      void WebAssembly.instantiate(module, imports).then(done);
      return {};
    },
  });
}

function run(core: Core, program: ThreadAssignment['program'], args: readonly string[]): number {
  try {
    return core[`_${program}`](args.length + 1, core.stringsToPtr([program, ...args]));
  } catch (error) {
    // `exit` notes its code and aborts, which throws.
    if (core.ret >= 0) return core.ret;
    throw error;
  }
}

/** MT3. 3 is the next one that is free. */
function replaceDescriptor(FS: FileSystem, fd: number, write: (bytes: Uint8Array) => void): void {
  const device = FS.makedev(64, fd);
  FS.registerDevice(device, {
    open(stream) {
      stream.seekable = false;
    },
    close() {},
    write(_, heap, at, length) {
      write(new Uint8Array(heap.buffer, heap.byteOffset + at, length));
      return length;
    },
  });
  FS.mkdev(`/dev/pipe${fd}`, 0o200, device);
  const present = FS.getStream(fd);
  if (present) FS.close(present);
  invariant(FS.open(`/dev/pipe${fd}`, WRITE_ONLY).fd === fd, 'a file is opened at the lowest free descriptor');
}

/** MT1, MT3. Under the very path it has. */
function showFile(FS: FileSystem, file: string): void {
  const fd = openSync(file, 'r');
  const { size } = fstatSync(fd);
  FS.mkdirTree(path.dirname(file));
  const node = FS.create(file, 0o444);
  const { getattr } = node.node_ops;
  node.node_ops = { ...node.node_ops, getattr: self => ({ ...getattr(self), size }) };
  node.stream_ops = {
    read(_, heap, at, length, position) {
      try {
        return readSync(fd, heap, at, length, position);
      } catch {
        throw new FS.ErrnoError(EIO);
      }
    },
    llseek({ position }, offset, whence) {
      const to = offset + ([0, position, size][whence] ?? Number.NaN);
      if (!(to >= 0)) throw new FS.ErrnoError(EINVAL);
      return to;
    },
  };
}
