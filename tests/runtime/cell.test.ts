import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { OutgoingMessage } from '../../src/actors/ports/mailbox.ts';
import type { StateStore } from '../../src/actors/ports/state-store.ts';
import { MailboxFull, WriteRetry, WriteUnknown } from '../../src/actors/ports/write-outcome.ts';
import type { Committed } from '../../src/actors/runtime/committed.ts';
import { TroupeError } from '../../src/domain/errors.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { BUCKETS, HEADERS, kvStream } from '../../src/domain/subjects.ts';
import { type Account, account, EMPTY } from './account.ts';
import { Bank, faultyStore, first } from './bank.ts';

const test = suite('Cell');

const fail = (error: Error) => (): never => {
  throw error;
};
const unavailable = new TroupeError('unavailable', 'JetStream does not answer.', { retryable: true });

/** The bank's mailbox, whose sends `fault` sees first. */
const mailboxThat = (bank: Bank, fault: (message: OutgoingMessage) => void | Promise<void>) => ({
  ...bank.mailbox,
  send: async (message: OutgoingMessage) => {
    await fault(message);
    return bank.mailbox.send(message);
  },
});

/** As many messages of one kind as the record's sender has stored for a receiver. */
const credits = async (bank: Bank, id: string): Promise<readonly number[]> => (await bank.account(id))?.credits ?? [];

test('M1: no answer, fact or message leaves before the commit is stored', async () => {
  const bank = new Bank();
  const gate = Promise.withResolvers<void>();
  const store = faultyStore(bank.store, operation => (operation === 'put' ? gate.promise : undefined));
  const owner = await bank.claim({ store });
  await bank.command('a', 'deposit', { amount: 5 });
  await bank.command('b', 'transfer', { to: 'c', amount: 5 });
  assert.equal(owner.answers, []);
  assert.equal(await bank.journaled('troupe.event.>'), []);
  assert.is((await bank.retained()).filter(message => message.verb === 'credit').length, 0);
  gate.resolve();
  await bank.clock.settle();
  assert.equal(owner.answers, [{ inbox: 'inbox.deposit', body: { balance: 5 } }]);
  assert.is((await bank.journaled('troupe.event.>')).length, 1);
  assert.equal(await credits(bank, 'c'), [5]);
});

test('M1: an answer that cannot be delivered disturbs nothing', async () => {
  const bank = new Bank();
  const owner = await bank.claim({ answer: fail(new Error('no such subject')) });
  await bank.command('a', 'deposit', { amount: 1 });
  await bank.command('a', 'deposit', { amount: 1 });
  assert.is((await bank.account('a'))?.balance, 2);
  assert.equal(owner.reports, ['answer: no such subject', 'answer: no such subject']);
});

test('M2: after a second writer’s commit the message is judged against what is stored', async () => {
  const bank = new Bank();
  const owner = await bank.claim();
  await bank.command('a', 'deposit', { amount: 1 });
  await bank.overwrite('a', { state: { ...(await bank.account('a')), balance: 100 }, mark: 'other' });
  await bank.command('a', 'deposit', { amount: 1 });
  assert.is((await bank.account('a'))?.balance, 101);
  assert.equal(owner.answers.at(-1)?.body, { balance: 101 });
});

test('M2: a message that the second writer has processed is not processed again', async () => {
  const bank = new Bank();
  const gate = Promise.withResolvers<void>();
  const hold = first(1, () => {
    throw new WriteRetry('not now');
  });
  const store = faultyStore(bank.store, operation => {
    if (operation === 'put') hold();
    return undefined;
  });
  const owner = await bank.claim({ store });
  const seq = await bank.command('a', 'deposit', { amount: 1 });
  await bank.overwrite('a', { cursor: seq, mark: 'other' });
  gate.resolve();
  await bank.clock.advance(100);
  assert.is(await bank.account('a'), null);
  assert.equal(owner.answers, []);
});

test('M3: a record of a higher epoch ends the host as fenced, and nothing of it is overwritten', async () => {
  const bank = new Bank();
  const owner = await bank.claim({ epoch: 5 });
  await bank.command('a', 'deposit', { amount: 1 });
  await bank.overwrite('a', { epoch: 6, mark: 'other' });
  await bank.command('a', 'deposit', { amount: 1 });
  assert.is(owner.ended(), 'fenced');
  assert.equal([(await bank.account('a'))?.balance, (await bank.record('a'))?.epoch], [1, 6]);
  assert.is((await bank.retained()).length, 1);
});

