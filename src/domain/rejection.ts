/** A refused command: as it is stored under `troupe.rejected.<kind>.<id>`, and as it is shown. */
import Type, { type Static } from 'typebox';
import { LIMITS } from './limits.ts';
import { parseJson } from './parse.ts';

const Refusal = Type.Object(
  {
    code: Type.String(),
    message: Type.String(),
    frame: Type.Optional(Type.Integer()),
    errors: Type.Optional(Type.Array(Type.Object({ path: Type.String(), message: Type.String() }))),
  },
  { description: 'why: the code and words that its sender was answered, or would have been' },
);

/** Other keys are the journal's own. */
const StoredRejection = Type.Object({
  id: Type.String(),
  causationId: Type.Optional(Type.String()),
  verb: Type.String(),
  body: Type.Unknown(),
  problem: Refusal,
  requestId: Type.Optional(Type.String()),
});

export const Rejection = Type.Object({
  at: Type.String({ description: 'when the refusal was stored' }),
  kind: Type.String({ description: 'of the actor that it was for' }),
  id: Type.String(),
  verb: Type.String(),
  problem: Refusal,
  body: Type.String({ description: 'of the command, as text; a long one is cut' }),
  requestId: Type.Optional(Type.String({ description: 'of the HTTP request that sent it' })),
});
export type Rejection = Static<typeof Rejection>;

/** Anybody with the right may publish there: null for what is no refusal. `key` is the same for a refusal that was stored twice. */
export function readRejection(
  subject: string,
  at: number,
  bytes: Uint8Array,
): { readonly key: string; readonly rejection: Rejection } | null {
  const stored = parseJson(StoredRejection, bytes);
  if (stored === null) return null;
  const [, , kind = '', ...id] = subject.split('.');
  const { verb, problem, body, requestId } = stored;
  const { code, message, frame, errors } = problem;
  const rejection = {
    at: new Date(at).toISOString(),
    kind,
    id: id.join('.'),
    verb: cut(verb, LIMITS.rejectedWordChars),
    problem: {
      code: cut(code, LIMITS.rejectedWordChars),
      message: cut(message, LIMITS.reasonChars),
      ...(frame === undefined ? {} : { frame }),
      ...(errors === undefined
        ? {}
        : {
            errors: errors.slice(0, 8).map(error => ({
              path: cut(error.path, LIMITS.rejectedWordChars),
              message: cut(error.message, LIMITS.rejectedWordChars),
            })),
          }),
    },
    body: cut(typeof body === 'string' ? body : JSON.stringify(body), LIMITS.rejectedBodyChars),
    ...(requestId === undefined ? {} : { requestId: cut(requestId, LIMITS.rejectedWordChars) }),
  };
  // An actor that does not exist numbers each of its refusals alike.
  return { key: `${stored.id} ${stored.causationId}`, rejection };
}

const cut = (text: string, chars: number): string =>
  text.length <= chars ? text : `${text.slice(0, chars).toWellFormed()}…`;
