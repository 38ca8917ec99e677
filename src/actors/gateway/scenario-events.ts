/**
 * What a scenario does, as it does it: states, progress and predictions for one reader, from committed state and the projection.
 * It owns where the reader stands and nothing else.
 *
 * EV1 Where a reader stands is told in what is the same on every API node: the scenario's creation, the number of its last
 *    transition, run and frame. So it may go on at any node, also at one whose projection was rebuilt or lags behind.
 * EV2 Predictions come in frame order, each once, the runs one after another, each to the end of its log.
 * EV3 `inactive` comes after the last prediction of its run; only the state that a new reader begins with is told at once. How
 *    far an ended scenario came is told behind its last prediction: who followed one that had ended has all of it then.
 * EV4 Nothing is read before the reader has taken what was read before: a page at a time, however far behind it is.
 * EV5 It wakes when its scenario changes, once a second for progress while that can change, and before a silence would break
 *    a connection; never more often than every `eventPaceMs`.
 * EV6 From now on: behind what the projection has when it has what the scenario is known to have. Until then a reader stands
 *    nowhere that it could go on from.
 */
import { LIMITS } from '../../domain/limits.ts';
import type { Outcome, ScenarioView } from '../../domain/scenario.ts';
import { lastSeqOf, type ScenarioDoc, type Transition, transitions } from '../../domain/scenario-doc.ts';
import type { Clock } from '../ports/clock.ts';
import type { EventPosition, EventQuery, EventType, ScenarioEvent } from '../ports/gateway.ts';
import type { PredictionReader } from '../ports/projection.ts';
import type { ScenarioMirror } from './scenario-mirror.ts';

export interface ScenarioEventsPorts {
  readonly mirror: ScenarioMirror;
  readonly projection: PredictionReader;
  readonly clock: Clock;
  view(doc: ScenarioDoc): ScenarioView;
}

/** Ends when the scenario is deleted or the signal aborts. @param doc as the mirror knows it by now */
export async function* scenarioEvents(
  ports: ScenarioEventsPorts,
  doc: ScenarioDoc,
  query: EventQuery,
  signal: AbortSignal,
): AsyncGenerator<ScenarioEvent, void, void> {
  const { mirror, projection, clock } = ports;
  const bell = new Bell(clock);
  const unwatch = [mirror.watch(doc.id, bell.ring), projection.watch(doc.id, bell.ring)];
  try {
    const reader = new Reader(ports, doc, query);
    let known = doc;
    let quietAt = clock.monotonic();
    while (!signal.aborted) {
      bell.reset();
      const now = mirror.get(doc.id);
      if (now === null || lifeOf(now) !== lifeOf(doc)) {
        yield { kind: 'deleted', at: new Date(clock.now()).toISOString(), from: known.state, run: known.run };
        return;
      }
      known = now;
      for (const event of reader.round(now)) {
        yield event;
        if (signal.aborted) return;
        quietAt = clock.monotonic();
      }
      if (clock.monotonic() - quietAt >= LIMITS.eventQuietMs) {
        yield { kind: 'quiet' };
        quietAt = clock.monotonic();
      }
      const silenceMs = quietAt + LIMITS.eventQuietMs - clock.monotonic();
      await bell.heard(Math.min(silenceMs, reader.progressDueMs(now)), signal);
    }
  } finally {
    for (const end of unwatch) end();
  }
}

/** Another creation of the same id is another scenario. */
const lifeOf = (doc: ScenarioDoc): number => Date.parse(doc.createdAt);

class Reader {
  readonly #ports: ScenarioEventsPorts;
  readonly #query: EventQuery;
  #at: EventPosition;
  /** Nothing was told yet. */
  #fresh: boolean;
  #told = '';
  #toldAt = Number.NEGATIVE_INFINITY;
  /** The run whose log the projection is known to have: before, it may hold one of a deleted scenario of this id. */
  #opened = 0;
  /** The run whose predictions begin with what comes, and of which it is not known yet what is there; 0: none. */
  #nowOf = 0;