test('M10: a record that is older than the one committed last ends the host, and nothing is written by what it knew', async () => {
  const bank = new Bank();
  const copies: ReturnType<typeof bank.server.copy>[] = [];
  const store = faultyStore(bank.store, operation => {
    for (const copy of operation === 'put' ? copies.splice(0) : []) bank.server.putBack(copy);
    return undefined;
  });
  const owner = await bank.claim({ store });
  await bank.command('a', 'deposit', { amount: 1 });
  const copy = bank.server.copy();
  await bank.command('a', 'deposit', { amount: 2 });
  copies.push(copy);
  await bank.command('a', 'deposit', { amount: 4 });
  assert.match(JSON.stringify(owner.ended()), /an older copy of the store was put back/);
  assert.is((await bank.account('a'))?.balance, 1);
});

test('M10: a record that it may have deleted itself, without an answer, is no older copy', async () => {
  const bank = new Bank();
  const real = bank.store;
  let isOut = false;
  const store: StateStore = {
    ...real,
    get: key => (isOut ? Promise.reject(new WriteRetry('nobody answers')) : real.get(key)),
    delete: async (key, expected) => {
      await real.delete(key, expected);
      isOut = true;
      throw new WriteUnknown('no answer');
    },
  };
  const owner = await bank.claim({ store });
  await bank.command('a', 'unheard of'); // its refusal makes a record, which goes when that is sent
  assert.ok(isOut);
  assert.is(await bank.record('a'), null);
  isOut = false;
  await bank.command('a', 'deposit', { amount: 7 });
  assert.equal([owner.ended(), (await bank.account('a'))?.balance], [null, 7]);
});

test('M4: an ambiguous write that landed is recognised by its mark and not written again', async () => {
  const bank = new Bank();
  let puts = 0;
  const lost = first(1, fail(new WriteUnknown('timed out')));
  const store = faultyStore(bank.store, operation => {
    if (operation !== 'put') return undefined;
    puts++;
    return { after: lost };
  });
  const owner = await bank.claim({ store });
  await bank.command('a', 'deposit', { amount: 3 });
  assert.is((await bank.account('a'))?.balance, 3);
  assert.is(puts, 1);
  assert.equal(owner.answers, [{ inbox: 'inbox.deposit', body: { balance: 3 } }]);
});

test('M4: an ambiguous write that did not land is sent again as it is', async () => {
  const bank = new Bank();
  const marks: string[] = [];
  const lost = first(1, fail(new WriteUnknown('timed out')));
  const store = {
    ...bank.store,
    put: async (key: string, value: Uint8Array, expected: number) => {
      marks.push((JSON.parse(Buffer.from(value).toString()) as Committed).mark);
      lost();
      return bank.store.put(key, value, expected);
    },
  };
  await bank.claim({ store });
  await bank.command('a', 'deposit', { amount: 3 });
  assert.is((await bank.account('a'))?.balance, 3);
  assert.is(marks.length, 2);
  assert.is(marks[0], marks[1]);
});

for (const error of [new WriteRetry('no leader'), new WriteUnknown('timed out'), unavailable])
  test(`M4: while reading back is impossible (${error.name}) the cell waits, and loses no message`, async () => {
    const bank = new Bank();
    const ambiguous = first(1, fail(new WriteUnknown('timed out')));
    const unreadable = first(3, fail(error));
    const store = faultyStore(bank.store, operation => {
      if (operation === 'put') ambiguous();
      if (operation === 'get') unreadable();
      return undefined;
    });
    const owner = await bank.claim({ store });
    await bank.command('a', 'deposit', { amount: 3 });
    await bank.command('a', 'deposit', { amount: 4 });
    await bank.clock.advance(10_000);
    assert.is((await bank.account('a'))?.balance, 7);
    assert.equal([owner.reports, owner.ended()], [[], null]);
  });

test('M4: a write that fails for no known reason ends the host: the next owner processes the message', async () => {
  const bank = new Bank();
  const defect = first(1, fail(new Error('out of cheese')));
  const store = faultyStore(bank.store, operation => {
    if (operation === 'put') defect();
    return undefined;
  });
  const owner = await bank.claim({ store });
  await bank.command('a', 'deposit', { amount: 1 });
  await bank.command('a', 'deposit', { amount: 2 });
  assert.equal(owner.ended(), { error: { code: 'internal', message: 'out of cheese' } });
  await bank.claim();
  assert.is((await bank.account('a'))?.balance, 3);
});

