/**
 * `troupe watch`: a scenario as it works, from the node's event stream.
 *
 * W1 Every state and every prediction comes once and in order, also when the stream breaks: it goes on behind the last event's id at
 *    whichever node of `--url` answers, or at DATA's when it has another address now.
 * W2 It ends when the scenario does: 0 when it is completed, else 1 with what to do. One that has ended already is told to its
 *    last prediction.
 * W3 A stream that says nothing for several of the server's own intervals is broken.
 */
import { setTimeout as delay } from 'node:timers/promises';
import Type, { type Static, type TSchema } from 'typebox';
import { TroupeError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import { problemsOf } from '../domain/parse.ts';
import { DetectedFrame, type Prediction, SkippedFrame } from '../domain/prediction.ts';
import { Outcome, Progress, ScenarioState, ScenarioView } from '../domain/scenario.ts';
import type { Client, ServerEvent } from './client.ts';
import { type ProgressDisplay, progressDisplay } from './progress.ts';
import { jsonLine, plain } from './terminal.ts';
import { type Call, option, REACHING, type Verb } from './verb.ts';

const RETRY_MS = 250;

const StateEvent = Type.Object({
  at: Type.String(),
  to: ScenarioState,
  reason: Type.Union([Type.String(), Type.Null()]),
  run: Type.Integer(),
  outcome: Type.Union([Outcome, Type.Null()]),
  scenario: Type.Optional(ScenarioView),
});
type StateEvent = Static<typeof StateEvent>;
const ProgressEvent = Type.Object({ run: Type.Integer(), progress: Progress });
const Run = { run: Type.Integer() };
const PredictionEvent = Type.Union([
  Type.Object({ ...Run, ...DetectedFrame.properties }),
  Type.Object({ ...Run, ...SkippedFrame.properties }),
]);

export const watch: Verb = {
  usage: 'watch <id>',
  says: 'follow a scenario to its end: states, progress, predictions; exit code 0 when it is completed, else 1',
  options: [
    option('--from <where>', 'now: without the predictions that are there already (start)', ['start', 'now']),
    option('--json', 'print the events as JSON, one a line'),
    ...REACHING,
  ],
  examples: [
    'watch cam1',
    'watch cam1 --from now',
    'watch cam1 --json | jq -c \'select(.event == "prediction") | .data\'',
    'watch cam1 --url http://10.0.0.1:8080,http://10.0.0.2:8080',
  ],
  own: ['from'],
  goesOn: (id, at) => `${id} goes on. Follow it again: troupe watch ${id}${at}. Stop it: troupe stop ${id}${at}`,
  async act(call) {
    using display = displayOf(call);
    const end = new End(call.id, call.flags.from !== 'now');
    for await (const event of everyEvent(call, line => display.note(line))) {
      const what = read(event);
      await display.show(event, what);
      const code = end.after(what);
      if (code === null) continue;
      display[Symbol.dispose]();
      if (end.said !== null) process.stderr.write(`${plain(`troupe: ${end.said}`)}\n`);
      return code;
    }
    throw new Error('the events ended'); // never: everyEvent ends by throwing
  },
};

type Told =
  | { readonly kind: 'state'; readonly state: StateEvent }
  | { readonly kind: 'progress'; readonly progress: Progress }
  | { readonly kind: 'prediction'; readonly prediction: Prediction }
  | { readonly kind: 'deleted' }
  /** Of a later version: shown, and nothing follows from it. */
  | { readonly kind: 'other' };

function read({ event, data }: ServerEvent): Told {
  if (event === 'state') return { kind: 'state', state: known(StateEvent, data, event) };
  if (event === 'progress') return { kind: 'progress', progress: known(ProgressEvent, data, event).progress };
  if (event === 'prediction') return { kind: 'prediction', prediction: known(PredictionEvent, data, event) };
  return { kind: event === 'deleted' ? 'deleted' : 'other' };
}

/** @throws TroupeError internal: the node is of another version */
function known<T extends TSchema>(schema: T, data: unknown, event: string): Static<T> {
  const [first] = problemsOf(schema, data);
  if (first === undefined) return data as Static<T>;
  const text = `an event '${event}' is not what this version knows (${`${first.path} ${first.message}`.trim()}). `;
  throw new TroupeError('internal', `${text}Use the troupe command of the node's version.`);
}

/** W1: never returns; ends by the signal, with its reason, or with an error. */
async function* everyEvent(call: Call, note: (line: string) => void): AsyncGenerator<ServerEvent, void, void> {
  let client = call.client();
  let last: string | null = null;
  let told = false;
  const from = call.flags.from === 'now' ? 'now' : 'start';
  for (let heardAt = performance.now(); ; ) {
    try {
      for await (const event of client.events(call.id, { from, after: last })) {
        heardAt = performance.now();
        told = false;
        last = event.id ?? last;
        yield event;
      }
    } catch (error) {
      const again = error instanceof TroupeError && error.retryable;
      if (!again || performance.now() - heardAt > LIMITS.clientPatienceMs) throw error;
      if (!told) note(`${client.url} does not answer; trying again`);
      told = true;
    }
    await delay(RETRY_MS, undefined, { signal: call.signal }).catch(() => call.signal.throwIfAborted());
    client = elsewhere(client, call);
  }
}

/** A node that was started again may have another address in DATA's endpoint. */
function elsewhere(client: Client, call: Call): Client {
  const now = call.client();
  return now.named === client.named ? client : now;
}

/** W2 */
class End {
  readonly #id: string;
  readonly #fromStart: boolean;
  #fresh = true;
  /** How it had ended before the first event. */
  #before: StateEvent | null = null;
  said: string | null = null;

  constructor(id: string, fromStart: boolean) {
    this.#id = id;
    this.#fromStart = fromStart;
  }

  /** @returns the exit code, or null while it goes on */
  after(told: Told): number | null {
    if (told.kind === 'deleted') {
      this.said = `${this.#id} was deleted with its results. 'troupe explain ${this.#id}' tells what is left of it.`;
      return 1;
    }
    if (told.kind === 'state') {
      const { state } = told;
      const fresh = this.#fresh;
      this.#fresh = false;
      this.#before = null;
      if (state.to === 'inactive' && state.outcome !== null) {
        if (!fresh || !this.#fromStart) return this.#ended(state);
        this.#before = state;
      }
    }
    // The progress of an ended scenario comes behind its last prediction. What its state says may be of a node that lags.
    return told.kind === 'progress' && this.#before !== null ? this.#ended(this.#before) : null;
  }

  #ended({ outcome, reason, scenario }: StateEvent): number {
    const id = this.#id;
    if (outcome === 'completed') return 0;
    if (outcome === 'stopped') this.said = `${id} was stopped. Go on with: troupe start ${id}`;
    else {
      const why = scenario?.error?.message ?? reason ?? 'it does not say why';
      this.said = `${id} failed: ${why}. 'troupe explain ${id}' tells how it came to that.`;
    }
    return 1;
  }
}

interface WatchDisplay extends Disposable {
  show(event: ServerEvent, told: Told): Promise<void>;
  note(line: string): void;
}

function displayOf(call: Call): WatchDisplay {
  if (call.given.json === true) return new Lines(({ id, event, data }) => jsonLine({ id, event, data }));
  return process.stdout.isTTY && process.stderr.isTTY ? new Live() : new Lines((_, told) => inWords(told));
}

/** A line an event, on stdout; notes go to stderr. */
class Lines implements WatchDisplay {
  readonly #text: (event: ServerEvent, told: Told) => string | null;

  constructor(text: (event: ServerEvent, told: Told) => string | null) {
    this.#text = text;
  }

  async show(event: ServerEvent, told: Told): Promise<void> {
    const text = this.#text(event, told);
    if (text === null || process.stdout.write(`${text}\n`)) return;
    await new Promise(resolve => process.stdout.once('drain', resolve));
  }

  note(line: string): void {
    process.stderr.write(`${plain(`troupe: ${line}`)}\n`);
  }

  [Symbol.dispose](): void {}
}

/** A bar with the newest prediction beside it; states are lines above it. */
class Live implements WatchDisplay {
  readonly #progress: ProgressDisplay = progressDisplay();
  #scenario: ScenarioView | null = null;
  #newest = '';

  async show(_: ServerEvent, told: Told): Promise<void> {
    if (told.kind === 'state') {
      this.#scenario = told.state.scenario ?? this.#scenario;
      this.note(inWords(told) ?? '');
    }
    if (told.kind === 'prediction') this.#newest = inWords(told) ?? '';
    if (told.kind === 'progress' && this.#scenario !== null)
      this.#scenario = { ...this.#scenario, progress: told.progress };
    if (this.#scenario !== null) this.#progress.show(this.#scenario, this.#newest);
  }

  note(line: string): void {
    this.#progress.note(line);
  }

  [Symbol.dispose](): void {
    this.#progress[Symbol.dispose]();
  }
}

function inWords(told: Told): string | null {
  switch (told.kind) {
    case 'state': {
      const { at, to, outcome, reason } = told.state;
      return plain(
        `${at} ${to}${to === 'inactive' && outcome !== null ? ` ${outcome}` : ''}${reason ? ` (${reason})` : ''}`,
      );
    }
    case 'progress': {
      const { framesDone, framesTotal, fps, etaMs } = told.progress;
      const speed = fps === null ? '' : `, ${Math.round(fps)} fps`;
      const left = etaMs === null ? '' : `, ${Math.ceil(etaMs / 1000)} s left`;
      return `${framesDone}${framesTotal === null ? '' : `/${framesTotal}`} frames${speed}${left}`;
    }
    case 'prediction': {
      const { prediction } = told;
      const what =
        'detections' in prediction
          ? prediction.detections.map(found => `${found.class} ${found.score}`).join(', ') || '-'
          : `skipped: ${prediction.error.message}`;
      return plain(`frame ${prediction.frame}: ${what}`);
    }
    case 'deleted':
      return 'deleted';
    case 'other':
      return null;
  }
}
