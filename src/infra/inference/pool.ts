/**
 * Inference sessions in worker threads, fed from the ring. It owns the threads and, from `infer` until the frame is
 * copied, the slot; the order of results is its caller's business.
 *
 * IP1 Every `infer` settles: with detections, with the model's failure, or with the loss of the worker or of the pool.
 * IP2 Every slot given to `infer` is released exactly once, as soon as nobody reads it any more.
 * IP3 A worker has one frame in work and at most one waiting in its thread, so it never waits for this loop.
 * IP4 A thread is asked to leave and awaited, never terminated: inside onnxruntime that would abort the process.
 * IP5 What runs is the file that was registered: its hash is checked against the model's.
 * IP6 Threads that were started ahead are used before others are started, each by one pool, and leave with it.
 */
import type { Worker } from 'node:worker_threads';
import type { FrameRing } from '../../actors/ports/frame-ring.ts';
import type { InferenceFactory, InferenceOptions, InferencePool } from '../../actors/ports/inference.ts';
import type { Took } from '../../actors/ports/telemetry.ts';
import { invariant, TroupeError } from '../../domain/errors.ts';
import type { LocalModel } from '../../domain/model.ts';
import type { Detection } from '../../domain/prediction.ts';
import { selfThread } from '../process/self-exec.ts';
import { readModelFile, sha256 } from './model-file.ts';
import { cannotLoad, disableTelemetry, ENGINE } from './onnxruntime.ts';
import { withPrologue } from './prologue.ts';
import type { FromWorker, ToWorker, WorkerAssignment } from './worker-message.ts';

/**
 * Local inference on CPU.
 * @param threads started now, for the first pool that is opened: they load onnxruntime while it is not known yet for which model
 */
export function inferenceFactory(threads = 0): InferenceFactory {
  const idle = Array.from({ length: threads }, startThread);
  return { open: (options, signal) => open(options, idle, signal) };
}

interface Thread {
  readonly worker: Worker;
  /** With its exit code. */
  readonly exited: Promise<number>;
}

function startThread(): Thread {
  disableTelemetry();
  const worker = selfThread('inference-worker');
  // Without a listener for `error` one that crashes while it is idle takes this process along.
  return { worker, exited: new Promise(resolve => worker.once('exit', resolve)) };
}

