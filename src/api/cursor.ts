/** Opaque page cursors: what a client gets as `nextCursor` and may only hand back. */
import type { EventPosition } from '../actors/ports/gateway.ts';
import { invalidRequest } from '../domain/parse.ts';

export const encodeCursor = (...parts: readonly (string | number)[]): string =>
  Buffer.from(JSON.stringify(parts)).toString('base64url');

/** @throws TroupeError of `refuse` when it is none that `encodeCursor` made of parts of these types */
function decode(cursor: string, types: readonly string[], refuse = badCursor): unknown[] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    const fits = Array.isArray(parts) && parts.length === types.length && parts.every((p, i) => typeof p === types[i]);
    if (fits) return parts;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw refuse();
}

export const badCursor = () =>
  invalidRequest('The query', [{ path: 'cursor', message: 'must be a nextCursor of this listing' }]);

/** Of scenarios: the last id of the page before. */
export const decodeIdCursor = (cursor: string): string => String(decode(cursor, ['string'])[0]);

/** Of refusals: the stream sequence that the next page ends before. */
export function decodeSeqCursor(cursor: string): number {
  const [seq] = decode(cursor, ['number']).map(Number);
  if (seq === undefined || !Number.isSafeInteger(seq)) throw badCursor();
  return seq;
}

/** Of events: the id of the last one received. */
export const encodePosition = ({ life, transition, run, frame }: EventPosition): string =>
  encodeCursor(life, transition, run, frame);

export function decodePosition(id: string): EventPosition {
  const refuse = () =>
    invalidRequest('The request', [{ path: 'Last-Event-ID', message: 'must be the id of an event' }]);
  const [life, transition, run, frame] = decode(id, ['number', 'number', 'number', 'number'], refuse).map(Number);
  const parts = { life: life ?? -1, transition: transition ?? -1, run: run ?? -1, frame: frame ?? -1 };
  if (Object.values(parts).every(part => Number.isSafeInteger(part) && part >= 0)) return parts;
  throw refuse();
}

/** Of predictions: the run and the next frame. */
export function decodeFrameCursor(cursor: string): { readonly run: number; readonly frame: number } {
  const [run, frame] = decode(cursor, ['number', 'number']).map(Number);
  if (run === undefined || frame === undefined || !Number.isSafeInteger(run) || !Number.isSafeInteger(frame)) {
    throw badCursor();
  }
  return { run, frame };
}
