/**
 * A script of the OTP oracle: a supervision tree and what is done to it, step by step. It has one text, in which the golden
 * transcripts keep it, and one tuple, in which Erlang reads it.
 *
 * A node is `id restart shutdown manner` (a worker) or `ID restart shutdown strategy intensity/period [nodes]` (a supervisor); a
 * simple_one_for_one has, instead of nodes, `<restart shutdown manner>`, of which all its children are. Periods are in seconds.
 */
import type { RestartType, Strategy } from '../../src/actors/runtime/restart-plan.ts';
import type { ChildSpec } from '../../src/actors/runtime/supervisor.ts';

export type Shutdown = ChildSpec['shutdown'];

/** What a worker does when it is asked to end: at once, in 10 ms, never, at once but with a defect, or when the script lets it. */
export const MANNERS = ['prompt', 'slow', 'deaf', 'rude', 'held'] as const;
export type Manner = (typeof MANNERS)[number];
export const SLOW_MS = 10;

/** How a worker ends by itself. */
export const REASONS = ['normal', 'shutdown', '{shutdown}', 'killed', 'fenced', 'error'] as const;
export type Reason = (typeof REASONS)[number];

export const STRATEGIES: readonly Strategy[] = ['one_for_one', 'one_for_all', 'rest_for_one', 'simple_one_for_one'];
export const RESTARTS: readonly RestartType[] = ['permanent', 'transient', 'temporary'];

/** The id of the root. */
export const ROOT = 'R';

export interface Template {
  readonly restart: RestartType;
  readonly shutdown: Shutdown;
  readonly manner: Manner;
}

export interface Worker extends Template {
  readonly kind: 'worker';
  readonly id: string;
}

export interface Branch {
  readonly kind: 'supervisor';
  readonly id: string;
  readonly restart: RestartType;
  readonly shutdown: Shutdown;
  readonly strategy: Strategy;
  readonly intensity: number;
  readonly periodS: number;
  /** Of a simple_one_for_one, which starts without children. */
  readonly template: Template | null;
  readonly children: readonly Node[];
}

export type Node = Worker | Branch;

export type Step =
  /** Workers end by themselves; of several, which have one supervisor, it learns at once. */
  | { readonly kind: 'exit'; readonly exits: readonly { readonly id: string; readonly reason: Reason }[] }
  /** The next starts fail. */
  | { readonly kind: 'fail'; readonly id: string; readonly times: number }
  /** The next start waits for `let`. */
  | { readonly kind: 'hold'; readonly id: string }
  /** Lets a held start go on, or a held worker end that was asked to. */
  | { readonly kind: 'let'; readonly id: string }
  /** A supervisor ends in good order, by itself. */
  | { readonly kind: 'stop'; readonly id: string }
  | { readonly kind: 'kill'; readonly id: string }
  /** The calls of a supervisor. The child of a simple_one_for_one is an id alone. */
  | { readonly kind: 'start'; readonly at: string; readonly child: Node | string }
  | { readonly kind: 'terminate' | 'restart' | 'delete'; readonly at: string; readonly id: string }
  | { readonly kind: 'count'; readonly at: string }
  /** TICK_MS pass. */
  | { readonly kind: 'tick' }
  /** Nothing is held any more, then the root stops. */
  | { readonly kind: 'end' };

/**
 * OTP compares whole seconds: what is younger than a period of P seconds counts, what is older than P + 1 does not, and between
 * the two it depends. With ticks of this length and periods of 3 and 5 a restart is 2.05, 4.1 or 6.15 s old, plus what the steps
 * themselves took: never between the two, as long as that is less than STEPS_MS.
 */
export const TICK_MS = 2_050;
export const PERIODS_S = [3, 5] as const;
export const STEPS_MS = 850;

export interface Script {
  readonly seed: number;
  readonly tree: Branch;
  /** The last one is `end`. */
  readonly steps: readonly Step[];
}

export const nodesOf = (node: Node): readonly Node[] =>
  node.kind === 'worker' ? [node] : [node, ...node.children.flatMap(nodesOf)];

export function nodeText(node: Node): string {
  if (node.kind === 'worker') return `${node.id} ${templateText(node)}`;
  const { id, restart, shutdown, strategy, intensity, periodS, template, children } = node;
  const inside = template === null ? `[${children.map(nodeText).join(', ')}]` : `<${templateText(template)}>`;
  return `${id} ${restart} ${shutdown} ${strategy} ${intensity}/${periodS} ${inside}`;
}

const templateText = ({ restart, shutdown, manner }: Template): string => `${restart} ${shutdown} ${manner}`;

export function stepText(step: Step): string {
  switch (step.kind) {
    case 'exit':
      return `exit ${step.exits.map(({ id, reason }) => `${id} ${reason}`).join(', ')}`;
    case 'fail':
      return `fail ${step.id} ${step.times}`;
    case 'hold':
    case 'let':
    case 'stop':
    case 'kill':
      return `${step.kind} ${step.id}`;
    case 'start':
      return `start ${step.at} ${typeof step.child === 'string' ? step.child : nodeText(step.child)}`;
    case 'terminate':
    case 'restart':
    case 'delete':
      return `${step.kind} ${step.at} ${step.id}`;
    case 'count':
      return `count ${step.at}`;
    case 'tick':
    case 'end':
      return step.kind;
  }
}

