/**
 * The node: takes attempts as children of its `runners` supervisor, and reports how they end.
 *
 * A1 `start` is idempotent by attempt; a newer attempt of the same segment replaces an older one here.
 * A2 What a node refuses it refuses with a reason: full, source not reachable here, engine differs, model unknown. A source
 *    that an attempt on an equal engine has probed is not probed again: that it is the same file is enough.
 * A3 An exit is reported through the mailbox until it is stored there: its supervisor learns of it, whoever that is then.
 * A4 A runner is a temporary child: this node never restarts it, its scenario supervisor decides.
 * A5 Draining ends every runner at the edge of a frame's batch, leaves the logs open and reports `shutdown`: the attempts go
 *    on elsewhere, or here later. A node that ends drains for good, within twice `shutdownMs`, whatever does not answer.
 * A6 A runner that has yet to start up is vouched for: on a crowded machine a process may take longer to begin than a
 *    silence may last. Its death is seen here, and without progress of its own it counts as stalled in the end.
 * A7 A model's trial may take longer than anybody waits: who asks meanwhile is told so, and a model that worked then is warm,
 *    which a placement that waits for it hears at once.
 * A8 A runner that its scenario does not want here any more is ended, whoever should have told: the word may have gone to a node
 *    that was cut off, and been given up, and what hangs meets no fence. Nobody is told of such an end, the same attempt may
 *    run elsewhere. What cannot be read is no verdict.
 */

import Type from 'typebox';
import type { Engine } from '../../domain/engine.ts';
import { type ProblemCode, TroupeError, toProblem } from '../../domain/errors.ts';
import { fromJson, toJson } from '../../domain/json.ts';
import { LIMITS } from '../../domain/limits.ts';
import {
  Assignment,
  AttemptBody,
  ExitBody,
  type Exited,
  RUNNER_EXIT,
  type RunnerBeat,
  readRunnerBeat,
  type StartAnswer,
  Startup,
  type StopAnswer,
  StopRequest,
} from '../../domain/messages.ts';
import { classUnknown, type LocalModel } from '../../domain/model.ts';
import { type NodeView, unfit } from '../../domain/node.ts';
import { parse } from '../../domain/parse.ts';
import { ScenarioSpec } from '../../domain/scenario.ts';
import { attemptKey, isWantedOn, type ScenarioDoc } from '../../domain/scenario-doc.ts';
import { type SourceInfo, sameIdentity } from '../../domain/source.ts';
import { Measured } from '../../domain/stage.ts';
import { HEADERS, SUBJECTS } from '../../domain/subjects.ts';
import { nextTraceparent } from '../../domain/traceparent.ts';
import type { Bus, BusMessage, Subscription } from '../ports/bus.ts';
import type { Clock, Random } from '../ports/clock.ts';
import type { Decoder } from '../ports/decoder.ts';
import type { ModelCatalog } from '../ports/inference.ts';
import type { Mailbox } from '../ports/mailbox.ts';
import type { ProcessExit, ProcessHandle, ProcessLauncher } from '../ports/process-launcher.ts';
import type { StateStore } from '../ports/state-store.ts';
import type { NodeTelemetry } from '../ports/telemetry.ts';
import { isPassing, MailboxFull, WriteConflict, WriteRetry, WriteUnknown } from '../ports/write-outcome.ts';
import type { ExitReason } from '../runtime/exit-reason.ts';
import { decodeRecord } from '../runtime/record-codec.ts';
import type { ChildHandle, Supervisor } from '../runtime/supervisor.ts';

export interface NodePorts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly random: Random;
  readonly mailbox: Mailbox;
  /** What scenarios have committed (A8). */
  readonly store: StateStore;
  readonly launcher: ProcessLauncher;
  readonly models: ModelCatalog;
  readonly decoder: Decoder;
  /** simple_one_for_one, temporary children (A4). */
  readonly runners: Supervisor;
  readonly telemetry?: NodeTelemetry;
  /** Resolves a source's path below this node's roots. @throws TroupeError */
  resolveSource(uri: string): Promise<string>;
  /** Of the last acknowledged renewal of the node's lease. */
  leaseRevision(): number;
  /** Something changed that a placement may wait for. */
  announce(): void;
  report(what: string, error: unknown): void;
}

