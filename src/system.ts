/**
 * The composition root: a node's whole supervision tree on one screen. Nothing else starts a process or a loop.
 *
 *   node/<id>  one_for_one
 *   ├─ nats-server            embedded only; a process
 *   ├─ disk-watch             embedded only; starts the server anew when a full disk has room again
 *   ├─ membership             the node's lease; who else is there
 *   ├─ runners                simple_one_for_one, temporary; processes          role runner
 *   ├─ node-agent                                                               role runner
 *   ├─ spares                 simple_one_for_one, temporary; idle processes     role runner
 *   ├─ partitions             simple_one_for_one, temporary                     role orchestrator
 *   │  └─ partition/<p>  →  orchestrator/<p>  →  scenario/<id>  →  runner       durable actors
 *   ├─ ownership              claims and releases partitions                    role orchestrator
 *   ├─ mirror, projector                                                        role api
 *   └─ http, nats-api                                                           role api
 *
 * Children start in this order and stop in reverse.
 */

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import path from 'node:path';
import packageJson from '../package.json' with { type: 'json' };
import { HeartbeatDirectory } from './actors/directory/node-directory.ts';
import { Gateway } from './actors/gateway/gateway.ts';
import { NatsApi } from './actors/gateway/nats-api.ts';
import { type Hands, Pulse } from './actors/gateway/pulse.ts';
import { ScenarioMirror } from './actors/gateway/scenario-mirror.ts';
import { idempotencyKey } from './actors/idempotency/idempotency-key.ts';
import { NodeAgent } from './actors/node/node-agent.ts';
import { Presence } from './actors/node/presence.ts';
import { SpareRunners } from './actors/node/spare-runners.ts';
import { orchestrator } from './actors/orchestrator/orchestrator.ts';
import { placeRunner } from './actors/orchestrator/place-runner.ts';
import { orchestratorIn } from './actors/orchestrator-address.ts';
import { LEFT, leaseKey, Membership } from './actors/ownership/membership.ts';
import { Ownership } from './actors/ownership/ownership.ts';
import type { Decoder } from './actors/ports/decoder.ts';
import type { ModelCatalog } from './actors/ports/inference.ts';
import type { Mailbox } from './actors/ports/mailbox.ts';
import type { ProcessLauncher } from './actors/ports/process-launcher.ts';
import type { StateEntry, StateStore } from './actors/ports/state-store.ts';
import { Projector } from './actors/projector/projector.ts';
import { Endpoint } from './actors/runtime/endpoint.ts';
import { describeExit, type ExitReason } from './actors/runtime/exit-reason.ts';
import { HeartbeatFan } from './actors/runtime/heartbeat-fan.ts';
import { type HostedPartition, hostPartition, type PartitionClaim } from './actors/runtime/partition.ts';
import { addressOf } from './actors/runtime/partition-host.ts';
import type { SupervisorFlags } from './actors/runtime/restart-plan.ts';
import { type ChildHandle, type ChildSpec, Supervisor, type SupervisorEvent } from './actors/runtime/supervisor.ts';
import { task } from './actors/runtime/task.ts';
import { isGone, isKeeperAlive } from './actors/scenario/check-runner.ts';
import { closeLog, purgeLog } from './actors/scenario/log-errands.ts';
import { scenarioSupervisor } from './actors/scenario/scenario-supervisor.ts';
import { stopRunner } from './actors/scenario/stop-runner.ts';
import { buildApi } from './api/api.ts';
import { TroupeError } from './domain/errors.ts';
import { fromJson, toJson } from './domain/json.ts';
import { LIMITS } from './domain/limits.ts';
import { DrainRequest, type Unplaced } from './domain/messages.ts';
import type { NodeView } from './domain/node.ts';
import { parse } from './domain/parse.ts';
import type { ScenarioDoc } from './domain/scenario-doc.ts';
import { BUCKETS, SUBJECTS } from './domain/subjects.ts';
import type { TreeNode } from './domain/tree.ts';
import type { NodeConfig } from './infra/config.ts';
import { dataIdentity, dataProblem, forgetEndpoint, openDataFolder, writeEndpoint } from './infra/files/data-folder.ts';
import { cpuClass } from './infra/inference/cpu-class.ts';
import { openModelCatalog } from './infra/inference/model-catalog.ts';
import { ENGINE } from './infra/inference/onnxruntime.ts';
import { modelTrial } from './infra/inference/trial.ts';
import { natsBus } from './infra/nats/bus.ts';
import { connect, withoutPassword } from './infra/nats/connection.ts';
import { lockFile } from './infra/nats/data-lock.ts';
import { startEmbeddedNats } from './infra/nats/embedded-server.ts';
import { DiskWatch } from './infra/nats/full-disk.ts';
import { natsJournal } from './infra/nats/journal.ts';
import { natsMailbox } from './infra/nats/mailbox.ts';
import { findNatsServer } from './infra/nats/nats-binary.ts';
import { natsPredictionLog } from './infra/nats/prediction-log.ts';
import { provision } from './infra/nats/provision.ts';
import { type ServiceInstance, serveDiscovery } from './infra/nats/service-discovery.ts';
import { natsStateStore, putUpon, storedRevision } from './infra/nats/state-store.ts';
import { asset } from './infra/process/assets.ts';
import { processLauncher } from './infra/process/launcher.ts';
import type { Sandbox } from './infra/process/sandbox.ts';
import { systemClock as clock, systemRandom as random } from './infra/process/system-clock.ts';
import { openProjection } from './infra/sqlite/projection-store.ts';
import { ClusterMetrics, serveMetrics } from './infra/telemetry/cluster-metrics.ts';
import { countedJournal } from './infra/telemetry/counted-journal.ts';
import { Metrics } from './infra/telemetry/metrics.ts';
import { chooseDecoder, chooseSandbox, type DecoderChoice, openDecoder } from './infra/video/choose-decoder.ts';
import { resolveSource } from './infra/video/source-file.ts';

