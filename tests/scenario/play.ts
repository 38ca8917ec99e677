/** A durable actor driven by hand: one message at a time through `step`, with its world played by the test. */

import type { Static } from 'typebox';
import type { Behaviour, Errand, Monitor } from '../../src/actors/runtime/behaviour.ts';
import {
  type Committed,
  type Delivery,
  emptyRecord,
  liveState,
  type Step,
  step,
} from '../../src/actors/runtime/committed.ts';
import { type ScenarioSettings, scenarioSupervisor } from '../../src/actors/scenario/scenario-supervisor.ts';
import type { Problem } from '../../src/domain/errors.ts';
import type { Assignment, AttemptBody, ExitBody } from '../../src/domain/messages.ts';
import { assignmentOf, type ScenarioDoc, type SegmentDoc } from '../../src/domain/scenario-doc.ts';
import { HEADERS } from '../../src/domain/subjects.ts';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';

export interface Told {
  readonly to: string;
  readonly verb: string;
  readonly body: unknown;
}

export interface Reply {
  readonly scenario?: ScenarioDoc | null;
  readonly changed?: boolean;
  readonly problem?: Problem;
}

export class Actor<State> {
  readonly behaviour: Behaviour<State>;
  readonly kind: string;
  readonly id: string;
  now = Date.UTC(2030, 0, 1);
  record: Committed;
  /** Messages told since the start, in order, and since the last delivery. */
  readonly told: Told[] = [];
  lastTold: Told[] = [];
  readonly facts: { readonly subject: string; readonly body: Record<string, unknown> }[] = [];
  #revision = 0;
  #seq = 0;
  readonly #random = new SeededRandom(1);

  constructor(behaviour: Behaviour<State>, id: string) {
    this.behaviour = behaviour;
    this.kind = behaviour.kind;
    this.id = id;
    this.record = emptyRecord(behaviour.version);
  }

  get state(): State | null {
    return liveState(this.behaviour, this.record);
  }

  get errands(): readonly Errand[] {
    return this.state === null ? [] : (this.behaviour.errands?.(this.state) ?? []);
  }

  get monitors(): readonly Monitor[] {
    return this.state === null ? [] : (this.behaviour.monitors?.(this.state) ?? []);
  }

  deliver(cls: Delivery['class'], verb: string, body: unknown, headers: Record<string, string> = {}, id = ''): Step {
    const inMailbox = cls === 'cmd' || cls === 'sys';
    this.#seq += 1;
    const made = step({
      behaviour: this.behaviour,
      self: { kind: this.kind, id: this.id },
      record: this.record,
      revision: this.#revision,
      delivery: { seq: inMailbox ? this.#seq : 0, class: cls, id: id || `message.${this.#seq}`, verb, body, headers },
      now: this.now,
      random: this.#random,
    });
    this.#revision += 1;
    this.lastTold = [];
    for (const message of made.next.outbox) {
      if (message.kind === 'tell')
        this.lastTold.push({ to: `${message.to.kind}/${message.to.id}`, verb: message.verb, body: message.body });
      else this.facts.push({ subject: message.subject, body: message.body as Record<string, unknown> });
    }
    this.told.push(...this.lastTold);
    this.record = { ...made.next, outbox: [] };
    return made;
  }

  /** A public command; what its caller is answered. */
  command(verb: string, body: unknown = {}, headers: Record<string, string> = {}, inbox = 'inbox'): Reply | undefined {
    const { answers } = this.deliver('cmd', verb, body, { [HEADERS.reply]: inbox, ...headers });
    return answers.find(answer => answer.inbox === inbox)?.body as Reply | undefined;
  }

  /** Fires an armed timer. */
  fire(name: string): void {
    const due = this.record.timers[name];
    if (due === undefined) throw new Error(`no timer ${name}`);
    this.now = Math.max(this.now, due.at);
    this.deliver('timer', due.verb, due.body, {}, name);
  }

  get timers(): string[] {
    return Object.keys(this.record.timers);
  }
}

export const SETTINGS: ScenarioSettings = {
  backoffFirstMs: 200,
  backoffMostMs: 30_000,
  shutdownMs: 5_000,
  placementRetryMs: 10_000,
  silenceMs: 5_000,
  stallMs: 30_000,
};

export const REQUEST = { source: { uri: 'video.mp4' }, model: 'shapes' };
export const SOURCE = {
  width: 64,
  height: 48,
  rotation: 0,
  codec: 'h264',
  container: 'mp4',
  startMs: 0,
  durationMs: 4000,
  framesEstimate: 100,
  identity: { size: 1000, sha256: 'ab' },
};
export const ENGINE = { decoder: 'ffmpeg 5', onnxruntime: '1.30', provider: 'cpu', cpu: 'x64' };
export const MODEL = {
  name: 'shapes',
  sha256: 'cd',
  family: 'yolov8' as const,
  input: {
    name: 'images',
    width: 4,
    height: 4,
    type: 'uint8' as const,
    channels: 'rgb' as const,
    mean: [0, 0, 0],
    scale: [1, 1, 1],
  },
  classes: ['circle', 'square'],
};

export type Exit = Static<typeof ExitBody>;

/** A scenario supervisor with its world: orchestrator, node and log answer what the test says they do. */
export class Play extends Actor<ScenarioDoc> {
  constructor(id = 'cam', settings: Partial<ScenarioSettings> = {}) {
    super(scenarioSupervisor({ ...SETTINGS, ...settings }), id);
  }

