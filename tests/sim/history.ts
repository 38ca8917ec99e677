/**
 * What happened in a run, as seen from outside: what the server stored and removed, which processes began and ended, what was asked
 * and answered. The checkers read this and nothing else.
 *
 * HI1 What a restored store has lost has not happened (`standing`); what processes did meanwhile has (`all`).
 */
import type { LogRecord } from '../../src/domain/log-record.ts';
import type { Prediction } from '../../src/domain/prediction.ts';
import type { ScenarioDoc } from '../../src/domain/scenario-doc.ts';
import { BUCKETS, kvKey, kvStream, logKey, mailboxTokens, STREAMS } from '../../src/domain/subjects.ts';
import type { Plan } from './storm.ts';

export type Happening =
  | {
      readonly kind: 'stored';
      readonly stream: string;
      readonly subject: string;
      readonly seq: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly body: Uint8Array;
    }
  | { readonly kind: 'purged'; readonly stream: string; readonly filter: string; readonly throughSeq: number }
  | { readonly kind: 'launched'; readonly process: string; readonly attempt: AttemptName }
  | { readonly kind: 'died'; readonly process: string }
  /** The work itself, for good as far as the process can tell. */
  | { readonly kind: 'broke'; readonly scenario: string; readonly code: string }
  | { readonly kind: 'asked'; readonly request: string; readonly scenario: string; readonly verb: string }
  | { readonly kind: 'answered'; readonly request: string; readonly changed: boolean; readonly problem: string | null }
  | { readonly kind: 'restored' }
  | { readonly kind: 'calm' };

export type Event = Happening & { readonly atMs: number; readonly index: number };

export interface AttemptName {
  readonly scenario: string;
  readonly run: number;
  readonly segment: number;
  readonly attempt: number;
}

export interface LogLine {
  readonly atMs: number;
  readonly index: number;
  readonly seq: number;
  readonly record: LogRecord;
}

/** One log from its first record to its purge. */
export interface LogLife {
  readonly scenario: string;
  readonly run: number;
  readonly segment: number;
  readonly lines: readonly LogLine[];
  readonly purged: boolean;
}

/** The committed record of an actor, as far as it is looked at. */
export interface StoredRecord {
  readonly epoch: number;
  readonly cursor: number;
  readonly state: unknown;
  readonly outbox: readonly {
    readonly kind: 'tell' | 'journal';
    readonly number: readonly [number, number];
    readonly verb?: string;
    readonly subject?: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body: Readonly<Record<string, unknown>>;
  }[];
}

export interface Commit {
  readonly atMs: number;
  readonly index: number;
  readonly kind: string;
  readonly id: string;
  readonly revision: number;
  /** null: deleted. */
  readonly record: StoredRecord | null;
}

export interface Letter {
  readonly atMs: number;
  readonly index: number;
  readonly seq: number;
  readonly kind: string;
  readonly id: string;
  readonly class: 'cmd' | 'sys';
  readonly verb: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

export interface Fact {
  readonly subject: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** How an API node's copy of a run stood in the end. */
export interface ShownRun {
  readonly node: string;
  readonly scenario: string;
  readonly run: number;
  readonly predictions: readonly Prediction[];
  readonly ended: boolean;
}

/** How it ended: what is still there when nothing more happens. */
export interface Ending {
  readonly converged: boolean;
  readonly tookMs: number;
  readonly shown: readonly ShownRun[];
  /** State of every scenario in each API node's mirror. */
  readonly mirrored: readonly {
    readonly node: string;
    readonly id: string;
    readonly state: string;
    readonly run: number;
  }[];
  readonly defects: readonly string[];
}

/** What is to be checked. */
export interface Evidence {
  readonly plan: Plan;
  readonly history: History;
  readonly ending: Ending;
}

const decoder = new TextDecoder();

export class History {
  readonly all: Event[];
  #standing: Event[];

  constructor(all: readonly Event[] = [], standing: readonly Event[] = all) {
    this.all = [...all];
    this.#standing = [...standing];
  }

