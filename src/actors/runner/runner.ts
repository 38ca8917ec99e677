/**
 * One attempt at one segment: claims the log, decodes, infers, appends. The process around it only carries messages.
 *
 * N1 Nothing is decoded before the log is claimed (L1), and the first frame decoded follows the log's last one.
 * N2 A frame's result is appended once and in order; an error before the append fails the attempt, and the next
 *    attempt begins at that frame again.
 * N3 Memory is bounded: a slow log stops inference (`backlogFrames`), a slow inference stops the decoder (the ring).
 * N4 `close` ends the log at a batch's edge; `release` leaves it open for the next attempt.
 * N5 The heartbeat comes from this loop, which never runs a model: a beat means that the loop is alive, and its
 *    progress that frames go through.
 * N7 What the stages took is told once every `measuredMs`, and its rest before the outcome: only a killed runner takes some with it.
 * N6 The model loads while the log is claimed and the first frames are decoded: these wait in the ring. A model that cannot
 *    be loaded fails the attempt and is no frame's fault.
 * N8 When decoding breaks off, what was decoded before the break is inferred and appended, and then the attempt fails, unless it
 *    is told to stop meanwhile. Of a file that was found changed nothing more is appended.
 */

import type { Engine } from '../../domain/engine.ts';
import { TroupeError, toProblem } from '../../domain/errors.ts';
import { toJson } from '../../domain/json.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Assignment, RunnerBeat, Startup } from '../../domain/messages.ts';
import { classUnknown, type LocalModel } from '../../domain/model.ts';
import type { Prediction } from '../../domain/prediction.ts';
import { FrameSelector } from '../../domain/sampling.ts';
import { attemptKey } from '../../domain/scenario-doc.ts';
import type { SourceInfo } from '../../domain/source.ts';
import { type Measured, noTallies, STAGES } from '../../domain/stage.ts';
import { SUBJECTS } from '../../domain/subjects.ts';
import { nextTraceparent } from '../../domain/traceparent.ts';
import type { Bus } from '../ports/bus.ts';
import type { Clock, Timer } from '../ports/clock.ts';
import type { Decoder, FrameSink } from '../ports/decoder.ts';
import { FrameRing } from '../ports/frame-ring.ts';
import type { InferenceFactory, InferencePool } from '../ports/inference.ts';
import type { Took } from '../ports/telemetry.ts';
import type { ExitReason } from '../runtime/exit-reason.ts';
import { type Batch, FrameOrder } from './frame-order.ts';
import { Fenced, LogWriter, type LogWriterPorts } from './log-writer.ts';

export interface RunnerJob {
  readonly assignment: Assignment;
  readonly node: string;
  /** Resolved and allowed by the node. */
  readonly path: string;
  readonly source: SourceInfo;
  readonly model: LocalModel;
  readonly engine: Engine;
  readonly workers: number;
  readonly heartbeatMs: number;
  /** Of the node's lease when it gave the orders: a store whose lease is older is an older copy, which holds no such orders. */
  readonly leaseRevision: number;
}

export interface RunnerPorts extends LogWriterPorts {
  readonly bus: Bus;
  readonly decoder: Decoder;
  readonly inference: InferenceFactory;
  /** N7 */
  measured?(measured: Measured): void;
}

export interface RunnerOutcome {
  readonly reason: ExitReason;
  readonly result: 'end' | 'closed' | null;
  readonly seq: number;
  readonly fruitful: boolean;
}

export type StopMode = 'close' | 'release';

/** Ends the decoder without being an error. */
class Enough extends Error {
  override readonly name = 'Enough';
}

/** N7: what this process has counted. */
class Measures {
  frames = 0;
  readonly #stages = noTallies();

  readonly took: Took = (stage, ms) => this.#stages[stage].took(ms);

