/**
 * The script of a seed: a random tree of at most three levels, and what is done to it.
 *
 * G1 A script has one right trace. So either workers and starts are held, and then nothing is ever killed for being late but
 *    workers; or supervisors are killed, and then nothing is held: what a killed supervisor leaves undone is nobody's order.
 * G2 Waits are far from what decides: a slow worker and a supervisor have a hundred times their time, a deaf worker has 5 ms, and
 *    time passes in ticks.
 */
import type { RestartType, Strategy } from '../../src/actors/runtime/restart-plan.ts';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import {
  type Branch,
  type Manner,
  type Node,
  nodesOf,
  PERIODS_S,
  REASONS,
  type Reason,
  ROOT,
  type Script,
  type Shutdown,
  type Step,
  type Template,
} from './script.ts';

const DEAF_MS = 5;
const PATIENT_MS = 1_000;

export function generateScript(seed: number): Script {
  return new Generator(seed).script();
}

class Generator {
  readonly #seed: number;
  readonly #random: SeededRandom;
  /** G1 */
  readonly #holds: boolean;
  #workers = 0;
  #branches = 0;
  /** Every node that was ever in the tree, by its supervisor. */
  readonly #supervisors: Branch[] = [];
  readonly #children = new Map<string, Node[]>();
  readonly #steps: Step[] = [];

  constructor(seed: number) {
    this.#seed = seed;
    this.#random = new SeededRandom(seed);
    this.#holds = this.#chance(0.5);
  }