export interface NodeSettings {
  readonly id: string;
  readonly slots: number;
  readonly engine: Engine;
  readonly workers: number;
  readonly heartbeatMs: number;
  /** Deadline of a probe. */
  readonly probeMs: number;
  /** How long a draining runner may take before it is killed. */
  readonly shutdownMs: number;
  /** What a runner process needs beside its job: connection, decoder, sandbox. Handed over, not interpreted. */
  readonly runnerSettings: unknown;
}

/** What a runner process says. */
const RunnerWord = Type.Union([
  Type.Object({
    kind: Type.Literal('committed'),
    seq: Type.Integer(),
    frame: Type.Integer(),
    startup: Startup,
  }),
  Type.Object({ kind: Type.Literal('measured'), measured: Measured }),
  Type.Object({
    kind: Type.Literal('outcome'),
    reason: ExitBody,
    result: Type.Union([Type.Literal('end'), Type.Literal('closed'), Type.Null()]),
    seq: Type.Integer(),
    fruitful: Type.Boolean(),
  }),
]);

interface Taken {
  readonly assignment: Assignment;
  readonly answer: Promise<StartAnswer>;
  process: ProcessHandle | null;
  /** It beats by itself. */
  beats: boolean;
  /** Its exit was stored in the mailbox, or is nobody's business (A8). */
  reported: boolean;
  /** A8 */
  wanted: boolean;
}

/** Ended attempts remembered, so that a repeated `start` does not start them again. */
const REMEMBERED = 1_000;
const AGAIN_MS = 100;
/** What a watch begins with: hearing it again is life, but no progress. */
const NO_PROGRESS = -1;

export class NodeAgent {
  readonly #ports: NodePorts;
  readonly #settings: NodeSettings;
  readonly #taken = new Map<string, Taken>();
  /** Of these, whose exit is not reported yet: slots in use. */
  readonly #running = new Set<Taken>();
  /** Models of the attempts taken, the latest last. */
  readonly #warm = new Set<string>();
  readonly #reports = new Set<Promise<void>>();
  readonly #subscriptions: Subscription[] = [];
  readonly #stop = new AbortController();
  #draining = false;
  #ending = false;

  constructor(ports: NodePorts, settings: NodeSettings) {
    this.#ports = ports;
    this.#settings = settings;
    this.#serve('start', async body => this.#start(parse(Assignment, body, 'The assignment')));
    this.#serve('stop', async body => this.#end(parse(StopRequest, body, 'The stop request')));
    this.#serve('has', async body => ({ kind: this.#standing(parse(AttemptBody, body, 'The attempt')) }));
    this.#serve('probe', async body => this.#probe(parse(ScenarioSpec, body, 'The specification')));
    const heard = SUBJECTS.heartbeat(settings.id, 'runner', '*');
    this.#subscriptions.push(ports.bus.subscribe(heard, message => this.#hear(message.body)));
    this.#beat();
    this.#lookAgain();
  }

