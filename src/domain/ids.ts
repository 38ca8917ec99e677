/** Identifiers that become NATS subject tokens, KV keys and file names. */
import Type from 'typebox';

export const ID_PATTERN = '^[A-Za-z0-9_-]{1,64}$';
const ID = new RegExp(ID_PATTERN);

/** A scenario, node or actor id: safe as one token of a NATS subject. */
export const Id = Type.String({ pattern: ID_PATTERN, description: '1 to 64 of A-Z a-z 0-9 _ -' });

export const isId = (text: string): boolean => ID.test(text);

/** A caller's own request id is kept when it is harmless in a header, a fact and a log; null when it is not. */
export const knownRequestId = (given: unknown): string | null =>
  typeof given === 'string' && /^[A-Za-z0-9_.-]{1,64}$/.test(given) ? given : null;
