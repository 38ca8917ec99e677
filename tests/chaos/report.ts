/**
 * What a storm did and found, for people: how often each fault met each victim, and how long it took until everything went on.
 *
 * RP1 Recovery is timed by what was stored, by the servers' clock: when the attempt that was struck was known to be dead, when the
 *     next was placed, had opened the log, and had its first result in it. Only strikes that were alone in their volley count.
 */
import type { Harness } from './harness.ts';
import { type Cell, cellName } from './plan.ts';
import type { Met, Storm } from './storm.ts';

export const STAGES = ['detected', 'placed', 'opened', 'first result'] as const;
export type RecoveryStage = (typeof STAGES)[number];

/** ms from the strike to each stage, of one scenario whose attempt it ended; absent where it is not known. */
export type Recovery = Readonly<Partial<Record<RecoveryStage, number>>>;

/** RP1: of every scenario whose attempt a strike ended. */
export function recoveries(
  { log, facts }: Pick<Harness, 'log' | 'facts'>,
  met: readonly Met[],
  settledAt: readonly number[],
): Recovery[] {
  return met.flatMap(({ at, alone }) => {
    const settled = settledAt.find(time => time >= at) ?? Number.POSITIVE_INFINITY;
    if (!alone) return [];
    const within = facts.filter(fact => fact.at >= at && fact.at <= settled);
    return within.flatMap(fact => {
      const attempt = Number(fact.body['attempt']);
      const ends = fact.type === 'lost' || (fact.type === 'exited' && fact.body['result'] === null);
      const isFirst =
        within.find(other => other.scenario === fact.scenario && ['lost', 'exited'].includes(other.type)) === fact;
      if (!ends || !isFirst) return [];
      const placed = facts.find(
        other => other.scenario === fact.scenario && other.type === 'placed' && Number(other.body['attempt']) > attempt,
      );
      const records = log.filter(({ key, record }) => key.scenario === fact.scenario && record.attempt > attempt);
      const opened = records.find(({ record }) => record.kind === 'open');
      const first = records.find(({ record }) => record.kind === 'frames');
      const since = (time: number | undefined): number | undefined => (time === undefined ? undefined : time - at);
      const stages = {
        detected: since(fact.at),
        placed: since(placed?.at),
        opened: since(opened?.at),
        'first result': since(first?.at),
      };
      return [Object.fromEntries(Object.entries(stages).filter(([, ms]) => ms !== undefined)) as Recovery];
    });
  });
}

export interface Tally {
  readonly cells: ReadonlyMap<string, number>;
  readonly strikes: number;
  readonly kills: number;
  readonly missed: number;
  readonly gaveUp: number;
  readonly scenarios: number;
  readonly recoveries: readonly Recovery[];
  /** From the end of a volley until everything went on. */
  readonly findings: readonly string[];
}

export function tallyOf(storm: Storm, findings: readonly string[]): Tally {
  const cells = new Map<string, number>();
  for (const met of storm.met) cells.set(cellName(met), (cells.get(cellName(met)) ?? 0) + 1);
  return {
    cells,
    strikes: storm.met.length,
    kills: storm.met.filter(({ fault }) => fault === 'kill').length,
    missed: storm.missed,
    gaveUp: storm.gaveUp,
    scenarios: storm.jobs.length,
    recoveries: recoveries(storm.harness, storm.met, storm.settledAt),
    findings,
  };
}

export function sum(tallies: readonly Tally[]): Tally {
  const cells = new Map<string, number>();
  for (const tally of tallies) for (const [cell, n] of tally.cells) cells.set(cell, (cells.get(cell) ?? 0) + n);
  const add = (of: (tally: Tally) => number): number => tallies.reduce((total, tally) => total + of(tally), 0);
  return {
    cells,
    strikes: add(t => t.strikes),
    kills: add(t => t.kills),
    missed: add(t => t.missed),
    gaveUp: add(t => t.gaveUp),
    scenarios: add(t => t.scenarios),
    recoveries: tallies.flatMap(t => t.recoveries),
    findings: tallies.flatMap(t => t.findings),
  };
}

/** Cells that nobody was met by. */
export const unmet = (cells: readonly Cell[], tally: Tally): string[] =>
  cells.map(cellName).filter(cell => !tally.cells.has(cell));

export function written(tally: Tally): string {
  const { strikes, kills, scenarios, missed, gaveUp } = tally;
  const lines = [`${strikes} strikes, ${kills} of them kills; ${scenarios} scenarios completed`];
  if (missed > 0) lines.push(`${missed} strikes met nobody`);
  if (gaveUp > 0)
    lines.push(`${gaveUp} times a scenario gave up after five attempts without a new frame, and was started again`);
  const victims = [...new Set([...tally.cells.keys()].map(cell => cell.split(' ')[1] ?? ''))].toSorted();
  for (const victim of victims) {
    const of = [...tally.cells]
      .filter(([cell]) => cell.endsWith(` ${victim}`))
      .toSorted(([a], [b]) => (a < b ? -1 : 1));
    lines.push(`  ${victim.padEnd(11)}${of.map(([cell, n]) => `${cell.split(' ')[0]} ${n}`).join(', ')}`);
  }
  lines.push('ms from a strike until                n  median     p95     max');
  for (const stage of STAGES) {
    const times = tally.recoveries.flatMap(recovery => recovery[stage] ?? []).sort((a, b) => a - b);
    const row = [times.length, quantile(times, 0.5), quantile(times, 0.95), times.at(-1) ?? 0];
    lines.push(
      `  ${LABELS[stage].padEnd(30)}${row.map((n, i) => String(Math.round(n)).padStart(i === 0 ? 7 : 8)).join('')}`,
    );
  }
  lines.push(tally.findings.length === 0 ? 'every promise held' : `${tally.findings.length} promises did not hold:`);
  return [...lines, ...tally.findings.map(finding => `  ${finding}`)].join('\n');
}

const LABELS: Readonly<Record<RecoveryStage, string>> = {
  detected: 'the death is known',
  placed: 'the next attempt is placed',
  opened: 'it has opened the log',
  'first result': 'its first result is stored',
};

const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