  /** A5: from now on nothing is taken and what runs is released; or the contrary. */
  setDraining(draining: boolean): void {
    this.#draining = draining || this.#ending; // a node that ends takes nothing any more, whatever it is told
    if (this.#draining) this.#releaseAll();
    this.#ports.announce();
  }

  #releaseAll(): void {
    for (const { process } of this.#running) process?.send({ kind: 'release' });
  }

  /** A5: for good. Every exit is reported. */
  async end(): Promise<void> {
    this.#ending = true;
    this.setDraining(true);
    const grace = this.#ports.clock.timer(this.#settings.shutdownMs, () => {
      for (const { process } of this.#running) process?.kill('SIGKILL');
    });
    // Also those that are just being taken.
    await Promise.all([...this.#running].map(taken => taken.answer.then(() => taken.process?.exited)));
    grace.cancel();
    // What nobody takes by then the heartbeats' silence will tell.
    const patience = this.#ports.clock.timer(this.#settings.shutdownMs, () => this.#stop.abort(new Error('too late')));
    await Promise.all(this.#reports);
    patience.cancel();
    this.#stop.abort(new Error('node ended'));
    for (const subscription of this.#subscriptions) subscription.close();
  }

  /** What its node's heartbeat says of it. */
  view(): Pick<NodeView, 'slots' | 'running' | 'load' | 'draining' | 'engine' | 'models' | 'warm'> {
    const running = this.#running.size;
    const { slots, engine } = this.#settings;
    const models = this.#ports.models.list().map(model => model.info.name);
    const load = slots === 0 ? 1 : running / slots;
    return { slots, running, load, draining: this.#draining, engine, models, warm: [...this.#warm] };
  }

  /**
   * What running this would need: found, readable, and fitting together.
   * @param known what an equal engine found the source to be
   * @throws TroupeError why this node cannot run it
   */
  async #check(
    spec: ScenarioSpec,
    known: SourceInfo | null,
  ): Promise<{ path: string; source: SourceInfo; model: LocalModel }> {
    const model = await this.#resolve(spec.model);
    const unknown = spec.classes?.find(name => !model.info.classes.includes(name));
    if (unknown !== undefined) throw classUnknown(model.info, unknown);
    const { probeMs } = this.#settings;
    const message = `${spec.source.uri} could not be probed within ${probeMs} ms. It is tried again; does its disk answer?`;
    return { ...(await this.#within(probeMs, message, signal => this.#look(spec, known, signal))), model };
  }

  /** A7 */
  #resolve(name: string): Promise<LocalModel> {
    const message = `model ${name} is being tried on this node, as each is before its first use. It goes on when that has ended.`;
    return this.#within(LIMITS.trialWaitMs, message, async signal => {
      const model = await this.#ports.models.resolve(name);
      if (!signal.aborted) return model;
      this.#warmUp(name);
      this.#ports.announce();
      return model;
    });
  }

  /** @throws TroupeError unavailable, with `message`, when it takes longer */
  async #within<T>(ms: number, message: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const late = new AbortController();
    const over = Promise.withResolvers<never>();
    const deadline = this.#ports.clock.timer(ms, () => {
      late.abort(new Error('too late'));
      over.reject(new TroupeError('unavailable', message, { retryable: true }));
    });
    try {
      // A file system that does not answer cannot be asked to stop: what it says later is nobody's business.
      return await Promise.race([work(late.signal), over.promise]);
    } finally {
      deadline.cancel();
    }
  }

