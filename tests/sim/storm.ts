/**
 * The plan of a run: what there is, what is asked of it and what strikes it, made from a seed and from nothing else. A plan is
 * data: without some of its strikes, or with some of its faults only, it runs as well (shrink.ts).
 */
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import { OPERATIONS, type Operation } from './faults.ts';

export interface ScenarioPlan {
  readonly id: string;
  readonly frames: number;
  /** The frame at which every decoder fails; null: none. */
  readonly poison: number | null;
  readonly onFrameError: 'fail' | 'skip';
  /** What somebody wants of it when the storm is over. */
  readonly wanted: 'completed' | 'stopped' | 'deleted';
  readonly restart: { readonly intensity: number; readonly periodMs: number };
}

export interface NodePlan {
  readonly name: string;
  readonly roles: readonly ('orchestrator' | 'runner' | 'api')[];
  readonly slots: number;
  /** Its wall clock against the world's, and the rate of its monotonic one. */
  readonly wallOffsetMs: number;
  readonly rate: number;
}

/** How a command comes: as a stranger's publish, once or twice; or through a node's gateway, with or without a key. */
export type Way =
  | { readonly kind: 'bare'; readonly times: number }
  | { readonly kind: 'api'; readonly node: number; readonly key: string | null };

export type Deed =
  | { readonly kind: 'kill runner'; readonly scenario: string }
  | { readonly kind: 'freeze runner'; readonly scenario: string; readonly forMs: number }
  | { readonly kind: 'cut runner'; readonly scenario: string; readonly forMs: number }
  | { readonly kind: 'kill node'; readonly node: string; readonly forMs: number }
  | { readonly kind: 'freeze node'; readonly node: string; readonly forMs: number }
  | { readonly kind: 'cut node'; readonly node: string; readonly forMs: number; readonly runners: boolean }
  | { readonly kind: 'sever'; readonly a: string; readonly b: string; readonly forMs: number }
  | { readonly kind: 'stop node'; readonly node: string; readonly forMs: number }
  | { readonly kind: 'drain node'; readonly node: string; readonly forMs: number }
  | { readonly kind: 'crash server'; readonly forMs: number }
  | { readonly kind: 'kill everything'; readonly forMs: number }
  | { readonly kind: 'copy store' }
  | { readonly kind: 'restore store'; readonly forMs: number; readonly everything: boolean }
  | { readonly kind: 'slow disk'; readonly ms: number; readonly forMs: number }
  | { readonly kind: 'jump clock'; readonly node: string; readonly byMs: number }
  | {
      readonly kind: 'command';
      readonly scenario: string;
      readonly verb: string;
      readonly body: unknown;
      readonly way: Way;
    }
  /** A stranger's message where only records belong, and to nobody. */
  | { readonly kind: 'stray'; readonly subject: string; readonly body: string };

export interface Strike {
  readonly atMs: number;
  readonly deed: Deed;
}

const KINDS: Readonly<Record<Deed['kind'], true>> = {
  'kill runner': true,
  'freeze runner': true,
  'cut runner': true,
  'kill node': true,
  'freeze node': true,
  'cut node': true,
  sever: true,
  'stop node': true,
  'drain node': true,
  'crash server': true,
  'kill everything': true,
  'copy store': true,
  'restore store': true,
  'slow disk': true,
  'jump clock': true,
  command: true,
  stray: true,
};

export const STRIKES = Object.keys(KINDS) as readonly Deed['kind'][];

export interface Plan {
  readonly seed: number;
  readonly partitions: number;
  readonly scenarios: readonly ScenarioPlan[];
  readonly nodes: readonly NodePlan[];
  /** Share of operations that meet a fault, and the operations that do. */
  readonly rate: number;
  readonly operations: readonly Operation[];
  readonly latencyMs: number;
  readonly strikes: readonly Strike[];
  readonly stormMs: number;
  /** How long time goes on when everything is done, with faults: for what is done every few minutes. */
  readonly nightMs: number;
  /** Only these faults (decisionId); null: all that the seed makes. */
  readonly only: readonly string[] | null;
}

