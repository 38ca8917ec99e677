/**
 * What happened while a script ran, in Erlang or here, and its one text: a line for each step, `step > what followed`.
 *
 *   +a   a start, !a one that failed     ?a   a worker was asked to end     -a:reason   it ended, and so its supervisor learns it
 *   A[a b' c?]   the table of a supervisor, where it differs from its last: b is terminated, c will be restarted again
 *   =7:ok   the answer to the call of step 7     none   nobody to do it to
 *
 * O1 Children of a simple_one_for_one are asked all at once and end in no order: neighbours among those lines are sorted.
 * O2 Whoever ends below a supervisor that was killed does so in no order and in its own way: `-A:killed{a b}` has their names.
 * O3 Whoever terminates a child that is not in the table is told `ok` here, `not_found` by Erlang, and `simple_one_for_one` there
 *    when it never had a pid.
 */
import { type Branch, nodeText, type Script, type Step, stepText } from './script.ts';

export type Fact =
  /** `key` is the incarnation, `parent` that of its supervisor; null for the root. */
  | { readonly kind: '+'; readonly id: string; readonly key: string; readonly parent: string | null }
  | { readonly kind: '!'; readonly id: string }
  | { readonly kind: '?'; readonly key: string }
  | { readonly kind: '-'; readonly key: string; readonly reason: string };

export interface Row {
  readonly id: string;
  readonly state: 'running' | 'restarting' | 'terminated';
}

export interface StepRecord {
  readonly facts: readonly Fact[];
  /** Of every supervisor that runs; empty while something is held. */
  readonly tables: readonly { readonly id: string; readonly rows: readonly Row[] }[];
  readonly answers: readonly { readonly step: number; readonly result: string }[];
  readonly none: boolean;
}

interface Incarnation {
  readonly id: string;
  readonly parent: string | null;
}

const MARKS = { running: '', terminated: "'", restarting: '?' } as const;

/** @param records of the start of the tree, then of each step */
export function transcript(script: Script, records: readonly StepRecord[]): string[] {
  const simple = simpleOnes(script);
  const family = new Map<string, Incarnation>();
  const shown = new Map<string, string>();
  return records.map(({ facts, tables, answers, none }, i) => {
    for (const fact of facts) if (fact.kind === '+') family.set(fact.key, fact);
    const step = script.steps[i - 1];
    const first = step?.kind === 'exit' ? step.exits.length : 0;
    const words = settled(facts, family, simple, first);
    for (const { id, rows } of tables.toSorted((a, b) => compare(a.id, b.id))) {
      const table = tableText(id, rows, simple);
      if (shown.get(id) !== table) words.push(table);
      shown.set(id, table);
    }
    for (const { step: asked, result } of answers.toSorted((a, b) => a.step - b.step))
      words.push(`=${asked}:${answerText(result, script.steps[asked - 1])}`);
    if (none) words.push('none');
    return `${step === undefined ? nodeText(script.tree) : stepText(step)} > ${words.join(' ')}`.trimEnd();
  });
}

function answerText(result: string, step: Step | undefined): string {
  if (step?.kind === 'terminate' && (result === 'not_found' || result === 'simple_one_for_one')) return 'ok'; // O3
  return result;
}

function simpleOnes({ tree, steps }: Script): ReadonlySet<string> {
  const found = new Set<string>();
  const look = (branch: Branch): void => {
    if (branch.strategy === 'simple_one_for_one') found.add(branch.id);
    for (const child of branch.children) if (child.kind === 'supervisor') look(child);
  };
  look(tree);
  for (const step of steps)
    if (step.kind === 'start' && typeof step.child !== 'string' && step.child.kind === 'supervisor') look(step.child);
  return found;
}

/** @param first how many facts at the beginning the step itself made: they stand where they are */
function settled(
  facts: readonly Fact[],
  family: ReadonlyMap<string, Incarnation>,
  simple: ReadonlySet<string>,
  first: number,
): string[] {
  const idOf = (key: string): string => family.get(key)?.id ?? key;
  const ancestors = (key: string): string[] => {
    const parent = family.get(key)?.parent ?? null;
    return parent === null ? [] : [parent, ...ancestors(parent)];
  };
  const isSupervisor = (key: string): boolean => /^[A-Z]/.test(idOf(key));
  const killed = new Set(
    facts.flatMap(fact => (fact.kind === '-' && fact.reason === 'killed' && isSupervisor(fact.key) ? [fact.key] : [])),
  );
  /** O2: the highest of the killed supervisors above. */
  const killedAbove = (key: string): string | undefined => ancestors(key).findLast(above => killed.has(above));
  const lost = new Map<string, string[]>();
  for (const fact of facts) {
    const above = fact.kind === '-' ? killedAbove(fact.key) : undefined;
    if (above !== undefined && fact.kind === '-') lost.set(above, [...(lost.get(above) ?? []), idOf(fact.key)]);
  }
  const kept = facts.filter(fact => fact.kind === '+' || fact.kind === '!' || killedAbove(fact.key) === undefined);

  const words: string[] = [];
  /** O1: a run of neighbours, of one supervisor. */
  let run: { readonly parent: string; readonly words: string[] } | null = null;
  const flush = (): void => {
    words.push(...(run?.words.sort(byKindAndName) ?? []));
    run = null;
  };
  for (const [i, fact] of kept.entries()) {
    const word = wordOf(fact, idOf);
    const parent = fact.kind === '?' || fact.kind === '-' ? (family.get(fact.key)?.parent ?? null) : null;
    if (i >= first && parent !== null && simple.has(idOf(parent))) {
      if (run === null || run.parent !== parent) {
        flush();
        run = { parent, words: [] };
      }
      run.words.push(word);
      continue;
    }
    flush();
    const names = fact.kind === '-' ? lost.get(fact.key) : undefined;
    words.push(names === undefined ? word : `${word}{${names.sort(compare).join(' ')}}`);
  }
  flush();
  return words;
}

function wordOf(fact: Fact, idOf: (key: string) => string): string {
  switch (fact.kind) {
    case '+':
    case '!':
      return fact.kind + fact.id;
    case '?':
      return `?${idOf(fact.key)}`;
    case '-':
      return `-${idOf(fact.key)}:${fact.reason}`;
  }
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Who was asked before who ended. */
const byKindAndName = (a: string, b: string): number => (a[0] === b[0] ? compare(a, b) : a.startsWith('?') ? -1 : 1);

function tableText(id: string, rows: readonly Row[], simple: ReadonlySet<string>): string {
  // Erlang's simple_one_for_one has no order and tells no name of whom it will restart.
  const words = simple.has(id)
    ? rows.map(row => (row.state === 'running' ? row.id : '?')).sort(compare)
    : rows.map(row => row.id + MARKS[row.state]);
  return `${id}[${words.join(' ')}]`;
}
