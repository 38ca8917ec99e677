/**
 * The projection in one SQLite file: predictions and the head of each log, derived from the prediction log and
 * nothing else, so that the file may be thrown away at any time.
 *
 * Q1 Entries, heads and the position move in one transaction: after any crash the file holds exactly the entries up to its position.
 * Q2 A frame is stored once, and a log never goes back: a record that its log's rules do not allow (anybody with the right to
 *    publish can repeat one, docs/LOG.md) is left out and told, and what comes behind it is applied.
 * Q3 What is stored is what the log holds (`recordThreshold`); `threshold` filters on reading.
 * Q4 Reads use keyset pagination: no read holds more than its limit, however long the run.
 * Q5 A file of another schema, or one that is damaged, is replaced by an empty one, when it is opened and at any time later: told
 *    once, and whoever fills it begins anew. A disk that is full is no damage.
 * Q6 A log that begins again belongs to a new scenario of a deleted one's id (run numbers begin again, docs/LOG.md): what was
 *    stored of the old one goes, also when this node was away while it was deleted.
 * Q7 Nothing is left out: entries that do not go on where the file stands (it was replaced meanwhile) are refused.
 */
import { rmSync } from 'node:fs';
import Database from 'better-sqlite3';
import type { LogEntry, LogIdentity } from '../../actors/ports/prediction-log.ts';
import type { LogHead, PredictionQuery, ProjectionStore } from '../../actors/ports/projection.ts';
import { invariant, TroupeError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { FramesRecord, LogKey, LogRecord } from '../../domain/log-record.ts';
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

export interface ProjectionEvents {
  /** Q5: the file was replaced by an empty one, which is to be filled from the beginning of the log. */
  replaced(cause: string): void;
  /** Q2: this record was left out. */
  foreign(key: LogKey, seq: number): void;
}

/** Opens or creates the projection's file; its folder must exist. */
export function openProjection(file: string, events: Partial<ProjectionEvents> = {}): ProjectionStore {
  return new SqliteProjection(file, events);
}

interface Opened {
  readonly db: Database.Database;
  readonly sql: Statements;
}

/** What a file holds that nobody damaged. */
const schemaOf = (db: Database.Database): string =>
  JSON.stringify(db.prepare('SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name').raw().all());

/** @throws Unusable (Q5), or what SQLite throws */
function open(file: string): Opened {
  const db = new Database(file);
  try {
    const version = db.pragma('user_version', { simple: true });
    if (version !== SCHEMA_VERSION && version !== 0) throw new Unusable(`its schema version is ${String(version)}`);
    db.pragma('journal_mode = WAL');
    // A power loss may take the last transactions; the position goes with them (Q1), so they are applied again.
    db.pragma('synchronous = NORMAL');
    if (version === 0) db.transaction(() => db.exec(SCHEMA))();
    using model = modelDatabase();
    if (schemaOf(db) !== schemaOf(model.db)) throw new Unusable('its schema is another one');
    return { db, sql: statements(db) };
  } catch (error) {
    db.close();
    // All that was asked is the same at every start: what is wrong is the file.
    if (error instanceof Database.SqliteError && /^SQLITE_(ERROR|READONLY)$/.test(error.code))
      throw new Unusable(error.message, { cause: error });
    throw error;
  }
}

function modelDatabase(): { readonly db: Database.Database } & Disposable {
  const db = new Database(':memory:');
  db.exec(SCHEMA);
  return { db, [Symbol.dispose]: () => void db.close() };
}

class Unusable extends Error {}

/**
 * Q5. A row that contradicts another one counts: a log cannot make one (Q2), and the next try would meet it again. So does one that
 * is not what was written.
 */
const isDamage = (error: unknown): boolean =>
  error instanceof Unusable ||
  error instanceof SyntaxError ||
  (error instanceof Database.SqliteError && /^SQLITE_(NOTADB|CORRUPT|CONSTRAINT)/.test(error.code));

const isFull = (error: unknown): boolean =>
  error instanceof Database.SqliteError && /^SQLITE_(FULL|IOERR_WRITE)/.test(error.code);

class SqliteProjection implements ProjectionStore {
  readonly #file: string;
  readonly #events: Partial<ProjectionEvents>;
  readonly #waiters = new Set<Waiter>();
  readonly #watchers = new Map<string, Set<() => void>>();
  /** null: the damaged one is away, the empty one could not be made yet. */
  #opened: Opened | null = null;
  #position: Position | null = null;
  /** How often it began anew. */
  #generation = 0;

  constructor(file: string, events: Partial<ProjectionEvents>) {
    this.#file = file;
    this.#events = events;
    try {
      this.#open();
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#replace(error);
      this.#open();
    }
  }

  #open(): Opened {
    if (this.#opened === null) {
      this.#opened = open(this.#file);
      this.#position = positionIn(this.#opened.sql);
    }
    return this.#opened;
  }

  /**
   * Reads or changes the file.
   * @throws TroupeError unavailable (retryable) when the disk is full, and nothing has changed; or when it was damaged (Q5)
   */
  #with<T>(work: (opened: Opened) => T): T {
    try {
      return work(this.#open());
    } catch (error) {
      if (isFull(error)) {
        const message = 'The disk of DATA is full: results are kept in NATS, and can be read here when there is room.';
        throw new TroupeError('unavailable', message, { cause: error, retryable: true });
      }
      if (!isDamage(error)) throw error;
      this.#replace(error);
      throw begunAnew(error);
    }
  }

  /** Q5 */
  #replace(cause: unknown): void {
    this.#opened?.db.close();
    this.#opened = null;
    this.#position = null;
    this.#generation += 1;
    for (const suffix of ['', '-wal', '-shm']) rmSync(this.#file + suffix, { force: true });
    this.#events.replaced?.(cause instanceof Error ? cause.message : String(cause));
  }

  position(): Position | null {
    return this.#position;
  }

  get appliedSeq(): number {
    return this.#position?.seq ?? 0;
  }

  apply(identity: LogIdentity, entries: readonly LogEntry[], after = 0): void {
    const foreign: LogEntry[] = [];
    this.#position = this.#with(({ db, sql }) => {
      if (after > this.appliedSeq) throw begunAnew(null, false); // Q7
      return db.transaction(() => this.#applyInTransaction(sql, identity, entries, foreign))();
    });
    for (const { key, seq } of foreign) this.#events.foreign?.(key, seq);
    this.#wake();
    if (this.#watchers.size > 0) this.#tell(entries);
  }

  #applyInTransaction(
    sql: Statements,
    identity: LogIdentity,
    entries: readonly LogEntry[],
    foreign: LogEntry[],
  ): Position | null {
    let position = this.#position;
    invariant(position === null || position.created === identity.created, 'entries of another stream');
    for (const entry of entries) {
      if (position !== null && entry.seq <= position.seq) continue;
      position = { created: identity.created, seq: entry.seq, at: entry.at };
      const { scenario, run } = entry.key;
      if (sql.forgotten.get(scenario, run, entry.seq) !== undefined) continue;
      if (!applyOne(sql, entry)) foreign.push(entry);
    }
    // Q1
    if (position !== null) sql.moveTo.run(position.created, position.seq, position.at);
    return position;
  }

  query(query: PredictionQuery): Prediction[] {
    const { scenario, run, fromFrame, toFrame, className, minScore, limit } = query;
    const threshold = Math.max(query.threshold, minScore ?? 0);
    if (className === null && minScore === null) return this.#range(query, threshold);
    // SQL leaves out most frames by bytes alone; what remains is decided exactly on the parsed prediction.
    const needle = className === null ? '' : `"class":${JSON.stringify(className)},"classId":`;
    return this.#with(({ sql }) => {
      const found: Prediction[] = [];
      for (const body of sql.filtered.iterate(scenario, run, fromFrame, toFrame, threshold, needle)) {
        const prediction = shown(body, threshold);
        if (!('detections' in prediction)) continue;
        const detections = prediction.detections.filter(d => className === null || d.class === className);
        if (detections.length > 0) found.push({ ...prediction, detections });
        if (found.length === limit) break;
      }
      return found;
    });
  }

  #range(
    { scenario, run, fromFrame, toFrame, limit }: Omit<PredictionQuery, 'threshold' | 'className' | 'minScore'>,
    threshold: number,
  ): Prediction[] {
    return this.#with(({ sql }) =>
      sql.range.all(scenario, run, fromFrame, toFrame, limit).map(body => shown(body, threshold)),
    );
  }

  *pages(scenario: string, run: number, threshold: number): Iterable<readonly Prediction[]> {
    const generation = this.#generation;
    const all = { scenario, run, toFrame: Number.MAX_SAFE_INTEGER, limit: LIMITS.exportFrames };
    for (let fromFrame = 0; ; ) {
      if (this.#generation !== generation) throw begunAnew(null); // what is there no longer is not the end
      const page = this.#range({ ...all, fromFrame }, threshold);
      const last = page.at(-1);
      if (last === undefined) return;
      yield page;
      fromFrame = last.frame + 1;
    }
  }

  heads(scenario: string, run: number): LogHead[] {
    return this.#with(({ sql }) =>
      sql.heads.all(scenario, run).map(row => ({
        segment: row.segment,
        seq: row.seq,
        attempt: row.attempt,
        kind: row.kind,
        framesDone: row.frames,
        lastFrame: row.last_frame,
        engine: row.engine === null ? null : JSON.parse(row.engine),
        warnings: row.warnings === null ? [] : JSON.parse(row.warnings),
        ended: row.ended === 1,
      })),
    );
  }

  runs(scenario: string): number[] {
    return this.#with(({ sql }) => sql.runs.all(scenario));
  }

  scenarios(): { id: string; lastRun: number; lastSeq: number }[] {
    return this.#with(({ sql }) => sql.scenarios.all());
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
    this.#with(({ db }) =>
      db.transaction(() => {
        for (const table of ['prediction', 'head', 'forgotten', 'position']) db.exec(`DELETE FROM ${table}`);
      })(),
    );
    this.#position = null;
    this.#generation += 1;
  }

  forget(scenario: string, throughRun: number, throughSeq: number): void {
    this.#with(({ db, sql }) =>
      db.transaction(() => {
        sql.forget.run(scenario, throughRun, throughSeq);
        sql.deletePredictions.run(scenario, 0, throughRun);
        sql.deleteHeads.run(scenario, 0, throughRun);
      })(),
    );
  }

  close(): void {
    for (const waiter of this.#waiters) waiter.settle(false);
    this.#opened?.db.close();
  }
}

