/**
 * What can go wrong at each await of a process: every method of every port that waits, and the ways in which it may end. A cell
 * of this table that no seed of CI meets fails its test.
 *
 * FT1 Whether a call meets a fault is decided by the seed, the process' name, the operation and how many of them it has made: a
 *     decision that is taken out of a plan changes no other.
 */

/**
 * - `refused`: definitely nothing happened; asked again it may work. `full`: the mailbox has no room.
 * - `lost`: a time-out, nothing was stored. `landed`: a time-out, and it was. `late`: it takes seconds.
 * - `pending`: a time-out of a proposal that is applied seconds later; until then the same write again is refused with 10164.
 * - `slow`: the answer takes its time. `silent`: there is none in time. `broken`: a read ends with an error.
 * - `twice`: a message comes two times. `failed`: the work itself breaks. `stuck`: it never ends. `dead`: the process ends at once.
 */
export type Fault =
  | 'refused'
  | 'full'
  | 'lost'
  | 'landed'
  | 'late'
  | 'pending'
  | 'slow'
  | 'silent'
  | 'broken'
  | 'twice'
  | 'failed'
  | 'stuck'
  | 'dead';

const READ = ['refused', 'slow', 'silent'] as const;
const ORDER = ['refused', 'lost', 'landed', 'late'] as const;
const CONDITIONAL = ['refused', 'lost', 'landed', 'late', 'pending'] as const;
const STREAM = ['slow', 'broken'] as const;

export const FAULTS = {
  'store.get': READ,
  'store.put': CONDITIONAL,
  'store.delete': CONDITIONAL,
  'store.tidy': ORDER,
  'store.watch': STREAM,
  'mailbox.send': ['refused', 'full', 'lost', 'landed', 'late'],
  'mailbox.read': STREAM,
  'mailbox.purge': ORDER,
  'log.last': READ,
  'log.append': CONDITIONAL,
  'log.identity': READ,
  'log.timeOf': READ,
  'log.next': READ,
  'log.read': STREAM,
  'log.purge': ORDER,
  'journal.append': ORDER,
  'journal.read': STREAM,
  'journal.extent': READ,
  'journal.stored': STREAM,
  'bus.publish': ['lost', 'late', 'twice'],
  'bus.request': ['lost', 'late'],
  'bus.flush': ['refused', 'slow'],
  'clock.timer': ['late'],
  'clock.sleep': ['late'],
  'launcher.launch': ['refused', 'slow', 'dead'],
  'models.resolve': ['refused', 'slow'],
  'source.resolve': ['refused', 'slow'],
  'decoder.probe': ['refused', 'slow', 'silent'],
  'decoder.identify': ['refused', 'slow'],
  'decoder.decode': ['failed', 'slow', 'stuck'],
  'inference.open': ['failed', 'slow'],
  'inference.infer': ['failed', 'slow', 'stuck'],
  'projection.apply': ['full'],
  'projection.reset': ['full'],
  'projection.forget': ['full'],
} as const satisfies Record<string, readonly Fault[]>;

export type Operation = keyof typeof FAULTS;

export const OPERATIONS = Object.keys(FAULTS) as readonly Operation[];

/** How much more, or less, often than the plan's rate an operation meets a fault: some are done all the time, some hardly ever. */
const WEIGHTS: Partial<Record<Operation, number>> = {
  'clock.timer': 0.05,
  'clock.sleep': 0.2,
  'bus.publish': 0.5,
  'inference.infer': 0.1,
  'decoder.decode': 0.5,
  'log.read': 0.3,
  'store.watch': 0.3,
  'mailbox.read': 0.3,
  'store.delete': 4,
  'store.tidy': 6,
  'log.purge': 12,
  'log.timeOf': 4,
  'projection.reset': 6,
  'projection.forget': 4,
  'launcher.launch': 2,
};

/** FT1: a decision as a plan names it. */
export const decisionId = (process: string, operation: Operation, turn: number): string =>
  `${process} ${operation} ${turn}`;

export interface Decision {
  readonly id: string;
  readonly operation: Operation;
  readonly fault: Fault;
}

export interface WeatherSettings {
  readonly seed: number;
  /** Share of operations that meet a fault. */
  readonly rate: number;
  /** Those that do at all. */
  readonly operations: ReadonlySet<Operation>;
  /** Only these decisions, of all that the seed would make; null: all. */
  readonly only: ReadonlySet<string> | null;
}

/** The faults of one run. */
export class Weather {
  /** Every fault met, in order. */
  readonly met: Decision[] = [];
  readonly #settings: WeatherSettings;
  #calm = false;

  constructor(settings: WeatherSettings) {
    this.#settings = settings;
  }

  get seed(): number {
    return this.#settings.seed;
  }

  /** From now on nothing goes wrong any more. */
  calm(): void {
    this.#calm = true;
  }

  /** Or else. */
  rise(): void {
    this.#calm = false;
  }

  /** FT1. @param base hash of the process and the operation */
  decide(process: string, operation: Operation, base: number, turn: number): Fault | null {
    if (this.#calm) return null;
    const { rate, operations, only } = this.#settings;
    const share = rate * (WEIGHTS[operation] ?? 1);
    const chance = fraction(mix(base, turn));
    if (chance >= share || !operations.has(operation)) return null;
    const id = decisionId(process, operation, turn);
    if (only !== null && !only.has(id)) return null;
    const possible: readonly Fault[] = FAULTS[operation];
    const fault = possible[Math.floor((chance / share) * possible.length)];
    if (fault === undefined) return null;
    this.met.push({ id, operation, fault });
    return fault;
  }
}

/** A hash of a text and a number. */
export function hashOf(text: string, seed: number): number {
  let hash = 0x811c9dc5 ^ seed;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return mix(hash, seed);
}

/** Two numbers into one that tells nothing of them (the finaliser of MurmurHash3). */
export function mix(a: number, b: number): number {
  let z = (a ^ Math.imul(b + 1, 0x9e3779b9)) >>> 0;
  z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
  z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
  return (z ^ (z >>> 16)) >>> 0;
}

/** In [0, 1). */
export const fraction = (hash: number): number => hash / 2 ** 32;
