/** JSON as it crosses the bus, the mailbox and the stores: UTF-8 bytes. */

export const toJson = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** @throws SyntaxError when the bytes are not JSON. What comes out has no type until a schema was held against it. */
export const fromJson = (bytes: Uint8Array): unknown => JSON.parse(Buffer.from(bytes).toString('utf8'));
