/**
 * Between two starts of a scenario no more than `fruitlessAttempts` runners in a row are launched without a new frame in the log; no
 * more fruitless ones are replaced in its period than its own limits allow; and a failure is earned: by as many fruitless launches
 * in a row, by more restarts in the period than it may have, or by what never passes and has really happened.
 *
 * RS1 A restored store forgets restarts: the rows that have an upper bound begin anew with it, those that earn a failure go on.
 * RS2 Periods are told by the owner's wall clock: where clocks are set or go wrong, only the number is looked at.
 */
import { PERMANENT_CODES, type ProblemCode } from '../../../src/domain/errors.ts';
import { LIMITS } from '../../../src/domain/limits.ts';
import type { ScenarioDoc } from '../../../src/domain/scenario-doc.ts';
import { type Event, type Evidence, scenarioCommits } from '../history.ts';
import type { Plan, ScenarioPlan } from '../storm.ts';

interface Launch {
  readonly process: string;
  readonly atMs: number;
  fruitful: boolean;
}

export function restarts({ plan, history }: Evidence): readonly string[] {
  const found: string[] = [];
  const docs = new Map(scenarioCommits(history.commits()).map(({ index, id, doc }) => [index, { id, doc }]));
  const isTimed = hasTrueClocks(plan);
  for (const scenario of plan.scenarios) {
    const { id } = scenario;
    const row = new Row(scenario, isTimed);
    for (const event of history.standing) {
      if (event.kind === 'launched' && event.attempt.scenario === id)
        found.push(...row.launched(event.process, event.atMs));
      else if (event.kind === 'broke' && event.scenario === id) row.broken.add(event.code);
      else if (event.kind === 'restored') row.restored();
      else if (event.kind === 'stored' && isNew(event.subject, id, event.body)) row.committed(event.body);
      else if (event.kind === 'stored' && docs.get(event.index)?.id === id)
        found.push(...row.moved(event, docs.get(event.index)?.doc ?? null));
    }
    if (scenario.poison !== null && row.doc?.state === 'inactive' && row.doc.outcome === 'completed')
      found.push(`${id} cannot be decoded, and is completed`);
  }
  return found;
}

/** What happened to one scenario since it was last started. */
class Row {
  readonly broken = new Set<string>();
  doc: ScenarioDoc | null = null;
  readonly #scenario: ScenarioPlan;
  readonly #isTimed: boolean;
  #launches: Launch[] = [];
  /** RS1: of them, those since the store was restored. */
  #counted: Launch[] = [];

  constructor(scenario: ScenarioPlan, isTimed: boolean) {
    this.#scenario = scenario;
    this.#isTimed = isTimed;
  }

  launched(process: string, atMs: number): readonly string[] {
    const { id, restart } = this.#scenario;
    const found: string[] = [];
    const launch: Launch = { process, atMs, fruitful: false };
    this.#launches.push(launch);
    this.#counted.push(launch);
    const fruitless = this.#counted.slice(this.#counted.findLastIndex(({ fruitful }) => fruitful) + 1);
    if (fruitless.length > LIMITS.fruitlessAttempts)
      found.push(
        `${id}: ${fruitless.length} launches in a row without a new frame: ${fruitless.map(nameOf).join(', ')}`,
      );
    // Each of them was replaced after it was launched and before this one was.
    const replaced = this.#counted.filter(
      other => other !== launch && !other.fruitful && atMs - other.atMs < 0.9 * restart.periodMs,
    );
    if (this.#isTimed && replaced.length > restart.intensity)
      found.push(
        `${id}: ${replaced.length} restarts in ${restart.periodMs} ms, at most ${restart.intensity}: ${process}`,
      );
    return found;
  }

  /** The launch whose frames they are. */
  committed(body: Uint8Array): void {
    const { attempt } = JSON.parse(Buffer.from(body).toString()) as { readonly attempt: number };
    for (const launch of this.#launches)
      if (launch.process.split('@')[0]?.endsWith(`.${attempt}`)) launch.fruitful = true;
  }

  restored(): void {
    this.#counted = [];
  }

  moved({ atMs }: Event, doc: ScenarioDoc | null): readonly string[] {
    const before = this.doc;
    this.doc = doc;
    const hasFailed = isFailing(doc) && !isFailing(before);
    const found = hasFailed && doc !== null && !this.#isEarned(doc, atMs) ? [this.#unearned(doc)] : [];
    if (doc?.state === 'init_startup' && before?.state !== 'init_startup') {
      this.#launches = [];
      this.#counted = [];
      this.broken.clear();
    }
    return found;
  }

  #isEarned({ error }: ScenarioDoc, atMs: number): boolean {
    if (error === null) return false;
    if (PERMANENT_CODES.has(error.code as ProblemCode)) return this.broken.has(error.code);
    const { intensity, periodMs } = this.#scenario.restart;
    // Those that came of restarts in the period, and the one that ended now.
    const recent = this.#launches.filter(launch => !this.#isTimed || atMs - launch.atMs <= 1.1 * periodMs);
    if (recent.length >= Math.max(1, intensity) && this.#launches.length > intensity) return true;
    const last = this.#launches.slice(-LIMITS.fruitlessAttempts);
    return last.length === LIMITS.fruitlessAttempts && last.every(({ fruitful }) => !fruitful);
  }

  #unearned({ error }: ScenarioDoc): string {
    const launches = this.#launches.map(({ process, fruitful }) => `${process}${fruitful ? ' (frames)' : ''}`);
    return `${this.#scenario.id} fails (${error?.code}: ${error?.message}) after ${launches.join(', ') || 'nothing'}`;
  }
}

const nameOf = ({ process }: Launch): string => process;
const isFailing = (doc: ScenarioDoc | null): boolean => doc?.ending === 'failed' || doc?.outcome === 'failed';

/** RS2 */
const hasTrueClocks = ({ nodes, strikes }: Plan): boolean =>
  nodes.every(({ rate, wallOffsetMs }) => rate === 1 && wallOffsetMs === 0) &&
  !strikes.some(({ deed }) => deed.kind === 'jump clock');

const FRAMES = Buffer.from('"kind":"frames"');
const START = Buffer.from('"kind":"open"');

const isNew = (subject: string, id: string, body: Uint8Array): boolean =>
  subject.startsWith(`troupe.prediction.${id}.`) &&
  Buffer.from(body).includes(FRAMES) &&
  !Buffer.from(body).includes(START);
