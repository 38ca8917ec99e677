/**
 * W3C Trace Context, level 1 (https://www.w3.org/TR/trace-context-1/#traceparent-header): `00-<trace id>-<parent id>-<flags>`.
 *
 * TP1 What is malformed is ignored, and a new trace begins (section 4.3): it is a stranger's word, and no reason to refuse.
 * TP2 Whoever passes a trace on keeps its id and flags and puts the id of its own span in the parent's place.
 * TP3 A later version is read as far as this one knows it, and passed on as version 00 (section 3.2.1 and 4.3).
 */

export interface Trace {
  /** 32 hexadecimal digits, the same for everything that one request caused. */
  readonly traceId: string;
  /** 16 hexadecimal digits: the span that this message comes from. */
  readonly parentId: string;
  /** Two hexadecimal digits; the last bit says that the caller may have recorded the trace. */
  readonly flags: string;
}

/** Of chance nothing more is wanted than that ids do not meet. */
interface Chance {
  float(): number;
}

const VERSION_00 = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
/** Longer is no version that anybody knows: a header may have kilobytes. */
const MOST_CHARS = 256;

/** TP1, TP3: null for what is none. */
export function parseTraceparent(text: string | undefined): Trace | null {
  if (text === undefined || text.length > MOST_CHARS) return null;
  const [, version, traceId = '', parentId = '', flags = '', more] = VERSION_00.exec(text) ?? [];
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) return null;
  return /^0+$/.test(traceId) || /^0+$/.test(parentId) ? null : { traceId, parentId, flags };
}

/** TP1, TP2: for what is sent on in answer to `received`, and the beginning of a trace where there is none. */
export function nextTraceparent(received: string | undefined, chance: Chance): string {
  const trace = parseTraceparent(received);
  return `00-${trace?.traceId ?? hex(4, chance)}-${hex(2, chance)}-${trace?.flags ?? '00'}`;
}

/** Words of 8 digits; never all zeros, which would be no id. */
function hex(words: number, chance: Chance): string {
  const digits = Array.from({ length: words }, () =>
    Math.floor(chance.float() * 2 ** 32)
      .toString(16)
      .padStart(8, '0'),
  ).join('');
  return /^0+$/.test(digits) ? digits.replace(/.$/, '1') : digits;
}