export interface RunningNode {
  /** '' without the role api. */
  readonly url: string;
  /** Without a password. */
  readonly natsUrl: string;
  /** Resolves when the node has ended, by `stop` or because it gave up. */
  readonly stopped: Promise<{ readonly reason: string }>;
  /** Drains: runners leave their logs open, everything ends in order. */
  stop(): Promise<void>;
}

/** Parts of a node that may be replaced, for what is measured or tried without processes, videos and models. */
export interface NodeParts {
  readonly launcher: ProcessLauncher;
  readonly decoder: Decoder;
  readonly models: ModelCatalog;
}

/** A node whose parts keep dying is better dead: its own supervisor (systemd, a container) or its user decides. */
const ROOT: SupervisorFlags = { strategy: 'one_for_one', intensity: 10, periodMs: 60_000 };
/** Children that nobody restarts here: their durable supervisors do. */
const DYNAMIC: SupervisorFlags = { strategy: 'simple_one_for_one', intensity: 0, periodMs: 1 };
const STOP_MS = 5_000;

/**
 * Starts a node; resolves when it serves.
 * @param parts the real ones where none is given
 * @throws TroupeError with what to do: DATA or port in use, no nats-server
 */
export async function startNode(
  config: NodeConfig,
  log: (line: string, fields?: Readonly<Record<string, string | number>>) => void,
  parts: Partial<NodeParts> = {},
): Promise<RunningNode> {
  await openDataFolder(config.data);
  const lock = await lockFile(config.data, 'lock', LIMITS.dataLockMs).catch((error: unknown) => {
    throw dataProblem(error, config.data);
  });
  const starting = new AbortController();
  let stopping = false;
  const event = ({ supervisor, child, type, reason }: SupervisorEvent): void => {
    if (!stopping && type !== 'started' && reason !== 'shutdown' && reason !== 'normal') {
      log(`${supervisor}: ${child} ${type}${reason === undefined ? '' : ` (${reason})`}`);
    }
  };
  const report = (where: string, what: string, error: unknown): void =>
    log(`${where}: ${what}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  const supervise = (id: string, flags: SupervisorFlags): Promise<Supervisor> =>
    Supervisor.start({ id, node: config.node, flags, clock, event });
  const has = (role: 'api' | 'orchestrator' | 'runner'): boolean => config.roles.includes(role);

  const root = await supervise(`node/${config.node}`, ROOT);
  const child = (id: string, spec: Pick<ChildSpec, 'start'> & Partial<ChildSpec>) =>
    root.startChild({ id, kind: id, type: 'worker', restart: 'permanent', shutdown: STOP_MS, ...spec });
  const closers: (() => void | Promise<void>)[] = [() => lock[Symbol.dispose]()];
  try {
    await forgetEndpoint(config.data); // what a killed predecessor left would say that this node serves already
    // Before anything is claimed that others would have to wait for.
    if (has('api')) await tryPort(config.host, config.port);
    const chosen = has('runner')
      ? chooseDecoder(config.decoder, { given: config.programs.ffmpeg, ...config.programs })
      : null;
    // Begun first: it starts a program or two, which takes as long as everything until it is wanted.
    const trying = chosen === null ? Promise.resolve(null) : sandboxOf(config, chosen.choice, log);
    trying.catch(() => {});
    // ── NATS ──
    let natsUrl = config.nats?.url ?? '';
    let disk: DiskWatch | null = null;
    if (config.nats === null) {
      const binary = findNatsServer({ given: config.programs.natsServer, ...config.programs });
      await child('nats-server', {
        shutdown: 2 * STOP_MS,
        start: async () => {
          const options = { binary, dataDir: config.data, port: null, relaxedSync: config.relaxedSync };
          const server = await startEmbeddedNats({ ...options, signal: starting.signal });
          natsUrl = server.url;
          let told = false;
          const ended = ({ code }: { code: number }): ExitReason =>
            told ? 'shutdown' : { error: { code: 'unavailable', message: `nats-server exited with ${code}` } };
          const stop = (): void => {
            told = true;
            void server.stop();
          };
          return { pid: server.pid, exited: server.exited.then(ended), stop, kill: stop };
        },
      });
      const server = (): ChildHandle | null => root.handle('nats-server');
      const watch = new DiskWatch({
        dataDir: config.data,
        log,
        serverPid: () => server()?.pid ?? null,
        endServer: () => server()?.stop(),
      });
      disk = watch;
      await child('disk-watch', { start: async () => task(signal => watch.run(signal)) });
    }
    const credsFile = config.nats?.credsFile ?? null;
    const name = `troupe node ${config.node}`;
    const nats = await connect(natsUrl, credsFile === null ? { name } : { name, credsFile });
    closers.push(() => nats[Symbol.asyncDispose]());
    const { partitions } = await provision(nats, {
      replicas: config.replicas ?? (nats.connection.info?.cluster === undefined ? 1 : 3),
      partitions: LIMITS.partitions,
      logBytes: null,
      // The user of an API-only node may read alone (nats.conf).
      ...(config.nats !== null && config.roles.every(role => role === 'api') ? { onMissing: log } : {}),
      signal: starting.signal,
    });
    if (partitions !== LIMITS.partitions) {
      throw new TroupeError(
        'unavailable',
        `this cluster has ${partitions} partitions, this version of Troupe ${LIMITS.partitions}: use the version that made it, or another NATS`,
      );
    }

    // ── membership ──
    const { leaseMs, heartbeatMs, misses, shutdownMs } = config.liveness;
    const identity = { process: random.token(12), data: await dataIdentity(config.data, random.token(22)) };
    const leases = natsStateStore(nats, BUCKETS.lease);
    const members = { node: config.node, partitions, renewMs: leaseMs, deadMs: leaseMs * misses };
    const lease = has('runner') || has('orchestrator') ? identity : null;
    const membership = new Membership({ clock, leases }, { ...members, lease }, has('orchestrator'));
    if (lease !== null)
      nats.guard(async () => {
        const [bucket, key] = [BUCKETS.lease, leaseKey(config.node)];
        const stored = await storedRevision(nats, bucket, key);
        if (membership.recognises(stored)) return true;
        await putUpon(nats, bucket, key, stored, toJson(LEFT));
        membership.replaced();
        return false;
      });
    await membership.join(starting.signal);
    await child('membership', {
      start: async () =>
        task(async signal => {
          await membership.run(signal);
          await membership.leave();
        }),
    });

    let agent: NodeAgent | null = null;
    const bus = natsBus(nats);
    const mailbox = natsMailbox(nats, partitions);
    const store = natsStateStore(nats, BUCKETS.state);
    const foreign = (subject: string, seq: number): void => log(`${subject} holds something that is no record: ${seq}`);
    const predictionLog = natsPredictionLog(nats, foreign);
    let behind = async (): Promise<{ readonly records: number; readonly ms: number } | null> => null;
    const partitionsHere = new Map<number, HostedPartition>();
    const metrics = new Metrics({
      version: packageJson.version,
      runners: () => agent?.view() ?? null,
      partitions: () =>
        has('orchestrator')
          ? [...partitionsHere.values()].map(({ host }) => ({
              waiting: host.waiting,
              stalledMs: host.stalledMs,
              scenarios: [...host.states('scenario')].map(state => (state as ScenarioDoc).state),
            }))
          : null,
      leaseAgeMs: () => membership.leaseAgeMs,
      lag: () => behind(),
    });
    closers.push(
      nats.onStatus(({ type }) => {
        if (type === 'reconnect') metrics.reconnected();
      }),
    );
    const journal = countedJournal(natsJournal(nats), metrics);
    const silenceMs = heartbeatMs * misses;
    const directory = new HeartbeatDirectory({ clock, bus }, silenceMs);
    closers.push(() => directory.close());
    const sandbox = await trying;
    const models =
      parts.models ??
      (await openModelCatalog({
        dirs: [asset('models'), path.join(config.data, 'models')],
        roots: config.roots,
        // Who runs none only lists them.
        ...(sandbox === null
          ? {}
          : {
              trial: await modelTrial({
                sandbox,
                known: triedModels(config.data),
                report: error => report('model-trial', 'to keep what was tried', error),
              }),
            }),
      }));

    // ── runners ──
    const hosts = await supervise('partitions', DYNAMIC);
    const hosted = (): Set<number> => new Set(hosts.ids.map(id => Number(id.slice(id.indexOf('/') + 1))));
    const startedAt = new Date().toISOString();
    let draining = false;
    const view = (): NodeView => ({
      id: config.node,
      roles: [...config.roles],
      slots: 0,
      running: 0,
      load: 0,
      draining,
      roots: [...config.roots],
      engine: null,
      sandbox: sandbox?.level ?? null,
      models: [],
      warm: [],
      pid: process.pid,
      partitions: [...hosted()].sort((a, b) => a - b),
      version: packageJson.version,
      startedAt,
      ...agent?.view(),
    });
    const presence = new Presence({ bus, clock }, heartbeatMs, view);
    closers.push(() => presence.close());
    let spares: SpareRunners | null = null;
    if (chosen !== null && sandbox !== null) {
      const { choice, why, todo } = chosen;
      const decoder = parts.decoder ?? (await openDecoder(choice, sandbox));
      if (why !== null) log(`video is decoded by ${decoder.engine}, ${why}. ${todo ?? ''}`.trimEnd());
      const runners = await supervise('runners', DYNAMIC);
      await child('runners', { type: 'supervisor', start: async () => runners });
      const engine = { decoder: decoder.engine, ...ENGINE, cpu: cpuClass() };
      const settings = {
        natsUrl,
        credsFile,
        decoder: choice,
        engine: decoder.engine,
        sandbox,
        workers: config.workers,
      };
      const idle = await supervise('spares', DYNAMIC);
      const launcher = new SpareRunners(
        {
          launcher: parts.launcher ?? processLauncher(),
          supervisor: idle,
          clock,
          report: (what, error) => report('spares', what, error),
        },
        {
          count: config.spares,
          prepare: { settings },
          restMs: LIMITS.spareRestMs,
          mostMs: LIMITS.spareMostMs,
        },
      );
      spares = launcher;
      await child('node-agent', {
        shutdown: 2 * shutdownMs,
        start: async () => {
          const running = new NodeAgent(
            {
              bus,
              clock,
              random,
              mailbox,
              store,
              launcher,
              models,
              decoder,
              runners,
              telemetry: metrics,
              leaseRevision: () => membership.revision,
              resolveSource: uri => resolveSource(uri, config.roots),
              announce: () => presence.announce(),
              report: (what, error) => report('node-agent', what, error),
            },
            {
              id: config.node,
              slots: config.slots,
              engine,
              workers: config.workers,
              heartbeatMs,
              probeMs: LIMITS.probeMs,
              shutdownMs,
              runnerSettings: settings,
            },
          );
          agent = running;
          return task(signal => new Promise(resolve => signal.addEventListener('abort', () => resolve(running.end()))));
        },
      });
      await child('spares', { type: 'supervisor', start: async () => idle });
    }

    // ── orchestrators and scenario supervisors ──
    let ownership: Ownership | null = null;
    if (has('orchestrator')) {
      const { backoffFirstMs, backoffMostMs, stallMs, placementRetryMs } = config.liveness;
      const world = {
        clock,
        random,
        store,
        mailbox,
        journal,
        answer: (inbox: string, body: unknown, revision: number) => {
          // A stranger names it: answered is only an inbox, lest an answer be somebody else's command.
          if (SUBJECTS.isInbox(inbox)) bus.publish(inbox, toJson({ ...(body as object), revision }));
        },
        report: (self: { kind: string; id: string }, what: string, error: unknown) =>
          report(`${self.kind}/${self.id}`, what, error),
      };
      const behaviours = [
        orchestrator,
        idempotencyKey,
        scenarioSupervisor({ backoffFirstMs, backoffMostMs, shutdownMs, silenceMs, stallMs, placementRetryMs }),
      ];
      const scenarios = {
        find: (id: string) => {
          const address = { kind: 'scenario', id };
          return (partitionsHere.get(mailbox.partitionOf(address))?.state(address) ?? null) as ScenarioDoc | null;
        },
        unplaced: (id: string, body: Unplaced) => {
          const address = { kind: 'scenario', id };
          partitionsHere.get(mailbox.partitionOf(address))?.signal(address, 'unplaced', body);
        },
      };
      const executors = {
        'place-runner': placeRunner(
          { bus, clock, directory, scenarios },
          {
            strategy: config.placement,
            answerMs: LIMITS.trialWaitMs + LIMITS.probeMs + 2_000,
            retryMs: placementRetryMs,
          },
        ),
        'stop-runner': stopRunner({ bus, clock, directory }),
        'close-log': closeLog({ log: predictionLog, clock }),
        'purge-log': purgeLog({ log: predictionLog, clock }),
      };
      const beats = {
        fan: new HeartbeatFan(bus, SUBJECTS.heartbeats('runner')),
        tickMs: Math.max(20, heartbeatMs / 2),
        bus,
        isGone: isGone.bind(null, bus),
        isKeeperAlive: isKeeperAlive.bind(null, directory),
      };
      const host = async (claims: readonly PartitionClaim[]): Promise<void> => {
        const stored = await readAll(store, mailbox, new Set(claims.map(claim => claim.partition)));
        for (const claim of claims) {
          const { partition } = claim;
          await hosts.startChild({
            id: `partition/${partition}`,
            kind: 'partition',
            type: 'supervisor',
            restart: 'temporary',
            shutdown: STOP_MS,
            start: async () => {
              const entries = stored.get(partition) ?? [];
              const owned = hostPartition(claim, behaviours, world, executors, beats, entries);
              partitionsHere.set(partition, owned);
              void owned.handle.exited.then(() => {
                if (partitionsHere.get(partition) === owned) partitionsHere.delete(partition);
              });
              return { ...owned.handle, tree: () => [orchestratorRow(config.node, partition, owned.tree('scenario'))] };
            },
          });
        }
      };
      await child('partitions', { type: 'supervisor', start: async () => hosts });
      const unhost = (partition: number): Promise<void> => hosts.terminateChild(`partition/${partition}`);
      const settings = { ...members, process: identity.process, stableMs: members.deadMs, releaseMs: 2 * leaseMs };
      await child('ownership', {
        start: async () => {
          const claims = new Ownership({ clock, leases, membership, hosted, host, unhost }, settings);
          ownership = claims;
          return task(signal => claims.run(signal));
        },
      });
    }

    // ── the outside ──
    const tree = (): TreeNode => nodeRow(config.node, root.tree());
    const treeSubject = SUBJECTS.control(config.node, 'tree');
    const treeOptions = { name: 'tree', subject: treeSubject, queue: '', description: 'what this node supervises' };
    const treeEndpoint = new Endpoint(treeOptions, clock);
    const served = bus.subscribe(treeSubject, ({ reply }) => {
      void treeEndpoint
        .count(() => reply !== null && bus.publish(reply, toJson(tree())))
        .catch(error => report(`node/${config.node}`, 'tree', error));
    });
    closers.push(() => served.close());
    const endpoints: ServiceInstance['endpoints'][number][] = [
      { endpoint: treeEndpoint, data: () => ({ ...view(), ...treeCounts(tree()) }) },
    ];
    const drain = async (wanted: boolean): Promise<NodeView> => {
      if (stopping) return view(); // for good
      draining = wanted;
      agent?.setDraining(wanted);
      await membership.setOwner(has('orchestrator') && !wanted);
      presence.announce();
      return view();
    };
    const drains = bus.subscribe(SUBJECTS.control(config.node, 'drain'), ({ body, reply }) => {
      void (async () => {
        const told = await drain(parse(DrainRequest, fromJson(body), 'The request').draining);
        if (reply !== null) bus.publish(reply, toJson(told));
      })().catch(error => report(`node/${config.node}`, 'drain', error));
    });
    closers.push(() => drains.close());
    const measured = serveMetrics({ bus, metrics }, config.node);
    closers.push(() => measured.close());
    let url = '';
    if (has('api')) {
      const projection = openProjection(path.join(config.data, 'projection.db'), {
        replaced: cause => {
          log(`projection.db could not be used (${cause}): an empty one takes its place, and is filled from the log`);
          root.handle('projector')?.stop(); // it has read on where the old one stood
        },
        foreign: (key, seq) => foreign(SUBJECTS.log(key), seq),
      });
      closers.push(() => projection.close());
      const mirror = new ScenarioMirror(store, clock, projection, (key, error) => report('mirror', key, error));
      await child('mirror', { start: async () => task(signal => mirror.run(signal)) });
      await child('projector', {
        start: async () =>
          task(signal =>
            new Projector({ log: predictionLog, store: projection, clock, took: metrics.took }).run(signal),
          ),
      });
      // A node without orchestrators serves before there are any: `readyz` tells, and commands wait in their mailboxes.
      let serving = has('orchestrator');
      const unready = (): string[] => {
        if (!serving) return [];
        if (stopping) return ['the node is stopping'];
        const orphans = membership.unowned();
        return [
          ...(disk?.trouble ? [disk.trouble] : []),
          ...(orphans.length === 0 ? [] : [`no live node owns the partitions ${orphans.join(', ')}`]),
        ];
      };
      behind = async () => {
        const applied = projection.appliedSeq;
        try {
          const late = clock.sleep(LIMITS.metricsMs / 2).then(() => null);
          const next = await Promise.race([predictionLog.next(applied), late.then(() => undefined)]);
          if (next === undefined) return null;
          if (next === null) return { records: 0, ms: 0 };
          const { lastSeq } = await predictionLog.identity();
          return { records: lastSeq - applied, ms: Math.max(0, clock.now() - next.at) };
        } catch {
          return null; // not told is not shown
        }
      };
      const digest = (text: string): string => createHash('sha256').update(text).digest('hex');
      const hands = (): Hands => ({
        leaseAgeMs: membership.leaseAgeMs,
        partitions: [...partitionsHere].map(([partition, { host }]) => ({ partition, stalledMs: host.stalledMs })),
      });
      const pulse = new Pulse({ clock, log: predictionLog, projection, hands }, leaseMs);
      const ports = {
        bus,
        clock,
        random,
        mailbox,
        store,
        mirror,
        projection,
        directory,
        models,
        digest,
        unready,
        stalled: () => pulse.look(),
      };
      const gateway = new Gateway({ ...ports, inbox: nats.newInbox() });
      closers.push(() => gateway.close());
      const natsApi = new NatsApi({ bus, clock, random, gateway });
      endpoints.push(...natsApi.endpoints.map(endpoint => ({ endpoint })));
      await child('nats-api', { start: async () => task(signal => natsApi.serve(signal)) });
      let port = config.port;
      await child('http', {
        start: async () => {
          const options = {
            host: config.host,
            token: config.token,
            version: packageJson.version,
            rateLimit: config.rateLimit ?? 0,
            isStopping: () => stopping,
            log,
            onDefect: (error: unknown, requestId: string) => report('http', `request ${requestId}`, error),
          };
          const all = new ClusterMetrics({ bus, clock, directory, metrics }, config.node);
          const read = { gateway, cluster: gateway, events: gateway, projection, journal };
          const outside = { ...read, metrics: all, telemetry: metrics, clock, random };
          const app = await buildApi({ ...outside, options });
          await listen(app, config.host, port);
          const address = app.server.address();
          if (address === null || typeof address === 'string') throw new Error('the HTTP server has no port');
          port = address.port; // kept across restarts
          url = `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`;
          return task(signal => new Promise(resolve => signal.addEventListener('abort', () => resolve(app.close()))));
        },
      });
      await ready(gateway, root);
      serving = true;
    }
    const discovery = serveDiscovery(bus, {
      id: identity.process,
      version: packageJson.version,
      description: `Troupe node ${config.node}`,
      metadata: { node: config.node, roles: config.roles.join(',') },
      startedAt,
      endpoints,
    });
    closers.push(() => discovery.close());
    const shownNatsUrl = withoutPassword(natsUrl);
    await writeEndpoint(config.data, {
      ...(url === '' ? {} : { url }),
      nats: shownNatsUrl,
      pid: process.pid,
      node: config.node,
    });
    closers.push(() => forgetEndpoint(config.data));
    spares?.keep(); // after everything else: the node serves as soon as without
    const stopped = root.exited.then(async reason => {
      for (const close of closers.toReversed()) await close();
      return { reason: describeExit(reason) };
    });
    return {
      url,
      natsUrl: shownNatsUrl,
      stopped,
      stop: async () => {
        stopping = true;
        spares?.stop();
        try {
          // Runners first: their last batches and the reports of their exits want everything else alive.
          await agent?.end();
          // Then the partitions, so that others need not wait for this node's lease to die.
          await membership.setOwner(false);
          await Promise.race([ownership?.empty(), clock.sleep(STOP_MS)]);
        } finally {
          root.stop();
          await stopped;
        }
      },
    };
  } catch (error) {
    stopping = true; // what ends now ends for this reason, which is told
    starting.abort(error);
    root.stop();
    await root.exited;
    for (const close of closers.toReversed()) await close();
    throw dataProblem(error, config.data);
  }
}

/** What ships, then what this node found out. */
const triedModels = (data: string): string[] => [asset('models', 'tried.json'), path.join(data, 'tried-models.json')];

/** @throws TroupeError unavailable: the level that is demanded does not work here */
async function sandboxOf(config: NodeConfig, decoder: DecoderChoice, log: (line: string) => void): Promise<Sandbox> {
  const { sandbox, lacks } = await chooseSandbox(config.sandbox, decoder, config.programs);
  log(`sandbox: ${sandbox.level}${lacks === null ? '' : ` (${lacks})`}`);
  return sandbox;
}

/** Every stored record of some partitions, once. */
async function readAll(
  store: StateStore,
  mailbox: Mailbox,
  wanted: ReadonlySet<number>,
): Promise<Map<number, StateEntry[]>> {
  const found = new Map<number, StateEntry[]>();
  const reading = new AbortController();
  for await (const change of store.watch(reading.signal)) {
    if (change.kind === 'current') break;
    const address = change.kind === 'entry' ? addressOf(change.entry.key) : null;
    if (address === null || change.kind !== 'entry') continue;
    const partition = mailbox.partitionOf(address);
    if (!wanted.has(partition)) continue;
    const entries = found.get(partition) ?? [];
    entries.push(change.entry);
    found.set(partition, entries);
  }
  reading.abort();
  return found;
}

async function ready(gateway: Gateway, root: Supervisor): Promise<void> {
  let ended = false;
  void root.exited.then(() => {
    ended = true;
  });
  const deadline = clock.monotonic() + LIMITS.readyMs;
  for (;;) {
    const missing = gateway.missing();
    if (missing.length === 0) return;
    if (ended || clock.monotonic() > deadline) {
      throw new TroupeError('not_ready', `the node did not become ready: ${missing.join('; ')}`);
    }
    await clock.sleep(10);
  }
}

async function listen(
  app: { listen(at: { host: string; port: number }): Promise<unknown> },
  host: string,
  port: number,
): Promise<void> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    const { code, syscall, message } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE') {
      const advice = 'Choose another with --port, or --port 0 for any free one.';
      throw new TroupeError('unavailable', `port ${port} on ${host} is in use. ${advice}`);
    }
    if (syscall === undefined) throw error;
    const advice = "Give --host an address of this machine's, and --port one that this user may open.";
    throw new TroupeError('unavailable', `cannot serve HTTP at ${host}, port ${port}: ${message}. ${advice}`);
  }
}

/** @throws TroupeError unavailable: HTTP could not be served there */
async function tryPort(host: string, port: number): Promise<void> {
  const trial = createServer();
  await listen({ listen: at => once(trial.listen(at), 'listening') }, host, port);
  await new Promise(resolve => trial.close(resolve));
}

const nodeRow = (node: string, children: readonly TreeNode[]): TreeNode => ({
  id: `node/${node}`,
  kind: 'node',
  type: 'supervisor',
  strategy: ROOT.strategy,
  state: 'running',
  node,
  pid: process.pid,
  restarts: 0,
  children: [...children],
});

/** The scenarios that a node supervises, and the restarts that its supervisors count now. */
function treeCounts(row: TreeNode): { scenarios: number; restarts: number } {
  const counts = { scenarios: row.kind === 'scenario' ? 1 : 0, restarts: row.restarts };
  for (const below of row.children.map(treeCounts)) {
    counts.scenarios += below.scenarios;
    counts.restarts += below.restarts;
  }
  return counts;
}

const orchestratorRow = (node: string, partition: number, children: readonly TreeNode[]): TreeNode => ({
  id: `orchestrator/${orchestratorIn(partition).id}`,
  kind: 'orchestrator',
  type: 'supervisor',
  strategy: 'simple_one_for_one',
  state: 'running',
  node,
  pid: null,
  restarts: 0,
  children: [...children],
});
