/** The committed record as stored: readable JSON, parsed at the edge. */
import { fromJson, toJson } from '../../domain/json.ts';
import { problemsOf } from '../../domain/parse.ts';
import { Committed } from './committed.ts';

export const encodeRecord = (record: Committed): Uint8Array => toJson(record);

/** @throws a defect when what is stored is not a record: nobody but owners may write the bucket */
export function decodeRecord(bytes: Uint8Array): Committed {
  const value: unknown = fromJson(bytes);
  if (problemsOf(Committed, value).length > 0)
    throw new Error('the state bucket holds something that is not a committed record');
  return value as Committed;
}
