/**
 * One partition in memory: the real orchestrator, scenario supervisors and cells, with nodes that answer as scripted. For
 * what shows only when many scenarios want to be placed.
 */
import { HeartbeatDirectory } from '../../src/actors/directory/node-directory.ts';
import { NodeAgent } from '../../src/actors/node/node-agent.ts';
import { Presence } from '../../src/actors/node/presence.ts';
import { orchestrator } from '../../src/actors/orchestrator/orchestrator.ts';
import { placeRunner } from '../../src/actors/orchestrator/place-runner.ts';
import type { ProcessExit } from '../../src/actors/ports/process-launcher.ts';
import { HeartbeatFan } from '../../src/actors/runtime/heartbeat-fan.ts';
import { hostPartition } from '../../src/actors/runtime/partition.ts';
import { decodeRecord } from '../../src/actors/runtime/record-codec.ts';
import { Supervisor } from '../../src/actors/runtime/supervisor.ts';
import { scenarioSupervisor } from '../../src/actors/scenario/scenario-supervisor.ts';
import { TroupeError } from '../../src/domain/errors.ts';
import { fromJson, toJson } from '../../src/domain/json.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { Assignment, ProblemBody, Unplaced } from '../../src/domain/messages.ts';
import type { PlacementStrategy } from '../../src/domain/placement-strategy.ts';
import { attemptKey, type ScenarioDoc } from '../../src/domain/scenario-doc.ts';
import { BUCKETS, partitionOf, SUBJECTS } from '../../src/domain/subjects.ts';
import { MemoryServer } from '../../src/infra/memory/memory-server.ts';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';
import { nodeView } from './node-view.ts';
import { ENGINE, MODEL, REQUEST, SETTINGS, SOURCE } from './play.ts';

const HEARTBEAT_MS = 1_000;
export const RETRY_MS = 10_000;
export const PARTITION = 3;

/** The first `count` ids of 64 characters that belong to the partition. */
export function idsOf(partition: number, count: number): string[] {
  const ids: string[] = [];
  for (let n = 0; ids.length < count; n++) {
    const id = `${'cam'.repeat(20)}${n}`.slice(-64).padStart(64, '_');
    if (partitionOf('scenario', id, LIMITS.partitions) === partition) ids.push(id);
  }
  return ids;
}

export interface ScriptedNode {
  readonly id: string;
  /** Attempts that it runs, by key. */
  readonly running: Set<string>;
  /** Every request, by scenario, in order. */
  readonly asked: string[];
  /** One of its runners ends. */
  free(key: string): void;
  leave(): void;
}

export interface AgentNode {
  /** All of its runners end. */
  crash(): void;
  /** It ends in order, and nobody takes it for alive any more. */
  leave(): Promise<void>;
  running(): number;
}

export class Cluster {
  readonly clock = new VirtualClock();
  readonly server = new MemoryServer({ clock: this.clock, partitions: LIMITS.partitions });
  readonly defects: string[] = [];
  readonly #store = this.server.stateStore(BUCKETS.state);

  constructor(strategy: PlacementStrategy = 'least_loaded') {
    const { clock, server } = this;
    const bus = server.bus();
    const directory = new HeartbeatDirectory({ clock, bus }, 5 * HEARTBEAT_MS);
    const scenarios = {
      find: (id: string) => owned.state({ kind: 'scenario', id }) as ScenarioDoc | null,
      unplaced: (id: string, body: Unplaced) => owned.signal({ kind: 'scenario', id }, 'unplaced', body),
    };
    const report = (self: unknown, what: string, error: unknown): void => {
      this.defects.push(`${JSON.stringify(self)} ${what}: ${String(error)}`);
    };
    const owned = hostPartition(
      { partition: PARTITION, epoch: 1, lost: new AbortController().signal },
      [orchestrator, scenarioSupervisor({ ...SETTINGS, placementRetryMs: RETRY_MS })],
      {
        clock,
        random: new SeededRandom(1),
        store: this.#store,
        mailbox: server.mailbox(),
        journal: server.journal(),
        answer: () => {},
        report,
      },
      {
        'place-runner': placeRunner(
          { bus, clock, directory, scenarios },
          { strategy, answerMs: 5_000, retryMs: RETRY_MS },
        ),
      },
      {
        bus,
        fan: new HeartbeatFan(bus, SUBJECTS.heartbeats('runner')),
        tickMs: 3_600_000,
        isGone: async () => false,
        isKeeperAlive: () => true,
      },
      [],
    );
  }

  start(id: string, request: object = REQUEST): void {
    this.server.publish(`troupe.cmd.scenario.${id}.start`, toJson(request));
  }

