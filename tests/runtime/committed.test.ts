import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type Committed,
  type Delivery,
  emptyRecord,
  isNews,
  liveState,
  needsRecord,
  step,
  stepAfterCrash,
} from '../../src/actors/runtime/committed.ts';
import { decodeRecord, encodeRecord } from '../../src/actors/runtime/record-codec.ts';
import type { Problem } from '../../src/domain/errors.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { HEADERS } from '../../src/domain/subjects.ts';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import { type Account, account } from './account.ts';

const test = suite('step');

const self = { kind: 'account', id: 'a' };
const NOW = Date.UTC(2030, 0, 1);

const delivery = (verb: string, body: unknown, more: Partial<Delivery> = {}): Delivery => ({
  seq: 7,
  class: 'cmd',
  id: 'm7',
  verb,
  body,
  headers: {},
  ...more,
});
const told = (from: string, number: string, amount = 1): Delivery =>
  delivery('credit', { amount }, { class: 'sys', headers: { [HEADERS.from]: from, [HEADERS.number]: number } });

const input = (record: Committed, message: Delivery, revision = 40) => ({
  behaviour: account,
  self,
  record,
  revision,
  delivery: message,
  now: NOW,
  random: new SeededRandom(1),
});
const advance = (record: Committed, message: Delivery, revision = 40) => step(input(record, message, revision));

const opened: Committed = advance(emptyRecord(1), delivery('deposit', { amount: 10 }, { seq: 1 })).next;
const quiet: Committed = { ...opened, outbox: [] };
const stateOf = (record: Committed): Account => record.state as Account;
const facts = (record: Committed) =>
  record.outbox.flatMap(message => (message.kind === 'journal' ? [message.body as Record<string, unknown>] : []));
const problemIn = (record: Committed): Problem => facts(record)[0]?.['problem'] as Problem;

test('C1: state, timers, cursor and outgoing messages change in one record, which survives its encoding', () => {
  const armed = advance(quiet, delivery('later', { name: 'x', delayMs: 50 })).next;
  const { next } = advance(armed, delivery('transfer', { to: 'b', amount: 4 }, { seq: 8, id: 'm8' }));
  const read = decodeRecord(encodeRecord(next));
  assert.equal(read, next);
  assert.equal([stateOf(read).balance, read.cursor], [6, 8]);
  assert.equal(read.timers, { x: { at: NOW + 50, delayMs: 50, verb: 'rang', body: { key: 'x' } } });
  const [message] = read.outbox;
  if (message?.kind !== 'tell') throw new Error('nothing was told');
  assert.equal([message.to, message.verb, message.body], [{ kind: 'account', id: 'b' }, 'credit', { amount: 4 }]);
  assert.equal([message.headers[HEADERS.from], message.headers[HEADERS.causation]], ['account.a', 'm8']);
});

test('C1: a step leaves the record it began with as it was', () => {
  const record = advance(quiet, delivery('later', { name: 'x', delayMs: 50 })).next;
  const before = structuredClone(record);
  for (const message of [
    told('account.b', '3.0'),
    delivery('transfer', { to: 'b', amount: 1 }),
    delivery('close', {}),
    delivery('decline', { to: 'b', amount: 1 }),
    delivery('later', { name: 'x', delayMs: -1 }),
  ])
    advance(record, message);
  stepAfterCrash(input(record, delivery('explode', {})), new Error('x'));
  assert.equal(record, before);
});

test('C1: what is not a record is refused on reading', () => {
  for (const torn of ['{"v":1}', '[]', JSON.stringify({ ...quiet, seen: { x: [1] } })])
    assert.throws(() => decodeRecord(Buffer.from(torn)), /not a committed record/);
});

test('C2: a message at or below the cursor is no news', () => {
  assert.equal(
    [6, 7, 8].map(seq => isNews({ ...quiet, cursor: 7 }, delivery('deposit', {}, { seq }))),
    [false, false, true],
  );
});

test('C2: of any sequence of resends in order per sender, each message takes effect once', () => {
  const numbers = fc.array(fc.tuple(fc.constantFrom('b', 'c'), fc.nat(4), fc.nat(2)), { maxLength: 40 });
  fc.assert(
    fc.property(numbers, sent => {
      let record = quiet;
      const last = new Map<string, [number, number]>();
      let expected = 0;
      for (const [from, revision, index] of sent) {
        record = advance(record, told(`account.${from}`, `${revision}.${index}`)).next;
        const [r, i] = last.get(from) ?? [-1, -1];
        if (revision < r || (revision === r && index <= i)) continue;
        last.set(from, [revision, index]);
        expected += 1;
      }
      assert.is(stateOf(record).credits.length, expected);
    }),
  );
});

