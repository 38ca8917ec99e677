/**
 * Every scenario's committed document, kept current by a watch of the state bucket: what listings and waits are made of.
 *
 * G1 An older revision never replaces a newer one; what a command's answer told is seen at once, before the watch brings it.
 * G2 A record that cannot be read is reported and hides no other: its scenario stays as the watch last told it.
 * G3 A watch that begins anew knows nothing of the one before: the store may have been put back, and its revisions mean others
 *    now. What was known is shown until the new watch is current, and then forgotten.
 * G4 Whatever this node slept through, its projection keeps no deleted run: a record tells up to which run its scenario was
 *    deleted, also when it was made anew since; and what the projection had before a watch that tells nothing of it is gone.
 */
import type { ScenarioDoc } from '../../domain/scenario-doc.ts';
import type { Clock } from '../ports/clock.ts';
import { type ProjectionStore, whenThereIsRoom } from '../ports/projection.ts';
import type { StateStore } from '../ports/state-store.ts';
import { isPassing } from '../ports/write-outcome.ts';
import type { Committed } from '../runtime/committed.ts';
import { decodeRecord } from '../runtime/record-codec.ts';

const PREFIX = 'scenario.';
const AGAIN_MS = 500;

type Docs = Map<string, { readonly doc: ScenarioDoc | null; readonly revision: number }>;

export class ScenarioMirror {
  readonly #store: StateStore;
  readonly #clock: Clock;
  readonly #projection: Pick<ProjectionStore, 'scenarios' | 'forget'>;
  readonly #report: (key: string, error: unknown) => void;
  #docs: Docs = new Map();
  /** G3: what a watch has told that is not current yet. */
  #coming: Docs | null = null;
  /** Every id that was ever seen, sorted; null when one has come. */
  #order: readonly string[] | null = null;
  readonly #waiters = new Map<string, Set<() => void>>();
  /** True once everything that was stored when the watch began has been read. */
  current = false;

