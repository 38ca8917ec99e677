/**
 * A simulated cluster: the real orchestrators, scenario supervisors, ownership, nodes and runners over simulated processes.
 * Only the video, the model and the operating system are scripted.
 */

import { HeartbeatDirectory } from '../../src/actors/directory/node-directory.ts';
import { NodeAgent } from '../../src/actors/node/node-agent.ts';
import { Presence } from '../../src/actors/node/presence.ts';
import { orchestrator } from '../../src/actors/orchestrator/orchestrator.ts';
import { placeRunner } from '../../src/actors/orchestrator/place-runner.ts';
import { Membership } from '../../src/actors/ownership/membership.ts';
import { Ownership } from '../../src/actors/ownership/ownership.ts';
import type { Decoder } from '../../src/actors/ports/decoder.ts';
import type { InferenceFactory } from '../../src/actors/ports/inference.ts';
import type { ProcessExit, ProcessHandle } from '../../src/actors/ports/process-launcher.ts';
import type { StateEntry } from '../../src/actors/ports/state-store.ts';
import { Runner, type RunnerJob } from '../../src/actors/runner/runner.ts';
import type { Behaviour } from '../../src/actors/runtime/behaviour.ts';
import { HeartbeatFan } from '../../src/actors/runtime/heartbeat-fan.ts';
import { type HostedPartition, hostPartition, type PartitionClaim } from '../../src/actors/runtime/partition.ts';
import { addressOf } from '../../src/actors/runtime/partition-host.ts';
import { decodeRecord } from '../../src/actors/runtime/record-codec.ts';
import { Supervisor } from '../../src/actors/runtime/supervisor.ts';
import { isGone, isKeeperAlive } from '../../src/actors/scenario/check-runner.ts';
import { closeLog, purgeLog } from '../../src/actors/scenario/log-errands.ts';
import { scenarioSupervisor } from '../../src/actors/scenario/scenario-supervisor.ts';
import { stopRunner } from '../../src/actors/scenario/stop-runner.ts';
import type { ModelInfo } from '../../src/domain/model.ts';
import type { ScenarioDoc } from '../../src/domain/scenario-doc.ts';
import type { SourceInfo } from '../../src/domain/source.ts';
import { BUCKETS, SUBJECTS } from '../../src/domain/subjects.ts';
import { MemoryServer } from '../../src/infra/memory/memory-server.ts';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';
import { SimProcess, type Weather } from './process.ts';

export const FRAMES = 150;
const FRAME_MS = 40;
const PARTITIONS = 16;

const ENGINE = { decoder: 'scripted', onnxruntime: 'scripted', provider: 'cpu', cpu: 'any' };
const SOURCE: SourceInfo = {
  width: 64,
  height: 64,
  rotation: 0,
  codec: 'scripted',
  container: 'scripted',
  startMs: 0,
  durationMs: FRAMES * FRAME_MS,
  framesEstimate: FRAMES,
  identity: { size: 1, sha256: 'scripted' },
};
const MODEL: ModelInfo = {
  name: 'scripted',
  sha256: 'scripted',
  family: 'yolov8',
  input: { name: 'x', width: 8, height: 8, type: 'uint8', channels: 'rgb', mean: [0, 0, 0], scale: [1, 1, 1] },
  classes: ['thing'],
};

/** A node process, the means to kill its runners, and what answers for it. */
interface SimNode {
  readonly process: SimProcess;
  readonly runners: Set<() => void>;
  agent: NodeAgent | null;
}

export class World {
  readonly clock = new VirtualClock();
  readonly random: SeededRandom;
  readonly weather: Weather;
  readonly server: MemoryServer;
  /** Runner processes by `<attempt key>`, dead ones included. */
  readonly runners = new Map<string, SimProcess>();
  readonly owners: SimProcess[] = [];
  readonly nodes: SimNode[] = [];
  /** Defects that actors reported: there must be none. */
  readonly defects: string[] = [];

  constructor(seed: number, rate: number) {
    this.random = new SeededRandom(seed);
    this.weather = { rate, met: new Map(), random: this.random };
    this.server = new MemoryServer({ clock: this.clock, partitions: PARTITIONS });
  }