test('M5: messages committed before a crash are sent by the next owner, in order, each received once', async () => {
  const bank = new Bank();
  const owner = await bank.claim({ mailbox: mailboxThat(bank, fail(new WriteRetry('no leader'))) });
  for (const amount of [1, 2, 3]) await bank.command('a', 'transfer', { to: 'b', amount });
  assert.is((await bank.record('a'))?.outbox.length, 3);
  await owner.crash();
  await bank.claim();
  assert.equal(await credits(bank, 'b'), [1, 2, 3]);
});

test('M5: messages sent before a crash but not trimmed are sent again, and received once', async () => {
  const bank = new Bank();
  const owner = await bank.claim();
  await bank.command('a', 'transfer', { to: 'b', amount: 1 });
  assert.equal(await credits(bank, 'b'), [1]);
  await owner.crash();
  let sent = 0;
  const next = await bank.claim({
    mailbox: mailboxThat(bank, () => {
      sent++;
    }),
  });
  await bank.command('a', 'transfer', { to: 'b', amount: 2 });
  assert.is(sent, 2);
  assert.equal(await credits(bank, 'b'), [1, 2]);
  assert.equal(next.reports, []);
});

test('M5: the next message waits until the one before it is stored, also when that is ambiguous', async () => {
  const bank = new Bank();
  const order: string[] = [];
  const trouble = first(1, fail(new WriteRetry('no leader')));
  const ambiguous = first(1, fail(new WriteUnknown('timed out')));
  const mailbox = {
    ...bank.mailbox,
    send: async (message: OutgoingMessage) => {
      order.push(message.headers[HEADERS.number] ?? '');
      trouble();
      const stored = await bank.mailbox.send(message);
      ambiguous();
      return stored;
    },
  };
  await bank.claim({ mailbox });
  for (const amount of [1, 2, 3]) await bank.command('a', 'transfer', { to: 'b', amount });
  await bank.clock.advance(1_000);
  const [one, two, three] = [...new Set(order)];
  assert.equal(order, [one, one, one, two, three]);
  assert.equal(await credits(bank, 'b'), [1, 2, 3]);
});

test('M5: a receiver that is full holds the outbox back, in order, until it has room', async () => {
  const bank = new Bank();
  const full = first(2, fail(new MailboxFull('256 messages wait')));
  await bank.claim({ mailbox: mailboxThat(bank, full) });
  for (const amount of [1, 2]) await bank.command('a', 'transfer', { to: 'b', amount });
  assert.equal(await credits(bank, 'b'), []);
  await bank.clock.advance(1_000);
  assert.equal(await credits(bank, 'b'), [1, 2]);
});

test('M5: what was sent is trimmed by the next commit, and does not count against the state’s bound', async () => {
  const bank = new Bank();
  const owner = await bank.claim();
  const half = 'x'.repeat(LIMITS.stateBytes / 2);
  await bank.command('a', 'transfer', { to: 'b', amount: 1 });
  await bank.command('a', 'deposit', { amount: 1 });
  assert.equal(
    (await bank.record('a'))?.outbox.map(message => message.kind),
    ['journal'],
  );
  // A message of half the bound that was sent, then a state of half the bound.
  await owner.crash();
  const record = await bank.record('a');
  const [journal] = record?.outbox ?? [];
  if (journal?.kind !== 'journal') throw new Error('no fact in the outbox');
  await bank.overwrite('a', { outbox: [{ ...journal, body: { half } }] });
  const next = await bank.claim();
  await bank.command('a', 'fill', { chars: LIMITS.stateBytes / 2 });
  assert.equal(next.reports, []);
  assert.is((await bank.account('a'))?.filling.length, LIMITS.stateBytes / 2);
});

test('M6: messages are purged only after the commit that counts them', async () => {
  const bank = new Bank();
  const gate = Promise.withResolvers<void>();
  const store = faultyStore(bank.store, operation => (operation === 'put' ? gate.promise : undefined));
  await bank.claim({ store });
  await bank.command('a', 'deposit', { amount: 1 });
  assert.is((await bank.retained()).length, 1);
  gate.resolve();
  await bank.clock.settle();
  assert.is((await bank.retained()).length, 0);
});