/** @param retryable the same call will do; false: only one that begins anew, too */
function begunAnew(cause: unknown, retryable = true): TroupeError {
  const message =
    'What this node keeps of the results was damaged, and is read anew from the log. Try again in a moment.';
  return new TroupeError('unavailable', message, { cause, retryable });
}

/** Q5: the row is what was written. */
function positionIn(sql: Statements): Position | null {
  const row = sql.position.get() ?? null;
  const isPosition =
    row === null || (typeof row.created === 'string' && [row.seq, row.at].every(value => Number.isSafeInteger(value)));
  if (!isPosition) throw new Unusable('its position is none');
  return row;
}

/** @returns false when the record breaks the rules of its log, and nothing was changed (Q2) */
function applyOne(sql: Statements, { key, seq, record }: LogEntry): boolean {
  let known = sql.head.get(key.scenario, key.run, key.segment);
  if (known !== undefined && record.kind === 'open' && beginsAgain(known, record)) {
    // Runs from this one on: earlier ones may be the new scenario's own.
    sql.deletePredictions.run(key.scenario, key.run, Number.MAX_SAFE_INTEGER);
    sql.deleteHeads.run(key.scenario, key.run, Number.MAX_SAFE_INTEGER);
    known = undefined;
  }
  if (known !== undefined && (known.ended === 1 || record.attempt < known.attempt)) return false;
  const fresh = record.kind === 'frames' ? freshOf(sql, key, record, known?.last_frame ?? -1) : [];
  if (fresh === null) return false;
  for (const prediction of fresh)
    sql.insert.run(key.scenario, key.run, prediction.frame, top(prediction), predictionLine(prediction));
  sql.moveHead.run({
    ...key,
    seq,
    attempt: record.attempt,
    kind: record.kind,
    frames: fresh.length,
    lastFrame: record.position?.to ?? null,
    engine: record.kind === 'open' ? JSON.stringify(record.engine) : null,
    warnings: record.kind === 'end' ? JSON.stringify(record.warnings) : null,
    ended: record.kind === 'end' ? 1 : 0,
  });
  return true;
}