  /** Commits of all actors so far. */
  async writes(): Promise<number> {
    let last = 0;
    const reading = new AbortController();
    for await (const change of this.#store.watch(reading.signal)) {
      if (change.kind === 'current') break;
      if (change.kind === 'entry') last = Math.max(last, change.entry.revision);
    }
    reading.abort();
    return last;
  }

  async doc(id: string): Promise<ScenarioDoc> {
    const entry = await this.#store.get(`scenario.${id}`);
    const state = entry === null ? null : decodeRecord(entry.value).state;
    if (state === null) throw new Error(`there is no ${id}`);
    return state as ScenarioDoc;
  }

  /** A real node; its runners beat for ever. */
  async agent(id: string, { readable = true, engine = ENGINE, model = MODEL } = {}): Promise<AgentNode> {
    const { clock, server } = this;
    let pid = 0;
    const runners: PromiseWithResolvers<ProcessExit>[] = [];
    let presence: Presence | null = null;
    const agent = new NodeAgent(
      {
        bus: server.bus(),
        clock,
        random: new SeededRandom(2),
        leaseRevision: () => 1,
        mailbox: server.mailbox(),
        store: this.#store,
        launcher: {
          launch: async () => {
            const exit = Promise.withResolvers<ProcessExit>();
            runners.push(exit);
            const kill = (): void => exit.resolve({ code: null, signal: 'SIGKILL' });
            return { pid: ++pid, exited: exit.promise, onMessage: () => {}, send: () => {}, kill };
          },
        },
        models: {
          list: () => [{ info: model, file: '' }],
          resolve: async () => ({ info: model, file: '' }),
        },
        decoder: {
          engine: engine.decoder,
          probe: async () => SOURCE,
          identify: async () => SOURCE.identity,
          decode: async () => ({ frames: 0, warnings: [] }),
        },
        runners: await Supervisor.start({
          id: 'runners',
          node: id,
          flags: { strategy: 'simple_one_for_one', intensity: 0, periodMs: 1 },
          clock,
          event: () => {},
        }),
        resolveSource: async uri => {
          if (!readable) throw new TroupeError('source_unreadable', `${uri} is not there`);
          return uri;
        },
        announce: () => presence?.announce(),
        report: (what, error) => this.defects.push(`node ${id} ${what}: ${String(error)}`),
      },
      {
        id,
        slots: 4,
        engine,
        workers: 1,
        heartbeatMs: HEARTBEAT_MS,
        probeMs: 3_000,
        shutdownMs: 5_000,
        runnerSettings: null,
      },
    );
    presence = new Presence({ bus: server.bus(), clock }, HEARTBEAT_MS, () => ({
      id,
      roles: ['runner'],
      roots: [],
      sandbox: null,
      pid: 1,
      partitions: [],
      version: '0',
      startedAt: '',
      ...agent.view(),
    }));
    const crash = (): void => {
      for (const runner of runners) runner.resolve({ code: 1, signal: null });
    };
    const leave = async (): Promise<void> => {
      const ended = agent.end();
      crash();
      await ended;
      presence?.close();
      await clock.advance(6 * HEARTBEAT_MS);
    };
    return { crash, leave, running: () => agent.view().running };
  }

  join(id: string, slots: number, refuse: (assignment: Assignment) => ProblemBody | null = () => null): ScriptedNode {
    const bus = this.server.bus();
    const running = new Set<string>();
    const asked: string[] = [];
    let gone = false;
    const announce = (): void => {
      if (gone) return;
      const view = nodeView(id, { slots, running: running.size });
      bus.publish(SUBJECTS.heartbeat(id, 'node', id), toJson(view));
    };
    const beat = (): void => {
      announce();
      if (!gone) this.clock.timer(HEARTBEAT_MS, beat);
    };
    const answers = bus.subscribe(SUBJECTS.control(id, 'start'), ({ body, reply }) => {
      const assignment = fromJson(body) as Assignment;
      asked.push(assignment.scenario);
      const full = { code: 'unavailable', message: `all ${slots} slots are taken` };
      const problem = running.size >= slots ? full : refuse(assignment);
      if (problem === null) running.add(attemptKey(assignment));
      const accepted = { kind: 'accepted', pid: 7, source: SOURCE, model: MODEL, engine: ENGINE };
      if (problem === null) announce();
      if (reply !== null) bus.publish(reply, toJson(problem === null ? accepted : { kind: 'refused', problem }));
    });
    beat();
    return {
      id,
      running,
      asked,
      free: key => {
        running.delete(key);
        announce();
      },
      leave: () => {
        gone = true;
        answers.close();
      },
    };
  }
}