test('M6: no message is purged that the stored record has not counted', async () => {
  const bank = new Bank();
  const purges: { readonly through: number; readonly counted: number }[] = [];
  const mailbox = {
    ...bank.mailbox,
    purge: async (...[of, through]: Parameters<typeof bank.mailbox.purge>) => {
      purges.push({ through, counted: (await bank.record(of.id))?.cursor ?? 0 });
      await bank.mailbox.purge(of, through);
    },
  };
  await bank.claim({ mailbox });
  for (let i = 0; i < 3; i++) await bank.command('a', 'deposit', { amount: 1 });
  assert.equal(
    purges,
    [1, 2, 3].map(seq => ({ through: seq, counted: seq })),
  );
});

test('M6: messages left behind by a crash between commit and purge are skipped and purged by the next owner', async () => {
  const bank = new Bank();
  const owner = await bank.claim({ mailbox: { ...bank.mailbox, purge: () => new Promise(() => {}) } });
  await bank.command('a', 'deposit', { amount: 1 });
  await owner.crash();
  assert.is((await bank.retained()).length, 1);
  const next = await bank.claim();
  assert.is((await bank.account('a'))?.balance, 1);
  assert.is((await bank.retained()).length, 0);
  assert.equal(next.answers, []);
});

test('M6: a purge that fails for now is no defect, and is caught up with', async () => {
  const bank = new Bank();
  const trouble = first(1, fail(unavailable));
  const mailbox = {
    ...bank.mailbox,
    purge: async (...of: Parameters<typeof bank.mailbox.purge>) => {
      trouble();
      await bank.mailbox.purge(...of);
    },
  };
  const owner = await bank.claim({ mailbox });
  await bank.command('a', 'deposit', { amount: 1 });
  await bank.command('a', 'deposit', { amount: 1 });
  assert.is((await bank.retained()).length, 0);
  assert.equal(owner.reports, []);
});

test('M7: somebody who never existed leaves no record, however long its refusal takes', async () => {
  const bank = new Bank();
  const gate = Promise.withResolvers<void>();
  const journal = {
    ...bank.journal,
    append: async (subject: string, body: Uint8Array) => {
      await gate.promise;
      await bank.journal.append(subject, body);
    },
  };
  await bank.claim({ journal });
  await bank.command('ghost', 'haunt');
  gate.resolve();
  await bank.clock.settle();
  assert.is((await bank.journaled('troupe.rejected.>')).length, 1);
  assert.equal(await bank.entries(), []);
});

test('M7: messages that arrive while the record goes are processed in order', async () => {
  const bank = new Bank();
  const gate = Promise.withResolvers<void>();
  const store = faultyStore(bank.store, operation => (operation === 'delete' ? gate.promise : undefined));
  await bank.claim({ store });
  await bank.command('ghost', 'haunt');
  for (const amount of [1, 2, 3]) await bank.told('ghost', 'credit', { amount });
  gate.resolve();
  await bank.clock.settle();
  assert.equal(await credits(bank, 'ghost'), [1, 2, 3]);
});

test('C3: a sender’s numbers go on rising over deletion, and when nothing is left of it', async () => {
  const bank = new Bank();
  await bank.claim();
  for (const amount of [1, 2, 3]) {
    await bank.command('ghost', 'forward', { to: 'b', amount });
    assert.is(await bank.record('ghost'), null);
  }
  assert.equal(await credits(bank, 'b'), [1, 2, 3]);
  for (const amount of [4, 5, 6, 7]) {
    await bank.command('a', 'transfer', { to: 'b', amount });
    await bank.command('a', 'close');
    if (amount % 2 === 0) continue;
    await bank.clock.advance(LIMITS.tombstoneMs + LIMITS.sweepMs);
    assert.is(await bank.record('a'), null);
  }
  assert.equal(await credits(bank, 'b'), [1, 2, 3, 4, 5, 6, 7]);
});