/**
 * Q2: its frames behind `last`. After a repeated record the next attempt goes on from where that one stood, so that a record may
 * begin with frames that are there.
 * @returns null when it passes none, or not in order, or one that another segment has
 */
function freshOf(
  sql: Statements,
  { scenario, run }: LogKey,
  { from, position: { to }, predictions }: FramesRecord,
  last: number,
): readonly Prediction[] | null {
  let before = from - 1;
  for (const { frame } of predictions) {
    if (frame <= before || frame > to) return null;
    before = frame;
  }
  if (to <= last || sql.between.get(scenario, run, Math.max(from, last + 1), to) !== undefined) return null;
  return predictions.filter(({ frame }) => frame > last);
}

/** Q6: by L1 an attempt opens a log with a number above every earlier one, after the frames passed, and never after its end. */
const beginsAgain = (known: HeadRow, { attempt, position }: LogRecord): boolean =>
  known.ended === 1 || attempt <= known.attempt || (position === null && known.last_frame !== null);

/** Q3 */
const shown = (body: string, threshold: number): Prediction => atThreshold(JSON.parse(body) as Prediction, threshold);

const top = (prediction: Prediction): number =>
  'detections' in prediction ? prediction.detections.reduce((most, d) => Math.max(most, d.score), 0) : 0;