  get doc(): ScenarioDoc {
    const { state } = this;
    if (state === null) throw new Error('the scenario does not exist');
    return state;
  }

  get segment(): SegmentDoc {
    const [first] = this.doc.segments;
    if (first === undefined) throw new Error('no segment');
    return first;
  }

  /** The current attempt. */
  get ref(): { scenario: string; run: number; segment: number; attempt: number } {
    return { scenario: this.id, run: this.doc.run, segment: 0, attempt: this.segment.attempt };
  }

  /** The attempt that the orchestrator was last asked to place. */
  get asked(): AttemptBody {
    const place = this.told.findLast(message => message.verb === 'place');
    if (place === undefined) throw new Error('nothing was to be placed');
    return place.body as AttemptBody;
  }

  /** What a node would be asked to run now. */
  get assignment(): Assignment {
    const assignment = assignmentOf(this.doc, this.asked);
    if (assignment === null) throw new Error('nothing is to be placed');
    return assignment;
  }

  get path(): string[] {
    return this.doc.history.map(entry => entry.to);
  }

  create(request: object = {}, headers: Record<string, string> = {}): Reply | undefined {
    return this.command('create', { ...REQUEST, ...request }, headers);
  }

  placing(): void {
    this.deliver('sys', 'placing', this.ref);
  }

  placed(node = 'n1', ref = this.ref, engine = ENGINE): void {
    this.deliver('sys', 'placed', { ...ref, node, pid: 7, source: SOURCE, model: MODEL, engine });
  }

  unplaced(...refusals: { node: string; code: string; message: string }[]): void {
    this.deliver('signal', 'unplaced', { ...this.ref, refusals, more: 0 });
  }

  progressed(seq: number, ref = this.ref): void {
    this.deliver('sys', 'progressed', { ...ref, seq });
  }

  exited(
    reason: Exit,
    said: { result?: 'end' | 'closed'; seq?: number; fruitful?: boolean } = {},
    ref = this.ref,
  ): void {
    const { result = null, seq = 0, fruitful = seq > 0 } = said;
    this.deliver('sys', 'exited', { ...ref, reason, result, seq, fruitful });
  }

  lost(cause = 'silent'): void {
    const { scenario, run, segment, attempt } = this.ref;
    this.deliver('signal', 'lost', { key: `${scenario}.${run}.${segment}.${attempt}`, cause, forMs: 5_000 });
  }

  /** Carries out what is owed; the log is found with `result` at its end. */
  settle(result: 'end' | 'closed' = 'closed', seq = 100): void {
    for (const { key, kind, body } of this.errands) {
      if (kind === 'close-log') this.deliver('signal', 'closed', { run: this.doc.run, segment: 0, result, seq });
      else if (kind === 'purge-log') this.deliver('signal', 'purged', {});
      else {
        const { mode } = body as { mode: string };
        const ref = key.slice(key.indexOf('.') + 1);
        this.deliver('signal', mode === 'kill' ? 'reaped' : 'stopping', { key: ref, known: mode !== 'kill' });
      }
    }
  }

  /** Created and running, its first batch in the log. */
  toActive(request: object = {}): this {
    this.create(request);
    this.placing();
    this.placed();
    this.progressed(2);
    return this;
  }

  /** The runner ends its log as it was told to. */
  toStopped(): this {
    this.command('stop');
    this.settle();
    this.exited('shutdown', { result: 'closed', seq: 9 });
    return this;
  }

  /** The next attempt, after a restart's delay if there is one, on a node. */
  again(): void {
    if (this.segment.phase === 'backoff') this.fire('retry-0');
    this.placed();
  }
}

export const crash = (message = 'boom', code = 'inference_failed'): Exit => ({ error: { code, message } });