  /** An orchestrator process: ownership and whatever it claims. */
  startOwner(name: string): SimProcess {
    const process = this.#process(name);
    this.owners.push(process);
    const { clock } = process;
    const [bus, mailbox, log, journal] = [process.bus(), process.mailbox(), process.log(), process.journal()];
    const store = process.store(BUCKETS.state);
    const directory = new HeartbeatDirectory({ clock, bus }, 5_000);
    const hosted = new Map<number, HostedPartition>();
    const of = (id: string) => hosted.get(mailbox.partitionOf({ kind: 'scenario', id }));
    const scenarios = {
      find: (id: string) => (of(id)?.state({ kind: 'scenario', id }) ?? null) as ScenarioDoc | null,
      unplaced: (id: string, body: unknown) => of(id)?.signal({ kind: 'scenario', id }, 'unplaced', body),
    };
    const report = (self: unknown, what: string, error: unknown): void => {
      this.defects.push(
        `${name} ${JSON.stringify(self)} ${what}: ${error instanceof Error ? error.stack : String(error)}`,
      );
    };
    const behaviours: Behaviour<unknown>[] = [
      orchestrator,
      scenarioSupervisor({
        backoffFirstMs: 200,
        backoffMostMs: 30_000,
        shutdownMs: 5_000,
        silenceMs: 5_000,
        stallMs: 60_000,
        placementRetryMs: 10_000,
      }),
    ];
    const executors = {
      'place-runner': placeRunner(
        { bus, clock, directory, scenarios },
        { strategy: 'least_loaded', answerMs: 5_000, retryMs: 10_000 },
      ),
      'stop-runner': stopRunner({ bus, clock, directory }),
      'close-log': closeLog({ log, clock }),
      'purge-log': purgeLog({ log, clock }),
    };
    const answer = (inbox: string, body: unknown): void => bus.publish(inbox, Buffer.from(JSON.stringify(body)));
    const world = { clock, random: this.random, store, mailbox, journal, answer, report };
    const beats = {
      bus,
      fan: new HeartbeatFan(bus, SUBJECTS.heartbeats('runner')),
      tickMs: 500,
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
        const mine = stored.filter(({ key }) => {
          const address = addressOf(key);
          return address !== null && mailbox.partitionOf(address) === claim.partition;
        });
        const partition = hostPartition(claim, behaviours, world, executors, beats, mine);
        hosted.set(claim.partition, partition);
        void partition.handle.exited.then(() => {
          if (hosted.get(claim.partition) === partition) hosted.delete(claim.partition);
        });
      }
    };
    const unhost = async (partition: number): Promise<void> => hosted.get(partition)?.host.handOver(2_000);
    const leases = process.store(BUCKETS.lease);
    const lease = { process: this.random.token(12), data: name };
    const members = { node: name, partitions: PARTITIONS, renewMs: 1_000, deadMs: 5_000 };
    const membership = new Membership({ clock, leases }, { ...members, lease }, true);
    const ownership = new Ownership(
      { clock, leases, membership, hosted: () => new Set(hosted.keys()), host, unhost },
      { ...members, process: lease.process, stableMs: 5_000, releaseMs: 2_000 },
    );
    const { signal } = new AbortController();
    const run = (work: () => Promise<void>): void => {
      work().catch(() => clock.timer(1_000, () => run(work)));
    };
    void membership.join(signal).then(() => {
      run(() => membership.run(signal));
      run(() => ownership.run(signal));
    });
    return process;
  }

  /** A node process with its runners. */
  async startNode(id: string): Promise<void> {
    const process = this.#process(id);
    const { clock } = process;
    const entry: SimNode = { process, runners: new Set(), agent: null };
    this.nodes.push(entry);
    const runners = await Supervisor.start({
      id: 'runners',
      node: id,
      flags: { strategy: 'simple_one_for_one', intensity: 0, periodMs: 1 },
      clock,
      event: () => {},
    });
    const model = { info: MODEL, file: 'scripted' };
    let presence: Presence | null = null;
    entry.agent = new NodeAgent(
      {
        bus: process.bus(),
        clock,
        random: this.random,
        mailbox: process.mailbox(),
        launcher: {
          launch: async (_role, orders) => this.#launch(entry, (orders as { job: RunnerJob }).job),
        },
        models: { list: () => [model], resolve: async () => model },
        decoder: this.#decoder(process),
        runners,
        resolveSource: async uri => uri,
        announce: () => presence?.announce(),
        report: (what, error) => this.defects.push(`node ${id} ${what}: ${String(error)}`),
      },
      {
        id,
        slots: 8,
        engine: ENGINE,
        workers: 2,
        heartbeatMs: 1_000,
        probeMs: 3_000,
        shutdownMs: 5_000,
        runnerSettings: null,
      },
    );
    const { agent } = entry;
    presence = new Presence({ bus: process.bus(), clock }, 1_000, () => ({
      id,
      roles: ['runner'],
      roots: [],
      sandbox: null,
      pid: this.nodes.length,
      partitions: [],
      version: 'sim',
      startedAt: new Date(this.clock.now()).toISOString(),
      ...agent.view(),
    }));
  }

  /** A node dies with its runners. @returns false when it was not there */
  killNode(id: string): boolean {
    const index = this.nodes.findIndex(({ process }) => process.name === id && !process.dead);
    const [entry] = index < 0 ? [] : this.nodes.splice(index, 1);
    entry?.process.kill();
    for (const kill of entry?.runners ?? []) kill();
    return entry !== undefined;
  }

  /** What a stranger's bare publish does. */
  command(id: string, verb: string, body: unknown = {}): void {
    this.server.publish(`troupe.cmd.scenario.${id}.${verb}`, Buffer.from(JSON.stringify(body)));
  }

  async doc(id: string): Promise<ScenarioDoc | null> {
    const entry = await this.server.stateStore(BUCKETS.state).get(`scenario.${id}`);
    return entry === null ? null : (decodeRecord(entry.value).state as ScenarioDoc | null);
  }

  #process(name: string): SimProcess {
    return new SimProcess(name, this.server, this.clock, this.weather);
  }

  #launch(node: SimNode, job: RunnerJob): ProcessHandle {
    const { scenario, run, segment, attempt } = job.assignment;
    const name = `${scenario}.${run}.${segment}.${attempt}@${node.process.name}`;
    const process = this.#process(name);
    this.runners.set(name, process);
    const gone = Promise.withResolvers<ProcessExit>();
    const heard: ((message: unknown) => void)[] = [];
    const say = (message: unknown): void => {
      if (!process.dead) for (const hear of heard) hear(message);
    };
    const die = (exit: ProcessExit): void => {
      if (process.dead) return;
      process.kill();
      node.runners.delete(kill);
      node.process.clock.timer(5, () => gone.resolve(exit));
    };
    const kill = (): void => die({ code: null, signal: 'SIGKILL' });
    node.runners.add(kill);
    const ports = {
      log: process.log(),
      bus: process.bus(),
      clock: process.clock,
      random: this.random,
      decoder: this.#decoder(process),
      inference: this.#inference(process),
    };
    const runner = new Runner(ports, job, (seq, startup, frame) => say({ kind: 'committed', seq, startup, frame }));
    process.clock.timer(300, () => {
      void runner.run().then(outcome => {
        say({ kind: 'outcome', ...outcome });
        die({ code: outcome.reason === 'normal' ? 0 : 1, signal: null });
      });
    });
    return {
      pid: this.runners.size,
      exited: gone.promise,
      onMessage: receive => heard.push(receive),
      send: message => runner.stop((message as { kind: 'close' | 'release' }).kind),
      kill: () => kill(),
    };
  }

  /** FRAMES frames, five a second, so that a storm meets the same video many times; exact resumes. */
  #decoder(process: SimProcess): Decoder {
    return {
      engine: ENGINE.decoder,
      probe: async () => SOURCE,
      identify: async () => SOURCE.identity,
      decode: async ({ resume, ring }, sink, signal) => {
        for (let index = resume === null ? 0 : resume.frame + 1; index < FRAMES; index++) {
          await process.clock.sleep(this.random.float() * 400, signal);
          let slot = ring.acquire();
          while (slot === null) {
            await new Promise<void>(resolve => ring.onFree(resolve));
            signal.throwIfAborted();
            slot = ring.acquire();
          }
          new DataView(ring.buffer).setUint32(slot * ring.slotBytes, index);
          const frame = { index, ptsMs: index * FRAME_MS };
          if (sink.wants(frame)) sink.frame(frame, slot);
          else ring.release(slot);
        }
        return { frames: FRAMES, warnings: [] };
      },
    };
  }

  /** The detection says which frame it was made of. */
  #inference(process: SimProcess): InferenceFactory {
    return {
      open: async ({ ring }) => ({
        engine: ENGINE,
        infer: async slot => {
          const index = new DataView(ring.buffer).getUint32(slot * ring.slotBytes);
          ring.release(slot);
          await process.clock.sleep(this.random.float() * 60);
          return [{ class: 'thing', classId: 0, score: 0.5, box: [index, 0, 1, 1] }];
        },
        [Symbol.asyncDispose]: async () => {},
      }),
    };
  }
}