  /** Null when there was nothing since the last time. */
  take(): Measured | null {
    const { frames } = this;
    this.frames = 0;
    const stages = Object.fromEntries(
      STAGES.flatMap(stage => {
        const counted = this.#stages[stage].take();
        return counted === null ? [] : [[stage, counted] as const];
      }),
    );
    return frames === 0 && Object.keys(stages).length === 0 ? null : { frames, stages };
  }
}

/** Tells when its last slot was taken: waiting for one is not decoding. */
class TimedRing extends FrameRing {
  readonly #clock: Clock;
  acquiredAt = 0;

  constructor(slots: number, slotBytes: number, clock: Clock) {
    super(slots, slotBytes);
    this.#clock = clock;
  }

  override acquire(): number | null {
    this.acquiredAt = this.#clock.monotonic();
    return super.acquire();
  }
}

/** Predictions that may wait for the log before inference pauses (N3): four batches. */
const BACKLOG_FRAMES = 4 * LIMITS.batchFrames;

export class Runner {
  readonly #ports: RunnerPorts;
  readonly #job: RunnerJob;
  readonly #onCommitted: (seq: number, startup: Startup, frame: number) => void;
  readonly #abort = new AbortController();
  /** Ends the decoder early: the range is over, or a stop was asked for. */
  readonly #enough = new AbortController();
  #stop: StopMode | null = null;
  #seq = 0;
  #passed = 0;
  #fruitful = false;
  #rate = { at: 0, passed: 0, fps: 0 };
  readonly #startedAt: number;
  readonly #measures = new Measures();
  #measuredAt = 0;
  #began = 0;
  readonly #startup = { claimedMs: 0, loadedMs: 0, decodedMs: 0, committedMs: 0 };

  /**
   * @param onCommitted called when the first batch is in the log, with where the time went until then and the frame it went on at
   * @param startedAt when the attempt began, on the clock's monotonic time: its process may have waited before (L10)
   */
  constructor(
    ports: RunnerPorts,
    job: RunnerJob,
    onCommitted: (seq: number, startup: Startup, frame: number) => void,
    startedAt = ports.clock.monotonic(),
  ) {
    this.#startedAt = startedAt;
    this.#ports = ports;
    this.#job = job;
    this.#onCommitted = onCommitted;
  }

  /** N4 */
  stop(mode: StopMode): void {
    this.#stop ??= mode;
    this.#enough.abort(new Enough('told to stop'));
  }

  /** Never rejects: whatever happened is the outcome. */
  async run(): Promise<RunnerOutcome> {
    this.#began = this.#ports.clock.monotonic();
    const beating = this.#beat();
    try {
      return await this.#attempt();
    } catch (error) {
      if (error instanceof Fenced) return this.#outcome('fenced', null);
      const { code, message, frame } = toProblem(error);
      return this.#outcome({ error: { code, message, ...(frame === undefined ? {} : { frame }) } }, null);
    } finally {
      this.#measure();
      beating.cancel();
      this.#abort.abort(new Error('attempt over'));
    }
  }