const ROLES: readonly NodePlan['roles'][] = [['orchestrator', 'runner', 'api'], ['orchestrator', 'runner'], ['runner']];
const NAMES = ['n1', 'n2', 'n3'];
const LONGEST_JUMP_MS = 600_000;

export function planOf(seed: number): Plan {
  const random = new SeededRandom(Math.imul(seed, 0x9e3779b9) ^ 0x5bd1e995);
  const chance = (share: number): boolean => random.float() < share;
  const below = (most: number): number => Math.floor(random.float() * most);
  const between = (least: number, most: number): number => Math.round(least + random.float() * (most - least));
  const pick = <T>(items: readonly T[]): T => items[below(items.length)] as T;

  const wanted = (): ScenarioPlan['wanted'] => (chance(0.7) ? 'completed' : chance(0.5) ? 'stopped' : 'deleted');
  const scenarios: ScenarioPlan[] = ['a', 'b', 'c'].slice(0, 1 + below(3)).map(id => ({
    id,
    frames: between(10, 50),
    poison: null,
    onFrameError: chance(0.2) ? 'skip' : 'fail',
    wanted: wanted(),
    restart: chance(0.3) ? { intensity: 3, periodMs: 60_000 } : { intensity: 1000, periodMs: 1000 },
  }));
  if (chance(0.15)) {
    const restart = { intensity: pick([0, 2, 1000]), periodMs: 60_000 };
    scenarios.push({ id: 'p', frames: 30, poison: below(20), onFrameError: 'fail', wanted: wanted(), restart });
  }
  const skewed = chance(0.3);
  const mirrors = chance(0.4);
  const nodes: NodePlan[] = NAMES.slice(0, chance(0.4) ? 2 : 3).map((name, i) => ({
    name,
    roles: (i === 2 && mirrors ? ['runner', 'api'] : ROLES[i]) as NodePlan['roles'],
    slots: pick([1, 2, 4, 8]),
    wallOffsetMs: skewed ? between(-60_000, 60_000) : 0,
    rate: skewed ? 0.98 + random.float() * 0.04 : 1,
  }));
  const rate = pick([0, 0.005, 0.02, 0.05]);
  const operations = chance(0.5) ? OPERATIONS : OPERATIONS.filter(() => chance(0.4));
  const stormMs = between(5_000, 20_000);
  const names = nodes.map(node => node.name);

  const way = (): Way =>
    chance(0.4)
      ? { kind: 'bare', times: chance(0.2) ? 2 : 1 }
      : { kind: 'api', node: below(3), key: chance(0.3) ? `k${below(3)}` : null };
  const command = (): Deed => {
    const scenario = pick(scenarios);
    const roll = random.float();
    const ordered = (verb: string, body: unknown = {}): Deed => ({
      kind: 'command',
      scenario: scenario.id,
      verb,
      body,
      way: way(),
    });
    if (roll < 0.3) return ordered('stop');
    if (roll < 0.55) return ordered('start');
    if (roll < 0.65) return ordered('start', { from: 'start' });
    if (roll < 0.75) return ordered('start', requestOf(scenario));
    if (roll < 0.82) return ordered('create', { ...requestOf(scenario), ...(chance(0.3) ? { start: false } : {}) });
    if (roll < 0.92) return ordered('delete');
    return ordered(pick(['start', 'stop', 'begin']), { rubbish: below(1000) });
  };
  // Which kinds of strikes this run has at all, and how often: a few of them often finds more than all of them seldom.
  const disaster = chance(0.3);
  const forMs = (most: number): number => between(20, most);
  const node = (): string => pick(names);
  const possible: readonly (readonly [number, () => Deed])[] = [
    [4, command],
    [3, () => ({ kind: 'kill runner', scenario: pick(scenarios).id })],
    [2, () => ({ kind: 'freeze runner', scenario: pick(scenarios).id, forMs: forMs(12_000) })],
    [1, () => ({ kind: 'cut runner', scenario: pick(scenarios).id, forMs: forMs(20_000) })],
    [2, () => ({ kind: 'kill node', node: node(), forMs: forMs(8_000) })],
    [2, () => ({ kind: 'freeze node', node: node(), forMs: forMs(14_000) })],
    [1, () => ({ kind: 'cut node', node: node(), forMs: forMs(20_000), runners: chance(0.5) })],
    [1, () => ({ kind: 'sever', a: pick(names), b: pick(names), forMs: forMs(15_000) })],
    [1, () => ({ kind: 'stop node', node: node(), forMs: forMs(8_000) })],
    [1, () => ({ kind: 'drain node', node: node(), forMs: forMs(8_000) })],
    [1, () => ({ kind: 'crash server', forMs: forMs(9_000) })],
    [1, () => ({ kind: 'slow disk', ms: pick([20, 300, 2_000]), forMs: forMs(8_000) })],
    [1, () => ({ kind: 'jump clock', node: node(), byMs: between(-LONGEST_JUMP_MS, LONGEST_JUMP_MS) })],
    [
      0.7,
      () => ({
        kind: 'stray',
        subject: pick(STRAYS).replace('ID', pick(scenarios).id),
        body: pick(['', '{}', '{"v":1']),
      }),
    ],
    [disaster ? 1 : 0, () => ({ kind: 'kill everything', forMs: forMs(8_000) })],
    [disaster ? 1 : 0, () => ({ kind: 'copy store' })],
    [disaster ? 0.7 : 0, () => ({ kind: 'restore store', forMs: forMs(5_000), everything: chance(0.5) })],
  ];
  const deeds = possible.map(([weight, make]) => [chance(0.35) ? 0 : weight, make] as const);
  const all = deeds.reduce((sum, [weight]) => sum + weight, 0);
  const anyDeed = (): Deed => {
    let roll = random.float() * all;
    for (const [weight, make] of deeds) {
      roll -= weight;
      if (roll < 0) return make();
    }
    return command();
  };
  const begun: Strike[] = scenarios.map(scenario => ({
    atMs: below(3_000),
    deed: { kind: 'command', scenario: scenario.id, verb: 'start', body: requestOf(scenario), way: way() },
  }));
  const strikes = Array.from({ length: 2 + below(22) }, () => ({ atMs: below(stormMs), deed: anyDeed() })).flatMap(
    (strike): Strike[] =>
      strike.deed.kind === 'restore store'
        ? [{ atMs: below(strike.atMs), deed: { kind: 'copy store' } }, strike]
        : [strike],
  );
  return {
    seed,
    partitions: chance(0.85) ? 4 : 16,
    scenarios,
    nodes,
    rate,
    operations,
    latencyMs: chance(0.2) ? pick([1, 5, 40]) : 0,
    strikes: [...begun, ...strikes].sort((a, b) => a.atMs - b.atMs),
    stormMs,
    nightMs: chance(0.04) ? 330_000 : 0,
    only: null,
  };
}

/** A plan in which nothing happens: for tests that strike where they want. */
export const quietPlan = (seed: number, nodes: readonly NodePlan[]): Plan => ({
  seed,
  partitions: 16,
  scenarios: [],
  nodes,
  rate: 0,
  operations: [],
  latencyMs: 0,
  strikes: [],
  stormMs: 0,
  nightMs: 0,
  only: null,
});

const STRAYS = [
  'troupe.prediction.ID.1.0',
  'troupe.cmd.stranger.ID.start',
  'troupe.cmd.scenario.ID.start',
  'troupe.sys.scenario.ID.progressed',
  'troupe.event.scenario.ID.state',
];

/** The whole request of a scenario. */
export const requestOf = ({ id, frames, poison, onFrameError, restart }: ScenarioPlan) => ({
  source: { uri: poison === null ? `v${frames}` : `p${frames}-${poison}` },
  model: 'scripted',
  onFrameError,
  restart,
  ...(id === 'b' ? { threshold: 0.3 } : {}),
});
