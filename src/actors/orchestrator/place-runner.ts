/**
 * The errand `place-runner`: finds a node for an attempt, and waits until there is one. One desk serves every orchestrator
 * of a node process.
 *
 * Z1 A node that may have taken the attempt (its answer was lost) is asked again while it lives: `start` is idempotent
 *    by attempt, and asking another would start the same attempt twice.
 * Z2 When such a node dies nobody else is asked in this round: its runner has time to die with it. Should it live on and the
 *    next round start the attempt elsewhere, the log lets one of the two through.
 * Z3 No storm: a node is asked by one desk for no more attempts at a time than it has room for, a desk has at most
 *    `placementsAsked` requests out, and the oldest comes first. Who says in its view that it would refuse is not asked.
 * Z4 What no node took waits, and commits nothing. A node that gets room is offered as many attempts as it has room for,
 *    however many wait; none that it refused for good since it started. Everyone is asked anew after `retryMs`.
 * Z5 A scenario is told why it waits when that has changed.
 * Z6 Asked for is what the scenario's committed state wants now. What it no longer wants is given up.
 */
import { fromJson, toJson } from '../../domain/json.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Assignment, AttemptBody, ProblemBody, Refusal, Unplaced } from '../../domain/messages.ts';
import { StartAnswer } from '../../domain/messages.ts';
import { type NodeView, unfit } from '../../domain/node.ts';
import { parse } from '../../domain/parse.ts';
import type { PlacementStrategy } from '../../domain/placement-strategy.ts';
import { assignmentOf, type ScenarioDoc } from '../../domain/scenario-doc.ts';
import { HEADERS, SUBJECTS } from '../../domain/subjects.ts';
import { type Bus, NoResponder } from '../ports/bus.ts';
import type { Clock, Timer } from '../ports/clock.ts';
import type { NodeDirectory } from '../ports/node-directory.ts';
import type { ErrandAnswer, ErrandExecutor } from '../runtime/errand-desk.ts';
import type { Placement } from './orchestrator.ts';
import { isPermanent, rankNodes, tellable } from './placement.ts';

export interface PlaceRunnerPorts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly directory: NodeDirectory;
  /** The scenarios of the partitions that are hosted in this process. */
  readonly scenarios: {
    /** As committed; null when there is none. */
    find(id: string): ScenarioDoc | null;
    unplaced(id: string, body: Unplaced): void;
  };
}

export interface PlaceRunnerSettings {
  readonly strategy: PlacementStrategy;
  /** How long a node may take to answer: it tries the model (≤ 2 s) and probes the source first (≤ 3 s). */
  readonly answerMs: number;
  /** Z4 */
  readonly retryMs: number;
}

/** A node that cannot be asked just now is asked again after this. */
const AGAIN_MS = 200;

/** One attempt on its way to a node. */
interface Ask {
  readonly placement: Placement;
  readonly signal: AbortSignal;
  readonly answer: PromiseWithResolvers<ErrandAnswer>;
  /** What nodes answered in this round, by node, with the process that said it. */
  readonly refusals: Map<string, ProblemBody & { readonly pid: number }>;
  /** Z2: in this round nobody else is asked. */
  held: boolean;
  /** While it waits: begins the next round. */
  retry: Timer | null;
  /** Z5 */
  told: string;
}

type Choice =
  | { readonly kind: 'node'; readonly node: NodeView; readonly assignment: Assignment }
  /** Every node that may take it is just being asked for as many others as it has room for. */
  | { readonly kind: 'busy' }
  | { readonly kind: 'nobody'; readonly refusals: readonly Refusal[]; readonly lastNode: string | null }
  | { readonly kind: 'unwanted' };

export function placeRunner(ports: PlaceRunnerPorts, settings: PlaceRunnerSettings): ErrandExecutor {
  const desk = new PlacementDesk(ports, settings);
  return async (_owner, errand, signal) => {
    await Promise.resolve(); // the first are named while their partition is put together: nothing in it is found yet
    signal.throwIfAborted();
    return desk.place(errand.body as Placement, signal);
  };
}

class PlacementDesk {
  readonly #ports: PlaceRunnerPorts;
  readonly #settings: PlaceRunnerSettings;
  /** To be offered as soon as Z3 allows; and what nobody took. Both oldest first, bounded by what the orchestrators hold. */
  readonly #queued = new Set<Ask>();
  readonly #waiting = new Set<Ask>();
  /** Attempts that are being offered, and requests out by node. */
  #offering = 0;
  readonly #askedOf = new Map<string, number>();