/** Words and brackets of a text, taken from the left. */
class Words {
  readonly #words: string[];

  constructor(text: string) {
    this.#words = text.match(/[[\]<>,]|[^\s[\]<>,]+/g) ?? [];
  }

  next(): string {
    const word = this.#words.shift();
    if (word === undefined) throw new Error('the text ends too early');
    return word;
  }

  /** Takes the next word when it is this one. */
  take(word: string): boolean {
    if (this.#words[0] !== word) return false;
    this.#words.shift();
    return true;
  }

  get left(): number {
    return this.#words.length;
  }

  oneOf<T extends string>(words: readonly T[]): T {
    const word = this.next();
    const found = words.find(known => known === word);
    if (found === undefined) throw new Error(`'${word}' is none of ${words.join(', ')}`);
    return found;
  }

  number(): number {
    const word = this.next();
    if (!/^\d+$/.test(word)) throw new Error(`'${word}' is no number`);
    return Number(word);
  }
}

const parseTemplate = (words: Words): Template => ({
  restart: words.oneOf(RESTARTS),
  shutdown: parseShutdown(words),
  manner: words.oneOf(MANNERS),
});

const parseShutdown = (words: Words): Shutdown =>
  words.take('brutal_kill') ? 'brutal_kill' : words.take('infinity') ? 'infinity' : words.number();

function parseNode(words: Words): Node {
  const id = words.next();
  if (/^[a-z]/.test(id)) return { kind: 'worker', id, ...parseTemplate(words) };
  const restart = words.oneOf(RESTARTS);
  const shutdown = parseShutdown(words);
  const strategy = words.oneOf(STRATEGIES);
  const [intensity = Number.NaN, periodS = Number.NaN] = words.next().split('/').map(Number);
  const branch = { kind: 'supervisor' as const, id, restart, shutdown, strategy, intensity, periodS };
  if (words.take('<')) {
    const template = parseTemplate(words);
    words.take('>');
    return { ...branch, template, children: [] };
  }
  words.take('[');
  const children: Node[] = [];
  while (!words.take(']')) {
    children.push(parseNode(words));
    words.take(',');
  }
  return { ...branch, template: null, children };
}

export function parseTree(text: string): Branch {
  const node = parseNode(new Words(text));
  if (node.kind === 'worker') throw new Error(`'${text}' is no supervisor`);
  return node;
}

export function parseStep(text: string): Step {
  const words = new Words(text);
  const kinds = ['exit', 'fail', 'hold', 'let', 'stop', 'kill', 'start', 'terminate', 'restart', 'delete'] as const;
  const kind = words.oneOf([...kinds, 'count', 'tick', 'end']);
  switch (kind) {
    case 'exit': {
      const exits = [{ id: words.next(), reason: words.oneOf(REASONS) }];
      while (words.take(',')) exits.push({ id: words.next(), reason: words.oneOf(REASONS) });
      return { kind, exits };
    }
    case 'fail':
      return { kind, id: words.next(), times: words.number() };
    case 'hold':
    case 'let':
    case 'stop':
    case 'kill':
      return { kind, id: words.next() };
    case 'start': {
      const at = words.next();
      return { kind, at, child: words.left === 1 ? words.next() : parseNode(words) };
    }
    case 'terminate':
    case 'restart':
    case 'delete':
      return { kind, at: words.next(), id: words.next() };
    case 'count':
      return { kind, at: words.next() };
    case 'tick':
    case 'end':
      return { kind };
  }
}

/** The script as the tuple that `oracle.escript` reads with file:consult/1. */
export const scriptTerm = ({ seed, tree, steps }: Script): string =>
  `{${seed}, ${nodeTerm(tree)}, [${steps.map(stepTerm).join(', ')}]}.`;

const atom = (text: string): string => `'${text}'`;

function nodeTerm(node: Node): string {
  if (node.kind === 'worker') return `{worker, ${atom(node.id)}, ${templateTerm(node)}}`;
  const { id, restart, shutdown, strategy, intensity, periodS, template, children } = node;
  const inside = template === null ? `[${children.map(nodeTerm).join(', ')}]` : templateTerm(template);
  return `{supervisor, ${atom(id)}, ${restart}, ${shutdown}, ${strategy}, ${intensity}, ${periodS}, ${inside}}`;
}

const templateTerm = ({ restart, shutdown, manner }: Template): string => `{${restart}, ${shutdown}, ${manner}}`;

function stepTerm(step: Step): string {
  switch (step.kind) {
    case 'exit':
      return `{exit, [${step.exits.map(({ id, reason }) => `{${atom(id)}, ${atom(reason)}}`).join(', ')}]}`;
    case 'fail':
      return `{fail, ${atom(step.id)}, ${step.times}}`;
    case 'hold':
    case 'let':
    case 'stop':
    case 'kill':
      return `{${atom(step.kind)}, ${atom(step.id)}}`;
    case 'start':
      return `{start, ${atom(step.at)}, ${typeof step.child === 'string' ? atom(step.child) : nodeTerm(step.child)}}`;
    case 'terminate':
    case 'restart':
    case 'delete':
      return `{${step.kind}, ${atom(step.at)}, ${atom(step.id)}}`;
    case 'count':
      return `{count, ${atom(step.at)}}`;
    case 'tick':
      return `{tick, ${TICK_MS}}`;
    case 'end':
      return "'end'";
  }
}
