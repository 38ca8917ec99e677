/** JSON as it crosses the bus, the mailbox and the stores: UTF-8 bytes. */

export const toJson = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** @throws SyntaxError when the bytes are not JSON. What comes out has no type until a schema was held against it. */
export const fromJson = (bytes: Uint8Array): unknown => JSON.parse(Buffer.from(bytes).toString('utf8'));

/** In UTF-8 no other character has these bytes. */
const [QUOTE, BACKSLASH, OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = Buffer.from('"\\[]{}');

/** Nesting of what is JSON, before anything is made of it: reading it ends no stack, writing and comparing it may. */
export function jsonDepth(bytes: Uint8Array): number {
  let [depth, most] = [0, 0];
  let inString = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (inString) {
      if (byte === BACKSLASH) i += 1;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) most = Math.max(most, ++depth);
    else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) depth -= 1;
  }
  return most;
}
