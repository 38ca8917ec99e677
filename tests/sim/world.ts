/**
 * A simulated cluster: the real supervisors, memberships, ownerships, orchestrators, scenario supervisors, nodes, runners, gateways,
 * mirrors and projectors, put together as `system.ts` does, over simulated processes and one simulated server. Only the video, the
 * model and the operating system are scripted.
 *
 * WO1 A runner dies with its node; one that is frozen then dies soon after it is thawed.
 * WO2 A node that has ended, whatever by, is started again by what stands for the machine's own supervisor, over the same DATA.
 */
import { HeartbeatDirectory } from '../../src/actors/directory/node-directory.ts';
import { Gateway } from '../../src/actors/gateway/gateway.ts';
import { ScenarioMirror } from '../../src/actors/gateway/scenario-mirror.ts';
import { idempotencyKey } from '../../src/actors/idempotency/idempotency-key.ts';
import { NodeAgent } from '../../src/actors/node/node-agent.ts';
import { Presence } from '../../src/actors/node/presence.ts';
import { orchestrator } from '../../src/actors/orchestrator/orchestrator.ts';
import { placeRunner } from '../../src/actors/orchestrator/place-runner.ts';
import { leaseKey, Membership } from '../../src/actors/ownership/membership.ts';
import { Ownership } from '../../src/actors/ownership/ownership.ts';
import type { Decoder } from '../../src/actors/ports/decoder.ts';
import type { ScenarioVerb } from '../../src/actors/ports/gateway.ts';
import type { InferenceFactory } from '../../src/actors/ports/inference.ts';
import type { ProcessExit, ProcessHandle } from '../../src/actors/ports/process-launcher.ts';
import type { ProjectionStore } from '../../src/actors/ports/projection.ts';
import type { StateEntry } from '../../src/actors/ports/state-store.ts';
import { isPassing } from '../../src/actors/ports/write-outcome.ts';
import { Projector } from '../../src/actors/projector/projector.ts';
import { Runner, type RunnerJob } from '../../src/actors/runner/runner.ts';
import type { Behaviour } from '../../src/actors/runtime/behaviour.ts';
import { describeExit } from '../../src/actors/runtime/exit-reason.ts';
import { HeartbeatFan } from '../../src/actors/runtime/heartbeat-fan.ts';
import { type HostedPartition, hostPartition, type PartitionClaim } from '../../src/actors/runtime/partition.ts';
import { addressOf } from '../../src/actors/runtime/partition-host.ts';
import { decodeRecord } from '../../src/actors/runtime/record-codec.ts';
import { type ChildSpec, Supervisor, type SupervisorEvent } from '../../src/actors/runtime/supervisor.ts';
import { task } from '../../src/actors/runtime/task.ts';
import { isGone, isKeeperAlive } from '../../src/actors/scenario/check-runner.ts';
import { closeLog, purgeLog } from '../../src/actors/scenario/log-errands.ts';
import { scenarioSupervisor } from '../../src/actors/scenario/scenario-supervisor.ts';
import { stopRunner } from '../../src/actors/scenario/stop-runner.ts';
import { type ProblemCode, TroupeError } from '../../src/domain/errors.ts';
import { toJson } from '../../src/domain/json.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { ModelInfo } from '../../src/domain/model.ts';
import type { ScenarioDoc } from '../../src/domain/scenario-doc.ts';
import type { SourceInfo } from '../../src/domain/source.ts';
import { BUCKETS, SUBJECTS } from '../../src/domain/subjects.ts';
import { MemoryServer, type ServerCopy } from '../../src/infra/memory/memory-server.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';
import { openProjection } from '../../src/infra/sqlite/projection-store.ts';
import { Weather } from './faults.ts';
import { type AttemptName, History } from './history.ts';
import { pairOf, SimProcess, type Surroundings } from './process.ts';
import type { NodePlan, Plan } from './storm.ts';
import { Trace } from './trace.ts';

