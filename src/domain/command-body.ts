/**
 * The body of a command as anybody may have sent it.
 *
 * CB1 Nothing at all is an empty object.
 * CB2 What is too long, no UTF-8, no JSON or nested too deep says so and is quoted, bounded; never thrown.
 */
import { jsonDepth } from './json.ts';
import { LIMITS } from './limits.ts';

export interface CommandBody {
  /** The JSON value; else the text as far as it is quoted, or its bytes as `{base64}` where they are no text. */
  readonly body: unknown;
  /** Why it is no JSON value. */
  readonly unreadable?: string;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

export function commandBody(bytes: Uint8Array): CommandBody {
  if (bytes.byteLength > LIMITS.messageBytes)
    return { body: quoted(bytes), unreadable: `the body has more than ${LIMITS.messageBytes} bytes` };
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    return { body: quoted(bytes), unreadable: 'the body is not UTF-8' };
  }
  if (text.trim() === '') return { body: {} }; // CB1
  try {
    const body: unknown = JSON.parse(text);
    if (jsonDepth(bytes) <= LIMITS.bodyDepth) return { body };
    return { body: quoted(bytes), unreadable: `the body is nested deeper than ${LIMITS.bodyDepth}` };
  } catch (error) {
    return { body: quoted(bytes), unreadable: `the body is not JSON: ${(error as Error).message}` };
  }
}

/** What a record keeps of a body: enough to see what it was, bounded. */
export function quoted(bytes: Uint8Array): unknown {
  const head = Buffer.from(bytes.subarray(0, LIMITS.quotedBytes));
  const cut = head.byteLength < bytes.byteLength;
  try {
    // As a stream: a character that the cut has split is left out.
    return new TextDecoder('utf-8', { fatal: true }).decode(head, { stream: cut }) + (cut ? '…' : '');
  } catch {
    return { base64: head.toString('base64') };
  }
}
