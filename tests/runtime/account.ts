/** A durable actor for tests: a bank account that uses everything a behaviour can do. */
import Type, { type Static } from 'typebox';
import type { Behaviour } from '../../src/actors/runtime/behaviour.ts';
import { TroupeError } from '../../src/domain/errors.ts';

export interface Account {
  readonly balance: number;
  /** Amounts credited by others, in order. */
  readonly credits: readonly number[];
  readonly rang: readonly string[];
  /** Keys of errands owed. */
  readonly work: readonly string[];
  readonly results: readonly string[];
  readonly watched: readonly string[];
  readonly lost: readonly string[];
  readonly filling: string;
}

const Amount = Type.Object({ amount: Type.Integer() });
const Transfer = Type.Object({ to: Type.String(), amount: Type.Integer() });
const Later = Type.Object({ name: Type.String(), delayMs: Type.Number() });
const Key = Type.Object({ key: Type.String() });
const Fill = Type.Object({ chars: Type.Integer() });
const Nothing = Type.Object({});

const VERBS = {
  deposit: { class: 'cmd', body: Amount },
  transfer: { class: 'cmd', body: Transfer },
  credit: { class: 'sys', body: Amount },
  close: { class: 'cmd', body: Nothing },
  later: { class: 'cmd', body: Later },
  rang: { class: 'timer', body: Key },
  explode: { class: 'cmd', body: Nothing },
  detonate: { class: 'signal', body: Nothing },
  decline: { class: 'cmd', body: Transfer },
  work: { class: 'cmd', body: Key },
  forgo: { class: 'cmd', body: Key },
  done: { class: 'signal', body: Key },
  watch: { class: 'cmd', body: Key },
  lost: { class: 'signal', body: Key },
  fill: { class: 'cmd', body: Fill },
  forward: { class: 'cmd', body: Transfer },
} as const;

export const EMPTY: Account = {
  balance: 0,
  credits: [],
  rang: [],
  work: [],
  results: [],
  watched: [],
  lost: [],
  filling: '',
};

export const account: Behaviour<Account> = {
  kind: 'account',
  version: 1,
  verbs: VERBS,
  receive(state, { verb, body }, context) {
    const doc = state ?? EMPTY;
    switch (verb as keyof typeof VERBS) {
      case 'deposit': {
        const { amount } = body as Static<typeof Amount>;
        context.publish('deposited', { amount });
        context.reply({ balance: doc.balance + amount });
        return { ...doc, balance: doc.balance + amount };
      }
      case 'transfer': {
        const { to, amount } = body as Static<typeof Transfer>;
        context.tell({ kind: 'account', id: to }, 'credit', { amount });
        return { ...doc, balance: doc.balance - amount };
      }
      case 'credit': {
        const { amount } = body as Static<typeof Amount>;
        return { ...doc, balance: doc.balance + amount, credits: [...doc.credits, amount] };
      }
      case 'close':
        return null;
      case 'later': {
        const { name, delayMs } = body as Static<typeof Later>;
        if (delayMs < 0) context.cancel(name);
        else context.timer(name, delayMs, 'rang', { key: name });
        return doc;
      }
      case 'rang':
        return { ...doc, rang: [...doc.rang, (body as Static<typeof Key>).key] };
      case 'explode':
      case 'detonate':
        throw new Error('a defect');
      case 'decline': {
        const { to, amount } = body as Static<typeof Transfer>;
        context.tell({ kind: 'account', id: to }, 'credit', { amount });
        context.timer('never', 0, 'rang', { key: 'never' });
        context.cancel('kept');
        context.reply({ balance: 0 });
        throw new TroupeError('illegal_transition', 'There is not enough money.');
      }
      case 'work':
        return { ...doc, work: [...doc.work, (body as Static<typeof Key>).key] };
      case 'forgo':
        return { ...doc, work: doc.work.filter(key => key !== (body as Static<typeof Key>).key) };
      case 'done': {
        const { key } = body as Static<typeof Key>;
        if (state === null || !doc.work.includes(key)) return state;
        return { ...doc, work: doc.work.filter(other => other !== key), results: [...doc.results, key] };
      }
      case 'watch':
        return { ...doc, watched: [...doc.watched, (body as Static<typeof Key>).key] };
      case 'lost':
        return { ...doc, watched: [], lost: [...doc.lost, (body as Static<typeof Key>).key] };
      case 'fill':
        return { ...doc, filling: 'x'.repeat((body as Static<typeof Fill>).chars) };
      case 'forward': {
        // Does not exist itself: tells another and stays nobody.
        const { to, amount } = body as Static<typeof Transfer>;
        context.tell({ kind: 'account', id: to }, 'credit', { amount });
        return state;
      }
    }
  },
  errands: doc => doc.work.map(key => ({ key, kind: 'work', body: { key } })),
  monitors: doc => doc.watched.map(key => ({ key, kind: 'runner', body: { silenceMs: 100, stallMs: 300 } })),
  inspect: doc => doc.work.map(id => ({ id, kind: 'work', state: 'running', node: 'n1', pid: null, restarts: 0 })),
};