type Statements = ReturnType<typeof statements>;

function statements(db: Database.Database) {
  return {
    position: db.prepare<[], Position>('SELECT created, seq, at FROM position'),
    moveTo: db.prepare<[string, number, number]>('INSERT OR REPLACE INTO position VALUES (1, ?, ?, ?)'),
    insert: db.prepare<[string, number, number, number, string]>('INSERT INTO prediction VALUES (?, ?, ?, ?, ?)'),
    moveHead: db.prepare<[object]>(`
      INSERT INTO head VALUES (@scenario, @run, @segment, @seq, @attempt, @kind, @frames, @lastFrame, @engine, @warnings, @ended)
      ON CONFLICT DO UPDATE SET seq = excluded.seq, attempt = excluded.attempt, kind = excluded.kind, frames = frames + excluded.frames,
        last_frame = nullif(max(coalesce(excluded.last_frame, -1), coalesce(last_frame, -1)), -1), engine = coalesce(excluded.engine, engine),
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
    between: db.prepare<[string, number, number, number]>(
      'SELECT 1 FROM prediction WHERE scenario = ? AND run = ? AND frame BETWEEN ? AND ? LIMIT 1',
    ),
    head: db.prepare<[string, number, number], HeadRow>(
      'SELECT * FROM head WHERE scenario = ? AND run = ? AND segment = ?',
    ),
    heads: db.prepare<[string, number], HeadRow>('SELECT * FROM head WHERE scenario = ? AND run = ? ORDER BY segment'),
    runs: db.prepare<[string], number>('SELECT DISTINCT run FROM head WHERE scenario = ? ORDER BY run').pluck(),
    scenarios: db.prepare<[], { id: string; lastRun: number; lastSeq: number }>(
      'SELECT scenario AS id, max(run) AS lastRun, max(seq) AS lastSeq FROM head GROUP BY scenario',
    ),
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
