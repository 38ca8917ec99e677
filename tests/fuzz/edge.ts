/**
 * One way to try an edge with what nobody would send in good faith.
 *
 * FZ1 The same edge, seed and number of cases are the same inputs in the same order, on any machine.
 * FZ2 What is in the corpus is tried first, each file as it is, however few cases are asked for.
 * FZ3 A case that breaks a promise is written down, and told with how to try it again and how to keep it.
 * FZ4 A case without a verdict in `VERDICT_MS` has broken one, too.
 * FZ5 An edge of which some outcome that it names never comes is not tried: its mutations are too wild, or too tame.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as assert from 'uvu/assert';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import type { Chance } from './mutations.ts';

export interface Edge {
  readonly name: string;
  /** What must hold whatever comes in. */
  readonly promise: string;
  /** Cases of one commit's run. */
  readonly cases: number;
  /** FZ5: each comes at least once in a run of `cases`. */
  readonly outcomes: readonly string[];
  open(): Promise<OpenEdge>;
}

export interface OpenEdge extends AsyncDisposable {
  /** What is mutated, beside the corpus. */
  readonly seeds: readonly Buffer[];
  /** Cases under way at a time. */
  readonly together?: number;
  mutate(seed: Buffer, chance: Chance, all: readonly Buffer[]): Buffer;
  /** @returns in a word what became of it. @throws when a promise is broken */
  judge(input: Buffer): string | Promise<string>;
  /** @throws when a promise is broken that one case alone does not show */
  afterwards?(): Promise<void>;
}

export interface Failure {
  /** The corpus file, or the case's number. */
  readonly of: string;
  readonly why: string;
  /** Where the input lies. */
  readonly file: string;
}

export interface Report {
  readonly edge: string;
  readonly corpus: number;
  readonly cases: number;
  readonly ms: number;
  readonly outcomes: ReadonlyMap<string, number>;
  readonly failures: readonly Failure[];
}

export interface Wish {
  readonly cases: number;
  readonly seed: number;
  /** Where failing inputs are written. */
  readonly folder?: string;
}

const VERDICT_MS = 60_000;
/** Enough to see that they are alike. */
const MOST_FAILURES = 5;
const CORPUS = path.join(import.meta.dirname, 'corpus');

export async function fuzz(edge: Edge, wish: Wish): Promise<Report> {
  const { cases, seed, folder = path.join(tmpdir(), 'troupe-fuzz') } = wish;
  const began = performance.now();
  const outcomes = new Map<string, number>();
  const failures: Failure[] = [];
  const kept = corpusOf(edge);
  await using open = await edge.open();
  const all = [...open.seeds, ...kept.map(({ bytes }) => bytes)];
  if (all.length === 0) throw new Error(`the edge ${edge.name} has nothing to mutate`);

  const fail = (of: string, input: Buffer, error: unknown): void => {
    mkdirSync(folder, { recursive: true });
    const file = path.join(folder, `${edge.name}-${of.replaceAll(/[^\w.-]+/g, '-')}`);
    writeFileSync(file, input); // FZ3
    const details = error instanceof assert.Assertion && error.details !== false ? `${error.details}\n` : '';
    const why = error instanceof Error ? `${details}${error.stack ?? error.message}` : String(error);
    failures.push({ of, file, why });
  };
  const tryOne = async (of: string, input: Buffer): Promise<void> => {
    try {
      const outcome = await withVerdict(async () => open.judge(input));
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    } catch (error) {
      fail(of, input, error);
    }
  };

  for (const { name, bytes } of kept) await tryOne(`corpus/${edge.name}/${name}`, bytes); // FZ2
  const numbers = Array.from({ length: cases }, (_, i) => i).values();
  const work = async (): Promise<void> => {
    for (const number of numbers) {
      if (failures.length >= MOST_FAILURES) return;
      await tryOne(`seed ${seed + number}`, inputOf(open, all, seed + number));
    }
  };
  await Promise.all(Array.from({ length: open.together ?? 1 }, work));
  try {
    await open.afterwards?.();
  } catch (error) {
    fail('all of them', Buffer.from(''), error);
  }
  const ms = Math.round(performance.now() - began);
  return { edge: edge.name, corpus: kept.length, cases, ms, outcomes, failures };
}

/** FZ1: a case's own number is its seed, so that it can be tried by itself. */
function inputOf(open: OpenEdge, all: readonly Buffer[], number: number): Buffer {
  const chance = new SeededRandom(number);
  const seed = all[Math.floor(chance.float() * all.length)] ?? Buffer.alloc(0);
  return open.mutate(seed, chance, all);
}

/** FZ4 */
async function withVerdict(judge: () => Promise<string>): Promise<string> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`no verdict within ${VERDICT_MS} ms`)), VERDICT_MS);
  try {
    return await Promise.race([judge(), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

interface Kept {
  readonly name: string;
  readonly bytes: Buffer;
}

/** By name, so that a new file changes no other case than those that are made of it. */
function corpusOf({ name }: Edge): Kept[] {
  const folder = path.join(CORPUS, name);
  let names: string[] = [];
  try {
    names = readdirSync(folder).toSorted();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  return names.map(file => ({ name: file, bytes: readFileSync(path.join(folder, file)) }));
}

/** FZ3 */
export function told({ edge, corpus, cases, ms, outcomes, failures }: Report): string {
  const counts = [...outcomes].toSorted(([, a], [, b]) => b - a).map(([what, count]) => `${count} ${what}`);
  const head = `${edge}: ${corpus} of the corpus and ${cases} cases in ${ms} ms: ${counts.join(', ')}`;
  const each = failures.map(({ of, file, why }) => {
    const [, number] = /^seed (\d+)$/.exec(of) ?? [];
    const again = number === undefined ? [] : [`  again: npm run fuzz -- --edge ${edge} --seed ${number} --cases 1`];
    const keep = of.startsWith('seed') ? [`  keep:  cp ${file} tests/fuzz/corpus/${edge}/<what it is>`] : [];
    return [`${edge}, ${of}: ${why}`, `  input: ${file}`, ...again, ...keep].join('\n');
  });
  return [head, ...each].join('\n');
}

/** FZ5: of those that the edge names, what never came. */
export const missing = (edge: Edge, { outcomes }: Report): string[] =>
  edge.outcomes.filter(what => !outcomes.has(what));