test('C2: a repeat moves the cursor and changes nothing else', () => {
  const before = advance(quiet, told('account.b', '3.1')).next;
  const { next, answers } = advance(before, { ...told('account.b', '3.0'), seq: 9 });
  assert.equal([next, answers], [{ ...before, cursor: 9 }, []]);
});

test('C2: numbers bind only actors: a stranger’s headers on a public verb are no numbers', () => {
  const headers = { [HEADERS.from]: 'account.b', [HEADERS.number]: '3.0' };
  let record = quiet;
  for (const seq of [8, 9]) record = advance(record, delivery('deposit', { amount: 1 }, { seq, headers })).next;
  assert.equal([stateOf(record).balance, record.seen], [12, {}]);
});

test('C2: a timer that was cancelled, or moved since it fired, is no news', () => {
  const record = advance(quiet, delivery('later', { name: 'x', delayMs: 50 })).next;
  const fired = delivery('rang', { key: 'x' }, { seq: 0, class: 'timer', id: 'x', due: NOW + 50 });
  assert.is(isNews(record, fired), true);
  assert.is(isNews(record, { ...fired, due: NOW + 40 }), false);
  assert.is(isNews(quiet, fired), false);
  const { next } = advance(record, fired);
  assert.equal([next.timers, stateOf(next).rang], [{}, ['x']]);
});

test('C3: messages are numbered by the revision their commit expects, and by their place in it', () => {
  const { next } = advance(
    advance(emptyRecord(1), delivery('deposit', { amount: 1 }), 0).next,
    delivery('decline', {}),
    40,
  );
  assert.equal(
    next.outbox.map(message => message.number),
    [
      [0, 0],
      [40, 0],
    ],
  );
  const told = advance(quiet, delivery('transfer', { to: 'b', amount: 1 }), 41).next.outbox[0];
  assert.is(told?.kind === 'tell' && told.headers[HEADERS.number], '41.0');
});

test('C3: only one without a record needs one, and only to tell somebody something', () => {
  const stepOf = (verb: string, body: unknown) => advance(emptyRecord(1), delivery(verb, body), 0).next;
  const told = stepOf('forward', { to: 'b', amount: 1 });
  const silent = [stepOf('deposit', { amount: 1 }), stepOf('unheard_of', {}), stepOf('close', {})];
  assert.equal([needsRecord(0, told), needsRecord(7, told)], [true, false]);
  assert.equal(
    silent.map(next => needsRecord(0, next)),
    [false, false, false],
  );
});

test('M7: a record remembers when its actor was deleted until the actor exists again; one that never did has no such time', () => {
  const closed = advance(quiet, delivery('close', {})).next;
  assert.equal([closed.state, closed.remnant, closed.timers, closed.died], [null, {}, {}, NOW]);
  assert.equal(decodeRecord(encodeRecord(closed)), closed);
  const later = step({ ...input(closed, delivery('unheard_of', {})), now: NOW + 5 }).next;
  const again = step({ ...input(closed, delivery('close', {})), now: NOW + 5 }).next;
  assert.equal([later.died, again.died], [NOW, NOW]);
  const reborn = advance(closed, delivery('deposit', { amount: 1 })).next;
  assert.is('died' in reborn, false);
  for (const verb of ['unheard_of', 'close']) {
    const nobody = advance(emptyRecord(1), delivery(verb, {})).next;
    assert.equal([nobody.state, nobody.remnant, nobody.died], [null, undefined, undefined]);
  }
});

test('C4: the third abnormal end in a row dead-letters the message; another message in between starts anew', () => {
  const poison = delivery('explode', {}, { headers: { [HEADERS.reply]: 'in' } });
  const crash = (record: Committed) => stepAfterCrash(input(record, poison), new Error('a defect'));
  const once = crash(quiet);
  const twice = crash(once.next);
  assert.equal([once.deadLettered, twice.deadLettered, twice.next.cursor], [false, false, quiet.cursor]);
  assert.is(twice.next.deliveries.count, 2);
  const last = crash(twice.next);
  assert.is(last.deadLettered, true);
  assert.equal([last.next.cursor, last.next.state, last.answers.length], [7, quiet.state, 1]);
  assert.is(facts(last.next)[0]?.['verb'], 'explode');
  const other = stepAfterCrash(input(twice.next, delivery('explode', {}, { seq: 8 })), new Error('a defect'));
  assert.equal([other.deadLettered, other.next.deliveries.count], [false, 1]);
  assert.is(LIMITS.poisonDeliveries, 3);
});

