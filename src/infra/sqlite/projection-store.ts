/**
 * The projection in one SQLite file: predictions and the head of each log, derived from the prediction log and
 * nothing else, so that the file may be thrown away at any time.
 *
 * Q1 Entries, heads and the position move in one transaction: after any crash the file holds exactly the entries up to its position.
 * Q2 A frame is stored once: a second result for one (scenario, run, frame) is a defect and throws.
 * Q3 What is stored is what the log holds (`recordThreshold`); `threshold` filters on reading.
 * Q4 Reads use keyset pagination: no read holds more than its limit, however long the run.
 * Q5 A file of another schema version, or one that SQLite refuses, is replaced by an empty one.
 * Q6 A log that begins again belongs to a new scenario of a deleted one's id (run numbers begin again, docs/LOG.md): what was
 *    stored of the old one goes, also when this node was away while it was deleted.
 */
import { rmSync } from 'node:fs';
import Database from 'better-sqlite3';
import type { LogEntry, LogIdentity } from '../../actors/ports/prediction-log.ts';
import type { LogHead, PredictionQuery, ProjectionStore } from '../../actors/ports/projection.ts';
import { invariant, TroupeError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { LogRecord } from '../../domain/log-record.ts';
import { atThreshold, type Prediction, predictionLine } from '../../domain/prediction.ts';

const SCHEMA_VERSION = 2;

// `top` is the highest score of the frame: with it a minimum score is decided without reading the JSON.
// Clustered by key (no rowid), so that a run's frames lie together however many scenarios are written at once.
const SCHEMA = `
  CREATE TABLE position (one INTEGER PRIMARY KEY CHECK (one = 1), created TEXT NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL);
  CREATE TABLE prediction (
    scenario TEXT NOT NULL, run INTEGER NOT NULL, frame INTEGER NOT NULL, top REAL NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (scenario, run, frame)
  ) WITHOUT ROWID;
  CREATE TABLE head (
    scenario TEXT NOT NULL, run INTEGER NOT NULL, segment INTEGER NOT NULL, seq INTEGER NOT NULL, attempt INTEGER NOT NULL,
    kind TEXT NOT NULL, frames INTEGER NOT NULL, last_frame INTEGER, engine TEXT, warnings TEXT, ended INTEGER NOT NULL,
    PRIMARY KEY (scenario, run, segment)
  ) WITHOUT ROWID;
  CREATE TABLE forgotten (scenario TEXT PRIMARY KEY, through_run INTEGER NOT NULL, through_seq INTEGER NOT NULL) WITHOUT ROWID;
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

interface Position {
  readonly created: string;
  readonly seq: number;
  readonly at: number;
}

interface HeadRow {
  readonly segment: number;
  readonly seq: number;
  readonly attempt: number;
  readonly kind: LogHead['kind'];
  readonly frames: number;
  readonly last_frame: number | null;
  readonly engine: string | null;
  readonly warnings: string | null;
  readonly ended: number;
}

interface Waiter {
  readonly seq: number;
  readonly settle: (reached: boolean) => void;
}

/** Opens or creates the projection's file; its folder must exist. */
export function openProjection(file: string): ProjectionStore {
  return new SqliteProjection(openDatabase(file));
}

function openDatabase(file: string): Database.Database {
  for (const attempt of ['as it is', 'from empty']) {
    const db = new Database(file);
    try {
      const version = db.pragma('user_version', { simple: true });
      if (version === SCHEMA_VERSION || version === 0) {
        db.pragma('journal_mode = WAL');
        // A power loss may take the last transactions; the position goes with them (Q1), so they are applied again.
        db.pragma('synchronous = NORMAL');
        if (version === 0) db.transaction(() => db.exec(SCHEMA))();
        return db;
      }
    } catch (error) {
      if (attempt === 'from empty' || !isUnreadable(error)) {
        db.close();
        throw error;
      }
    }
    // Q5
    db.close();
    for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true });
  }
  throw new Error(`${file} could not be replaced by an empty projection`);
}

const isUnreadable = (error: unknown): boolean =>
  error instanceof Database.SqliteError && /^SQLITE_(NOTADB|CORRUPT)/.test(error.code);

const isFull = (error: unknown): boolean =>
  error instanceof Database.SqliteError && /^SQLITE_(FULL|IOERR_WRITE)/.test(error.code);

/** Runs one transaction. @throws TroupeError unavailable (retryable) when the disk is full, and nothing has changed */
function ifThereIsRoom<T>(transaction: () => T): T {
  try {
    return transaction();
  } catch (error) {
    if (!isFull(error)) throw error;
    const message = 'The disk of DATA is full: results are kept in NATS, and can be read here when there is room.';
    throw new TroupeError('unavailable', message, { cause: error, retryable: true });
  }
}

class SqliteProjection implements ProjectionStore {
  readonly #db: Database.Database;
  readonly #sql: ReturnType<typeof statements>;
  readonly #applyAll: (identity: LogIdentity, entries: readonly LogEntry[]) => Position | null;
  readonly #waiters = new Set<Waiter>();
  readonly #watchers = new Map<string, Set<() => void>>();
  #position: Position | null;

  constructor(db: Database.Database) {
    this.#db = db;
    this.#sql = statements(db);
    this.#applyAll = db.transaction((identity: LogIdentity, entries: readonly LogEntry[]) =>
      this.#applyInTransaction(identity, entries),
    );
    this.#position = this.#sql.position.get() ?? null;
  }

  position(): Position | null {
    return this.#position;
  }

  get appliedSeq(): number {
    return this.#position?.seq ?? 0;
  }

  apply(identity: LogIdentity, entries: readonly LogEntry[]): void {
    this.#position = ifThereIsRoom(() => this.#applyAll(identity, entries));
    this.#wake();
    if (this.#watchers.size > 0) this.#tell(entries);
  }

  #applyInTransaction(identity: LogIdentity, entries: readonly LogEntry[]): Position | null {
    let position = this.#position;
    invariant(position === null || position.created === identity.created, 'entries of another stream');
    for (const entry of entries) {
      if (position !== null && entry.seq <= position.seq) continue;
      position = { created: identity.created, seq: entry.seq, at: entry.at };
      if (this.#sql.forgotten.get(entry.key.scenario, entry.key.run, entry.seq) === undefined) this.#applyOne(entry);
    }
    // Q1
    if (position !== null) this.#sql.moveTo.run(position.created, position.seq, position.at);
    return position;
  }

  #applyOne({ key, seq, record }: LogEntry): void {
    if (record.kind === 'open') {
      const known = this.#sql.heads.all(key.scenario, key.run).find(({ segment }) => segment === key.segment);
      if (known !== undefined && beginsAgain(known, record)) this.#drop(key.scenario, key.run);
    }
    if (record.kind === 'frames') {
      for (const prediction of record.predictions) {
        // Q2: a plain INSERT
        this.#sql.insert.run(key.scenario, key.run, prediction.frame, top(prediction), predictionLine(prediction));
      }
    }
    this.#sql.moveHead.run({
      ...key,
      seq,
      attempt: record.attempt,
      kind: record.kind,
      frames: record.position?.frames ?? 0,
      lastFrame: record.position?.to ?? null,
      engine: record.kind === 'open' ? JSON.stringify(record.engine) : null,
      warnings: record.kind === 'end' ? JSON.stringify(record.warnings) : null,
      ended: record.kind === 'end' ? 1 : 0,
    });
  }

  query(query: PredictionQuery): Prediction[] {
    const { scenario, run, fromFrame, toFrame, className, minScore, limit } = query;
    const threshold = Math.max(query.threshold, minScore ?? 0);
    if (className === null && minScore === null) {
      return this.#sql.range.all(scenario, run, fromFrame, toFrame, limit).map(body => shown(body, threshold));
    }
    // SQL leaves out most frames by bytes alone; what remains is decided exactly on the parsed prediction.
    const needle = className === null ? '' : `"class":${JSON.stringify(className)},"classId":`;
    const found: Prediction[] = [];
    for (const body of this.#sql.filtered.iterate(scenario, run, fromFrame, toFrame, threshold, needle)) {
      const prediction = shown(body, threshold);
      if (!('detections' in prediction)) continue;
      const detections = prediction.detections.filter(d => className === null || d.class === className);
      if (detections.length > 0) found.push({ ...prediction, detections });
      if (found.length === limit) break;
    }
    return found;
  }

  *pages(scenario: string, run: number, threshold: number): Iterable<readonly Prediction[]> {
    for (let from = 0; ; ) {
      const bodies = this.#sql.range.all(scenario, run, from, Number.MAX_SAFE_INTEGER, LIMITS.exportFrames);
      const page = bodies.map(body => shown(body, threshold));
      const last = page.at(-1);
      if (last === undefined) return;
      yield page;
      from = last.frame + 1;
    }
  }

  heads(scenario: string, run: number): LogHead[] {
    return this.#sql.heads.all(scenario, run).map(row => ({
      segment: row.segment,
      seq: row.seq,
      attempt: row.attempt,
      kind: row.kind,
      framesDone: row.frames,
      lastFrame: row.last_frame,
      engine: row.engine === null ? null : JSON.parse(row.engine),
      warnings: row.warnings === null ? [] : JSON.parse(row.warnings),
      ended: row.ended === 1,
    }));
  }

  runs(scenario: string): number[] {
    return this.#sql.runs.all(scenario);
  }

  caughtUpWith(seq: number, timeoutMs: number): Promise<boolean> {
    if (this.appliedSeq >= seq) return Promise.resolve(true);
    return new Promise(resolve => {
      const waiter: Waiter = {
        seq,
        settle: reached => {
          clearTimeout(timer);
          this.#waiters.delete(waiter);
          resolve(reached);
        },
      };
      const timer = setTimeout(() => waiter.settle(false), timeoutMs);
      this.#waiters.add(waiter);
    });
  }

  #wake(): void {
    for (const waiter of this.#waiters) if (this.appliedSeq >= waiter.seq) waiter.settle(true);
  }

  watch(scenario: string, wake: () => void): () => void {
    const watchers = this.#watchers.get(scenario) ?? new Set();
    this.#watchers.set(scenario, watchers);
    watchers.add(wake);
    return () => {
      watchers.delete(wake);
      if (watchers.size === 0 && this.#watchers.get(scenario) === watchers) this.#watchers.delete(scenario);
    };
  }

  #tell(entries: readonly LogEntry[]): void {
    for (const scenario of new Set(entries.map(entry => entry.key.scenario)))
      for (const wake of this.#watchers.get(scenario) ?? []) wake();
  }

  reset(): void {
    const empty = this.#db.transaction(() => {
      for (const table of ['prediction', 'head', 'forgotten', 'position']) this.#db.exec(`DELETE FROM ${table}`);
    });
    ifThereIsRoom(empty);
    this.#position = null;
  }

  forget(scenario: string, throughRun: number, throughSeq: number): void {
    const forget = this.#db.transaction(() => {
      this.#sql.forget.run(scenario, throughRun, throughSeq);
      this.#sql.deletePredictions.run(scenario, 0, throughRun);
      this.#sql.deleteHeads.run(scenario, 0, throughRun);
    });
    ifThereIsRoom(forget);
  }

  /** Runs from `fromRun` on: earlier ones may be the new scenario's own. */
  #drop(scenario: string, fromRun: number): void {
    this.#sql.deletePredictions.run(scenario, fromRun, Number.MAX_SAFE_INTEGER);
    this.#sql.deleteHeads.run(scenario, fromRun, Number.MAX_SAFE_INTEGER);
  }

  close(): void {
    for (const waiter of this.#waiters) waiter.settle(false);
    this.#db.close();
  }
}

/** Q6: by L1 an attempt opens a log with a number above every earlier one, after the frames passed, and never after its end. */
const beginsAgain = (known: HeadRow, { attempt, position }: LogRecord): boolean =>
  known.ended === 1 || attempt <= known.attempt || (position === null && known.last_frame !== null);

/** Q3 */
const shown = (body: string, threshold: number): Prediction => atThreshold(JSON.parse(body) as Prediction, threshold);

const top = (prediction: Prediction): number =>
  'detections' in prediction ? prediction.detections.reduce((most, d) => Math.max(most, d.score), 0) : 0;

function statements(db: Database.Database) {
  return {
    position: db.prepare<[], Position>('SELECT created, seq, at FROM position'),
    moveTo: db.prepare<[string, number, number]>('INSERT OR REPLACE INTO position VALUES (1, ?, ?, ?)'),
    insert: db.prepare<[string, number, number, number, string]>('INSERT INTO prediction VALUES (?, ?, ?, ?, ?)'),
    moveHead: db.prepare<[object]>(`
      INSERT INTO head VALUES (@scenario, @run, @segment, @seq, @attempt, @kind, @frames, @lastFrame, @engine, @warnings, @ended)
      ON CONFLICT DO UPDATE SET seq = excluded.seq, attempt = excluded.attempt, kind = excluded.kind, frames = excluded.frames,
        last_frame = excluded.last_frame, engine = coalesce(excluded.engine, engine),
        warnings = coalesce(excluded.warnings, warnings), ended = max(excluded.ended, ended)`),
    range: db
      .prepare<[string, number, number, number, number], string>(
        'SELECT body FROM prediction WHERE scenario = ? AND run = ? AND frame BETWEEN ? AND ? ORDER BY frame LIMIT ?',
      )
      .pluck(),
    filtered: db
      .prepare<[string, number, number, number, number, string], string>(
        `SELECT body FROM prediction WHERE scenario = ? AND run = ? AND frame BETWEEN ? AND ? AND top >= ? AND instr(body, ?) > 0
         ORDER BY frame`,
      )
      .pluck(),
    heads: db.prepare<[string, number], HeadRow>('SELECT * FROM head WHERE scenario = ? AND run = ? ORDER BY segment'),
    runs: db.prepare<[string], number>('SELECT DISTINCT run FROM head WHERE scenario = ? ORDER BY run').pluck(),
    forget: db.prepare<[string, number, number]>('INSERT OR REPLACE INTO forgotten VALUES (?, ?, ?)'),
    forgotten: db.prepare<[string, number, number]>(
      'SELECT 1 FROM forgotten WHERE scenario = ? AND through_run >= ? AND through_seq >= ?',
    ),
    deletePredictions: db.prepare<[string, number, number]>(
      'DELETE FROM prediction WHERE scenario = ? AND run BETWEEN ? AND ?',
    ),
    deleteHeads: db.prepare<[string, number, number]>('DELETE FROM head WHERE scenario = ? AND run BETWEEN ? AND ?'),
  };
}