test('C3: only the first word of one without a record costs a write more', async () => {
  const bank = new Bank();
  const puts = new Map<string, number>();
  const store = faultyStore(bank.store, (operation, key) => {
    if (operation === 'put') puts.set(key, (puts.get(key) ?? 0) + 1);
    return undefined;
  });
  await bank.claim({ store });
  await bank.command('a', 'deposit', { amount: 1 });
  assert.is(puts.get('account.a'), 1);
  for (const amount of [1, 2]) await bank.command('a', 'transfer', { to: 'b', amount });
  assert.is(puts.get('account.a'), 3);
  for (const amount of [1, 2]) await bank.command('c', 'transfer', { to: 'b', amount });
  assert.is(puts.get('account.c'), 3);
  assert.is(puts.get('account.b'), 4);
});

test('C3: a crash after the empty record, or a write of it that is ambiguous, loses and repeats nothing', async () => {
  const bank = new Bank();
  let puts = 0;
  const dying = faultyStore(bank.store, operation =>
    operation === 'put' && ++puts > 1 ? new Promise(() => {}) : undefined,
  );
  const owner = await bank.claim({ store: dying });
  await bank.command('a', 'transfer', { to: 'b', amount: 1 });
  assert.equal([(await bank.record('a'))?.state, (await bank.record('a'))?.cursor], [null, 0]);
  await owner.crash();
  const unheard = first(3, fail(new WriteUnknown('timed out')));
  const store = faultyStore(bank.store, operation => (operation === 'put' ? { after: unheard } : undefined));
  await bank.claim({ store });
  await bank.command('c', 'transfer', { to: 'b', amount: 2 });
  await bank.clock.advance(10_000);
  assert.equal(await credits(bank, 'b'), [1, 2]);
});

test('M7: a tombstone stays for `tombstoneMs`, then it goes, and its cell with it; an idle store is not written to', async () => {
  const bank = new Bank();
  const writes: string[] = [];
  const store = faultyStore(bank.store, (operation, key) => {
    if (operation !== 'get') writes.push(`${operation} ${key}`);
    return undefined;
  });
  const owner = await bank.claim({ store });
  await bank.command('a', 'deposit', { amount: 1 });
  await bank.command('kept', 'deposit', { amount: 1 });
  await bank.command('a', 'close');
  writes.length = 0;
  await bank.clock.advance(LIMITS.tombstoneMs - 1);
  assert.equal([(await bank.record('a'))?.state, owner.host.size, writes], [null, 2, []]);
  await bank.clock.advance(LIMITS.sweepMs);
  assert.equal([await bank.record('a'), owner.host.size, writes], [null, 1, ['delete account.a']]);
  // One sweep later the store has nothing of it left either.
  const left = (): number => bank.server.stored(kvStream(BUCKETS.state));
  assert.is(left(), 2);
  await bank.clock.advance(LIMITS.sweepMs);
  assert.is(left(), 1);
  await bank.command('a', 'deposit', { amount: 5 });
  assert.equal([(await bank.account('a'))?.balance, owner.reports], [5, []]);
  // Nor does a new owner do anything about those that live.
  await owner.crash();
  writes.length = 0;
  const purge = async ({ id }: { id: string }): Promise<void> => void writes.push(`purge ${id}`);
  await bank.claim({ store, mailbox: { ...bank.mailbox, purge } });
  await bank.clock.advance(2 * LIMITS.tombstoneMs);
  assert.equal(writes, []);
});

test('M7: its time counts from its death over owners and over later messages to it, and anew when it has existed again', async () => {
  const bank = new Bank();
  const half = LIMITS.tombstoneMs / 2;
  const owner = await bank.claim();
  for (const id of ['a', 'reborn']) {
    await bank.command(id, 'deposit', { amount: 1 });
    await bank.command(id, 'close');
  }
  await bank.clock.advance(half);
  await owner.crash();
  await bank.claim();
  await bank.command('a', 'unheard_of');
  await bank.command('reborn', 'deposit', { amount: 1 });
  await bank.command('reborn', 'close');
  await bank.clock.advance(half);
  assert.equal(
    (await bank.entries()).map(({ key }) => key),
    ['account.reborn'],
  );
  await bank.clock.advance(half);
  assert.equal(await bank.entries(), []);
});

