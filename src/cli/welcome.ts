/** `troupe` alone: the next useful thing to do, here and now. */
import type { ScenarioView } from '../domain/scenario.ts';
import { clientConfig, demoVideo } from '../infra/config.ts';
import { Client } from './client.ts';
import { scenarioTable } from './scenario-verbs.ts';
import { plain, quoted } from './terminal.ts';

/** A person waits for this answer. */
const ANSWER_MS = 3_000;
const SCENARIOS = 5;

export async function welcome(interrupted: AbortSignal): Promise<string> {
  const config = clientConfig();
  const client = new Client({ ...config, signal: AbortSignal.any([interrupted, AbortSignal.timeout(ANSWER_MS)]) });
  try {
    const scenarios = await client.list();
    return onNode(client.url, scenarios);
  } catch (error) {
    interrupted.throwIfAborted();
    if (config.from === 'option') throw error;
    return withoutNode();
  }
}

function withoutNode(): string {
  return [
    'Troupe runs ONNX models over video; no node runs here yet.',
    '',
    ...steps([
      [`troupe run ${quoted(demoVideo())}`, 'a first result, on a node of its own'],
      ['troupe up', 'a node that stays; its API is described at http://127.0.0.1:8080/docs'],
      ['troupe doctor', 'what this machine has and lacks'],
      ['troupe --help', 'every verb'],
    ]),
  ].join('\n');
}

function onNode(url: string, scenarios: readonly ScenarioView[]): string {
  const latest = scenarios.toSorted((a, b) => (a.updatedAt < b.updatedAt ? 1 : -1));
  const shown = latest.slice(0, SCENARIOS);
  const more = scenarios.length - shown.length;
  return [
    `A node serves ${url} (its API: ${url}/docs).`,
    '',
    ...(shown.length === 0 ? ['It has no scenarios yet.'] : [scenarioTable(shown)]),
    ...(more > 0 ? [`… and ${more} more: troupe ls`] : []),
    '',
    ...steps([
      ...nextSteps(latest),
      [`troupe run ${shown.length === 0 ? quoted(demoVideo()) : 'VIDEO'}`, 'a video from start to end'],
      ['troupe --help', 'every verb'],
    ]),
  ].join('\n');
}

/** One for each situation that a scenario is in. */
function nextSteps(scenarios: readonly ScenarioView[]): (readonly [string, string])[] {
  const id = (is: (scenario: ScenarioView) => boolean): string[] =>
    scenarios
      .filter(is)
      .slice(0, 1)
      .map(s => s.id);
  const ended = (outcome: ScenarioView['outcome']) => id(s => s.state === 'inactive' && s.outcome === outcome);
  return [
    ...id(s => s.state !== 'inactive').map(one => [`troupe watch ${one}`, 'see it at work'] as const),
    ...ended('failed').map(one => [`troupe explain ${one}`, 'why it failed'] as const),
    ...ended('stopped').map(one => [`troupe start ${one}`, 'go on where it stopped'] as const),
    ...ended(null).map(one => [`troupe start ${one}`, 'start it'] as const),
    ...ended('completed').map(one => [`troupe export ${one} --out ${one}.jsonl`, 'its results'] as const),
  ];
}

function steps(lines: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...lines.map(([command]) => plain(command).length));
  return lines.map(([command, what]) => `  ${plain(command).padEnd(width)}  ${what}`);
}