  async #look(
    spec: ScenarioSpec,
    known: SourceInfo | null,
    signal: AbortSignal,
  ): Promise<{ path: string; source: SourceInfo }> {
    const { decoder } = this.#ports;
    const path = await this.#ports.resolveSource(spec.source.uri);
    if (known !== null && sameIdentity(known.identity, await decoder.identify(path))) return { path, source: known };
    return { path, source: await decoder.probe(path, signal) };
  }

  /** A1 */
  #start(assignment: Assignment): Promise<StartAnswer> {
    const key = attemptKey(assignment);
    const known = this.#taken.get(key);
    if (known !== undefined) return known.answer;
    const taken: Taken = {
      assignment,
      process: null,
      beats: false,
      reported: false,
      wanted: true,
      answer: this.#take(assignment).catch((error): StartAnswer => {
        this.#taken.delete(key);
        this.#running.delete(taken);
        if (!(error instanceof TroupeError)) this.#ports.report('start', error);
        return { kind: 'refused', problem: toProblem(error) };
      }),
    };
    this.#taken.set(key, taken);
    this.#running.add(taken);
    this.#forgetOld();
    return taken.answer;
  }

  /** A2. @throws TroupeError */
  async #take(assignment: Assignment): Promise<StartAnswer> {
    const { slots, id, engine, workers, heartbeatMs, runnerSettings } = this.#settings;
    const refuse = (code: ProblemCode, message: string): TroupeError => new TroupeError(code, message);
    for (const older of this.#running) {
      const { scenario, run, segment, attempt } = older.assignment;
      if (scenario !== assignment.scenario || segment !== assignment.segment) continue;
      const isOlder = run < assignment.run || (run === assignment.run && attempt < assignment.attempt);
      if (isOlder) older.process?.kill('SIGKILL');
    }
    const { spec } = assignment;
    const why = unfit({ slots, engine, running: this.#running.size, draining: this.#draining }, assignment.engine);
    if (why !== null) throw refuse('unavailable', why);
    const askedAt = this.#ports.clock.monotonic();
    const { path, source, model } = await this.#check(spec, assignment.engine === null ? null : assignment.source);
    if (this.#draining) throw refuse('unavailable', 'the node is draining'); // since it was asked
    if (assignment.modelSha256 !== null && assignment.modelSha256 !== model.info.sha256) {
      throw refuse(
        'model_not_found',
        `model ${spec.model} is another file here than the one this run began with. Put that one back, or start with from=start.`,
      );
    }
    if (assignment.source !== null && !sameIdentity(assignment.source.identity, source.identity)) {
      throw refuse(
        'source_changed',
        `${spec.source.uri} is not the file that this run began with. Start it with from=start.`,
      );
    }
    const traceparent = nextTraceparent(assignment.traceparent, this.#ports.random);
    const job = {
      assignment: { ...assignment, traceparent },
      node: id,
      path,
      source,
      model,
      engine,
      workers,
      heartbeatMs,
      leaseRevision: this.#ports.leaseRevision(),
    };
    const checkedMs = Math.round(this.#ports.clock.monotonic() - askedAt);
    const process = await this.#launch(assignment, { job, settings: runnerSettings }, checkedMs);
    this.#warmUp(spec.model);
    this.#ports.announce(); // before the answer: who asks next must know that this slot is taken
    return { kind: 'accepted', pid: process.pid, source, model: model.info, engine };
  }

  async #launch(assignment: Assignment, orders: unknown, checkedMs: number): Promise<ProcessHandle> {
    const key = attemptKey(assignment);
    let launched: ProcessHandle | null = null;
    await this.#ports.runners.startChild({
      id: key,
      kind: 'runner',
      type: 'worker',
      restart: 'temporary',
      shutdown: 'brutal_kill',
      attempt: assignment.attempt,
      start: async (): Promise<ChildHandle> => {
        const process = await this.#ports.launcher.launch('runner', orders);
        launched = process;
        const taken = this.#taken.get(key);
        if (taken !== undefined) taken.process = process;
        if (this.#draining) process.send({ kind: 'release' });
        const report = this.#watch(assignment, process, checkedMs);
        this.#reports.add(report);
        void report.finally(() => this.#reports.delete(report));
        return {
          pid: process.pid,
          exited: process.exited.then(reasonOf),
          stop: () => process.kill('SIGTERM'),
          kill: () => process.kill('SIGKILL'),
        };
      },
    });
    if (launched === null) throw new Error('the runner was not launched');
    return launched;
  }

  /** A3: from the runner's words and its process' exit to one report. */
  async #watch(assignment: Assignment, process: ProcessHandle, checkedMs: number): Promise<void> {
    const { scenario, run, segment, attempt } = assignment;
    const headers = { [HEADERS.traceparent]: nextTraceparent(assignment.traceparent, this.#ports.random) };
    const ref = { scenario, run, segment, attempt };
    let outcome: Omit<Exited, keyof AttemptBody> | null = null;
    let seq = 0;
    let told: Promise<void> = Promise.resolve();
    process.onMessage(word => {
      const said = parse(RunnerWord, word, 'The word of a runner');
      if (said.kind === 'committed') {
        seq = said.seq;
        const startup = { ...said.startup, checkedMs };
        told = this.#tell(ref, headers, 'progressed', { ...ref, seq, frame: said.frame, startup });
      } else if (said.kind === 'measured') {
        this.#ports.telemetry?.absorb(said.measured);
      } else {
        const { kind: _, ...rest } = said;
        outcome = rest;
      }
    });
    const exit = await process.exited;
    await told;
    const died: Omit<Exited, keyof AttemptBody> = {
      reason: this.#draining
        ? 'shutdown'
        : { error: { code: 'runner_lost', message: `the runner ended by ${exit.signal ?? `exit code ${exit.code}`}` } },
      result: null,
      seq,
      fruitful: seq > 0,
    };
    const ended = outcome ?? died;
    this.#ports.telemetry?.ended(typeof ended.reason === 'string' ? ended.reason : ended.reason.error.code);
    const taken = this.#taken.get(attemptKey(ref));
    if (taken?.wanted !== false) await this.#tell(ref, headers, 'exited', { ...ref, ...ended });
    if (taken !== undefined) {
      taken.reported = true;
      this.#running.delete(taken);
    }
    this.#ports.announce(); // a placement may wait for this slot
  }

  /** Until it is stored; a scenario whose mailbox is full is told when it has room. */
  async #tell(ref: AttemptBody, headers: BusMessage['headers'], verb: string, body: unknown): Promise<void> {
    const to = { kind: 'scenario', id: ref.scenario };
    const message = { to, class: 'sys' as const, verb, headers, body: toJson(body) };
    while (!this.#stop.signal.aborted) {
      try {
        await this.#ports.mailbox.send(message);
        return;
      } catch (error) {
        const passing = [WriteRetry, WriteUnknown, WriteConflict, MailboxFull].some(kind => error instanceof kind);
        if (!passing) {
          this.#ports.report(verb, error);
          return;
        }
        await this.#ports.clock.sleep(AGAIN_MS);
      }
    }
  }

  #end(request: StopRequest): StopAnswer {
    const process = this.#taken.get(attemptKey(request))?.process ?? null;
    const kind = this.#standing(request);
    if (kind === 'running' && process !== null) {
      if (request.mode === 'kill') process.kill('SIGKILL');
      else process.send({ kind: request.mode });
    }
    return { kind };
  }

  #standing(ref: AttemptBody): StopAnswer['kind'] {
    const taken = this.#taken.get(attemptKey(ref));
    if (taken === undefined) return 'unknown';
    return taken.reported ? 'gone' : 'running';
  }

  async #probe(spec: ScenarioSpec): Promise<unknown> {
    try {
      await this.#check(spec, null);
      return { kind: 'readable' };
    } catch (error) {
      return { kind: 'refused', problem: toProblem(error) };
    }
  }

  #warmUp(model: string): void {
    this.#warm.delete(model);
    this.#warm.add(model);
    for (const oldest of [...this.#warm].slice(0, -LIMITS.warmModels)) this.#warm.delete(oldest);
  }

  #forgetOld(): void {
    for (const [key, taken] of this.#taken) {
      if (this.#taken.size <= REMEMBERED) return;
      if (taken.reported) this.#taken.delete(key);
    }
  }

  #serve(verb: string, answer: (body: unknown) => Promise<unknown>): void {
    const receive = (message: BusMessage): void => {
      if (message.reply === null) return;
      const { reply } = message;
      void (async () => {
        const body: unknown = fromJson(message.body);
        this.#ports.bus.publish(reply, toJson(await answer(body)));
      })().catch(error => this.#ports.report(verb, error));
    };
    this.#subscriptions.push(this.#ports.bus.subscribe(SUBJECTS.control(this.#settings.id, verb), receive));
  }

  #beat(): void {
    if (this.#stop.signal.aborted) return;
    if (this.#draining) this.#releaseAll(); // one that was just starting did not hear it
    for (const { assignment, process, beats } of this.#running) {
      if (process !== null && !beats) this.#vouch(assignment);
    }
    this.#ports.clock.timer(this.#settings.heartbeatMs, () => this.#beat());
  }

  /** A8 */
  #lookAgain(): void {
    this.#ports.clock.timer(LIMITS.wantedMs, () => {
      void Promise.all([...this.#running].map(taken => this.#endUnwanted(taken))).then(() => {
        if (!this.#stop.signal.aborted) this.#lookAgain();
      });
    });
  }

  /** A8 */
  async #endUnwanted(taken: Taken): Promise<void> {
    const { assignment, process } = taken;
    if (process === null) return;
    try {
      const entry = await this.#ports.store.get(`scenario.${assignment.scenario}`);
      const doc = entry === null ? null : (decodeRecord(entry.value).state as ScenarioDoc | null);
      if (isWantedOn(doc, assignment, this.#settings.id)) return;
      taken.wanted = false;
      process.kill('SIGKILL');
    } catch (error) {
      if (!isPassing(error)) this.#ports.report('what is wanted', error);
    }
  }

  /** A6 */
  #vouch(assignment: Assignment): void {
    const beat: RunnerBeat = { key: attemptKey(assignment), progress: NO_PROGRESS, fps: 0 };
    const subject = SUBJECTS.heartbeat(this.#settings.id, 'runner', assignment.scenario);
    this.#ports.bus.publish(subject, toJson(beat));
  }

  #hear(bytes: Uint8Array): void {
    const beat = readRunnerBeat(bytes);
    if (beat === null) return;
    const taken = this.#taken.get(beat.key);
    if (taken !== undefined && beat.progress !== NO_PROGRESS) taken.beats = true;
  }
}

function reasonOf({ code, signal }: ProcessExit): ExitReason {
  if (code === 0) return 'normal';
  if (code === RUNNER_EXIT.fenced) return 'fenced';
  return signal === null ? { error: { code: 'runner_lost', message: `exit code ${code}` } } : 'killed';
}
