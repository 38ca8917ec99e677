/** The verbs about scenarios: run one to its end, see them, start, stop and remove them. */
import { LIMITS } from '../domain/limits.ts';
import { ScenarioState, type ScenarioView } from '../domain/scenario.ts';
import { follow } from './follow.ts';
import { answerOf, rowsById, WATCH } from './node-verbs.ts';
import { type Cell, plain, table } from './terminal.ts';
import { DECODING, JSON_OPTION, option, REACHING, type Verb } from './verb.ts';

const STATES = ScenarioState.anyOf.map(state => state.const);

export const run: Verb = {
  usage: 'run <video>',
  says: 'run a model over a video, to the end, on a running node or an embedded one',
  options: [
    option('--model <name|file>', 'a registered model or an .onnx file (shapes)'),
    option('--id <id>', "the scenario's id; one that was stopped goes on (made of the file's name)"),
    option('--every <n>', 'take every n-th frame'),
    option('--fps <f>', 'take at most this many frames a second'),
    option('--from <n>', 'first frame, inclusive'),
    option('--to <n>', 'last frame, inclusive'),
    option('--threshold <x>', 'least score of a detection (0.25)'),
    option('--iou <x>', 'overlap at which the weaker of two detections is dropped (0.45)'),
    option('--classes <a,b>', 'only these classes'),
    option('--segments <k>', 'split the video over this many runners'),
    option('--out <file>', 'where the results go, their manifest beside them (<video>.predictions.jsonl here)'),
    option('--json', 'print the scenario as JSON'),
    ...DECODING,
    ...REACHING,
  ],
  examples: [
    'run video.mp4',
    'run video.mp4 --model yolox.onnx --every 5 --classes person,car',
    'run video.mp4 --url http://10.0.0.1:8080 --out results.jsonl',
  ],
  act: async call => (await import('./run.ts')).run(call.id, call.flags, call.signal),
};

export const ls: Verb = {
  usage: 'ls',
  says: 'list scenarios',
  options: [option('--state <state>', 'only those in this state', STATES), WATCH, JSON_OPTION, ...REACHING],
  examples: ['ls', 'ls --state active', 'ls --watch', 'ls --json'],
  async act(call) {
    const client = call.client();
    const { state } = call.given;
    const look = async () => {
      const items = await client.list(state);
      const rows = items.map(scenarioRow);
      return { data: { items }, text: scenarioTable(items), lines: rowsById(rows) };
    };
    return call.given.watch === true ? follow(look, call) : answerOf(await look(), call.given.json);
  },
};

export const show: Verb = {
  usage: 'show <id>',
  says: 'show a scenario',
  options: [JSON_OPTION, ...REACHING],
  examples: ['show cam1', 'show cam1 --json'],
  async act(call) {
    const scenario = await call.client().scenario(call.id);
    return call.answer(scenario, describe(scenario));
  },
};

export const start: Verb = {
  usage: 'start <id>',
  says: 'start a scenario, or go on where it stopped',
  options: [
    option('--from <where>', 'start: begin a new run, from the first frame', ['start']),
    JSON_OPTION,
    ...REACHING,
  ],
  examples: ['start cam1', 'start cam1 --from start'],
  own: ['from'],
  async act(call) {
    const scenario = await call.client().start(call.id, call.flags.from === 'start' ? 'start' : undefined);
    return call.answer(scenario, stateOf(scenario));
  },
};

export const stop: Verb = {
  usage: 'stop <id>',
  says: 'stop a scenario; what was computed stays',
  options: [JSON_OPTION, ...REACHING],
  examples: ['stop cam1'],
  goesOn: (id, at) => `${id} stops all the same. See it: troupe show ${id}${at}`,
  async act(call) {
    const client = call.client();
    await client.stop(call.id);
    const scenario = await client.scenario(call.id, LIMITS.waitSeconds);
    return call.answer(scenario, stateOf(scenario));
  },
};

export const rm: Verb = {
  usage: 'rm <id>',
  says: 'delete an inactive scenario with its results',
  options: [...REACHING],
  examples: ['rm cam1'],
  async act(call) {
    await call.client().delete(call.id);
    return plain(`${call.id} deleted`);
  },
};

export const scenarioTable = (items: readonly ScenarioView[]): string =>
  table(['ID', 'STATE', 'OUTCOME', 'RUN', 'FRAMES', 'SOURCE'], items.map(scenarioRow));

export const stateOf = ({ id, state, outcome }: ScenarioView): string =>
  plain(`${id} ${state}${state === 'inactive' && outcome !== null ? ` ${outcome}` : ''}`);

const frames = ({ progress: { framesDone, framesTotal } }: ScenarioView): string =>
  framesTotal === null ? String(framesDone) : `${framesDone}/${framesTotal}`;

const scenarioRow = (scenario: ScenarioView): Cell[] => {
  const { id, state, outcome, run, spec } = scenario;
  return [id, state, outcome, run, frames(scenario), spec.source.uri];
};

function describe(scenario: ScenarioView): string {
  const { id, state, outcome, reason, complete, run, spec, model, progress, runners, error, warnings } = scenario;
  const lines: readonly (readonly [string, unknown])[] = [
    ['id', id],
    ['state', state],
    ['outcome', outcome],
    ['reason', reason],
    ['complete', complete],
    ['run', run],
    ['source', spec.source.uri],
    ['model', model?.name ?? spec.model],
    ['frames', frames(scenario)],
    ['fps', progress.fps === null ? null : Math.round(progress.fps)],
    ['error', error === null ? null : `${error.code}: ${error.message}`],
    ...warnings.map(warning => ['warning', warning] as const),
    ...runners.map(
      r =>
        [
          `runner ${r.segment}`,
          `${r.state}, attempt ${r.attempt}, restarts ${r.restarts}, node ${r.node ?? '-'}, pid ${r.pid ?? '-'}`,
        ] as const,
    ),
    ...scenario.history.map(h => [h.at, `${h.to}${h.reason === null ? '' : ` (${h.reason})`}`] as const),
  ];
  const shown = lines
    .filter(([, value]) => value !== null)
    .map(([name, value]) => [name, plain(String(value))] as const);
  const width = Math.max(...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join('\n');
}