/** Mean time between two frames: so slow that a storm meets the same video many times. */
export const FRAME_MS = 150;
const ENGINE = { decoder: 'scripted', onnxruntime: 'scripted', provider: 'cpu', cpu: 'any' };
const MODEL: ModelInfo = {
  name: 'scripted',
  sha256: 'scripted',
  family: 'yolov8',
  input: { name: 'x', width: 8, height: 8, type: 'uint8', channels: 'rgb', mean: [0, 0, 0], scale: [1, 1, 1] },
  classes: ['thing'],
};
const HEARTBEAT_MS = 1_000;
const RENEW_MS = 1_000;
const SILENCE_MS = 5_000;
const SHUTDOWN_MS = 5_000;
const STALL_MS = 15_000;
const STOP_MS = 5_000;
/** As `system.ts` has them. */
const ROOT = { strategy: 'one_for_one', intensity: 10, periodMs: 60_000 } as const;
const DYNAMIC = { strategy: 'simple_one_for_one', intensity: 0, periodMs: 1 } as const;
/** Until a silent cut is noticed: two pings. */
const NOTICED_MS = 10_000;
/** WO2 */
const AGAIN_MS = 1_000;
const LOOK_MS = 2_500;

interface RunnerProcess {
  readonly process: SimProcess;
  readonly attempt: AttemptName;
  readonly kill: () => void;
  /** Its node is gone. */
  readonly orphan: () => void;
}

/** A node process: what is in it, from outside. */
class SimNode {
  readonly plan: NodePlan;
  readonly process: SimProcess;
  readonly runners = new Set<RunnerProcess>();
  agent: NodeAgent | null = null;
  gateway: Gateway | null = null;
  mirror: ScenarioMirror | null = null;
  /** In good order; once. */
  stop: () => Promise<void> = async () => {};
  drain: (draining: boolean) => Promise<void> = async () => {};
  /** Not to be started again before that. */
  downUntilMs = 0;

  constructor(plan: NodePlan, process: SimProcess) {
    this.plan = plan;
    this.process = process;
  }
}

/** What survives a node's processes. */
interface Machine {
  readonly plan: NodePlan;
  incarnations: number;
  wallOffsetMs: number;
  readonly projection: ProjectionStore | null;
  node: SimNode | null;
}

export class World implements Surroundings {
  readonly plan: Plan;
  readonly clock = new VirtualClock();
  readonly weather: Weather;
  readonly server: MemoryServer;
  readonly history = new History();
  readonly trace: Trace;
  readonly severed = new Set<string>();
  latencyMs: number;
  /** Defects that actors reported: there must be none. */
  readonly defects: string[] = [];
  readonly #machines = new Map<string, Machine>();
  readonly #runners: RunnerProcess[] = [];
  #requests = 0;
  #pids = 0;
  #serverUp = true;
  #copy: { readonly copy: ServerCopy; readonly index: number; readonly atMs: number } | null = null;

