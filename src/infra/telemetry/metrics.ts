/**
 * A node's metrics: counters that parts of it add to, and gauges that are read when somebody asks.
 *
 * MT1 Every label's values are a short list known here: no id, path or word of a stranger becomes one.
 * MT2 A counter does not fall while the node lives: runners come and go, what they counted stays.
 * MT3 Nothing is read, computed or sent before somebody asks.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { HttpTelemetry, NodeTelemetry, Took } from '../../actors/ports/telemetry.ts';
import { PROBLEMS } from '../../domain/errors.ts';
import { BOUNDS_MS, type Measured, noTallies, STAGES } from '../../domain/stage.ts';
import type { FactCounts } from './counted-journal.ts';
import type { Family } from './family.ts';

/** What the gauges show; null where the node has no such role. */
export interface NodeGauges {
  readonly version: string;
  runners(): { readonly running: number; readonly slots: number } | null;
  partitions(): readonly PartitionGauges[] | null;
  /** Since the node's lease was last renewed. */
  leaseAgeMs(): number | null;
  /** How far the local projection is behind the log; null also when NATS does not tell. */
  lag(): Promise<{ readonly records: number; readonly ms: number } | null>;
}

export interface PartitionGauges {
  /** Messages taken from the mailbox and not processed. */
  readonly waiting: number;
  readonly stalledMs: number;
  readonly scenarios: Iterable<string>;
}

