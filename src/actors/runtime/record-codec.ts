/** The committed record as stored: readable JSON, parsed at the edge. */
import { Value } from 'typebox/value';
import { Committed } from './committed.ts';

export const encodeRecord = (record: Committed): Uint8Array => Buffer.from(JSON.stringify(record));

/** @throws a defect when what is stored is not a record: nobody but owners may write the bucket */
export function decodeRecord(bytes: Uint8Array): Committed {
  const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
  if (!Value.Check(Committed, value))
    throw new Error('the state bucket holds something that is not a committed record');
  return value;
}
