/** Changes that have broken parsers. Each is decided by chance alone: the same chance, the same mutant. */
import { jsonDepth } from '../../src/domain/json.ts';

export interface Chance {
  /** From 0 up to 1. */
  float(): number;
}

export const below = (chance: Chance, n: number): number => Math.floor(chance.float() * n);

export function pick<T>(chance: Chance, of: readonly T[]): T {
  const [first] = of;
  if (first === undefined) throw new Error('nothing to pick from');
  return of[below(chance, of.length)] ?? first;
}

/**
 * One to four changes of bytes: lengths that lie, blocks missing, doubled, or of noise.
 * @param inPlace nothing moves: in a format of nested lengths everything else ends at the outermost one
 */
export function mutateBytes(original: Uint8Array, chance: Chance, inPlace = false): Buffer {
  let bytes = Buffer.concat([original, Buffer.alloc(Math.max(0, 8 - original.length))]);
  for (let changes = 1 + below(chance, 4); changes > 0; changes--) {
    // Half of them near the start, where headers and indexes lie.
    const at = below(chance, chance.float() < 0.5 ? Math.min(512, bytes.length) : bytes.length);
    const size = 1 + below(chance, 64);
    const before = bytes.subarray(0, at);
    switch (below(chance, inPlace ? 3 : 7)) {
      case 0:
        for (let i = 0; i < 1 + size / 8; i++) bytes[below(chance, bytes.length)] = below(chance, 256);
        break;
      case 1:
        bytes.writeUInt32BE(
          pick(chance, [0xff_ff_ff_ff, 0x7f_ff_ff_ff, 0x80_00_00_00, 0]),
          Math.max(0, Math.min(at, bytes.length - 4)),
        );
        break;
      case 2:
        bytes.fill(0, at, Math.min(at + size, bytes.length));
        break;
      case 3:
        bytes = Buffer.concat([before, bytes.subarray(at, at + size), bytes.subarray(at)]);
        break;
      case 4:
        bytes = Buffer.concat([
          before,
          Buffer.from(Array.from({ length: size }, () => below(chance, 256))),
          bytes.subarray(at),
        ]);
        break;
      case 5:
        bytes = Buffer.concat([before, bytes.subarray(at + size)]);
        break;
      case 6:
        bytes = Buffer.from(bytes.subarray(0, Math.max(8, at)));
    }
    if (bytes.length < 8) bytes = Buffer.concat([bytes, Buffer.alloc(8)]);
  }
  return bytes;
}

/** Of text: characters and words that mean something somewhere. */
const WORDS = [
  ...['', ' ', '\0', '\n', '\r\n', '\t', '"', "'", '\\', '/', '..', '%00', '%2e%2e', '*', '>', '#', '=', ',', ';'],
  ...['0', '-1', '1e400', '-0', '9007199254740993', '99999999999999999999', '1.5', 'NaN', 'Infinity', '0x10', 'null'],
  ...['true', '__proto__', 'constructor', 'toString', '\u202e', '\ufeff', '\ud800', 'é', '𝄞', '{', '}', '[', ']'],
];
const LONG = ['x'.repeat(5_000), '['.repeat(20_000), '{"a":'.repeat(5_000), '9'.repeat(400), 'a.'.repeat(3_000)];