async function open(options: InferenceOptions, idle: Thread[], signal: AbortSignal): Promise<InferencePool> {
  const { model, ring, picture, workers, recordThreshold, iou, classIds, took } = options;
  const { width, height } = model.info.input;
  invariant(ring.slotBytes === 3 * width * height, 'a slot holds one frame of the model’s input size');
  invariant(workers >= 1, 'a pool has workers');
  const bytes = await modelBytes(model);
  signal.throwIfAborted();
  const pool = new WorkerPool(ring, model.info.classes, took);
  const assignment: WorkerAssignment = {
    model: model.info,
    bytes,
    ring: ring.buffer,
    slotBytes: ring.slotBytes,
    picture,
    recordThreshold,
    iou,
    classIds,
  };
  const onAbort = (): void => pool.fail(new TroupeError('inference_failed', 'opening was cancelled'));
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await pool.start(
      assignment,
      Array.from({ length: workers }, () => idle.shift() ?? startThread()), // IP6
    );
    signal.throwIfAborted();
    return pool;
  } catch (error) {
    await pool[Symbol.asyncDispose]();
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** What onnxruntime gets to load. @throws TroupeError model_unsupported: it is another file by now */
export async function modelBytes({ file, info }: LocalModel): Promise<Uint8Array> {
  const bytes = await readModelFile(file);
  if ((await sha256(bytes)) !== info.sha256) {
    throw new TroupeError(
      'model_unsupported',
      `${file} has changed since it was registered as ${info.name}. Start a new run`,
    ); // IP5
  }
  return info.input.type === 'float32' ? withPrologue(bytes, info.input) : bytes;
}

/** IP3 */
const JOBS_PER_WORKER = 2;

interface Job {
  readonly slot: number;
  readonly resolve: (detections: Detection[]) => void;
  readonly reject: (error: Error) => void;
  /** IP2 */
  released: boolean;
}

interface Session {
  readonly thread: Worker;
  /** In the order they were sent; the thread answers in that order. */
  readonly jobs: Job[];
  readonly exited: Promise<void>;
}

class WorkerPool implements InferencePool {
  readonly engine = ENGINE;
  readonly #ring: FrameRing;
  readonly #classes: readonly string[];
  readonly #took: Took;
  readonly #sessions: Session[] = [];
  /** Bounded by the ring: at most one job per slot. */
  readonly #waiting: Job[] = [];
  #failure: TroupeError | null = null;
  #failStart: (error: TroupeError) => void = () => {};
  #closing: Promise<void> | null = null;

  constructor(ring: FrameRing, classes: readonly string[], took: Took = () => {}) {
    this.#ring = ring;
    this.#classes = classes;
    this.#took = took;
  }

  /** Resolves when every worker has loaded the model. @throws TroupeError model_unsupported | inference_failed */
  async start(assignment: WorkerAssignment, threads: readonly Thread[]): Promise<void> {
    let loading = threads.length;
    await new Promise<void>((resolve, reject) => {
      this.#failStart = reject;
      for (const thread of threads) {
        this.#startSession(thread, assignment, () => {
          if (--loading === 0) resolve();
        });
      }
    });
  }

  #startSession({ worker: thread, exited }: Thread, assignment: WorkerAssignment, ready: () => void): void {
    const session: Session = {
      thread,
      jobs: [],
      exited: exited.then(code => this.#lost(session, `an inference worker ended with code ${code}`)),
    };
    this.#sessions.push(session);
    tell(thread, { kind: 'load', assignment });
    thread.on('error', error => this.#lost(session, `an inference worker crashed: ${error.message}`));
    thread.on('message', (message: FromWorker) => {
      if (message.kind === 'ready') ready();
      else if (message.kind === 'unusable') {
        this.fail(cannotLoad(message.message));
      } else this.#answered(session, message);
    });
  }

  infer(slot: number): Promise<Detection[]> {
    return new Promise((resolve, reject) => {
      const job: Job = { slot, resolve, reject, released: false };
      const refusal = this.#failure ?? (this.#closing === null ? null : CLOSED());
      if (refusal !== null) return this.#drop(job, refusal);
      this.#waiting.push(job);
      invariant(this.#waiting.length <= this.#ring.slots, 'a slot is inferred once at a time');
      this.#dispatch();
    });
  }

  #dispatch(): void {
    while (this.#waiting.length > 0) {
      const idlest = this.#sessions.reduce((a, b) => (b.jobs.length < a.jobs.length ? b : a));
      if (idlest.jobs.length === JOBS_PER_WORKER) return;
      const job = this.#waiting.shift();
      if (job === undefined) return;
      idlest.jobs.push(job);
      tell(idlest.thread, { kind: 'infer', slot: job.slot });
    }
  }

  #answered(session: Session, message: Exclude<FromWorker, { kind: 'ready' | 'unusable' }>): void {
    const job = session.jobs[0];
    if (job === undefined) return; // what a thread said before it crashed
    if (message.kind === 'copied') return this.#release(job);
    session.jobs.shift();
    if (message.kind === 'failed') job.reject(new TroupeError('inference_failed', message.message));
    else {
      this.#took('infer', message.inferMs);
      this.#took('post_process', message.postMs);
      job.resolve(this.#unpack(message.rows));
    }
    this.#dispatch();
  }

  #unpack(rows: Float64Array): Detection[] {
    return Array.from({ length: rows.length / 6 }, (_, i) => {
      const [classId = 0, score = 0, ...box] = rows.subarray(i * 6, i * 6 + 6);
      return { class: this.#classes[classId] ?? '', classId, score, box };
    });
  }

  /** Makes the pool unusable: what waits or runs is rejected now. The first reason stays. */
  fail(error: TroupeError): void {
    this.#failure ??= error;
    this.#failStart(this.#failure);
    for (const job of this.#waiting.splice(0)) this.#drop(job, this.#failure);
    for (const session of this.#sessions) for (const job of session.jobs) job.reject(this.#failure); // IP1
  }

  #lost(session: Session, message: string): void {
    if (this.#closing === null || session.jobs.length > 0) this.fail(new TroupeError('inference_failed', message));
    for (const job of session.jobs.splice(0)) this.#release(job);
  }

  #drop(job: Job, error: Error): void {
    this.#release(job);
    job.reject(error);
  }

  #release(job: Job): void {
    if (job.released) return;
    job.released = true;
    this.#ring.release(job.slot); // IP2
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const job of this.#waiting.splice(0)) this.#drop(job, CLOSED());
    for (const { thread } of this.#sessions) tell(thread, { kind: 'leave' });
    await Promise.all(this.#sessions.map(session => session.exited)); // IP4
  }
}

const CLOSED = (): TroupeError => new TroupeError('inference_failed', 'the inference pool was closed');

const tell = (thread: Worker, message: ToWorker): void => thread.postMessage(message);
