/**
 * Values from outside against their schema: one parser and one wording of errors for HTTP, NATS and files.
 *
 * V1 Nothing is converted, filled in or dropped: a value passes as it is or is refused.
 * V2 A refusal says where, in dots and brackets (`sampling.every`), and what is wanted there; at most `problemPlaces`, each bounded.
 * V3 In a union told apart by a literal, only the branch that was meant is complained of.
 */
import type { Static, TSchema } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';
import { type ProblemDetail, TroupeError } from './errors.ts';
import { fromJson, jsonDepth } from './json.ts';
import { LIMITS } from './limits.ts';

/** What a schema checker says of one place. */
interface SchemaError {
  readonly keyword: string;
  readonly schemaPath: string;
  readonly instancePath: string;
  readonly params: object;
  readonly message: string;
}

const compiled = new WeakMap<TSchema, Validator>();

function validatorOf(schema: TSchema): Validator {
  const known = compiled.get(schema);
  if (known !== undefined) return known;
  const made: Validator = Compile(schema);
  compiled.set(schema, made);
  return made;
}

/** V2: what is wrong with `value`; empty when nothing is. */
export function problemsOf(schema: TSchema, value: unknown): ProblemDetail[] {
  const validator = validatorOf(schema);
  if (validator.Check(value)) return [];
  return describe(validator.Errors(value));
}

/** @throws TroupeError invalid_request, `what` being the subject of its message */
export function parse<T extends TSchema>(schema: T, value: unknown, what: string): Static<T> {
  const errors = problemsOf(schema, value);
  if (errors.length > 0) throw invalidRequest(what, errors);
  return value as Static<T>;
}

/** JSON that anybody may have written: null for what is none, is nested too deep, or is not of this shape. */
export function parseJson<T extends TSchema>(schema: T, bytes: Uint8Array): Static<T> | null {
  try {
    if (jsonDepth(bytes) > LIMITS.messageDepth) return null; // what a schema leaves open would end the stack of who writes it
    const value = fromJson(bytes);
    return problemsOf(schema, value).length === 0 ? (value as Static<T>) : null;
  } catch {
    return null;
  }
}

export function invalidRequest(what: string, errors: readonly ProblemDetail[]): TroupeError {
  const list = errors.map(e => `${e.path} ${e.message}`.trim()).join('; ');
  return new TroupeError('invalid_request', `${what} is not valid: ${list}.`, { errors });
}

function describe(errors: readonly SchemaError[]): ProblemDetail[] {
  const found = new Map<string, ProblemDetail>();
  for (const error of meantBranches(errors)) {
    for (const detail of details(error)) {
      const before = found.get(detail.path);
      // Several literals refused at one place are alternatives.
      const message =
        before !== undefined && error.keyword === 'const' ? `${before.message} or ${literal(error)}` : detail.message;
      if (before === undefined || error.keyword === 'const') found.set(detail.path, { path: detail.path, message });
    }
  }
  return [...found.values()]
    .slice(0, LIMITS.problemPlaces)
    .map(({ path, message }) => ({ path: bounded(path), message }));
}

const bounded = (path: string): string =>
  path.length > LIMITS.placeChars ? `${path.slice(0, LIMITS.placeChars)}…` : path;

/** V3: of each union, drops the branches whose literal says that they were not meant, unless that is true of all. */
function meantBranches(errors: readonly SchemaError[]): SchemaError[] {
  const unions = errors.filter(e => e.keyword === 'anyOf').map(e => `${e.schemaPath}/anyOf/`);
  const branchOf = (error: SchemaError): { union: string; branch: string } | null => {
    const union = unions.find(path => error.schemaPath.startsWith(path));
    return union === undefined
      ? null
      : { union, branch: `${union}${error.schemaPath.slice(union.length).split('/')[0]}` };
  };
  const placed = errors.filter(e => e.keyword !== 'anyOf').map(error => ({ error, at: branchOf(error) }));
  const unmeant = new Set(placed.filter(p => p.error.keyword === 'const').map(p => p.at?.branch));
  return placed
    .filter(({ at }) => {
      if (at === null || !unmeant.has(at.branch)) return true;
      return !placed.some(p => p.at?.union === at.union && !unmeant.has(p.at.branch));
    })
    .map(p => p.error);
}

function details(error: SchemaError): ProblemDetail[] {
  const path = dotted(error.instancePath);
  const params = error.params as Readonly<Record<string, unknown>>;
  const names = (key: string): string[] => (Array.isArray(params[key]) ? params[key].map(String) : []);
  const below = (name: string): string => (path === '' ? name : `${path}.${name}`);
  switch (error.keyword) {
    case 'required':
      return names('requiredProperties').map(name => ({ path: below(name), message: 'is required' }));
    case 'additionalProperties':
      return names('additionalProperties').map(name => ({ path: below(name), message: 'is not a known field' }));
    case 'boolean':
      return [{ path, message: 'is not a known field' }];
    case 'const':
      return [{ path, message: `must be ${literal(error)}` }];
    case 'minimum':
    case 'maximum':
    case 'exclusiveMinimum':
    case 'exclusiveMaximum':
      return [{ path, message: `must be ${String(params['comparison'])} ${String(params['limit'])}` }];
    default:
      return [{ path, message: error.message }];
  }
}

const literal = (error: SchemaError): string =>
  JSON.stringify((error.params as Readonly<Record<string, unknown>>)['allowedValue']);

/** `/sampling/every` → `sampling.every`, `/classes/0` → `classes[0]`. */
function dotted(pointer: string): string {
  let path = '';
  for (const raw of pointer.split('/').slice(1)) {
    const part = raw.replaceAll('~1', '/').replaceAll('~0', '~');
    path += /^\d+$/.test(part) ? `[${part}]` : path === '' ? part : `.${part}`;
  }
  return path;
}
