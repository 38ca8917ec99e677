/** The projection's file, as a bad disk leaves it. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import * as assert from 'uvu/assert';
import type { LogEntry } from '../../../src/actors/ports/prediction-log.ts';
import type { ProjectionStore } from '../../../src/actors/ports/projection.ts';
import { TroupeError } from '../../../src/domain/errors.ts';
import { openProjection } from '../../../src/infra/sqlite/projection-store.ts';
import type { Edge } from '../edge.ts';
import { below, type Chance, mutateBytes } from '../mutations.ts';
import { temporary } from './temporary.ts';

const IDENTITY = { created: 'then', firstSeq: 1, lastSeq: 40 };
const PAGE = 4096;

/** A log of one scenario: 40 records, 8 predictions each. */
const LOG: readonly LogEntry[] = Array.from({ length: 40 }, (_, i): LogEntry => {
  const position = { to: 8 * i + 7, prevPts: null, lastPts: null, startPts: null, frames: 8 * i + 8 };
  const predictions = Array.from({ length: 8 }, (_, k) => ({
    frame: 8 * i + k,
    ptsMs: 40 * (8 * i + k),
    detections: [{ class: 'circle', classId: 0, score: 0.9, box: [k, i, 10, 10] }],
  }));
  const record = {
    v: 1,
    kind: 'frames',
    attempt: 1,
    nonce: 'n',
    n: i,
    at: 'now',
    from: 8 * i,
    position,
    predictions,
  } as const;
  return { key: { scenario: 'cam1', run: 1, segment: 0 }, seq: i + 1, record, at: 1000 + i, bytes: 1000 };
});

/** As the projector does it (J1): what the file says it has, then the rest of the log. */
function catchUp(store: ProjectionStore): void {
  const position = store.position();
  const isOurs = position?.created === IDENTITY.created && LOG[position.seq - 1]?.at === position.at;
  if (position !== null && !isOurs) store.reset();
  const after = store.appliedSeq;
  store.apply(IDENTITY, LOG.slice(after), after);
}

const exported = (store: ProjectionStore): string => JSON.stringify([...store.pages('cam1', 1, 0)].flat());

export const projection: Edge = {
  name: 'projection',
  promise: 'a damaged file is replaced, once, and filled from the log: at the latest after one failure that says so',
  cases: 30,
  outcomes: ['whole', 'replaced'],
  async open() {
    const folder = temporary();
    const file = folder.at('projection.db');
    const remove = (): void => {
      for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true });
    };
    const store = openProjection(file);
    store.apply(IDENTITY, LOG.slice(0, 30));
    store.close();
    const truth = JSON.stringify(LOG.flatMap(({ record }) => (record.kind === 'frames' ? record.predictions : [])));
    return {
      seeds: [readFileSync(file)],
      mutate(seed, chance) {
        if (chance.float() < 0.5) return bitten(seed, chance);
        const bytes = mutateBytes(seed, chance);
        // Whole pages too: of zeros, of another.
        const page = PAGE * below(chance, Math.max(1, Math.floor(bytes.length / PAGE)));
        const whole = below(chance, 4);
        if (whole === 0) bytes.fill(0, page, Math.min(page + PAGE, bytes.length));
        else if (whole === 1) bytes.copy(bytes, page, 0, PAGE);
        return bytes;
      },
      judge(input) {
        remove();
        writeFileSync(file, input);
        let replaced = 0;
        const opened = openProjection(file, { replaced: () => replaced++ });
        try {
          const text = readBack(opened) ?? readBack(opened);
          assert.ok(text !== null, 'it fails again and again');
          assert.ok(replaced <= 1, `it is replaced ${replaced} times`);
          // Pages have no checksums: another value within one is not SQLite's to notice.
          if (replaced === 0) return text === truth ? 'whole' : 'other values';
          assert.is(text, truth, 'what was read anew is not the log');
          return 'replaced';
        } finally {
          opened.close();
        }
      },
      [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
    };
  },
};

/** Some bytes anywhere: most files that are damaged can still be opened. */
function bitten(seed: Buffer, chance: Chance): Buffer {
  const bytes = Buffer.from(seed);
  const at = below(chance, bytes.length);
  bytes.fill(below(chance, 256), at, Math.min(at + 1 + below(chance, 16), bytes.length));
  return bytes;
}

/** null: it was damaged, and says so. */
function readBack(store: ProjectionStore): string | null {
  try {
    catchUp(store);
    return exported(store);
  } catch (error) {
    if (!(error instanceof TroupeError) || error.code !== 'unavailable') throw error;
    return null;
  }
}