test('M7: a tombstone waits until its last words are sent and its messages purged', async () => {
  const bank = new Bank();
  let [mute, purging] = [true, false];
  const mailbox = {
    ...mailboxThat(bank, () => {
      if (mute) throw new WriteRetry('no leader');
    }),
    purge: async (...of: Parameters<typeof bank.mailbox.purge>) => {
      if (!purging) throw unavailable;
      await bank.mailbox.purge(...of);
    },
  };
  const owner = await bank.claim({ mailbox });
  await bank.command('a', 'transfer', { to: 'b', amount: 1 });
  await bank.command('a', 'close');
  await bank.clock.advance(2 * LIMITS.tombstoneMs);
  assert.is((await bank.record('a'))?.state, null);
  mute = false;
  await bank.clock.advance(2 * LIMITS.sweepMs);
  assert.equal(await credits(bank, 'b'), [1]);
  assert.is((await bank.record('a'))?.state, null);
  purging = true;
  await bank.clock.advance(LIMITS.sweepMs);
  assert.equal([await bank.record('a'), owner.reports], [null, []]);
});

test('M7: last words that a defect holds back keep the tombstone', async () => {
  const bank = new Bank();
  const owner = await bank.claim({ mailbox: mailboxThat(bank, fail(new Error('out of cheese'))) });
  await bank.command('a', 'transfer', { to: 'b', amount: 1 });
  await bank.command('a', 'close');
  await bank.clock.advance(2 * LIMITS.tombstoneMs);
  assert.is((await bank.record('a'))?.outbox.length, 1);
  await owner.crash();
  await bank.claim();
  assert.equal(await credits(bank, 'b'), [1]);
});

test('M7: a new owner lets its predecessor’s tombstones go, but no cell before it has read past what that one had processed', async () => {
  const bank = new Bank();
  const purge = async (): Promise<void> => {};
  const owner = await bank.claim({ mailbox: { ...bank.mailbox, purge } });
  await bank.command('a', 'deposit', { amount: 1 });
  await bank.command('a', 'close');
  await owner.crash();
  const late = Promise.withResolvers<void>();
  // It has read what its predecessor left, and hands it on only after the sweep.
  const mailbox = {
    ...bank.mailbox,
    read: async function* (partition: number, signal: AbortSignal) {
      for await (const message of bank.mailbox.read(partition, signal)) {
        await late.promise;
        yield message;
      }
    },
  };
  const next = await bank.claim({ mailbox });
  await bank.clock.advance(LIMITS.tombstoneMs + LIMITS.sweepMs);
  assert.equal([await bank.record('a'), next.host.size], [null, 1]);
  late.resolve();
  await bank.command('b', 'deposit', { amount: 1 });
  await bank.clock.advance(LIMITS.sweepMs);
  assert.equal([await bank.record('a'), next.host.size, next.answers.length, next.reports], [null, 1, 1, []]);
});

for (const landed of [true, false])
  test(`M7: a removal of which nothing was heard ${landed ? 'is found done' : 'is tried again'}`, async () => {
    const bank = new Bank();
    const lost = first(1, fail(new WriteUnknown('timed out')));
    const store = faultyStore(bank.store, operation => {
      if (operation !== 'delete') return undefined;
      if (landed) return { after: lost };
      lost();
      return undefined;
    });
    const owner = await bank.claim({ store });
    await bank.command('a', 'deposit', { amount: 1 });
    await bank.command('a', 'close');
    await bank.clock.advance(LIMITS.tombstoneMs + 2 * LIMITS.sweepMs);
    assert.equal([await bank.entries(), owner.host.size, owner.reports], [[], 0, []]);
  });

test('M7: a tombstone that another owner has written to since is not removed', async () => {
  const bank = new Bank();
  const owner = await bank.claim();
  await bank.command('a', 'deposit', { amount: 1 });
  await bank.command('a', 'close');
  await bank.overwrite('a', { epoch: 9, mark: 'other', state: EMPTY });
  await bank.clock.advance(2 * LIMITS.tombstoneMs);
  assert.equal([(await bank.record('a'))?.epoch, owner.reports], [9, []]);
});