  constructor(ports: PlaceRunnerPorts, settings: PlaceRunnerSettings) {
    this.#ports = ports;
    this.#settings = settings;
    ports.directory.onCapacity(node => this.#wake(node.id, true));
  }

  /** Resolves when a node took it or nobody wants it any more; rejects when the signal aborts. */
  place(placement: Placement, signal: AbortSignal): Promise<ErrandAnswer> {
    const answer = Promise.withResolvers<ErrandAnswer>();
    const ask: Ask = { placement, signal, answer, refusals: new Map(), held: false, retry: null, told: '' };
    signal.addEventListener('abort', () => {
      this.#leave(ask);
      answer.reject(signal.reason);
    });
    this.#queued.add(ask);
    this.#advance(ask);
    return answer.promise;
  }

  /** A queued attempt, as far as it gets now. */
  #advance(ask: Ask): void {
    if (this.#offering >= LIMITS.placementsAsked) return; // Z3
    const choice = this.#choose(ask);
    if (choice.kind === 'busy') return;
    this.#leave(ask);
    if (choice.kind === 'node') this.#offer(ask, choice).catch(ask.answer.reject);
    else this.#rest(ask, choice);
  }

  /** Every queued attempt; not while all that have room are being asked for others: it would find them busy. */
  #advanceAll(): void {
    const runners = this.#runners();
    if (!runners.some(node => this.#roomOf(node) > 0) && this.#askedOf.size > 0) return;
    for (const ask of this.#queued) {
      if (this.#offering >= LIMITS.placementsAsked) return;
      this.#advance(ask);
    }
  }

  /** To one node after another, until one has it or none is left. */
  async #offer(ask: Ask, first: Extract<Choice, { kind: 'node' }>): Promise<void> {
    this.#offering += 1;
    try {
      for (let choice: Choice = first; !ask.signal.aborted; choice = this.#choose(ask)) {
        if (choice.kind === 'busy') {
          this.#queued.add(ask);
          return;
        }
        if (choice.kind !== 'node') return this.#rest(ask, choice);
        const { node, assignment } = choice;
        const answer = await this.#ask(node.id, assignment, ask.signal);
        if (answer.kind === 'accepted') {
          const { kind: _, ...taken } = answer;
          const { traceparent } = assignment;
          const body = { ...refOf(ask.placement), node: node.id, ...taken };
          ask.answer.resolve({ verb: 'accepted', body, ...(traceparent === undefined ? {} : { traceparent }) });
          return;
        }
        ask.refusals.set(node.id, { ...answer.problem, pid: node.pid });
        ask.held = answer.kind === 'lost'; // Z2
        this.#wake(node.id, false);
      }
    } finally {
      this.#offering -= 1;
      this.#advanceAll();
    }
  }

  async #ask(node: string, assignment: Assignment, signal: AbortSignal) {
    this.#askedOf.set(node, (this.#askedOf.get(node) ?? 0) + 1);
    try {
      return await askNode(this.#ports, this.#settings.answerMs, node, assignment, signal);
    } finally {
      const others = (this.#askedOf.get(node) ?? 1) - 1;
      if (others === 0) this.#askedOf.delete(node);
      else this.#askedOf.set(node, others);
    }
  }

  /** Whom to ask next. */
  #choose(ask: Ask): Choice {
    const { placement, held } = ask;
    const { turn, segment } = placement;
    const doc = this.#ports.scenarios.find(placement.scenario);
    const assignment = doc === null ? null : assignmentOf(doc, placement);
    if (doc === null || assignment === null) return { kind: 'unwanted' }; // Z6
    const refusals = new Map<string, Refusal>();
    let busy = false;
    for (const node of rankNodes(this.#settings.strategy, this.#runners(), { model: doc.spec.model, turn })) {
      const refusal = refusalOf(ask, node, assignment);
      if (refusal !== null) refusals.set(node.id, refusal);
      else if (held) continue;
      else if (this.#roomOf(node) > 0) return { kind: 'node', node, assignment };
      else busy = true;
    }
    if (busy) return { kind: 'busy' };
    // Z2: it is no longer among the live, and yet the reason.
    if (held) for (const [node, { pid: _, ...problem }] of ask.refusals) refusals.set(node, { node, ...problem });
    return {
      kind: 'nobody',
      refusals: [...refusals.values()],
      lastNode: doc.segments[segment]?.lastNode ?? null,
    };
  }

  /** The live runner nodes. What is being asked for counts as load: else all would be offered to the same one. */
  #runners(): NodeView[] {
    const runners = this.#ports.directory.alive().filter(node => node.roles.includes('runner'));
    return runners.map(node => ({
      ...node,
      load: node.slots === 0 ? 1 : (node.running + (this.#askedOf.get(node.id) ?? 0)) / node.slots,
    }));
  }

  /** Z3 */
  #roomOf({ id, slots, running, draining }: NodeView): number {
    return draining ? 0 : slots - running - (this.#askedOf.get(id) ?? 0);
  }

  /** Z4, Z5: nobody is asked now. */
  #rest(ask: Ask, choice: Extract<Choice, { kind: 'nobody' | 'unwanted' }>): void {
    const ref = refOf(ask.placement);
    if (choice.kind === 'unwanted') {
      ask.answer.resolve({ verb: 'unwanted', body: ref });
      return;
    }
    this.#waiting.add(ask);
    ask.retry = this.#ports.clock.timer(this.#settings.retryMs, () => {
      ask.refusals.clear();
      this.#requeue(ask);
      this.#advance(ask);
    });
    const body = { ...ref, ...tellable(choice.refusals, choice.lastNode) };
    const told = JSON.stringify(body);
    if (told === ask.told) return;
    ask.told = told;
    this.#ports.scenarios.unplaced(ref.scenario, body);
  }

  /**
   * Z4: some of those that wait may go to this node.
   * @param grown it has more room than before, or is another process: what it refused for now it may take
   */
  #wake(id: string, grown: boolean): void {
    const node = this.#runners().find(other => other.id === id);
    let room = node === undefined ? 0 : this.#roomOf(node);
    for (const ask of this.#waiting) {
      if (node === undefined || room <= 0) break;
      if (!this.#mayTake(node, ask, grown)) continue;
      ask.refusals.delete(id);
      this.#requeue(ask);
      room -= 1;
    }
    this.#advanceAll();
  }

  #mayTake(node: NodeView, ask: Ask, grown: boolean): boolean {
    if (ask.held && !grown) return false;
    const said = ask.refusals.get(node.id);
    if (said !== undefined && said.pid === node.pid && (isPermanent(said) || !grown)) return false;
    const doc = this.#ports.scenarios.find(ask.placement.scenario);
    const assignment = doc === null ? null : assignmentOf(doc, ask.placement);
    return assignment !== null && unfit(node, assignment.engine) === null;
  }

  #requeue(ask: Ask): void {
    this.#leave(ask);
    ask.held = false;
    this.#queued.add(ask);
  }

