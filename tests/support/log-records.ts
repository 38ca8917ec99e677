/** Log records for tests that don't care what is in them. */
import type { EndRecord, FramesRecord, OpenRecord } from '../../src/domain/log-record.ts';

const at = '2030-01-01T00:00:00.000Z';

export const openRecord = (attempt: number, nonce = `nonce${attempt}`): OpenRecord => ({
  v: 1,
  kind: 'open',
  attempt,
  nonce,
  n: 0,
  at,
  position: null,
  source: { size: 1, sha256: 'ab' },
  engine: { decoder: 'ffmpeg 5', onnxruntime: '1', provider: 'cpu', cpu: 'x64' },
});

/** One batch of `count` empty frames from `from` on; `frames` is the number of predictions after it. */
export const framesRecord = (attempt: number, n: number, from: number, count: number): FramesRecord => ({
  v: 1,
  kind: 'frames',
  attempt,
  nonce: `nonce${attempt}`,
  n,
  at,
  from,
  position: { to: from + count - 1, prevPts: null, lastPts: null, startPts: null, frames: from + count },
  predictions: Array.from({ length: count }, (_, i) => ({ frame: from + i, ptsMs: null, detections: [] })),
});

export const endRecord = (attempt: number, n: number, frames: number): EndRecord => ({
  v: 1,
  kind: 'end',
  attempt,
  nonce: `nonce${attempt}`,
  n,
  at,
  position: null,
  frames,
  warnings: [],
});