for (const how of ['paused', 'cut off'] as const)
  test(`M8: an owner that was ${how} for long makes no record where there is none`, async () => {
    const bank = new Bank();
    let [away, lateMs] = [false, 0];
    const clock = {
      now: () => bank.clock.now(),
      timer: bank.clock.timer.bind(bank.clock),
      sleep: bank.clock.sleep.bind(bank.clock),
      monotonic: () => bank.clock.monotonic() + lateMs,
    };
    const store = faultyStore(bank.store, () => {
      if (away) throw new WriteRetry('no answer');
      return undefined;
    });
    const owner = await bank.claim({ store, clock });
    await bank.command('a', 'deposit', { amount: 1 });
    if (how === 'cut off') {
      away = true;
      await bank.clock.advance(LIMITS.tombstoneMs / 2 + 1);
    } else lateMs = LIMITS.tombstoneMs / 2 + 1;
    away = false;
    await bank.command('a', 'deposit', { amount: 1 });
    assert.is((await bank.account('a'))?.balance, 2); // where there is a record, it decides
    assert.is(owner.ended(), null);
    await bank.command('c', 'deposit', { amount: 1 });
    assert.is(await bank.account('c'), null);
    assert.ok(owner.ended() !== null);
    await bank.claim();
    assert.is((await bank.account('c'))?.balance, 1);
  });

test('M7: actors that never existed take no memory', async () => {
  const bank = new Bank();
  const owner = await bank.claim();
  for (let i = 0; i < 50; i++) await bank.command(`ghost${i}`, 'haunt');
  await bank.command('a', 'deposit', { amount: 1 });
  assert.is(owner.host.size, 1);
  await bank.command('ghost1', 'deposit', { amount: 1 });
  assert.is((await bank.account('ghost1'))?.balance, 1);
});

test('a durable timer fires once at its time, is moved and cancelled, and outlives its owner', async () => {
  const bank = new Bank();
  const owner = await bank.claim();
  await bank.command('a', 'later', { name: 'x', delayMs: 100 });
  await bank.command('a', 'later', { name: 'y', delayMs: 100 });
  await bank.command('a', 'later', { name: 'z', delayMs: 100 });
  await bank.command('a', 'later', { name: 'y', delayMs: 300 });
  await bank.command('a', 'later', { name: 'z', delayMs: -1 });
  await bank.clock.advance(99);
  assert.equal((await bank.account('a'))?.rang, []);
  await bank.clock.advance(1);
  assert.equal((await bank.account('a'))?.rang, ['x']);
  await owner.crash();
  await bank.clock.advance(250);
  assert.equal((await bank.account('a'))?.rang, ['x']);
  await bank.claim();
  await bank.clock.advance(0);
  assert.equal((await bank.account('a'))?.rang, ['x', 'y']);
  await bank.clock.advance(1_000);
  assert.equal((await bank.account('a'))?.rang, ['x', 'y']);
  assert.equal((await bank.record('a'))?.timers, {});
});

test('a timer that was due but is moved by a message before it fires at its new time', async () => {
  const bank = new Bank();
  const gate = Promise.withResolvers<void>();
  const store = faultyStore(bank.store, operation =>
    operation === 'put' && bank.clock.monotonic() >= 50 ? gate.promise : undefined,
  );
  await bank.claim({ store });
  await bank.command('a', 'later', { name: 'x', delayMs: 100 });
  await bank.clock.advance(50);
  await bank.command('a', 'deposit', { amount: 1 }); // its commit takes until after the timer is due
  await bank.command('a', 'later', { name: 'x', delayMs: 1_000 });
  await bank.clock.advance(100);
  gate.resolve();
  await bank.clock.settle();
  assert.equal((await bank.account('a'))?.rang, []);
  await bank.clock.advance(2_000);
  assert.equal((await bank.account('a'))?.rang, ['x']);
});

test('a timer further away than one timer of the clock reaches fires at its time', async () => {
  const bank = new Bank();
  await bank.claim();
  await bank.command('a', 'later', { name: 'x', delayMs: 10 * 3_600_000 });
  await bank.clock.advance(10 * 3_600_000 - 1);
  assert.equal((await bank.account('a'))?.rang, []);
  await bank.clock.advance(1);
  assert.equal((await bank.account('a'))?.rang, ['x']);
});

test('M9: a timer fires after its whole delay at the latest, although the wall clock has jumped back or was another owner’s', async () => {
  for (const jumps of ['after', 'before'] as const) {
    const bank = new Bank();
    let offsetMs = jumps === 'before' ? 3_600_000 : 0;
    const clock = {
      now: () => bank.clock.now() + offsetMs,
      monotonic: bank.clock.monotonic.bind(bank.clock),
      timer: bank.clock.timer.bind(bank.clock),
      sleep: bank.clock.sleep.bind(bank.clock),
    };
    const owner = await bank.claim({ clock });
    await bank.command('a', 'later', { name: 'x', delayMs: 100 });
    if (jumps === 'after') offsetMs = -3_600_000;
    else {
      await owner.crash();
      await bank.claim(); // by its clock there is an hour left
    }
    await bank.clock.advance(99);
    assert.equal((await bank.account('a'))?.rang, []);
    await bank.clock.advance(1);
    assert.equal((await bank.account('a'))?.rang, ['x']);
  }
});

