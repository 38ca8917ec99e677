/** What many runs say together: which promises were broken by which seeds, and how often each fault was met at each operation. */
import { PROMISES, type PromiseName } from './checkers.ts';
import { FAULTS, type Fault, OPERATIONS, type Operation } from './faults.ts';
import type { Outcome, Violation } from './simulate.ts';
import { STRIKES } from './storm.ts';

export interface Failure {
  readonly seed: number;
  readonly violations: readonly Violation[];
}

/** JSON, so that a worker can send it. */
export interface Report {
  seeds: number;
  virtualMs: number;
  readonly failures: Failure[];
  /** By `<operation> <fault>`, and `strike <kind>`. */
  readonly met: Record<string, number>;
  /** Hash of each run's trace, by seed. */
  readonly hashes: Record<number, string>;
}

export const emptyReport = (): Report => ({ seeds: 0, virtualMs: 0, failures: [], met: {}, hashes: {} });

const MOST_WORDS = 8;

export function addOutcome(report: Report, { plan, violations, met, struck, trace, evidence }: Outcome): void {
  report.seeds += 1;
  report.virtualMs += plan.stormMs + evidence.ending.tookMs + plan.nightMs;
  report.hashes[plan.seed] = trace.hash;
  if (violations.length > 0) report.failures.push({ seed: plan.seed, violations: violations.slice(0, MOST_WORDS) });
  for (const { operation, fault } of met) count(report, `${operation} ${fault}`, 1);
  for (const kind of struck) count(report, `strike ${kind}`, 1);
}

export function addReport(report: Report, other: Report): void {
  report.seeds += other.seeds;
  report.virtualMs += other.virtualMs;
  report.failures.push(...other.failures);
  report.failures.sort((a, b) => a.seed - b.seed);
  Object.assign(report.hashes, other.hashes);
  for (const [cell, times] of Object.entries(other.met)) count(report, cell, times);
}

const count = ({ met }: Report, cell: string, times: number): void => {
  met[cell] = (met[cell] ?? 0) + times;
};

export const failuresOf = ({ failures }: Report, promise: PromiseName): readonly Failure[] =>
  failures.filter(({ violations }) => violations.some(violation => violation.promise === promise));

/** Faults and strikes that met nobody in any run. */
export const emptyCells = ({ met }: Report): readonly string[] =>
  [
    ...OPERATIONS.flatMap(operation => FAULTS[operation].map(fault => `${operation} ${fault}`)),
    ...STRIKES.map(kind => `strike ${kind}`),
  ].filter(cell => met[cell] === undefined);

const COLUMNS: readonly Fault[] = [...new Set(OPERATIONS.flatMap((operation): readonly Fault[] => FAULTS[operation]))];

/** How often each fault was met at each operation; `·` where there is no such fault. */
export function* table(report: Report): Iterable<string> {
  const row = (first: string, cells: readonly string[]): string =>
    first.padEnd(18) + cells.map(cell => cell.padStart(8)).join('');
  yield row('', COLUMNS);
  for (const operation of OPERATIONS)
    yield row(
      operation,
      COLUMNS.map(fault => cellOf(report, operation, fault)),
    );
  yield '';
  for (const cell of STRIKES.map(kind => `strike ${kind}`)) yield `${cell.padEnd(26)}${report.met[cell] ?? 0}`;
}

function cellOf({ met }: Report, operation: Operation, fault: Fault): string {
  const possible: readonly Fault[] = FAULTS[operation];
  return possible.includes(fault) ? String(met[`${operation} ${fault}`] ?? 0) : '·';
}

/** What was broken, a line a promise and up to three seeds each. */
export function* verdicts(report: Report): Iterable<string> {
  for (const promise of PROMISES) {
    const failures = failuresOf(report, promise);
    yield `${failures.length === 0 ? 'kept  ' : 'BROKEN'} ${promise}${failures.length === 0 ? '' : ` (${failures.length} seeds)`}`;
    for (const { seed, violations } of failures.slice(0, 3)) {
      const first = violations.find(violation => violation.promise === promise);
      yield `         seed ${seed}: ${first?.what.split('\n')[0] ?? ''}`;
    }
  }
}
