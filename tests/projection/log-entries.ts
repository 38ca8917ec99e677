/** Logs for the projection's tests: what runners would have written, numbered like one stream. */
import type { LogEntry, LogIdentity } from '../../src/actors/ports/prediction-log.ts';
import type { LogRecord } from '../../src/domain/log-record.ts';
import type { Detection, Prediction } from '../../src/domain/prediction.ts';

export const IDENTITY: LogIdentity = { created: '2026-01-01T00:00:00Z', firstSeq: 1, lastSeq: 1_000_000 };
export const ENGINE = { decoder: 'ffmpeg 5.1', onnxruntime: '1.30.0', provider: 'cpu', cpu: 'x64-avx2' };
const NAMES = ['person', 'car', 'bus', 'a "quoted", class'];

/** Frame 7k+3 was skipped, frame 5k is empty, others have one to three detections with scores from 0.1 up. */
export function prediction(frame: number): Prediction {
  const ptsMs = frame * 40;
  if (frame % 7 === 3) return { frame, ptsMs, error: { code: 'decode_failed', message: 'damaged' } };
  const detections: Detection[] = [];
  for (let k = 0; k < (frame % 5 === 0 ? 0 : (frame % 3) + 1); k++) {
    const classId = (frame + k) % NAMES.length;
    const score = Math.round((0.9 - 0.3 * k + ((frame * 37) % 100) / 1000) * 10_000) / 10_000;
    detections.push({ class: NAMES[classId] ?? '', classId, score, box: [k, frame % 50, 10.25, 20] });
  }
  return { frame, ptsMs, detections };
}

export class LogWriter {
  readonly entries: LogEntry[] = [];
  #seq = 0;

  /** One whole run: open, batches of `batch` frames, and the record it ends with, if any. */
  run(scenario: string, run: number, frames: number, last: 'end' | 'closed' | null = 'end', batch = 32): this {
    const writer = { v: 1, attempt: 1, at: '2026-01-01T00:00:00Z', nonce: 'n', n: 0 } as const;
    const source = { size: 1, sha256: 'aa' };
    this.append(scenario, run, { ...writer, kind: 'open', source, engine: ENGINE, position: null });
    let position = null;
    for (let from = 0; from < frames; from += batch) {
      const to = Math.min(from + batch, frames) - 1;
      position = { to, prevPts: null, lastPts: to * 40, startPts: 0, frames: to + 1 };
      const predictions = Array.from({ length: to - from + 1 }, (_, i) => prediction(from + i));
      this.append(scenario, run, { ...writer, kind: 'frames', from, position, predictions });
    }
    if (last === 'end') this.append(scenario, run, { ...writer, kind: 'end', position, frames, warnings: ['late'] });
    if (last === 'closed') this.append(scenario, run, { v: 1, attempt: 2, at: writer.at, kind: 'closed', position });
    return this;
  }

  append(scenario: string, run: number, record: LogRecord): void {
    const seq = ++this.#seq;
    this.entries.push({ key: { scenario, run, segment: 0 }, seq, record, at: 1_700_000_000_000 + seq, bytes: 100 });
  }
}