  async #attempt(): Promise<RunnerOutcome> {
    const { assignment, source, engine, model, workers } = this.#job;
    const { scenario, run, segment, attempt, lastSeq, spec } = assignment;
    const key = { scenario, run, segment };
    const openBy = this.#startedAt + LIMITS.claimMs;
    const traceparent = nextTraceparent(assignment.traceparent, this.#ports.random);
    const claim = { key, attempt, lastSeq, source: source.identity, engine, traceparent, openBy };
    const { width, height } = model.info.input;
    const slots = workers * LIMITS.ringSlotsPerWorker + LIMITS.ringSlotsLead;
    const ring = new TimedRing(slots, 3 * width * height, this.#ports.clock);
    // N6
    const opening = this.#ports.inference.open(
      {
        model,
        ring,
        picture: { width: source.width, height: source.height },
        workers,
        recordThreshold: spec.recordThreshold,
        iou: spec.iou,
        classIds: classIdsOf(spec.classes, model),
        took: this.#measures.took,
      },
      this.#abort.signal,
    );
    opening.then(
      () => this.#reached('loadedMs'),
      () => {}, // told to the flow, when there is one
    );
    await using _ = {
      [Symbol.asyncDispose]: () =>
        opening.then(
          pool => pool[Symbol.asyncDispose](),
          () => {},
        ),
    };
    const opened = await LogWriter.open(this.#ports, claim, this.#abort.signal);
    this.#reached('claimedMs');
    if (opened.kind === 'ended') {
      this.#seq = opened.seq;
      return this.#outcome('normal', 'end');
    }
    const { writer, position } = opened;
    const from = spec.sampling.from ?? 0;
    const order = new FrameOrder(position, index => index >= from);
    const flow = new Flow(this.#ports, ring, order, assignment, writer, this.#measures, this.#abort.signal, seq => {
      this.#seq = seq;
      if (this.#fruitful) return;
      this.#fruitful = true;
      this.#reached('committedMs');
      this.#onCommitted(seq, this.#startup, position === null ? 0 : position.to + 1);
    });
    opening.then(
      pool => flow.use(pool),
      error => flow.fail(error),
    );
    const selector = new FrameSelector(spec.sampling, position?.startPts ?? null, position?.selectedPts ?? null);
    const warnings = await this.#decode(flow, selector, ring, position, order);
    await flow.finish();
    if (this.#stop === 'release') return this.#outcome('shutdown', null);
    if (this.#stop === 'close') {
      this.#seq = await writer.close(order.position);
      return this.#outcome('shutdown', 'closed');
    }
    this.#seq = await writer.end(order.position, warnings);
    return this.#outcome('normal', 'end');
  }

  /** Feeds the flow until the source or the sampled range ends, or a stop is asked for. @returns the decoder's warnings */
  async #decode(
    flow: Flow,
    selector: FrameSelector,
    ring: TimedRing,
    position: FrameOrder['position'],
    order: FrameOrder,
  ): Promise<readonly string[]> {
    const { path, source, model } = this.#job;
    const { width, height } = model.info.input;
    if (selector.isPast(position === null ? 0 : position.to + 1)) return [];
    const { clock } = this.#ports;
    let doneAt = clock.monotonic();
    let decodingMs = 0;
    const sink: FrameSink = {
      wants: ({ index, ptsMs }) => {
        if (flow.failed || this.#enough.signal.aborted) return false;
        if (selector.isPast(index)) {
          this.#enough.abort(new Enough('the range is over'));
          return false;
        }
        this.#passed += 1;
        const now = clock.monotonic();
        decodingMs = now - doneAt;
        if (selector.selects(index, ptsMs)) return true;
        this.#measures.took('decode', decodingMs);
        doneAt = now;
        order.pass(index, ptsMs);
        return false;
      },
      frame: (frame, slot) => {
        if (this.#startup.decodedMs === 0) this.#reached('decodedMs');
        const now = clock.monotonic();
        this.#measures.took('decode', decodingMs + now - ring.acquiredAt);
        doneAt = now;
        flow.infer(frame.index, frame.ptsMs, slot);
      },
      broken: (frame, message) => flow.broken(frame.index, frame.ptsMs, message),
    };
    const resume =
      position === null ? null : { frame: position.to, prevPts: position.prevPts, lastPts: position.lastPts };
    const signal = AbortSignal.any([this.#enough.signal, flow.signal]);
    try {
      const done = await this.#ports.decoder.decode({ path, width, height, source, resume, ring }, sink, signal);
      return done.warnings;
    } catch (error) {
      flow.throwIfFailed();
      if (this.#enough.signal.aborted) return [];
      // N8: the next attempt begins at the break itself, and a scenario that fails by it has everything before it.
      if (error instanceof TroupeError && error.code === 'source_changed') flow.fail(error);
      await flow.finish();
      if (this.#isStopped()) return [];
      throw error;
    }
  }

  #isStopped = (): boolean => this.#stop !== null;

  #outcome(reason: ExitReason, result: 'end' | 'closed' | null): RunnerOutcome {
    return { reason, result, seq: this.#seq, fruitful: this.#fruitful };
  }

  #reached(milestone: keyof Startup): void {
    this.#startup[milestone] = Math.round(this.#ports.clock.monotonic() - this.#began);
  }

  /** N7 */
  #measure(): void {
    this.#measuredAt = this.#ports.clock.monotonic();
    const measured = this.#measures.take();
    if (measured !== null) this.#ports.measured?.(measured);
  }

  /** N5 */
  #beat(): Timer {
    const { assignment, node, heartbeatMs } = this.#job;
    const { bus, clock } = this.#ports;
    const subject = SUBJECTS.heartbeat(node, 'runner', assignment.scenario);
    const key = attemptKey(assignment);
    let timer: Timer | null = null;
    const beat = (): void => {
      const now = clock.monotonic();
      const elapsedMs = now - this.#rate.at;
      if (elapsedMs >= 1000) {
        const fps = ((this.#passed - this.#rate.passed) * 1000) / elapsedMs;
        this.#rate = { at: now, passed: this.#passed, fps };
      }
      // Committed records count as progress too: what waits for inference has not stalled while they land.
      const body: RunnerBeat = { key, progress: this.#passed + this.#seq, fps: Math.round(this.#rate.fps * 10) / 10 };
      bus.publish(subject, toJson(body));
      if (now - this.#measuredAt >= LIMITS.measuredMs) this.#measure();
      timer = clock.timer(heartbeatMs, beat);
    };
    this.#rate.at = clock.monotonic();
    beat();
    return { cancel: () => timer?.cancel() };
  }
}

interface DecodedSlot {
  readonly index: number;
  readonly ptsMs: number | null;
  readonly slot: number;
  /** Puts its result into its place. */
  readonly settle: (prediction: Prediction) => void;
}

/** From decoded frames to committed batches. */
class Flow {
  readonly #ports: RunnerPorts;
  /** null: still loading (N6). */
  #pool: InferencePool | null = null;
  readonly #ring: FrameRing;
  readonly #order: FrameOrder;
  readonly #assignment: Assignment;
  readonly #writer: LogWriter;
  readonly #measures: Measures;
  readonly #lifetime: AbortSignal;
  readonly #committed: (seq: number) => void;
  readonly #failure = new AbortController();
  /** Decoded frames that wait for the model (N6) or for the log to catch up (N3); at most one per ring slot. */
  readonly #held: DecodedSlot[] = [];
  /** Something was flushed (L7). */
  #begun = false;
  #appending: Promise<void> | null = null;
  #tick: Timer | null = null;
  #idle: (() => void) | null = null;

  constructor(
    ports: RunnerPorts,
    ring: FrameRing,
    order: FrameOrder,
    assignment: Assignment,
    writer: LogWriter,
    measures: Measures,
    lifetime: AbortSignal,
    committed: (seq: number) => void,
  ) {
    this.#ports = ports;
    this.#ring = ring;
    this.#order = order;
    this.#assignment = assignment;
    this.#writer = writer;
    this.#measures = measures;
    this.#lifetime = lifetime;
    this.#committed = committed;
    this.#schedule();
  }

  get failed(): boolean {
    return this.#failure.signal.aborted;
  }

  /** Aborts when the attempt has failed somewhere in here. */
  get signal(): AbortSignal {
    return this.#failure.signal;
  }

  throwIfFailed(): void {
    this.#failure.signal.throwIfAborted();
  }

  /** N6: the model is loaded. */
  use(pool: InferencePool): void {
    this.#pool = pool;
    this.#proceed();
  }

  infer(index: number, ptsMs: number | null, slot: number): void {
    const decoded = { index, ptsMs, slot, settle: this.#order.expect(index, ptsMs) };
    if (this.failed) this.#ring.release(slot);
    else this.#held.push(decoded);
    this.#proceed();
  }

  /** N3, N6: infers what may be inferred. */
  #proceed(): void {
    while (this.#pool !== null && this.#order.backlog - this.#held.length < BACKLOG_FRAMES) {
      const decoded = this.#held.shift();
      if (decoded === undefined) return;
      const { index, ptsMs, slot, settle } = decoded;
      this.#pool.infer(slot).then(
        detections => this.#settled(settle, { frame: index, ptsMs, detections }),
        error => this.#frameFailed(settle, index, ptsMs, error),
      );
    }
  }

  /** L9 */
  broken(index: number, ptsMs: number | null, message: string): void {
    const error = new TroupeError('decode_failed', message, { frame: index });
    this.#frameFailed(this.#order.expect(index, ptsMs), index, ptsMs, error);
  }

  /** Everything decoded is inferred and in the log. @throws the failure */
  async finish(): Promise<void> {
    while (!this.failed && (this.#order.waiting > 0 || this.#appending !== null || this.#held.length > 0)) {
      await new Promise<void>(resolve => {
        this.#idle = resolve;
      });
    }
    this.#tick?.cancel();
    this.throwIfFailed();
    for (let batch = this.#order.take(); batch !== null; batch = this.#order.take()) {
      this.#committed(await this.#append(batch));
    }
  }

  /** L9: logged when frames may be skipped; otherwise it fails the attempt. */
  #frameFailed(settle: (p: Prediction) => void, index: number, ptsMs: number | null, error: unknown): void {
    const { code, message } = toProblem(error);
    const isOfFrame = error instanceof TroupeError && !error.retryable;
    if (this.#assignment.spec.onFrameError === 'skip' && isOfFrame) {
      this.#settled(settle, { frame: index, ptsMs, error: { code, message: message.slice(0, 500) } });
      return;
    }
    this.fail(error instanceof TroupeError ? new TroupeError(code, message, { frame: index, cause: error }) : error);
  }

  #settled(settle: (p: Prediction) => void, prediction: Prediction): void {
    settle(prediction);
    // L7: the first result is not kept waiting for company, it tells that the attempt works.
    if (this.#order.full || !this.#begun) this.#flush();
    this.#wake();
  }

  fail(error: unknown): void {
    this.#failure.abort(error);
    this.#tick?.cancel();
    for (const { slot } of this.#held.splice(0)) this.#ring.release(slot);
    this.#wake();
  }

  #schedule(): void {
    this.#tick = this.#ports.clock.timer(LIMITS.batchMs, () => {
      if (this.failed || this.#lifetime.aborted) return;
      this.#flush();
      this.#schedule();
    });
  }

  /** One append at a time; what gathers meanwhile makes the next batch. */
  #flush(): void {
    if (this.#appending !== null || this.failed) return;
    const batch = this.#order.take();
    if (batch === null) return;
    this.#begun = true;
    this.#appending = this.#append(batch).then(
      seq => {
        this.#appending = null;
        this.#committed(seq);
        this.#proceed();
        if (this.#order.full) this.#flush();
        this.#wake();
      },
      error => {
        this.#appending = null;
        this.fail(error);
      },
    );
  }

  /** @returns the record's sequence */
  async #append({ from, position, predictions }: Batch): Promise<number> {
    const { clock } = this.#ports;
    const began = clock.monotonic();
    const seq = await this.#writer.frames(from, position, predictions);
    this.#measures.took('append', clock.monotonic() - began);
    this.#measures.frames += predictions.length;
    return seq;
  }

  #wake(): void {
    const wake = this.#idle;
    this.#idle = null;
    wake?.();
  }
}

/** @throws TroupeError class_unknown */
export function classIdsOf(classes: readonly string[] | null, model: LocalModel): readonly number[] | null {
  if (classes === null) return null;
  return classes.map(name => {
    const id = model.info.classes.indexOf(name);
    if (id >= 0) return id;
    throw classUnknown(model.info, name);
  });
}