  add(atMs: number, happening: Happening): void {
    const event = { ...happening, atMs, index: this.all.length } as Event;
    this.all.push(event);
    this.#standing.push(event);
  }

  /** HI1: what was stored or removed from that event on is undone. */
  undo(fromIndex: number): void {
    this.#standing = this.#standing.filter(
      event => event.index < fromIndex || (event.kind !== 'stored' && event.kind !== 'purged'),
    );
  }

  get standing(): readonly Event[] {
    return this.#standing;
  }

  /** Every log, one after the other life of it. */
  logs(events: readonly Event[] = this.#standing): readonly LogLife[] {
    const lives: (LogLife & { lines: LogLine[]; purged: boolean })[] = [];
    const open = new Map<string, (typeof lives)[number]>();
    for (const event of events) {
      if (event.kind === 'purged' && event.stream === STREAMS.log) {
        const prefix = event.filter.slice(0, -1);
        for (const [subject, life] of open) {
          if (!subject.startsWith(prefix)) continue;
          life.purged = true;
          open.delete(subject);
        }
      }
      if (event.kind !== 'stored' || event.stream !== STREAMS.log) continue;
      const key = logKey(event.subject);
      const record = parsed(event.body) as LogRecord | null;
      if (key === null || record === null || !('kind' in record)) continue; // a stranger's
      let life = open.get(event.subject);
      if (life === undefined) {
        life = { ...key, lines: [], purged: false };
        lives.push(life);
        open.set(event.subject, life);
      }
      life.lines.push({ atMs: event.atMs, index: event.index, seq: event.seq, record });
    }
    return lives;
  }

  /** What durable actors committed, in order. */
  commits(events: readonly Event[] = this.#standing): readonly Commit[] {
    const stream = kvStream(BUCKETS.state);
    return events.flatMap(event => {
      if (event.kind !== 'stored' || event.stream !== stream) return [];
      const key = kvKey(BUCKETS.state, event.subject);
      const dot = key.indexOf('.');
      return {
        atMs: event.atMs,
        index: event.index,
        kind: key.slice(0, dot),
        id: key.slice(dot + 1),
        revision: event.seq,
        record: parsed(event.body) as StoredRecord | null,
      };
    });
  }

  letters(events: readonly Event[] = this.#standing): readonly Letter[] {
    return events.flatMap(event => {
      if (event.kind !== 'stored' || event.stream !== STREAMS.mailbox) return [];
      const { to, class: cls, verb } = mailboxTokens(event.subject);
      const { atMs, index, seq, headers, body } = event;
      return { atMs, index, seq, ...to, class: cls, verb, headers, text: decoder.decode(body) };
    });
  }

  facts(stream: string): readonly Fact[] {
    return this.#standing.flatMap(event => {
      if (event.kind !== 'stored' || event.stream !== stream) return [];
      const body = parsed(event.body) as Fact['body'] | null;
      return body === null || !('id' in body) ? [] : { subject: event.subject, body };
    });
  }
}

/** Kept: several checkers look at the same bytes. */
const known = new WeakMap<Uint8Array, { readonly value: unknown }>();

/** null for what is no JSON object. */
function parsed(bytes: Uint8Array): unknown {
  const before = known.get(bytes);
  if (before !== undefined) return before.value;
  let value: unknown = null;
  try {
    const read: unknown = JSON.parse(decoder.decode(bytes));
    if (typeof read === 'object') value = read;
  } catch {
    value = null; // a stranger's, or the marker of a deletion
  }
  known.set(bytes, { value });
  return value;
}

/** The commits of scenarios, with their documents. */
export const scenarioCommits = (
  commits: readonly Commit[],
): readonly (Commit & { readonly doc: ScenarioDoc | null })[] =>
  commits
    .filter(commit => commit.kind === 'scenario')
    .map(commit => ({ ...commit, doc: (commit.record?.state ?? null) as ScenarioDoc | null }));