test('C4: a poisonous timer goes when it is dead-lettered', () => {
  const record: Committed = { ...quiet, timers: { x: { at: NOW, verb: 'explode', body: {} } } };
  const fired = delivery('explode', {}, { seq: 0, class: 'timer', id: 'x', due: NOW });
  let next = record;
  for (let i = 0; i < 3; i++) next = stepAfterCrash(input(next, fired), new Error('x')).next;
  assert.equal([next.timers, next.cursor], [{}, quiet.cursor]);
});

test('a thrown TroupeError refuses: the state stays, and no timer, message or answer of that receive is left', () => {
  const record = advance(quiet, delivery('later', { name: 'kept', delayMs: 50 })).next;
  const { next, answers } = advance(
    record,
    delivery('decline', { to: 'b', amount: 1 }, { seq: 9, headers: { [HEADERS.reply]: 'in' } }),
  );
  assert.equal([next.state, next.timers, next.cursor], [record.state, record.timers, 9]);
  assert.equal(
    next.outbox.map(message => [message.kind, message.number]),
    [['journal', [40, 0]]],
  );
  const problem = { code: 'illegal_transition', message: 'There is not enough money.' };
  assert.equal(answers, [{ inbox: 'in', body: { problem } }]);
  assert.equal(problemIn(next), problem);
});

test('a refused message counts as processed, is kept for the public, and is answered', () => {
  const headers = { [HEADERS.reply]: 'in' };
  for (const [message, expected] of [
    [delivery('unheard_of', {}, { headers }), /knows no cmd verb 'unheard_of'/],
    [delivery('credit', { amount: 1 }, { headers }), /knows no cmd verb 'credit'/],
    [delivery('constructor', {}, { headers }), /knows no cmd verb/],
    [delivery('deposit', { amount: 'much' }, { headers }), /amount must be integer/],
    [delivery('deposit', {}, { headers }), /amount is required/],
    [delivery('deposit', 'text', { headers, unreadable: 'the body is not JSON' }), /not JSON/],
  ] as const) {
    const { next, answers } = advance(quiet, message);
    assert.equal([next.cursor, next.state, next.outbox.length, answers.length], [7, quiet.state, 1, 1]);
    assert.match(problemIn(next).message, expected);
    assert.is(facts(next)[0]?.['verb'], message.verb);
  }
});

test('a refused message is kept within bounds', () => {
  const { next } = advance(quiet, delivery('unheard_of', 'x'.repeat(200_000)));
  assert.ok(JSON.stringify(facts(next)[0]).length < 10_000);
});

test('a deleted actor leaves its remnant, which its next incarnation finds', () => {
  const behaviour = { ...account, remnant: (state: Account) => ({ lastBalance: state.balance }) };
  const found: unknown[] = [];
  const curious = {
    ...behaviour,
    receive: (...of: Parameters<typeof account.receive>) => {
      found.push(of[2].remnant);
      return account.receive(...of);
    },
  };
  const closed = step({ ...input(quiet, delivery('close', {})), behaviour: curious }).next;
  assert.equal([closed.state, closed.remnant], [null, { lastBalance: 10 }]);
  const again = step({ ...input(closed, delivery('deposit', { amount: 1 })), behaviour: curious }).next;
  assert.equal([stateOf(again).balance, found], [1, [{}, { lastBalance: 10 }]]);
  // A message that finds nobody does not lose it.
  const still = step({ ...input(closed, delivery('unheard_of', {})), behaviour: curious }).next;
  assert.equal(still.remnant, { lastBalance: 10 });
});

test('a state of another version is upgraded, or refused when there is no way', () => {
  const later = {
    ...account,
    version: 2,
    upgrade: (state: unknown, from: number) => ({ ...(state as Account), filling: `v${from}` }),
  };
  assert.is(liveState(later, quiet)?.filling, 'v1');
  assert.throws(() => liveState({ ...account, version: 2 }, quiet), /cannot be upgraded/);
  assert.is(liveState({ ...account, version: 2 }, emptyRecord(1)), null);
});

test.run();