test('C4: a message whose receive throws is dead-lettered at the third end, and the actor goes on', async () => {
  const bank = new Bank();
  const owner = await bank.claim();
  await bank.command('a', 'deposit', { amount: 1 });
  await bank.command('a', 'explode');
  await bank.command('a', 'deposit', { amount: 1 });
  assert.equal(owner.reports, Array(3).fill('receive explode: a defect'));
  const [rejected] = await bank.journaled('troupe.rejected.account.a');
  assert.is(rejected?.['verb'], 'explode');
  assert.is((await bank.account('a'))?.balance, 2);
  assert.is((await bank.retained()).length, 0);
});

test('C4: the tries are counted over owners', async () => {
  const bank = new Bank();
  let puts = 0;
  const store = faultyStore(bank.store, operation =>
    operation === 'put' && ++puts > 2 ? new Promise(() => {}) : undefined,
  );
  const owner = await bank.claim({ store });
  await bank.command('a', 'explode');
  await owner.crash();
  assert.is((await bank.record('a'))?.deliveries.count, 2);
  const next = await bank.claim();
  assert.equal(next.reports, ['receive explode: a defect']);
});

test('C4: a signal that the actor cannot take is dead-lettered too: nothing is lost in silence', async () => {
  const bank = new Bank();
  const owner = await bank.claim();
  await bank.command('a', 'deposit', { amount: 1 });
  owner.signal({ kind: 'account', id: 'a' }, 'detonate', {});
  await bank.clock.settle();
  assert.is((await bank.journaled('troupe.rejected.account.a'))[0]?.['verb'], 'detonate');
});

test('C4: a state over the bound dead-letters its message and leaves the state as it was', async () => {
  const bank = new Bank();
  const owner = await bank.claim();
  await bank.command('a', 'fill', { chars: 10 });
  await bank.command('a', 'fill', { chars: LIMITS.stateBytes });
  await bank.command('a', 'deposit', { amount: 1 });
  const state = await bank.account('a');
  assert.equal([state?.filling.length, state?.balance], [10, 1]);
  assert.ok(owner.answers.some(({ inbox, body }) => inbox === 'inbox.fill' && 'problem' in (body as object)));
});

test('an older version’s record is brought up to this one’s, also when its next message changes nothing', async () => {
  const bank = new Bank();
  const old = await bank.claim();
  await bank.command('a', 'deposit', { amount: 5 });
  await old.crash();
  const later = {
    ...account,
    version: 2,
    upgrade: (state: unknown) => ({ ...(state as Account), filling: 'upgraded' }),
  };
  const owner = await bank.claim({ behaviours: [later] });
  await bank.command('a', 'unheard_of');
  await owner.crash();
  const record = await bank.record('a');
  assert.equal([record?.version, (record?.state as Account | undefined)?.filling], [2, 'upgraded']);
});

test('memory: only the senders heard last are remembered', async () => {
  const bank = new Bank();
  const seen = Object.fromEntries(
    Array.from({ length: LIMITS.seenSenders }, (_, i) => [`account.s${i}`, [1, 0] as [number, number]]),
  );
  await bank.overwrite('a', { seen, state: null, remnant: {} });
  await bank.claim();
  const hear = (from: string) =>
    bank.told('a', 'credit', { amount: 1 }, { [HEADERS.from]: `account.${from}`, [HEADERS.number]: '2.0' });
  for (const sender of ['s1', 'new', 'newer']) await hear(sender);
  const after = (await bank.record('a'))?.seen ?? {};
  assert.is(Object.keys(after).length, LIMITS.seenSenders);
  // s1 was heard again, so s0 and s2 had been silent longest.
  const left = ['s0', 's1', 's2', 's3', 'new', 'newer'].map(id => after[`account.${id}`]?.[0]);
  assert.equal(left, [undefined, 2, undefined, 1, 2, 2]);
});

test.run();