  script(): Script {
    const tree = this.#branch(ROOT, 'permanent', 'infinity', 3);
    this.#know(tree);
    for (const { id, strategy } of this.#supervisors)
      if (strategy === 'simple_one_for_one') for (let i = this.#below(2) + 1; i > 0; i--) this.#startDynamic(id);
    const length = 5 + this.#below(9);
    while (this.#steps.length < length) this.#move();
    return { seed: this.#seed, tree, steps: [...this.#steps, { kind: 'end' }] };
  }

  #branch(id: string, restart: RestartType, shutdown: Shutdown, levels: number): Branch {
    const strategy = this.#pick<Strategy>([
      'one_for_one',
      'one_for_all',
      'rest_for_one',
      'rest_for_one',
      'one_for_all',
      'simple_one_for_one',
    ]);
    const flags = { strategy, intensity: this.#pick([0, 1, 1, 2, 2, 3]), periodS: this.#pick(PERIODS_S) };
    const branch = { kind: 'supervisor' as const, id, restart, shutdown, ...flags };
    if (strategy === 'simple_one_for_one') return { ...branch, template: this.#template(), children: [] };
    const children = Array.from({ length: 1 + this.#below(4) }, () => this.#node(levels - 1));
    return { ...branch, template: null, children };
  }

  #node(levels: number): Node {
    if (levels === 0 || this.#chance(0.65))
      return { kind: 'worker', id: name('a', this.#workers++), ...this.#template() };
    const shutdown = this.#holds
      ? 'infinity'
      : this.#pick<Shutdown>(['infinity', 'infinity', 'brutal_kill', PATIENT_MS]);
    return this.#branch(name('A', this.#branches++), this.#restart(), shutdown, levels);
  }

  #restart(): RestartType {
    return this.#pick<RestartType>(['permanent', 'permanent', 'transient', 'transient', 'temporary']);
  }

  #template(): Template {
    const manners: readonly Manner[] = ['prompt', 'prompt', 'slow', 'deaf', 'rude'];
    const manner = this.#pick<Manner>(this.#holds ? [...manners, 'held', 'held'] : manners);
    const restart = this.#restart();
    if (manner === 'deaf') return { restart, shutdown: DEAF_MS, manner }; // G2
    if (manner === 'held') return { restart, shutdown: 'infinity', manner };
    const shutdown = this.#pick<Shutdown>(['infinity', PATIENT_MS, 'brutal_kill']);
    return { restart, shutdown, manner };
  }

  #know(node: Node): void {
    for (const known of nodesOf(node))
      if (known.kind === 'supervisor') {
        this.#supervisors.push(known);
        this.#children.set(known.id, [...known.children]);
      }
  }

  #move(): void {
    const moves: (() => void)[] = [
      () => this.#crash(),
      () => this.#crash(),
      () => this.#crashLoop(),
      () => this.#burst(),
      () => this.#failing(),
      () => this.#failing(),
      () => this.#call(),
      () => this.#call(),
      () => this.#downAndBack(),
      () => this.#push({ kind: 'stop', id: this.#supervisor().id }),
      () => this.#push({ kind: 'count', at: this.#supervisor().id }),
      () => this.#ticks(),
      ...(this.#holds
        ? [() => this.#heldStart(), () => this.#heldStart(), () => this.#heldStop(), () => this.#heldStop()]
        : [() => this.#push({ kind: 'kill', id: this.#supervisor().id })]),
    ];
    this.#pick(moves)();
  }

  #crash(): void {
    const id = this.#worker();
    if (id !== null) this.#exit([id]);
  }

  /** Until its supervisor, or that one's, gives up. */
  #crashLoop(): void {
    const id = this.#worker();
    if (id === null) return;
    const reason = this.#pick<Reason>(['error', 'killed', 'fenced']);
    for (let i = 2 + this.#below(3); i > 0; i--) this.#push({ kind: 'exit', exits: [{ id, reason }] });
  }

  #burst(): void {
    const { id } = this.#supervisor();
    const workers = this.#workersOf(id);
    if (workers.length < 2) return this.#crash();
    const first = this.#pick(workers);
    this.#exit([first, this.#pick(workers.filter(other => other !== first))]);
  }

  #failing(): void {
    const id = this.#chance(0.8) ? this.#worker() : this.#anyChild();
    if (id === null) return;
    this.#push({ kind: 'fail', id, times: this.#pick([1, 1, 2, 9]) });
    if (this.#chance(0.8) && /^[a-z]/.test(id)) this.#push({ kind: 'exit', exits: [{ id, reason: this.#reason() }] });
    else this.#crash();
  }

  #heldStart(): void {
    const { id: at } = this.#supervisor();
    const workers = this.#workersOf(at);
    if (workers.length === 0) return;
    const id = this.#pick(workers);
    if (this.#chance(0.5)) this.#push({ kind: 'fail', id, times: this.#pick([1, 1, 2]) });
    this.#push({ kind: 'hold', id });
    this.#push({ kind: 'exit', exits: [{ id: this.#chance(0.7) ? id : this.#pick(workers), reason: this.#reason() }] });
    for (let i = this.#below(3); i >= 0; i--) {
      const moves = [
        () => this.#crash(),
        () => this.#exit([this.#pick(workers)]),
        () => this.#callOn(at, id),
        () => this.#callOn(at, id),
      ];
      this.#pick(moves)();
    }
    if (this.#chance(0.2)) this.#push({ kind: 'stop', id: at });
    this.#push({ kind: 'let', id });
  }

  #heldStop(): void {
    const held = [...this.#children].flatMap(([at, children]) =>
      children.flatMap(child => (child.kind === 'worker' && child.manner === 'held' ? [{ at, id: child.id }] : [])),
    );
    if (held.length === 0) return;
    const { at, id } = this.#pick(held);
    const others = this.#workersOf(at).filter(other => other !== id);
    if (this.#chance(0.4) || others.length === 0) this.#push({ kind: 'terminate', at, id });
    else if (this.#chance(0.7)) this.#exit([this.#pick(others)]);
    else this.#push({ kind: 'stop', id: at });
    for (let i = this.#below(3); i > 0; i--)
      if (this.#chance(0.5)) this.#crash();
      else this.#callOn(at, this.#pick(this.#idsOf(at)));
    if (this.#chance(0.75)) this.#push({ kind: 'let', id });
    else this.#exit([id]);
  }

  #call(): void {
    const { id } = this.#supervisor();
    const ids = this.#idsOf(id);
    this.#callOn(id, ids.length > 0 && this.#chance(0.9) ? this.#pick(ids) : 'nobody');
  }

  #callOn(at: string, id: string): void {
    const kind = this.#pick(['start', 'terminate', 'restart', 'delete'] as const);
    if (kind === 'start') this.#start(at, id);
    else this.#push({ kind, at, id });
  }

  /** A new child, or one of an id that is known. */
  #start(at: string, id: string): void {
    const branch = this.#supervisors.find(supervisor => supervisor.id === at);
    if (branch === undefined) return;
    if (branch.template !== null) return this.#startDynamic(at);
    const known = this.#children.get(at)?.find(child => child.id === id);
    if (known !== undefined && this.#chance(0.5)) return this.#push({ kind: 'start', at, child: known });
    const child = this.#node(this.#chance(0.2) ? 1 : 0);
    this.#children.get(at)?.push(child);
    this.#know(child);
    if (this.#chance(0.15)) this.#push({ kind: 'fail', id: child.id, times: 1 });
    this.#push({ kind: 'start', at, child });
  }

  #startDynamic(at: string): void {
    const template = this.#supervisors.find(supervisor => supervisor.id === at)?.template ?? null;
    if (template === null) return;
    const id = name('a', this.#workers++);
    this.#children.get(at)?.push({ kind: 'worker', id, ...template });
    if (this.#chance(0.1)) this.#push({ kind: 'fail', id, times: 1 });
    this.#push({ kind: 'start', at, child: id });
  }

  /** Terminates a child, and then perhaps does something to it or to a sibling. */
  #downAndBack(): void {
    const { id: at } = this.#supervisor();
    const ids = this.#idsOf(at);
    if (ids.length === 0) return;
    const id = this.#pick(ids);
    this.#push({ kind: 'terminate', at, id });
    const kind = this.#pick(['restart', 'delete', 'start', 'exit', 'fail'] as const);
    if (kind === 'restart' || kind === 'delete') this.#push({ kind, at, id });
    else if (kind === 'start') this.#start(at, id);
    else if (kind === 'exit') this.#exit([this.#pick(ids)]);
    else {
      this.#push({ kind: 'fail', id, times: 1 });
      this.#push({ kind: 'restart', at, id });
    }
  }

  #ticks(): void {
    const id = this.#worker();
    if (id === null || !this.#chance(0.4)) return;
    for (let i = 1 + this.#below(3); i > 0; i--) {
      this.#push({ kind: 'exit', exits: [{ id, reason: this.#pick(['error', 'killed'] as const) }] });
      this.#push({ kind: 'tick' });
      if (this.#chance(0.4)) this.#push({ kind: 'tick' });
    }
    this.#push({ kind: 'exit', exits: [{ id, reason: 'error' }] });
  }

  #exit(ids: readonly string[]): void {
    const known = ids.filter(id => /^[a-z]/.test(id));
    if (known.length > 0) this.#push({ kind: 'exit', exits: known.map(id => ({ id, reason: this.#reason() })) });
  }

  #reason(): Reason {
    return this.#pick([...REASONS, 'error', 'killed']);
  }

  #push(step: Step): void {
    this.#steps.push(step);
  }

  #supervisor(): Branch {
    return this.#pick(this.#supervisors);
  }

  #worker(): string | null {
    const workers = [...this.#children.keys()].flatMap(at => this.#workersOf(at));
    return workers.length === 0 ? null : this.#pick(workers);
  }

  #anyChild(): string | null {
    const ids = [...this.#children.keys()].flatMap(at => this.#idsOf(at));
    return ids.length === 0 ? null : this.#pick(ids);
  }

  #workersOf(at: string): string[] {
    return this.#children.get(at)?.flatMap(child => (child.kind === 'worker' ? [child.id] : [])) ?? [];
  }

  #idsOf(at: string): string[] {
    return this.#children.get(at)?.map(child => child.id) ?? [];
  }

  #pick<T>(options: readonly T[]): T {
    const picked = options[this.#below(options.length)];
    if (picked === undefined) throw new Error('nothing to pick from');
    return picked;
  }

  #below(limit: number): number {
    return Math.floor(this.#random.float() * limit);
  }

  #chance(probability: number): boolean {
    return this.#random.float() < probability;
  }
}

/** a, b, …, z, a1, …: in upper case for supervisors, whose root is R. */
function name(first: 'a' | 'A', index: number): string {
  const letters = first === 'a' ? 'abcdefghijklmnopqrstuvwxyz' : 'ABCDEFGHIJKLMNOPQSTUVWXYZ';
  const round = Math.floor(index / letters.length);
  return `${letters[index % letters.length] ?? ''}${round === 0 ? '' : round}`;
}
