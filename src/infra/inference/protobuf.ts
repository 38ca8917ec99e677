/**
 * The part of the protobuf wire format that ONNX files need: walking a message's fields, and writing new ones.
 * It knows nothing of ONNX. Encoding: https://protobuf.dev/programming-guides/encoding/
 *
 * W1 Bytes outside of the message being walked are never read: every length is checked against its message's end.
 * W2 Walking hostile bytes ends: nesting and the number of fields are bounded, and each step moves forward.
 */
import { TroupeError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';

const malformed = (why: string): TroupeError =>
  new TroupeError(
    'model_unsupported',
    `this is not a readable ONNX file: ${why}. Check the file, or export the model again`,
  );

const text = new TextDecoder();

/** Walks the fields of one message: `next()`, then look at `number` and read the value the way its schema says. */
export class MessageReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  readonly #depth: number;
  readonly #budget: { fields: number };
  #at: number;
  #wire = 0;
  #varint = 0;
  #start = 0;
  #tagStart = 0;
  /** Number of the current field. */
  number = 0;

  private constructor(bytes: Uint8Array, start: number, end: number, depth: number, budget: { fields: number }) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#depth = depth;
    this.#budget = budget;
  }

  static of(bytes: Uint8Array): MessageReader {
    return new MessageReader(bytes, 0, bytes.length, 0, { fields: LIMITS.modelFields });
  }

  /** Moves to the next field; false at the end of the message. @throws TroupeError model_unsupported */
  next(): boolean {
    if (this.#at === this.#end) return false;
    if (--this.#budget.fields < 0) throw malformed(`it has more than ${LIMITS.modelFields} fields`); // W2
    this.#tagStart = this.#at;
    const tag = this.#readVarint();
    this.number = Math.floor(tag / 8);
    this.#wire = tag % 8;
    if (this.number === 0 || tag > 0xffff_ffff) throw malformed('a field has an impossible number');
    if (this.#wire === 0) {
      this.#varint = this.#readVarint();
      return true;
    }
    let length: number;
    if (this.#wire === 1) length = 8;
    else if (this.#wire === 2) length = this.#readVarint();
    else if (this.#wire === 5) length = 4;
    else throw malformed(`a field has wire type ${this.#wire}`);
    if (length > this.#end - this.#at) throw malformed('a field is longer than what it is part of'); // W1
    this.#start = this.#at;
    this.#at += length;
    return true;
  }

  /** The current field as an integer; from 2^53 on only its magnitude is right, which is all that bounds need. */
  integer(): number {
    if (this.#wire !== 0) throw malformed(`field ${this.number} should be an integer`);
    return this.#varint;
  }

  /** The current field's bytes, a view. */
  bytes(): Uint8Array {
    if (this.#wire !== 2) throw malformed(`field ${this.number} should have a length`);
    return this.#bytes.subarray(this.#start, this.#at);
  }

  string(): string {
    return text.decode(this.bytes());
  }

  /** The current field as a message of its own. */
  message(): MessageReader {
    if (this.#wire !== 2) throw malformed(`field ${this.number} should be a message`);
    if (this.#depth === LIMITS.modelDepth) throw malformed(`it is nested deeper than ${LIMITS.modelDepth} messages`); // W2
    return new MessageReader(this.#bytes, this.#start, this.#at, this.#depth + 1, this.#budget);
  }

  /** The current field as it stands in the file, tag included. */
  raw(): Uint8Array {
    return this.#bytes.subarray(this.#tagStart, this.#at);
  }

  #readVarint(): number {
    let value = 0;
    for (let i = 0, unit = 1; i < 10; i++, unit *= 128) {
      const byte = this.#at < this.#end ? this.#bytes[this.#at++] : undefined; // W1
      if (byte === undefined) throw malformed('it ends in the middle of a field');
      value += (byte & 127) * unit;
      if (byte < 128) return value;
    }
    throw malformed('a number has more than 10 bytes');
  }
}

const utf8 = new TextEncoder();

function varint(value: number): Uint8Array {
  const out: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) out.push((rest % 128) | 128);
  out.push(rest);
  return Uint8Array.from(out);
}

/** A field holding a non-negative integer below 2^53. */
export const integerField = (number: number, value: number): Uint8Array =>
  Buffer.concat([varint(number * 8), varint(value)]);

/** A field holding text, bytes, or the concatenated fields of a message. */
export function lengthField(number: number, ...parts: readonly (Uint8Array | string)[]): Uint8Array {
  const body = Buffer.concat(parts.map(part => (typeof part === 'string' ? utf8.encode(part) : part)));
  return Buffer.concat([varint(number * 8 + 2), varint(body.length), body]);
}
