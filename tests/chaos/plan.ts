/**
 * What is done to a cluster, decided beforehand by a seed: volleys of strikes, some of one alone, some of several that overlap.
 *
 * CP1 Equal seeds, equal plans. What a strike meets depends on where things run when its time comes; of what it may meet, its
 *     `pick` decides.
 * CP2 Every cell — a fault and a victim that fit — comes before any comes a second time.
 */
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import { LINK_MODES, type LinkMode } from './link.ts';

/**
 * - `runner`, `decoder`: of a scenario that runs; a decoder that stands still is a source that stalls. `spare`: an idle runner.
 * - `keeper`: the node of such a runner. `machine`: that node with all its runners, paused together: zombies when they wake.
 * - `owner`: the node that supervises the scenario. `api`: a node that serves. `server`: any nats-server. `leader`: the one that
 *   leads the prediction log. `everything`: each process that there is, servers too.
 * - `scenario`: stopped and started again by its user meanwhile. `disk`: the one that the store is on.
 */
export const VICTIMS = [
  ...(['runner', 'decoder', 'spare', 'keeper', 'machine', 'owner', 'api', 'server', 'leader'] as const),
  ...(['everything', 'scenario', 'disk'] as const),
] as const;
export type Victim = (typeof VICTIMS)[number];
export type Fault = 'kill' | 'freeze' | 'stop' | 'fill' | LinkMode;

export interface Cell {
  readonly fault: Fault;
  readonly victim: Victim;
}

export interface Strike extends Cell {
  readonly n: number;
  /** After the volley's beginning. */
  readonly afterMs: number;
  /** How long it lasts: a pause, a cut, or until what was killed and has nobody to restart it is started again. */
  readonly forMs: number;
  /** 0 ≤ pick < 1: which one of those that it may meet. */
  readonly pick: number;
}

export type Volley = readonly Strike[];

/** `one` nats-server or `three`, with nodes around; or `embedded`: one node that has everything, its nats-server too. */
export type Shape = 'one' | 'three' | 'embedded';

/**
 * Of the links between servers: who is cut off has clients still, and no majority. A leader stays cut off until the others have
 * elected another, and for the strike's time longer.
 */
const ROUTE_MODES: readonly LinkMode[] = ['cut', 'hold'];

const LINKED: readonly Victim[] = ['runner', 'keeper', 'owner', 'api'];

/** @param disk whether the store is on a disk that can be filled */
export function cellsOf(shape: Shape, disk = false): readonly Cell[] {
  const servers: readonly Victim[] = shape === 'three' ? ['server', 'leader'] : ['server'];
  const nodes: readonly Victim[] = shape === 'embedded' ? ['keeper'] : ['keeper', 'owner', 'api'];
  const cells: Cell[] = [];
  for (const victim of ['runner', 'decoder', 'spare', ...nodes, ...servers, 'everything'] as const)
    cells.push({ fault: 'kill', victim });
  for (const victim of ['runner', 'decoder', 'machine', ...nodes, ...servers] as const)
    cells.push({ fault: 'freeze', victim });
  cells.push({ fault: 'stop', victim: 'scenario' });
  if (shape !== 'embedded') for (const victim of LINKED) for (const fault of LINK_MODES) cells.push({ fault, victim });
  if (shape === 'three')
    for (const victim of ['server', 'leader'] as const) for (const fault of ROUTE_MODES) cells.push({ fault, victim });
  if (disk) cells.push({ fault: 'fill', victim: 'disk' });
  return cells;
}

export interface PlanSize {
  readonly volleys: number;
  /** Most strikes of one volley. */
  readonly most: number;
  /** The longest that a pause or a cut lasts. */
  readonly longestMs: number;
  /** How often a cell comes again, beside the others, once every one has come. */
  readonly again: (cell: Cell) => number;
  /** Of 1: how many volleys are one strike alone. */
  readonly alone: number;
}

/** CP1, CP2 */
export function planOf(seed: number, cells: readonly Cell[], size: PlanSize): readonly Volley[] {
  const random = new SeededRandom(seed);
  const whole = (below: number): number => Math.floor(random.float() * below);
  const pool = shuffled(cells, whole);
  const again = cells.flatMap(cell => Array.from({ length: size.again(cell) }, () => cell));
  let n = 0;
  return Array.from({ length: size.volleys }, () => {
    const strikes = random.float() < size.alone ? 1 : 2 + whole(size.most - 1);
    return Array.from({ length: strikes }, (_, i): Strike => {
      const cell = pool.pop() ?? again[whole(again.length)] ?? { fault: 'kill', victim: 'runner' };
      // Half of them soon over: before anybody notices, or while it is just being noticed.
      const forMs = Math.round(random.float() * (random.float() < 0.5 ? 800 : size.longestMs));
      return { n: ++n, ...cell, afterMs: i === 0 ? 0 : whole(1_500), forMs, pick: random.float() };
    });
  });
}

function shuffled<T>(items: readonly T[], whole: (below: number) => number): T[] {
  const left = [...items];
  const out: T[] = [];
  while (left.length > 0) out.push(...left.splice(whole(left.length), 1));
  return out;
}

export const cellName = ({ fault, victim }: Cell): string => `${fault} ${victim}`;