  /** @param projection told what is deleted (G4) */
  constructor(
    store: StateStore,
    clock: Clock,
    projection: Pick<ProjectionStore, 'scenarios' | 'forget'>,
    report: (key: string, error: unknown) => void,
  ) {
    this.#report = report;
    this.#store = store;
    this.#clock = clock;
    this.#projection = projection;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#coming = new Map();
      const forgotten = new Map<string, number>();
      const over = new AbortController();
      const either = AbortSignal.any([signal, over.signal]);
      // Beside the watch, one after the other: a full disk keeps nobody from being listed.
      let forgetting: Promise<unknown> = Promise.resolve();
      const forget = (work: () => Promise<void>): void => {
        forgetting = forgetting.then(work).catch(error => {
          if (!either.aborted) this.#report('what is deleted', error);
        });
      };
      try {
        const before = new Map(this.#projection.scenarios().map(({ id, lastSeq }) => [id, lastSeq]));
        for await (const change of this.#store.watch(signal, true)) {
          if (change.kind === 'current') {
            this.#show();
            forget(() => this.#forgetUntold(before, either));
          } else if (change.kind === 'entry' && change.entry.key.startsWith(PREFIX)) {
            const { key, value, revision } = change.entry;
            const id = key.slice(PREFIX.length);
            before.delete(id);
            const record = this.#read(key, value);
            if (record === null) continue;
            this.#note(this.#coming ?? this.#docs, id, visible(record), revision);
            const { lastRun, lastSeq } = record.remnant ?? {};
            if (typeof lastRun !== 'number' || typeof lastSeq !== 'number' || forgotten.get(id) === lastRun) continue;
            forgotten.set(id, lastRun);
            const room = (): Promise<void> =>
              whenThereIsRoom(() => this.#projection.forget(id, lastRun, lastSeq), this.#clock, either);
            forget(room); // G4, J4
          } else if (change.kind === 'deleted' && change.key.startsWith(PREFIX)) {
            const id = change.key.slice(PREFIX.length);
            const docs = this.#coming ?? this.#docs;
            this.#note(docs, id, null, change.revision);
            docs.delete(id); // nothing older is under way any more: its tombstone has stood for long
            forgotten.delete(id);
          }
        }
      } catch (error) {
        if (signal.aborted) return;
        this.current = false;
        this.#coming = null;
        await this.#clock.sleep(AGAIN_MS, signal).catch(() => {});
        if (signal.aborted) return;
        if (!(error instanceof Error)) throw error;
      } finally {
        over.abort(new Error('the watch ended'));
        await forgetting;
      }
    }
  }

  /**
   * G4: what has no record. A watch may be current and yet about to bring one that was written while it was read.
   * @param before what the projection had before the watch began, but for what it has told: what got entries since is somebody's
   */
  async #forgetUntold(before: ReadonlyMap<string, number>, signal: AbortSignal): Promise<void> {
    const gone = new Set<string>();
    for (const id of before.keys()) if (!(await this.#exists(id, signal))) gone.add(id);
    const forget = (): void => {
      for (const { id, lastRun, lastSeq } of this.#projection.scenarios())
        if (gone.has(id) && before.get(id) === lastSeq) this.#projection.forget(id, lastRun, lastSeq);
    };
    if (gone.size > 0) await whenThereIsRoom(forget, this.#clock, signal); // J4
  }

  async #exists(id: string, signal: AbortSignal): Promise<boolean> {
    for (;;) {
      try {
        return (await this.#store.get(PREFIX + id)) !== null;
      } catch (error) {
        if (!isPassing(error)) throw error;
      }
      await this.#clock.sleep(AGAIN_MS, signal);
    }
  }

  /** G2 */
  #read(key: string, value: Uint8Array): Committed | null {
    try {
      return decodeRecord(value);
    } catch (error) {
      this.#report(key, error);
      return null;
    }
  }

  /** G3 */
  #show(): void {
    this.#docs = this.#coming ?? this.#docs;
    this.#coming = null;
    this.#order = null;
    this.current = true;
    for (const waiters of [...this.#waiters.values()]) for (const wake of waiters) wake();
  }

  learn(id: string, doc: ScenarioDoc | null, revision: number): void {
    this.#note(this.#docs, id, doc, revision);
    if (this.#coming !== null) this.#note(this.#coming, id, doc, revision);
  }

  /** G1 */
  #note(docs: Docs, id: string, doc: ScenarioDoc | null, revision: number): void {
    const known = docs.get(id);
    if (known !== undefined && known.revision >= revision) return;
    docs.set(id, { doc, revision });
    if (docs !== this.#docs) return;
    if (known === undefined) this.#order = null;
    for (const wake of this.#waiters.get(id) ?? []) wake();
  }

  /** null: there is none, or it is deleted. */
  get(id: string): ScenarioDoc | null {
    return this.#docs.get(id)?.doc ?? null;
  }

  /** Calls at every change of the scenario, until what it returns is called. */
  watch(id: string, wake: () => void): () => void {
    const waiters = this.#waiters.get(id) ?? new Set();
    this.#waiters.set(id, waiters);
    waiters.add(wake);
    return () => {
      waiters.delete(wake);
      if (waiters.size === 0 && this.#waiters.get(id) === waiters) this.#waiters.delete(id);
    };
  }

  /** In order of id, which is made anew only when an id was seen for the first time: a page is read of thousands. */
  *list(): Iterable<ScenarioDoc> {
    this.#order ??= [...this.#docs.keys()].sort((a, b) => (a < b ? -1 : 1));
    for (const id of this.#order) {
      const doc = this.#docs.get(id)?.doc ?? null;
      if (doc !== null) yield doc;
    }
  }

  /** Resolves at the scenario's next change, or when the time is over. */
  async changed(id: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
    await new Promise<void>(resolve => {
      const done = (): void => {
        unwatch();
        timer.cancel();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = this.#clock.timer(timeoutMs, done);
      const unwatch = this.watch(id, done);
      signal.addEventListener('abort', done, { once: true });
    });
  }
}

/** The document as the outside may see it: a scenario that is being deleted is gone. */
export function visible(record: Committed): ScenarioDoc | null {
  const doc = record.state as ScenarioDoc | null;
  return doc === null || doc.deleting !== null ? null : doc;
}