  constructor(ports: ScenarioEventsPorts, doc: ScenarioDoc, query: EventQuery) {
    this.#ports = ports;
    this.#query = query;
    const newest = transitions(doc).at(-1)?.n ?? 0;
    const { after, fromNow } = query;
    const goesOn =
      after !== null &&
      after.life === lifeOf(doc) &&
      after.transition <= newest &&
      after.run <= doc.run &&
      after.run === (query.run ?? after.run);
    this.#fresh = !goesOn;
    this.#at = goesOn ? after : { life: lifeOf(doc), transition: newest, run: query.run ?? doc.run, frame: 0 };
    if (!goesOn && fromNow && endOf(doc, this.#at.run) > 0) this.#nowOf = this.#at.run;
    this.#begin(doc);
  }

  /** EV6 */
  #begin(doc: ScenarioDoc): void {
    if (this.#nowOf !== this.#at.run || !this.#isOpen(doc)) return;
    const heads = this.#ports.projection.heads(doc.id, this.#at.run);
    this.#at = { ...this.#at, frame: Math.max(-1, ...heads.map(head => head.lastFrame ?? -1)) + 1 };
    this.#nowOf = 0;
  }

  /** Everything that there is to tell now. */
  *round(doc: ScenarioDoc): Generator<ScenarioEvent, void> {
    const all = transitions(doc);
    if (this.#fresh) {
      this.#fresh = false;
      const newest = all.at(-1);
      if (newest !== undefined) yield* this.#state(doc, newest);
    }
    for (const transition of all) {
      if (transition.n <= this.#at.transition) continue;
      if (!(yield* this.#upTo(doc, transition))) return;
      this.#at = { ...this.#at, transition: transition.n };
      yield* this.#state(doc, transition);
    }
    const isWhole = yield* this.#throughEnd(doc);
    if (doc.state !== 'inactive' || isWhole) yield* this.#progress(doc); // EV3
  }

  /** When there may be progress to tell although nothing else has changed. */
  progressDueMs(doc: ScenarioDoc): number {
    if (doc.state !== 'active' || !this.#wants('progress', doc.run)) return Number.POSITIVE_INFINITY;
    return Math.max(0, this.#toldAt + LIMITS.progressMs - this.#ports.clock.monotonic());
  }

  #wants(type: EventType, run: number): boolean {
    return this.#query.types.has(type) && (this.#query.run ?? run) === run;
  }

  /** EV2, EV3: what comes before the transition. @returns false when not all of it is in the projection yet */
  *#upTo(doc: ScenarioDoc, { to, run }: Transition): Generator<ScenarioEvent, boolean> {
    while (this.#query.run === null && this.#at.run < run) {
      if (!(yield* this.#throughEnd(doc))) return false;
      this.#at = { ...this.#at, run: this.#at.run + 1, frame: 0 };
    }
    if (to !== 'inactive' || this.#at.run !== run) return true;
    if (!(yield* this.#throughEnd(doc))) return false;
    yield* this.#progress(doc);
    return true;
  }

  *#throughEnd(doc: ScenarioDoc): Generator<ScenarioEvent, boolean> {
    const isThere = this.#ports.projection.appliedSeq >= endOf(doc, this.#at.run);
    yield* this.#predictions(doc);
    return isThere;
  }

  /** EV2, EV4 */
  *#predictions(doc: ScenarioDoc): Generator<ScenarioEvent, void> {
    this.#begin(doc);
    if (!this.#query.types.has('prediction') || !this.#isOpen(doc)) return;
    for (;;) {
      const position = this.#at;
      const predictions = this.#ports.projection.query({
        scenario: doc.id,
        run: position.run,
        fromFrame: position.frame,
        toFrame: Number.MAX_SAFE_INTEGER,
        threshold: doc.spec.threshold,
        className: null,
        minScore: null,
        limit: LIMITS.eventFrames,
      });
      const last = predictions.at(-1);
      if (last === undefined) return;
      this.#at = { ...position, frame: last.frame + 1 };
      yield { kind: 'predictions', position, predictions };
      if (predictions.length < LIMITS.eventFrames) return;
    }
  }

  #isOpen(doc: ScenarioDoc): boolean {
    const { run } = this.#at;
    if (this.#opened === run) return true;
    const end = endOf(doc, run);
    if (end === 0 || this.#ports.projection.appliedSeq < end) return false;
    this.#opened = run;
    return true;
  }

  *#state(doc: ScenarioDoc, transition: Transition): Generator<ScenarioEvent, void> {
    if (!this.#query.types.has('state')) return;
    const { at, from, to, reason, run, n } = transition;
    const outcome = to === 'inactive' ? (OUTCOMES.find(known => known === reason) ?? null) : null;
    const isNewest = n === transitions(doc).at(-1)?.n;
    const change = { at, from, to, reason, run, outcome, ...(isNewest ? { scenario: this.#ports.view(doc) } : {}) };
    yield { kind: 'state', position: this.#nowOf === this.#at.run ? null : this.#at, change };
  }

  /** At most once a second while it runs, and how it ended. */
  *#progress(doc: ScenarioDoc): Generator<ScenarioEvent, void> {
    if (!this.#wants('progress', doc.run) || this.#at.run !== doc.run) return;
    const now = this.#ports.clock.monotonic();
    if (doc.state !== 'inactive' && now - this.#toldAt < LIMITS.progressMs) return;
    this.#toldAt = now;
    const { progress } = this.#ports.view(doc);
    const told = JSON.stringify([doc.run, progress]);
    if (told === this.#told) return;
    this.#told = told;
    yield { kind: 'progress', run: doc.run, progress };
  }
}

const OUTCOMES: readonly Outcome[] = ['completed', 'stopped', 'failed'];

/** The last sequence that a run's logs are known to have; 0: none yet. */
const endOf = (doc: ScenarioDoc, run: number): number =>
  run === doc.run ? lastSeqOf(doc.segments) : (doc.pastRuns.find(past => past.run === run)?.lastSeq ?? 0);

/** EV5 */
class Bell {
  readonly #clock: Clock;
  #rung = false;
  #wake: (() => void) | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  readonly ring = (): void => {
    this.#rung = true;
    this.#wake?.();
  };

  reset(): void {
    this.#rung = false;
  }

  /** Resolves when it has rung since the last reset, when the time is over or the signal aborts; never at once. */
  async heard(timeoutMs: number, signal: AbortSignal): Promise<void> {
    await this.#wait(LIMITS.eventPaceMs, signal, false);
    if (!this.#rung) await this.#wait(timeoutMs - LIMITS.eventPaceMs, signal, true);
  }

  #wait(ms: number, signal: AbortSignal, awake: boolean): Promise<void> {
    return new Promise(resolve => {
      const done = (): void => {
        this.#wake = null;
        timer.cancel();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = this.#clock.timer(ms, done);
      if (awake) this.#wake = done;
      signal.addEventListener('abort', done, { once: true });
      if (signal.aborted) done();
    });
  }
}