const SCENARIO_STATES = [
  'init_startup',
  'in_startup_processing',
  'active',
  'init_shutdown',
  'in_shutdown_processing',
  'inactive',
];
const ACTOR_KINDS: ReadonlySet<string> = new Set(['scenario', 'orchestrator', 'idempotency']);
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
const ENDINGS: ReadonlySet<string> = new Set(['normal', 'shutdown', 'killed', 'fenced']);
const STAGE_METRIC = 'troupe_stage_duration_seconds';
/** The longest timer of libuv's that fits: nobody waits for it. */
const NEVER_MS = 2 ** 31 - 1;
const HTTP_BUCKETS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export class Metrics implements NodeTelemetry, HttpTelemetry, FactCounts {
  readonly #registry = new Registry();
  readonly #stages = noTallies();
  readonly #frames = this.#counter('troupe_frames_committed_total', 'Predictions that runners of this node committed.');
  readonly #ended = this.#counter('troupe_runner_exits_total', 'Attempts that ended on this node, by how.', ['reason']);
  readonly #restarts = this.#counter(
    'troupe_runner_restarts_total',
    'Attempts that a scenario supervisor of this node gave up for lost, by the code of the cause.',
    ['cause'],
  );
  readonly #rejected = this.#counter(
    'troupe_commands_rejected_total',
    'Commands that actors of this node refused, by kind of actor and code.',
    ['kind', 'code'],
  );
  readonly #reconnects = this.#counter('troupe_nats_reconnects_total', 'Times the connection to NATS came back.');
  readonly #http: Histogram<'route' | 'method' | 'status'>;

  constructor(gauges: NodeGauges) {
    const registers = [this.#registry];
    this.#http = new Histogram({
      name: 'troupe_http_request_duration_seconds',
      help: 'HTTP requests answered, by route, method and status; long waits included.',
      labelNames: ['route', 'method', 'status'],
      buckets: HTTP_BUCKETS,
      registers,
    });
    this.#gauge('troupe_build_info', 'Always 1; the version is its label.', ['version'], set =>
      set(1, { version: gauges.version }),
    );
    this.#gauge('troupe_runners_running', 'Runners of this node.', [], set => set(gauges.runners()?.running));
    this.#gauge('troupe_runners_slots', 'Runners that this node takes at most.', [], set =>
      set(gauges.runners()?.slots),
    );
    const partitions = gauges.partitions;
    this.#gauge('troupe_partitions_owned', 'Partitions that this node owns.', [], set => set(partitions()?.length));
    this.#gauge(
      'troupe_mailbox_waiting',
      'Messages taken from the mailboxes of owned partitions, not processed.',
      [],
      set => set(partitions()?.reduce((sum, { waiting }) => sum + waiting, 0)),
    );
    this.#gauge(
      'troupe_mailbox_stalled_seconds',
      'For how long the slowest owned partition has processed none of them.',
      [],
      set => set(partitions()?.reduce((most, { stalledMs }) => Math.max(most, stalledMs / 1000), 0)),
    );
    this.#gauge('troupe_scenarios', 'Scenarios of owned partitions, by state.', ['state'], set => {
      const owned = partitions();
      if (owned === null) return;
      const counts = new Map(SCENARIO_STATES.map(state => [state, 0]));
      for (const { scenarios } of owned) for (const state of scenarios) counts.set(state, (counts.get(state) ?? 0) + 1);
      for (const [state, count] of counts) set(count, { state });
    });
    this.#gauge('troupe_lease_age_seconds', "Since this node's lease was last renewed.", [], set => {
      const ageMs = gauges.leaseAgeMs();
      set(ageMs === null ? undefined : ageMs / 1000);
    });
    let lag = gauges.lag;
    // Both are of one look.
    const once = (): ReturnType<NodeGauges['lag']> => {
      const looking = gauges.lag();
      lag = () => looking;
      void looking.finally(() => {
        lag = once;
      });
      return looking;
    };
    lag = once;
    this.#gauge(
      'troupe_projection_lag_records',
      'Log records that the local projection lacks, at most.',
      [],
      async set => set((await lag())?.records),
    );
    this.#gauge(
      'troupe_projection_lag_seconds',
      'Age of the oldest log record that the local projection lacks.',
      [],
      async set => {
        const behind = await lag();
        set(behind === null ? undefined : behind.ms / 1000);
      },
    );
    // The histogram of the event loop's lag wakes the process as often as it measures, and counts its own interval as lag:
    // `nodejs_eventloop_lag_seconds`, measured when somebody asks, is enough (MT3).
    collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: NEVER_MS });
    for (const what of ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'])
      this.#registry.removeSingleMetric(`nodejs_eventloop_lag_${what}_seconds`);
  }

  readonly took: Took = (stage, ms) => this.#stages[stage].took(ms);

  /** MT2 */
  absorb({ frames, stages }: Measured): void {
    if (frames > 0) this.#frames.inc(frames);
    for (const stage of STAGES) {
      const counted = stages[stage];
      if (counted !== undefined) this.#stages[stage].add(counted);
    }
  }

  ended(how: string): void {
    this.#ended.inc({ reason: ENDINGS.has(how) ? how : knownCode(how) });
  }

  restarted(code: string): void {
    this.#restarts.inc({ cause: knownCode(code) });
  }

  rejected(kind: string, code: string): void {
    this.#rejected.inc({ kind: ACTOR_KINDS.has(kind) ? kind : 'other', code: knownCode(code) });
  }

  reconnected(): void {
    this.#reconnects.inc();
  }

  answered(route: string | null, method: string, status: number, ms: number): void {
    const labels = { route: route ?? 'none', method: METHODS.has(method) ? method : 'other', status: String(status) };
    this.#http.observe(labels, ms / 1000);
  }

  /** MT3: as they are now. */
  async families(): Promise<Family[]> {
    const known = (await this.#registry.getMetricsAsJSON()) as unknown as Family[];
    return [
      ...known.map(({ name, help, type, values }) => {
        // The event loop's lag is NaN until it was measured: no number, neither here nor in JSON.
        return { name, help, type, values: values.filter(({ value }) => Number.isFinite(value)) };
      }),
      this.#stageFamily(),
    ];
  }

  #stageFamily(): Family {
    const values = STAGES.flatMap(stage => {
      const { counts, sumMs } = this.#stages[stage].now;
      let below = 0;
      const buckets = counts.map((count, i) => {
        const bound = BOUNDS_MS[i];
        below += count;
        const le = bound === undefined ? '+Inf' : bound / 1000;
        return { value: below, labels: { le, stage }, metricName: `${STAGE_METRIC}_bucket` };
      });
      return [
        ...buckets,
        { value: sumMs / 1000, labels: { stage }, metricName: `${STAGE_METRIC}_sum` },
        { value: below, labels: { stage }, metricName: `${STAGE_METRIC}_count` },
      ];
    });
    const help = 'Time in a stage: decode, infer and post_process of a frame, append and project of a batch.';
    return { name: STAGE_METRIC, help, type: 'histogram', values };
  }

  #counter<L extends string = never>(name: string, help: string, labelNames: L[] = []): Counter<L> {
    return new Counter({ name, help, labelNames, registers: [this.#registry] });
  }

  /** @param read sets what there is; what is undefined is not shown */
  #gauge<L extends string>(
    name: string,
    help: string,
    labelNames: L[],
    read: (set: (value: number | undefined, labels?: Record<L, string>) => void) => void | Promise<void>,
  ): void {
    const gauge = new Gauge({
      name,
      help,
      labelNames,
      registers: [],
      async collect() {
        this.reset();
        if (labelNames.length === 0) this.remove();
        await read((value, labels) => {
          if (value === undefined) return;
          if (labels === undefined) this.set(value);
          else this.set(labels, value);
        });
      },
    });
    this.#registry.registerMetric(gauge);
  }
}

/** MT1 */
const knownCode = (code: string): string => (Object.hasOwn(PROBLEMS, code) ? code : 'other');
