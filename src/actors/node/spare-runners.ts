/**
 * Runner processes that wait for an attempt: program and onnxruntime are loaded, NATS is connected. A launcher over the
 * launcher: whoever launches a runner gets a spare if there is one, and a new process as ever if there is none.
 *
 * It owns the spares until they are given away, and when the next is started. It does not own what becomes of them then.
 *
 * RS1 A spare is given away once, and never one that is known to be dead. Given away it is nobody's spare: no supervisor of
 *    spares kills it, and its death makes no new one.
 * RS2 What was given away or has died is replaced, one process at a time and no sooner than `restMs` after the last start or
 *    gift: the processor belongs to the attempt that has just begun. After a death it takes twice as long each time in a row,
 *    `mostMs` at most: a program that dies at once is no busy loop.
 * RS3 Spares are children of a supervisor of their own, so that they end with the node and stand in its tree, and there only:
 *    they take no slot and are no load.
 * RS4 Once stopped, it kills every spare at once and starts no other; launching goes on as without spares.
 */
import type { Clock, Timer } from '../ports/clock.ts';
import type { ProcessHandle, ProcessLauncher } from '../ports/process-launcher.ts';
import type { ExitReason } from '../runtime/exit-reason.ts';
import type { ChildHandle, Supervisor } from '../runtime/supervisor.ts';

export interface SpareRunnersPorts {
  readonly launcher: ProcessLauncher;
  /** simple_one_for_one, temporary children (RS3). */
  readonly supervisor: Supervisor;
  readonly clock: Clock;
  report(what: string, error: unknown): void;
}

export interface SpareRunnersSettings {
  /** How many are kept; 0: none. */
  readonly count: number;
  /** What a process is told to get ready; its job comes as a second message. */
  readonly prepare: unknown;
  readonly restMs: number;
  readonly mostMs: number;
}

interface Spare {
  readonly process: ProcessHandle;
  readonly startedAt: number;
  readonly giveAway: () => void;
}

export class SpareRunners implements ProcessLauncher {
  readonly #ports: SpareRunnersPorts;
  readonly #settings: SpareRunnersSettings;
  /** Oldest first. */
  readonly #spares = new Set<Spare>();
  #stopped = false;
  /** Set while a start is due or under way: one at a time (RS2). */
  #next: Timer | null = null;
  #notBefore = 0;
  #deaths = 0;
  #started = 0;

  /** Starts none before `keep`. */
  constructor(ports: SpareRunnersPorts, settings: SpareRunnersSettings) {
    this.#ports = ports;
    this.#settings = settings;
    void ports.supervisor.exited.then(() => this.stop());
  }

  /** From now on spares are kept. */
  keep(): void {
    this.#arm();
  }

  async launch(role: 'runner', assignment: unknown): Promise<ProcessHandle> {
    const [spare] = this.#spares;
    if (spare === undefined) return this.#ports.launcher.launch(role, assignment);
    this.#spares.delete(spare); // RS1
    spare.giveAway();
    spare.process.send(assignment);
    this.#deaths = 0;
    this.#rest(this.#settings.restMs);
    return spare.process;
  }

  /** RS4 */
  stop(): void {
    this.#stopped = true;
    this.#next?.cancel();
    for (const { process } of this.#spares) process.kill('SIGKILL');
  }

  /** RS2 */
  #rest(delayMs: number): void {
    this.#notBefore = Math.max(this.#notBefore, this.#ports.clock.monotonic() + delayMs);
    this.#arm();
  }

  #arm(): void {
    if (this.#stopped || this.#next !== null || this.#spares.size >= this.#settings.count) return;
    const { clock } = this.#ports;
    this.#next = clock.timer(Math.max(0, this.#notBefore - clock.monotonic()), () => {
      void this.#start().finally(() => {
        this.#next = null;
        this.#rest(this.#settings.restMs);
      });
    });
  }

  /** Never rejects. */
  async #start(): Promise<void> {
    const { supervisor, clock, report } = this.#ports;
    try {
      await supervisor.startChild({
        id: `spare-${++this.#started}`,
        kind: 'spare',
        type: 'worker',
        restart: 'temporary',
        shutdown: 'brutal_kill',
        start: () => this.#launchSpare(),
      });
    } catch (error) {
      if (this.#stopped) return;
      report('spare', error);
      this.#died(clock.monotonic());
    }
  }

  async #launchSpare(): Promise<ChildHandle> {
    const process = await this.#ports.launcher.launch('runner', this.#settings.prepare);
    const given = Promise.withResolvers<ExitReason>();
    const spare: Spare = {
      process,
      startedAt: this.#ports.clock.monotonic(),
      giveAway: () => given.resolve('normal'),
    };
    this.#spares.add(spare);
    const kill = (): void => {
      if (this.#spares.has(spare)) process.kill('SIGKILL'); // RS1
    };
    if (this.#stopped) kill(); // RS4
    void process.exited.then(() => {
      if (this.#spares.delete(spare)) this.#died(spare.startedAt);
    });
    return { pid: process.pid, exited: Promise.race([given.promise, process.exited.then(died)]), stop: kill, kill };
  }

  /** RS2 */
  #died(startedAt: number): void {
    const { restMs, mostMs } = this.#settings;
    const livedMs = this.#ports.clock.monotonic() - startedAt;
    this.#deaths = livedMs > mostMs ? 1 : this.#deaths + 1;
    this.#rest(Math.min(restMs * 2 ** this.#deaths, mostMs));
  }
}

const died = (): ExitReason => ({ error: { code: 'runner_lost', message: 'it ended before it had a job' } });
