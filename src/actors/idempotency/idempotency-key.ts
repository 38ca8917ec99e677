/**
 * One idempotency key: remembers for a day which request it was first used for. Pure.
 *
 * K1 The first claim wins, also of two at the same instant: an actor handles one message at a time.
 * K2 The same request again is let through, so that it finds what the first one made; another one is refused.
 * K3 After `KEPT_MS` nothing of it is left.
 */
import { isDeepStrictEqual } from 'node:util';
import Type, { type Static } from 'typebox';
import { TroupeError } from '../../domain/errors.ts';
import type { Behaviour } from '../runtime/behaviour.ts';

const Claim = Type.Object({ scenario: Type.String(), request: Type.Unknown() });
type Claim = Static<typeof Claim>;

interface KeyDoc {
  readonly claim: Claim;
  readonly at: string;
}

const VERBS = {
  claim: { class: 'sys', body: Claim },
  expire: { class: 'timer', body: Type.Object({}) },
} as const;

/** A day: what the contract of the HTTP API says. */
const KEPT_MS = 86_400_000;

export const idempotencyKey: Behaviour<KeyDoc> = {
  kind: 'idempotency',
  version: 1,
  verbs: VERBS,
  receive(doc, message, context) {
    if (message.verb === 'expire') return null; // K3
    const claim = message.body as Claim;
    if (doc !== null) {
      // K2
      if (!isDeepStrictEqual(claim, doc.claim)) {
        throw new TroupeError(
          'idempotency_conflict',
          `The idempotency key was used for another request at ${doc.at}. Use a new key for a new scenario.`,
        );
      }
      context.reply({ changed: false });
      return doc;
    }
    context.timer('expire', KEPT_MS, 'expire', {});
    context.reply({ changed: true });
    return { claim, at: new Date(context.now).toISOString() };
  },
};