  #leave(ask: Ask): void {
    this.#queued.delete(ask);
    this.#waiting.delete(ask);
    ask.retry?.cancel();
    ask.retry = null;
  }
}

/** What the node answered in this round, or would by its own view (Z3); null when it is to be asked. */
function refusalOf(ask: Ask, node: NodeView, { engine }: Assignment): Refusal | null {
  const said = ask.refusals.get(node.id);
  if (said !== undefined && said.pid === node.pid) {
    const { pid: _, ...problem } = said;
    return { node: node.id, ...problem };
  }
  const message = unfit(node, engine);
  return message === null ? null : { node: node.id, code: 'unavailable', message };
}

const refOf = ({ scenario, run, segment, attempt }: Placement): AttemptBody => ({ scenario, run, segment, attempt });

/** Z1, Z2 */
async function askNode(
  { bus, clock, directory }: PlaceRunnerPorts,
  answerMs: number,
  node: string,
  assignment: Assignment,
  signal: AbortSignal,
): Promise<StartAnswer | { readonly kind: 'lost'; readonly problem: ProblemBody }> {
  const body = toJson(assignment);
  const { traceparent } = assignment;
  const headers = traceparent === undefined ? undefined : { [HEADERS.traceparent]: traceparent };
  for (let mayHaveIt = false; ; mayHaveIt = true) {
    signal.throwIfAborted();
    try {
      const { body: bytes } = await bus.request(SUBJECTS.control(node, 'start'), body, answerMs, headers);
      return parse(StartAnswer, fromJson(bytes), `The answer of node ${node}`);
    } catch (error) {
      const unheard = error instanceof NoResponder;
      if (unheard || !directory.alive().some(other => other.id === node)) {
        const problem = { code: 'unavailable', message: 'the node does not answer' };
        return { kind: unheard && !mayHaveIt ? 'refused' : 'lost', problem };
      }
      await clock.sleep(AGAIN_MS, signal);
    }
  }
}