/** One to four changes of lines and of words in them; now and then of bytes. @param words of the format's own */
export function mutateLines(
  original: Buffer,
  chance: Chance,
  all: readonly Buffer[],
  words: readonly string[],
): Buffer {
  if (chance.float() < 0.1) return mutateBytes(original, chance);
  const separator = original.includes('\r\n') ? '\r\n' : '\n';
  const lines = original.toString('latin1').split(separator);
  const others = (): string[] => pick(chance, all).toString('latin1').split(separator);
  const word = (): string =>
    Buffer.from(chance.float() < 0.05 ? pick(chance, LONG) : pick(chance, [...words, ...WORDS])).toString('latin1');
  for (let changes = 1 + below(chance, 4); changes > 0; changes--) {
    const at = below(chance, lines.length);
    const line = lines[at] ?? '';
    switch (below(chance, 8)) {
      case 0:
        lines.splice(at, 1);
        break;
      case 1:
        lines.splice(at, 0, line);
        break;
      case 2:
        lines.splice(at, 0, pick(chance, others()));
        break;
      case 3:
        lines.splice(at, 0, word());
        break;
      case 4: {
        const to = below(chance, lines.length);
        [lines[at], lines[to]] = [lines[to] ?? '', line];
        break;
      }
      default: {
        // A word of it, or what stands between two.
        const parts = line.split(/([\s"=:.,/?&[\]{}]+)/);
        parts[below(chance, parts.length)] = word();
        lines[at] = parts.join('');
      }
    }
  }
  return Buffer.from(lines.join(separator), 'latin1');
}

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** What JSON.stringify would not write: put in by its mark. */
const RAW: Readonly<Record<string, string>> = {
  'raw-huge': '1e400',
  'raw-tiny': '1e-400',
  'raw-minus-zero': '-0',
  'raw-digits': '9'.repeat(500),
  'raw-deep': `${'['.repeat(20_000)}${']'.repeat(20_000)}`,
  'raw-deep-object': `${'{"a":'.repeat(5_000)}0${'}'.repeat(5_000)}`,
  'raw-surrogate': '"\\ud800"',
  'raw-nul': '"a\\u0000b"',
  'raw-broken': '"\\x"',
};
const VALUES: readonly Json[] = [
  ...[null, true, false, 0, -1, 1, 0.5, 2 ** 31, 2 ** 53, 1e21, 1e308, -1e308, 5e-324],
  ...['', 'x', '0', '-1', '1e9', ' ', '../..', '%00', '\u202e', '__proto__', 'x'.repeat(2_000), [], {}, [[]], [{}]],
  ...Object.keys(RAW),
];
const KEYS = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '',
  'v',
  'id',
  'kind',
  'length',
  '0',
  'ü',
  'a.b',
];

/** One to three changes of a document's values, keys and shape; now and then of its text. */
export function mutateJson(original: Buffer, chance: Chance, all: readonly Buffer[]): Buffer {
  const document = jsonOf(original);
  if (document === undefined || chance.float() < 0.1) return mutateBytes(original, chance);
  const whole: { it: Json } = { it: document };
  const value = (): Json => structuredClone(pick(chance, VALUES));
  for (let changes = 1 + below(chance, 3); changes > 0; changes--) {
    const [parent, key] = pick(chance, placesIn(whole));
    const other = pick(chance, placesIn({ it: jsonOf(pick(chance, all)) ?? null }));
    const named = parent as Record<string | number, Json>;
    switch (below(chance, 8)) {
      case 0:
        if (Array.isArray(parent)) parent.splice(Number(key), 1);
        else if (parent !== whole) delete named[key];
        break;
      case 1:
        if (Array.isArray(parent)) parent.splice(Number(key), 0, structuredClone(named[key] ?? null));
        else own(named, pick(chance, KEYS), structuredClone(named[key] ?? null));
        break;
      case 2:
        own(named, key, structuredClone((other[0] as Record<string | number, Json>)[other[1]] ?? null));
        break;
      case 3:
        own(named, chance.float() < 0.5 ? pick(chance, KEYS) : other[1], value());
        break;
      case 4: {
        const is = named[key];
        if (typeof is === 'number') own(named, key, pick(chance, [-is, is + 1, is * 1e6, is + 0.5, `${is}`]));
        else if (typeof is === 'string') own(named, key, textNear(is, chance));
        else own(named, key, [is ?? null]);
        break;
      }
      default:
        own(named, key, value());
    }
  }
  let text = JSON.stringify(whole.it) ?? 'null';
  for (const [mark, raw] of Object.entries(RAW)) text = text.replaceAll(`"${mark}"`, () => raw);
  return Buffer.from(text);
}

function textNear(text: string, chance: Chance): string {
  const at = below(chance, text.length + 1);
  const insert = pick(chance, WORDS);
  return text.slice(0, at) + insert + text.slice(at + below(chance, 3));
}

/** Also a key that an assignment would take for something else. */
function own(of: object, key: string | number, value: Json): void {
  if (Array.isArray(of) && typeof key === 'string') of.push(value);
  else Object.defineProperty(of, key, { value, enumerable: true, configurable: true, writable: true });
}

function jsonOf(bytes: Buffer): Json | undefined {
  if (jsonDepth(bytes) > 64) return undefined;
  try {
    return JSON.parse(bytes.toString()) as Json;
  } catch {
    return undefined;
  }
}

/** Where a value stands; not deeper than what anybody writes by hand. */
function placesIn(of: Json, depth = 0): [Json[] | { [key: string]: Json }, string | number][] {
  if (typeof of !== 'object' || of === null || depth > 12) return [];
  const keys: (string | number)[] = Array.isArray(of) ? [...of.keys()] : Object.keys(of);
  return keys.flatMap(key => [
    [of, key] as [Json[] | { [key: string]: Json }, string | number],
    ...placesIn((of as Record<string | number, Json>)[key] ?? null, depth + 1),
  ]);
}