  constructor(plan: Plan, trace = new Trace()) {
    this.plan = plan;
    this.trace = trace;
    this.latencyMs = plan.latencyMs;
    this.weather = new Weather({
      seed: plan.seed,
      rate: plan.rate,
      operations: new Set(plan.operations),
      only: plan.only === null ? null : new Set(plan.only),
    });
    this.server = new MemoryServer({
      clock: this.clock,
      partitions: plan.partitions,
      stored: (stream, { subject, seq, headers, body }) => {
        this.history.add(this.clock.monotonic(), { kind: 'stored', stream, subject, seq, headers, body });
        if (!stream.endsWith(BUCKETS.lease)) this.note('server', `${seq} ${subject}`);
      },
      purged: (stream, filter, throughSeq) => {
        this.history.add(this.clock.monotonic(), { kind: 'purged', stream, filter, throughSeq });
        this.note('server', `purge ${filter} ${throughSeq}`);
      },
    });
    for (const node of plan.nodes) {
      const projection = node.roles.includes('api') ? openProjection(':memory:') : null;
      this.#machines.set(node.name, {
        plan: node,
        incarnations: 0,
        wallOffsetMs: node.wallOffsetMs,
        projection,
        node: null,
      });
    }
  }

  note(who: string, what: string): void {
    this.trace.note(this.clock.monotonic(), who, what);
  }

  startAll(): void {
    for (const name of this.#machines.keys()) this.startNode(name);
  }

  close(): void {
    for (const { node, projection } of this.#machines.values()) {
      node?.process.kill();
      projection?.close();
    }
    for (const { process } of this.#runners) process.kill();
  }

  get nodes(): readonly SimNode[] {
    return [...this.#machines.values()].flatMap(({ node }) => (node === null ? [] : [node]));
  }

  node(name: string): SimNode | null {
    return this.#machines.get(name)?.node ?? null;
  }

  projection(name: string): ProjectionStore | null {
    return this.#machines.get(name)?.projection ?? null;
  }

  /** A scenario's document as committed; null when there is none. */
  async doc(id: string): Promise<ScenarioDoc | null> {
    const entry = await this.server.stateStore(BUCKETS.state).get(`scenario.${id}`);
    return entry === null ? null : (decodeRecord(entry.value).state as ScenarioDoc | null);
  }

  /** Runner processes that ever were. */
  get launched(): readonly RunnerProcess[] {
    return this.#runners;
  }

  /** Runner processes that are there, frozen ones included; of one scenario. */
  runners(scenario?: string): readonly RunnerProcess[] {
    return this.#runners.filter(
      ({ process, attempt }) => !process.dead && (scenario === undefined || attempt.scenario === scenario),
    );
  }

  get processes(): readonly SimProcess[] {
    return [...this.nodes.map(node => node.process), ...this.runners().map(runner => runner.process)];
  }

  // ── strikes ────────────────────────────────────────────────────────────────────────────────────────────────────

  killNode(name: string, downMs: number): boolean {
    const machine = this.#machines.get(name);
    const node = machine?.node;
    if (machine === undefined || node === null || node === undefined) return false;
    this.note(node.process.name, 'is killed');
    node.downUntilMs = this.clock.monotonic() + downMs;
    this.#end(machine, node);
    return true;
  }

  async stopNode(name: string, downMs: number): Promise<void> {
    const node = this.node(name);
    if (node === null) return;
    this.note(node.process.name, 'is told to stop');
    node.downUntilMs = this.clock.monotonic() + downMs;
    await node.stop();
  }

  cut(process: SimProcess, forMs: number): void {
    if (process.link.cut) return;
    this.note(process.name, 'is cut off');
    process.link.cut = true;
    this.clock.timer(NOTICED_MS, () => {
      if (process.link.cut) process.link.break();
    });
    this.clock.timer(forMs, () => this.heal(process));
  }

  heal(process: SimProcess): void {
    if (!process.link.cut) return;
    this.note(process.name, 'is connected again');
    if (this.#serverUp) process.link.heal();
    else process.link.cut = false;
  }

  sever(a: string, b: string, forMs: number): void {
    this.note('network', `${a} and ${b} do not hear each other`);
    this.severed.add(pairOf(a, b));
    this.clock.timer(forMs, () => this.severed.delete(pairOf(a, b)));
  }

  crashServer(downMs: number): boolean {
    if (!this.#serverUp) return false;
    this.note('server', 'crashes');
    this.#serverUp = false;
    for (const { link } of this.processes) link.break();
    this.clock.timer(downMs, () => this.#startServer());
    return true;
  }

  copyStore(): void {
    this.note('server', 'its store is copied');
    this.#copy = { copy: this.server.copy(), index: this.history.all.length, atMs: this.clock.monotonic() };
  }

  /** As old as any that people put back: every node has renewed its lease since, or has not been there since. */
  get hasCopy(): boolean {
    return this.#copy !== null && this.clock.monotonic() - this.#copy.atMs > 2 * RENEW_MS;
  }

  restoreStore(): void {
    if (this.#copy === null) return;
    this.note('server', 'its store is put back to the copy');
    this.server.putBack(this.#copy.copy);
    this.history.undo(this.#copy.index);
    this.history.add(this.clock.monotonic(), { kind: 'restored' });
  }

  slow(ms: number, forMs: number): void {
    this.note('server', `takes ${ms} ms for everything`);
    this.latencyMs = ms;
    this.clock.timer(forMs, () => {
      this.latencyMs = this.plan.latencyMs;
    });
  }

  jump(name: string, byMs: number): void {
    const machine = this.#machines.get(name);
    if (machine === undefined) return;
    this.note(name, `its wall clock jumps by ${byMs} ms`);
    machine.wallOffsetMs += byMs;
    for (const process of this.processes) if (process.machine === name) process.wallOffsetMs = machine.wallOffsetMs;
  }

  /** Nothing strikes any more, and what was struck may recover. */
  calm(): void {
    this.note('world', 'calm');
    this.history.add(this.clock.monotonic(), { kind: 'calm' });
    this.weather.calm();
    this.latencyMs = this.plan.latencyMs;
    this.severed.clear();
    this.#startServer();
    for (const process of this.processes) {
      this.heal(process);
      process.thaw();
    }
    for (const node of this.nodes) void node.drain(false);
    for (const machine of this.#machines.values()) {
      if (machine.node !== null) machine.node.downUntilMs = 0;
      else this.startNode(machine.plan.name);
    }
  }

  /** What a stranger's bare publish does. */
  publish(subject: string, body: string): boolean {
    if (!this.#serverUp) return false;
    try {
      this.server.publish(subject, Buffer.from(body));
      return true;
    } catch (error) {
      this.note('stranger', `is not heard: ${String(error)}`);
      return false;
    }
  }

  /** Through a node's gateway: which one, counted over those that have one. */
  ask(turn: number, scenario: string, verb: ScenarioVerb, body: unknown, key: string | null): boolean {
    const serving = this.nodes.filter(node => node.gateway !== null && !node.process.frozen);
    const node = serving[turn % serving.length];
    if (node?.gateway === null || node === undefined) return false;
    const request = `r${++this.#requests}`;
    this.note(node.process.name, `is asked ${request}: ${verb} ${scenario} ${JSON.stringify(body)}`);
    this.history.add(this.clock.monotonic(), { kind: 'asked', request, scenario, verb });
    const answered = (changed: boolean, problem: string | null): void => {
      this.note(node.process.name, `answers ${request}: ${problem ?? (changed ? 'changed' : 'unchanged')}`);
      this.history.add(this.clock.monotonic(), { kind: 'answered', request, changed, problem });
    };
    node.gateway
      .command(scenario, verb, body, { requestId: request, ...(key === null ? {} : { idempotencyKey: key }) })
      .then(
        ({ changed }) => answered(changed, null),
        error => {
          if (error instanceof TroupeError) answered(false, error.code);
          else this.defects.push(`${node.process.name} ${verb} ${scenario}: ${stackOf(error)}`);
        },
      );
    return true;
  }

  // ── processes ──────────────────────────────────────────────────────────────────────────────────────────────────

  #startServer(): void {
    if (this.#serverUp) return;
    this.note('server', 'is up');
    this.#serverUp = true;
    for (const { link } of this.processes) link.reconnect();
  }

  #process(name: string, machine: Machine): SimProcess {
    const process = new SimProcess(name, machine.plan.name, this, machine.plan.rate);
    process.wallOffsetMs = machine.wallOffsetMs;
    if (!this.#serverUp) process.link.break();
    return process;
  }

  /** WO1, WO2 */
  #end(machine: Machine, node: SimNode): void {
    if (machine.node !== node) return;
    machine.node = null;
    node.process.kill();
    for (const runner of node.runners) runner.orphan();
    const delayMs = Math.max(AGAIN_MS, node.downUntilMs - this.clock.monotonic());
    this.clock.timer(delayMs, () => this.startNode(machine.plan.name));
  }

  /** Nothing when it is there. */
  startNode(name: string): void {
    const machine = this.#machines.get(name);
    if (machine === undefined || machine.node !== null) return;
    const process = this.#process(`${name}#${++machine.incarnations}`, machine);
    const node = new SimNode(machine.plan, process);
    machine.node = node;
    this.note(process.name, 'starts');
    this.#run(machine, node).then(
      reason => this.#exit(machine, node, reason),
      error => {
        if (!(error instanceof TroupeError)) this.defects.push(`${process.name}: ${stackOf(error)}`);
        this.#exit(machine, node, String(error));
      },
    );
  }

  #exit(machine: Machine, node: SimNode, reason: string): void {
    if (node.process.dead) return;
    this.note(node.process.name, `ends: ${reason}`);
    this.#end(machine, node);
  }

  /** The composition of `system.ts`. Resolves when the node has ended. */
  async #run(machine: Machine, node: SimNode): Promise<string> {
    const { process, plan } = node;
    const { clock, random } = process;
    const { name } = plan;
    const has = (role: NodePlan['roles'][number]): boolean => plan.roles.includes(role);
    const report = (where: string, what: string, error: unknown): void => {
      this.note(process.name, `${where}: ${what}: ${String(error)}`);
      if (!isPassing(error)) this.defects.push(`${process.name} ${where}: ${what}: ${stackOf(error)}`);
    };
    const event = ({ supervisor, child, type, reason }: SupervisorEvent): void =>
      this.note(process.name, `${supervisor}: ${child} ${type}${reason === undefined ? '' : ` (${reason})`}`);
    const supervise = (id: string, flags: typeof ROOT | typeof DYNAMIC): Promise<Supervisor> =>
      Supervisor.start({ id, node: name, flags, clock, event });
    const root = await supervise(`node/${name}`, ROOT);
    const child = (id: string, spec: Pick<ChildSpec, 'start'> & Partial<ChildSpec>) =>
      root.startChild({ id, kind: id, type: 'worker', restart: 'permanent', shutdown: STOP_MS, ...spec });
    const starting = new AbortController();

    // ── membership ──
    const identity = { process: random.token(12), data: name };
    const leases = process.store(BUCKETS.lease);
    const members = { node: name, partitions: this.plan.partitions, renewMs: RENEW_MS, deadMs: 5_000 };
    const membership = new Membership(
      { clock, leases },
      { ...members, lease: has('runner') || has('orchestrator') ? identity : null },
      has('orchestrator'),
    );
    process.recognise = () => {
      const isKnown = membership.recognises(this.server.lastRevision(BUCKETS.lease, leaseKey(name)));
      if (!isKnown) membership.replaced();
      return isKnown;
    };
    await membership.join(starting.signal);
    await child('membership', {
      start: async () =>
        task(async signal => {
          await membership.run(signal);
          await membership.leave();
        }),
    });

    const bus = process.bus();
    const mailbox = process.mailbox();
    const store = process.store(BUCKETS.state);
    const log = process.log();
    const journal = process.journal();
    const directory = new HeartbeatDirectory({ clock, bus }, SILENCE_MS);
    const hosts = await supervise('partitions', DYNAMIC);
    const hosted = (): Set<number> => new Set(hosts.ids.map(id => Number(id.slice(id.indexOf('/') + 1))));
    const model = { info: MODEL, file: 'scripted' };
    const models = {
      list: () => [model],
      resolve: async () => {
        await this.#work(process, 'models.resolve');
        return model;
      },
    };
    const pid = ++this.#pids;
    const startedAt = new Date(clock.now()).toISOString();
    let draining = false;
    const presence = new Presence({ bus, clock }, HEARTBEAT_MS, () => ({
      id: name,
      roles: [...plan.roles],
      slots: 0,
      running: 0,
      load: 0,
      draining,
      roots: [],
      engine: null,
      sandbox: null,
      models: [],
      warm: [],
      pid,
      partitions: [...hosted()],
      version: 'sim',
      startedAt,
      ...node.agent?.view(),
    }));

    // ── runners ──
    if (has('runner')) {
      const runners = await supervise('runners', DYNAMIC);
      await child('runners', { type: 'supervisor', start: async () => runners });
      await child('node-agent', {
        shutdown: 2 * SHUTDOWN_MS,
        start: async () => {
          const agent = new NodeAgent(
            {
              bus,
              clock,
              random,
              mailbox,
              store,
              launcher: { launch: (_role, orders) => this.#launch(machine, node, (orders as { job: RunnerJob }).job) },
              models,
              decoder: this.#decoder(process),
              runners,
              leaseRevision: () => membership.revision,
              resolveSource: async uri => {
                await this.#work(process, 'source.resolve');
                return uri;
              },
              announce: () => presence.announce(),
              report: (what, error) => report('node-agent', what, error),
            },
            {
              id: name,
              slots: plan.slots,
              engine: ENGINE,
              workers: 1,
              heartbeatMs: HEARTBEAT_MS,
              probeMs: LIMITS.probeMs,
              shutdownMs: SHUTDOWN_MS,
              runnerSettings: null,
            },
          );
          node.agent = agent;
          return task(signal => new Promise(resolve => signal.addEventListener('abort', () => resolve(agent.end()))));
        },
      });
    }

    // ── orchestrators and scenario supervisors ──
    let ownership: Ownership | null = null;
    if (has('orchestrator')) {
      const partitionsHere = new Map<number, HostedPartition>();
      const of = (id: string) => partitionsHere.get(mailbox.partitionOf({ kind: 'scenario', id }));
      const scenarios = {
        find: (id: string) => (of(id)?.state({ kind: 'scenario', id }) ?? null) as ScenarioDoc | null,
        unplaced: (id: string, body: unknown) => of(id)?.signal({ kind: 'scenario', id }, 'unplaced', body),
      };
      const answer = (inbox: string, body: unknown, revision: number): void => {
        if (SUBJECTS.isInbox(inbox)) bus.publish(inbox, toJson({ ...(body as object), revision }));
      };
      const told = (self: { kind: string; id: string }, what: string, error: unknown): void =>
        report(`${self.kind}/${self.id}`, what, error);
      const cells = { clock, random, store, mailbox, journal, answer, report: told };
      const behaviours: Behaviour<unknown>[] = [
        orchestrator,
        idempotencyKey,
        scenarioSupervisor({
          backoffFirstMs: 200,
          backoffMostMs: 30_000,
          shutdownMs: SHUTDOWN_MS,
          silenceMs: SILENCE_MS,
          stallMs: STALL_MS,
          placementRetryMs: 10_000,
        }),
      ];
      const executors = {
        'place-runner': placeRunner(
          { bus, clock, directory, scenarios },
          { strategy: 'least_loaded', answerMs: LIMITS.trialWaitMs + LIMITS.probeMs + 2_000, retryMs: 10_000 },
        ),
        'stop-runner': stopRunner({ bus, clock, directory }),
        'close-log': closeLog({ log, clock }),
        'purge-log': purgeLog({ log, clock }),
      };
      const beats = {
        bus,
        fan: new HeartbeatFan(bus, SUBJECTS.heartbeats('runner')),
        tickMs: HEARTBEAT_MS / 2,
        isGone: isGone.bind(null, bus),
        isKeeperAlive: isKeeperAlive.bind(null, directory),
      };
      const host = async (claims: readonly PartitionClaim[]): Promise<void> => {
        const stored: StateEntry[] = [];
        const reading = new AbortController();
        for await (const change of store.watch(reading.signal)) {
          if (change.kind === 'current') break;
          if (change.kind === 'entry') stored.push(change.entry);
        }
        for (const claim of claims) {
          const { partition } = claim;
          await hosts.startChild({
            id: `partition/${partition}`,
            kind: 'partition',
            type: 'supervisor',
            restart: 'temporary',
            shutdown: STOP_MS,
            start: async () => {
              const mine = stored.filter(({ key }) => {
                const address = addressOf(key);
                return address !== null && mailbox.partitionOf(address) === partition;
              });
              const owned = hostPartition(claim, behaviours, cells, executors, beats, mine);
              partitionsHere.set(partition, owned);
              void owned.handle.exited.then(() => {
                if (partitionsHere.get(partition) === owned) partitionsHere.delete(partition);
              });
              return owned.handle;
            },
          });
        }
      };
      await child('partitions', { type: 'supervisor', start: async () => hosts });
      const unhost = (partition: number): Promise<void> => hosts.terminateChild(`partition/${partition}`);
      const settings = { ...members, process: identity.process, stableMs: members.deadMs, releaseMs: 2_000 };
      await child('ownership', {
        start: async () => {
          const claims = new Ownership({ clock, leases, membership, hosted, host, unhost }, settings);
          ownership = claims;
          return task(signal => claims.run(signal));
        },
      });
    }

    // ── the outside ──
    const drain = async (wanted: boolean): Promise<void> => {
      draining = wanted;
      node.agent?.setDraining(wanted);
      await membership.setOwner(has('orchestrator') && !wanted);
      presence.announce();
    };
    node.drain = wanted =>
      drain(wanted).catch(error => {
        // One that finds its name taken has said so, and ends.
        if (!(error instanceof TroupeError)) report('node', 'drain', error);
      });
    if (machine.projection !== null) {
      const projection = this.#projection(process, machine.projection);
      const mirror = new ScenarioMirror(store, clock, projection, (key, error) => report('mirror', key, error));
      node.mirror = mirror;
      await child('mirror', { start: async () => task(signal => mirror.run(signal)) });
      await child('projector', {
        start: async () => task(signal => new Projector({ log, store: projection, clock }).run(signal)),
      });
      node.gateway = new Gateway({
        bus,
        clock,
        random,
        inbox: `_INBOX.${process.name}`,
        mailbox,
        store,
        mirror,
        projection,
        directory,
        models,
        digest: text => text,
        unready: () => [],
        stalled: async () => [],
      });
      this.#look(process, projection);
    }
    node.stop = async () => {
      const { agent } = node;
      try {
        await agent?.end();
        await membership.setOwner(false);
        await Promise.race([ownership?.empty(), clock.sleep(STOP_MS)]);
      } finally {
        root.stop();
      }
    };
    return describeExit(await root.exited);
  }

  /** What the readiness probe, the timelines and the listeners of an API node ask for, again and again. */
  #look(process: SimProcess, projection: ProjectionStore): void {
    const { clock } = process;
    const [log, journal] = [process.log(), process.journal()];
    const { signal } = new AbortController();
    const looks = async (): Promise<void> => {
      for (;;) {
        await clock.sleep(LOOK_MS);
        try {
          await log.next(projection.appliedSeq);
          const extent = await journal.extent(SUBJECTS.eventAll);
          if (extent === null) continue;
          const end = { firstSeq: Math.max(extent.firstSeq, extent.lastSeq - 5), lastSeq: extent.lastSeq };
          for await (const _ of journal.stored(SUBJECTS.eventAll, end, signal));
        } catch (error) {
          this.note(process.name, `cannot look: ${String(error)}`);
        }
      }
    };
    const listens = async (): Promise<void> => {
      for (let next = 1; ; ) {
        try {
          for await (const { seq } of journal.read(SUBJECTS.eventAll, next, signal)) next = seq + 1;
        } catch (error) {
          this.note(process.name, `cannot listen: ${String(error)}`);
          next = 1;
        }
        await clock.sleep(LOOK_MS);
      }
    };
    void looks();
    void listens();
  }

  /** The machine's own store, on a disk that may be full. */
  #projection(process: SimProcess, real: ProjectionStore): ProjectionStore {
    const room = (operation: 'projection.apply' | 'projection.reset' | 'projection.forget'): void => {
      if (process.fault(operation) === 'full')
        throw new TroupeError('unavailable', 'simulated: the disk is full', { retryable: true });
    };
    return {
      query: query => real.query(query),
      pages: (scenario, run, threshold) => real.pages(scenario, run, threshold),
      heads: (scenario, run) => real.heads(scenario, run),
      runs: scenario => real.runs(scenario),
      scenarios: () => real.scenarios(),
      get appliedSeq() {
        return real.appliedSeq;
      },
      caughtUpWith: (seq, timeoutMs) => real.caughtUpWith(seq, timeoutMs),
      watch: (scenario, wake) => real.watch(scenario, wake),
      position: () => real.position(),
      apply: (identity, entries) => {
        room('projection.apply');
        real.apply(identity, entries);
      },
      reset: () => {
        room('projection.reset');
        this.note(process.name, 'begins its projection anew');
        real.reset();
      },
      forget: (scenario, throughRun, throughSeq) => {
        room('projection.forget');
        real.forget(scenario, throughRun, throughSeq);
      },
      close: () => {},
    };
  }

  async #launch(machine: Machine, node: SimNode, job: RunnerJob): Promise<ProcessHandle> {
    const fault = node.process.fault('launcher.launch');
    if (fault === 'refused') throw new TroupeError('unavailable', 'simulated: no process', { retryable: true });
    if (fault === 'slow') await node.process.clock.sleep(1_000);
    const { scenario, run, segment, attempt } = job.assignment;
    const name = `${scenario}.${run}.${segment}.${attempt}@${node.process.name}`;
    const process = this.#process(name, machine);
    const startedAt = process.clock.monotonic();
    const gone = Promise.withResolvers<ProcessExit>();
    const heard: ((message: unknown) => void)[] = [];
    const say = (message: unknown): void => {
      if (process.dead) return;
      // A pipe: what was written is read, also when its writer is gone.
      const copy: unknown = JSON.parse(JSON.stringify(message));
      node.process.run(() => {
        for (const hear of heard) hear(copy);
      });
    };
    const die = (exit: ProcessExit): void => {
      if (process.dead) return;
      process.kill();
      node.runners.delete(self);
      this.note(name, `ends: ${exit.signal ?? exit.code}`);
      this.history.add(this.clock.monotonic(), { kind: 'died', process: name });
      this.clock.timer(5, () => node.process.run(() => gone.resolve(exit)));
    };
    const kill = (): void => die({ code: null, signal: 'SIGKILL' });
    const self: RunnerProcess = {
      process,
      attempt: { scenario, run, segment, attempt },
      kill,
      orphan: () => this.clock.timer(5, () => process.run(kill)), // WO1
    };
    process.recognise = () => this.server.lastRevision(BUCKETS.lease, leaseKey(job.node)) >= job.leaseRevision;
    node.runners.add(self);
    this.#runners.push(self);
    this.note(name, 'starts');
    this.history.add(this.clock.monotonic(), { kind: 'launched', process: name, attempt: self.attempt });
    const ports = {
      log: process.log(),
      bus: process.bus(),
      clock: process.clock,
      random: process.random,
      decoder: this.#decoder(process),
      inference: this.#inference(process),
    };
    const runner = new Runner(
      ports,
      job,
      (seq, startup, frame) => say({ kind: 'committed', seq, startup, frame }),
      startedAt,
    );
    if (fault === 'dead') this.clock.timer(50, () => die({ code: 1, signal: null }));
    process.clock.timer(100 + process.random.float() * 400, () => {
      void runner.run().then(outcome => {
        say({ kind: 'outcome', ...outcome });
        const { reason } = outcome;
        die({ code: reason === 'fenced' ? 3 : typeof reason === 'string' ? 0 : 1, signal: null });
      });
    });
    return {
      pid: ++this.#pids,
      exited: gone.promise,
      onMessage: receive => heard.push(receive),
      send: message => process.run(() => runner.stop((message as { kind: 'close' | 'release' }).kind)),
      kill,
    };
  }

  /** Work of the machine itself that may take its time or fail. @throws TroupeError */
  async #work(
    process: SimProcess,
    operation: 'models.resolve' | 'source.resolve' | 'decoder.probe' | 'decoder.identify',
  ): Promise<void> {
    const fault = process.fault(operation);
    if (fault === 'refused') throw new TroupeError('unavailable', 'simulated: not now', { retryable: true });
    if (fault === 'slow') await process.clock.sleep(process.share(operation) * 4_000);
    if (fault === 'silent') await new Promise<never>(() => {});
  }

  #broken({ name }: SimProcess, code: ProblemCode, frame?: number): TroupeError {
    this.history.add(this.clock.monotonic(), { kind: 'broke', scenario: name.slice(0, name.indexOf('.')), code });
    return new TroupeError(code, 'simulated: broken', frame === undefined ? {} : { frame });
  }

  /** Frames come at a pace that the process' own chance decides; a resume is exact. */
  #decoder(process: SimProcess): Decoder {
    return {
      engine: ENGINE.decoder,
      probe: async path => {
        await this.#work(process, 'decoder.probe');
        return sourceOf(path);
      },
      identify: async path => {
        await this.#work(process, 'decoder.identify');
        return sourceOf(path).identity;
      },
      decode: async ({ path, resume, ring }, sink, signal) => {
        const { frames, poison } = videoOf(path);
        for (let index = resume === null ? 0 : resume.frame + 1; index < frames; index++) {
          await process.clock.sleep(process.random.float() * 2 * FRAME_MS, signal);
          const fault = process.fault('decoder.decode');
          if (fault === 'slow') await process.clock.sleep(process.share('decoder.decode') * 4_000, signal);
          if (fault === 'stuck') await aborted(signal);
          if (fault === 'failed' || index === poison) throw this.#broken(process, 'decode_failed', index);
          let slot = ring.acquire();
          while (slot === null) {
            await new Promise<void>(resolve => ring.onFree(resolve));
            signal.throwIfAborted();
            slot = ring.acquire();
          }
          ring.view(slot)[0] = index;
          const frame = { index, ptsMs: index * FRAME_MS };
          if (sink.wants(frame)) sink.frame(frame, slot);
          else ring.release(slot);
        }
        return { frames, warnings: [] };
      },
    };
  }

  /** The detection says which frame it was made of. */
  #inference(process: SimProcess): InferenceFactory {
    return {
      open: async ({ ring }) => {
        const opening = process.fault('inference.open');
        if (opening === 'failed') throw this.#broken(process, 'model_unsupported');
        if (opening === 'slow') await process.clock.sleep(process.share('inference.open') * 4_000);
        return {
          engine: ENGINE,
          infer: async slot => {
            const index = ring.view(slot)[0] ?? -1;
            ring.release(slot);
            await process.clock.sleep(process.random.float() * 60);
            const fault = process.fault('inference.infer');
            if (fault === 'failed') throw this.#broken(process, 'inference_failed');
            if (fault === 'slow') await process.clock.sleep(process.share('inference.infer') * 2_000);
            if (fault === 'stuck') await new Promise<never>(() => {}); // a native call hears no signal
            return [{ class: 'thing', classId: 0, score: 0.5, box: [index, 0, 1, 1] }];
          },
          [Symbol.asyncDispose]: async () => {},
        };
      },
    };
  }
}

/** `v40`: 40 frames; `p40-7`: and at frame 7 every decoder fails. */
function videoOf(path: string): { readonly frames: number; readonly poison: number | null } {
  const [, frames = '0', poison] = /^[vp](\d+)(?:-(\d+))?$/.exec(path) ?? [];
  return { frames: Number(frames), poison: poison === undefined ? null : Number(poison) };
}

function sourceOf(path: string): SourceInfo {
  const { frames } = videoOf(path);
  return {
    width: 64,
    height: 64,
    rotation: 0,
    codec: 'scripted',
    container: 'scripted',
    startMs: 0,
    durationMs: frames * FRAME_MS,
    framesEstimate: frames,
    identity: { size: frames, sha256: path },
  };
}

/** Rejects when the signal aborts. */
const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });

const stackOf = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error));
