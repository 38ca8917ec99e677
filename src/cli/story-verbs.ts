/** The verbs that tell what happened: to one scenario, and to commands that were refused. */
import { TroupeError } from '../domain/errors.ts';
import type { ScenarioView } from '../domain/scenario.ts';
import type { TimelineItem } from '../domain/scenario-facts.ts';
import { stateOf } from './scenario-verbs.ts';
import { plain, table } from './terminal.ts';
import { JSON_OPTION, option, REACHING, type Verb } from './verb.ts';

export const explain: Verb = {
  usage: 'explain <id>',
  says: "a scenario's timeline: attempts, refusals of nodes, detections of death, fences, seeks, and why",
  options: [option('--run <n>', 'of this run alone (all)'), JSON_OPTION, ...REACHING],
  examples: ['explain cam1', 'explain cam1 --run 2', "explain cam1 --json | jq -r '.items[].text'"],
  async act(call) {
    const client = call.client();
    const timeline = await client.timeline(call.id, call.given.run);
    return call.answer(timeline, story(timeline, await scenarioOrNull()));

    /** A deleted one has a timeline for as long as its facts are kept. */
    async function scenarioOrNull(): Promise<ScenarioView | null> {
      try {
        return await client.scenario(call.id);
      } catch (error) {
        if (error instanceof TroupeError && error.code === 'scenario_not_found') return null;
        throw error;
      }
    }
  },
};

export const rejected: Verb = {
  usage: 'rejected',
  says: 'list the commands of the last 24 hours that were refused, the newest first, and why',
  options: [JSON_OPTION, ...REACHING],
  examples: ['rejected', "rejected --json | jq '.items[0]'"],
  async act(call) {
    const page = await call.client().rejected();
    const rows = page.items.map(({ at, kind, id, verb, problem }) => [
      at,
      `${kind}.${id}.${verb}`,
      problem.code,
      problem.message,
    ]);
    const more = page.nextCursor === undefined ? '' : '\n… and older ones';
    if (rows.length === 0) return call.answer(page, 'No command was refused in the last 24 hours.');
    return call.answer(page, `${table(['AT', 'COMMAND', 'CODE', 'WHY'], rows)}${more}`);
  },
};

interface Timeline {
  readonly items: readonly TimelineItem[];
  readonly omitted: number;
}

/** A line a fact: when, after the first of them; which run, segment and attempt, where there is more than one; what. */
function story({ items, omitted }: Timeline, scenario: ScenarioView | null): string {
  const [first] = items;
  if (first === undefined)
    return scenario === null ? 'Nothing is known of it.' : `${stateOf(scenario)}: nothing happened yet.`;
  const runs = new Set(items.map(({ run }) => run)).size > 1;
  const segments = new Set(items.map(({ segment }) => segment ?? 0)).size > 1;
  const rows = items.map(item => [
    since(first.at, item.at),
    [
      ...(runs && item.run !== undefined ? [`run ${item.run}`] : []),
      ...(segments && item.segment !== undefined ? [`segment ${item.segment}`] : []),
    ].join(' '),
    item.text,
  ]);
  const widths = [0, 1].map(i => Math.max(...rows.map(row => row[i]?.length ?? 0)));
  const lines = rows.map(([when = '', where = '', text = '']) => {
    const place = widths[1] === 0 ? '' : `${where.padEnd(widths[1] ?? 0)}  `;
    return plain(`${when.padStart(widths[0] ?? 0)}  ${place}${text}`);
  });
  return [
    plain(heading(scenario, first.at)),
    ...(omitted > 0 ? [`(${omitted} facts before these are left out)`] : []),
    ...lines,
    ...(scenario === null ? [] : ['', plain(ending(scenario))]),
  ].join('\n');
}

const heading = (scenario: ScenarioView | null, at: string): string =>
  scenario === null
    ? `deleted; its facts since ${at}`
    : `${scenario.id}: ${scenario.spec.model} over ${scenario.spec.source.uri}, since ${at}`;

/** How it stands, and what may be done. */
function ending(scenario: ScenarioView): string {
  const { id, state, outcome, error } = scenario;
  if (state !== 'inactive') return `${stateOf(scenario)}. See it at work: troupe watch ${id}`;
  if (outcome === 'failed') {
    const why = error === null ? '' : `: ${error.message} (${error.code})`;
    return `${stateOf(scenario)}${why}. When the cause is gone, go on: troupe start ${id}`;
  }
  if (outcome === 'completed') return `${stateOf(scenario)}. Its results: troupe export ${id}`;
  return `${stateOf(scenario)}. Go on: troupe start ${id}`;
}

/** `+12.345 s`, `+1:02:03.456`. */
function since(start: string, at: string): string {
  const ms = Date.parse(at) - Date.parse(start);
  const sign = ms < 0 ? '-' : '+';
  const seconds = Math.abs(ms) / 1000;
  if (seconds < 60) return `${sign}${seconds.toFixed(3)} s`;
  const two = (n: number): string => String(Math.floor(n)).padStart(2, '0');
  const rest = (seconds % 60).toFixed(3).padStart(6, '0');
  return `${sign}${Math.floor(seconds / 3600)}:${two((seconds / 60) % 60)}:${rest}`;
}
