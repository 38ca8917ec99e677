import { getEventListeners } from 'node:events';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { WriteRetry } from '../../src/actors/ports/write-outcome.ts';
import type { ErrandExecutor } from '../../src/actors/runtime/errand-desk.ts';
import { HeartbeatFan } from '../../src/actors/runtime/heartbeat-fan.ts';
import { hostPartition } from '../../src/actors/runtime/partition.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { HEADERS, SUBJECTS } from '../../src/domain/subjects.ts';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import { account } from './account.ts';
import { Bank, faultyStore } from './bank.ts';

const test = suite('PartitionHost');

/** Executors that keep what they were given. */
function recorder(): { readonly runs: string[]; readonly aborted: string[]; readonly work: ErrandExecutor } {
  const runs: string[] = [];
  const aborted: string[] = [];
  return {
    runs,
    aborted,
    work: (_owner, errand, signal) => {
      runs.push(errand.key);
      signal.addEventListener('abort', () => aborted.push(errand.key));
      return new Promise(() => {});
    },
  };
}

test('O1: every stored actor is resumed before the first message is read', async () => {
  const bank = new Bank();
  const one = await bank.claim();
  await bank.command('a', 'work', { key: 'w' });
  await bank.command('b', 'later', { name: 'x', delayMs: 10 });
  await one.crash();
  await bank.command('a', 'forgo', { key: 'w' });
  const { runs, work } = recorder();
  const read: string[] = [];
  const mailbox = {
    ...bank.mailbox,
    read: (partition: number, signal: AbortSignal) => {
      read.push(...runs);
      return bank.mailbox.read(partition, signal);
    },
  };
  await bank.claim({ mailbox, executors: { work } });
  assert.equal(read, ['w']);
  await bank.clock.advance(10);
  assert.equal((await bank.account('b'))?.rang, ['x']);
});

test('O1: an actor whose stored record cannot be read is reported and left alone; the others go on', async () => {
  const bank = new Bank();
  const one = await bank.claim();
  await bank.command('a', 'deposit', { amount: 1 });
  await one.crash();
  await bank.store.put('account.torn', Buffer.from('{"v":1'), 0);
  await bank.overwrite('newer', { version: 9, state: { unknown: true } });
  const owner = await bank.claim();
  for (const id of ['a', 'torn', 'newer']) await bank.command(id, 'deposit', { amount: 1 });
  assert.is(owner.ended(), null);
  assert.is((await bank.account('a'))?.balance, 2);
  assert.is(owner.reports.length, 2);
  // Kept for an owner that can read the record.
  assert.equal(
    (await bank.retained()).map(message => message.to.id),
    ['torn', 'newer'],
  );
});

test('O1: a defect in what an actor says it owes is reported and disturbs no other', async () => {
  const bank = new Bank();
  const errands = (): never => {
    throw new Error('a defect');
  };
  const owner = await bank.claim({ behaviours: [{ ...account, errands }] });
  await bank.command('a', 'deposit', { amount: 1 });
  await bank.command('a', 'deposit', { amount: 1 });
  assert.is((await bank.account('a'))?.balance, 2);
  assert.is(owner.ended(), null);
  assert.equal(owner.reports, ['settle: a defect', 'settle: a defect']);
});

test('O2: what waited before the claim is processed from the first retained message on, each once', async () => {
  const bank = new Bank();
  for (const amount of [1, 2, 3]) await bank.told('a', 'credit', { amount });
  await bank.claim();
  assert.equal((await bank.account('a'))?.credits, [1, 2, 3]);
});

for (const kind of ['nobody', 'constructor', '__proto__', 'toString'])
  test(`O3: a message to the unknown kind '${kind}' is refused in public, answered and purged`, async () => {
    const bank = new Bank();
    const owner = await bank.claim();
    const body = Buffer.from('{"a":1}');
    await bank.mailbox.send({
      to: { kind, id: 'x' },
      class: 'cmd',
      verb: 'v',
      headers: { [HEADERS.reply]: 'in' },
      body,
    });
    await bank.clock.settle();
    const [fact] = await bank.journaled(SUBJECTS.rejected(kind, 'x'));
    assert.equal([fact?.['verb'], fact?.['body']], ['v', { a: 1 }]);
    assert.is(owner.answers.length, 1);
    assert.is((await bank.retained()).length, 0);
    assert.equal([await bank.entries(), owner.reports, owner.ended()], [[], [], null]);
  });

test('O3: a message to an impossible id is refused and purged', async () => {
  const bank = new Bank();
  await bank.claim();
  const id = 'x'.repeat(65);
  await bank.command(id, 'deposit', { amount: 1 });
  assert.is((await bank.journaled(SUBJECTS.rejected('account', id))).length, 1);
  assert.is((await bank.retained()).length, 0);
});

test('O3: a wildcard taken for an id is refused, and takes nothing along that others have yet to read', async () => {
  const bank = new Bank();
  await bank.command('>', 'deposit', { amount: 1 });
  await bank.claim();
  const purged: string[] = [];
  const purge = bank.mailbox.purge.bind(bank.mailbox);
  bank.mailbox.purge = async (address, seq) => {
    purged.push(address.id);
    await purge(address, seq);
  };
  await bank.command('*', 'deposit', { amount: 1 });
  await bank.told('a', 'credit', { amount: 1 });
  assert.equal((await bank.journaled(SUBJECTS.rejected('account', '*'))).length, 2);
  assert.equal(purged, ['a']);
});

test('O3: what cannot be refused now stays in the mailbox and is refused by the next owner', async () => {
  const bank = new Bank();
  const append = async (): Promise<never> => {
    throw new Error('disk full');
  };
  const owner = await bank.claim({ journal: { ...bank.journal, append } });
  await bank.mailbox.send({
    to: { kind: 'nobody', id: 'x' },
    class: 'cmd',
    verb: 'v',
    headers: {},
    body: Buffer.from(''),
  });
  await bank.clock.settle();
  assert.equal(owner.reports, ['reject: disk full']);
  await owner.crash();
  await bank.claim();
  assert.is((await bank.journaled('troupe.rejected.nobody.x')).length, 1);
  assert.is((await bank.retained()).length, 0);
});

test('O3, O6: a refusal that cannot be stored for long is left to the next owner, and holds up nobody', async () => {
  const bank = new Bank();
  const append = async (): Promise<never> => {
    throw new WriteRetry('no leader');
  };
  const owner = await bank.claim({ journal: { ...bank.journal, append } });
  await bank.mailbox.send({
    to: { kind: 'nobody', id: 'x' },
    class: 'cmd',
    verb: 'v',
    headers: {},
    body: Buffer.from(''),
  });
  await bank.clock.advance(LIMITS.rejectMs + 1_000);
  assert.equal(owner.reports, ['reject: no leader']);
  assert.is((await bank.retained()).length, 1);
});

test('O3: a refusal that cannot be stored just now is stored later, by the same owner', async () => {
  const bank = new Bank();
  let refusals = 0;
  const append: typeof bank.journal.append = async (subject, body) => {
    if (refusals++ < 3) throw new WriteRetry('no leader');
    await bank.journal.append(subject, body);
  };
  const owner = await bank.claim({ journal: { ...bank.journal, append } });
  await bank.mailbox.send({
    to: { kind: 'nobody', id: 'x' },
    class: 'cmd',
    verb: 'v',
    headers: {},
    body: Buffer.from(''),
  });
  await bank.clock.advance(10_000);
  assert.is((await bank.journaled('troupe.rejected.nobody.x')).length, 1);
  assert.is((await bank.retained()).length, 0);
  assert.equal(owner.reports, []);
});

test('O3: a body that is not JSON, or too large, is refused by its actor and counts as processed', async () => {
  const bank = new Bank();
  const owner = await bank.claim();
  const to = { kind: 'account', id: 'a' };
  const send = (body: Uint8Array) =>
    bank.mailbox.send({ to, class: 'cmd', verb: 'deposit', headers: { [HEADERS.reply]: 'in' }, body });
  await send(Buffer.from('{"amount":'));
  await send(Buffer.from('{"amount":5}'.padEnd(LIMITS.messageBytes + 1)));
  await send(Buffer.from('{"amount":7}'));
  await bank.clock.settle();
  assert.is((await bank.account('a'))?.balance, 7);
  assert.is((await bank.retained()).length, 0);
  assert.is((await bank.journaled('troupe.rejected.account.a')).length, 2);
  assert.is(owner.answers.length, 3);
});

test('O3: a verb that the actor does not know, or knows of another class, is refused', async () => {
  const bank = new Bank();
  await bank.claim();
  await bank.command('a', 'withdraw');
  await bank.command('a', 'credit', { amount: 5 }); // sys only
  await bank.told('a', 'rang', { key: 'x' }); // timer only
  await bank.told('a', 'toString', {});
  assert.is((await bank.journaled('troupe.rejected.account.a')).length, 4);
  assert.equal([await bank.account('a'), (await bank.retained()).length], [null, 0]);
});

test('O4: a lost claim ends the host at once as fenced, and with it timers, errands and everything under way', async () => {
  const bank = new Bank();
  const lost = new AbortController();
  const { aborted, work } = recorder();
  const ports = {
    clock: bank.clock,
    random: new SeededRandom(2),
    store: bank.store,
    mailbox: bank.mailbox,
    journal: bank.journal,
    answer: () => {},
    report: () => {},
  };
  const bus = bank.server.bus();
  const beats = {
    bus,
    fan: new HeartbeatFan(bus, 'troupe.heartbeat.>'),
    tickMs: 10,
    isGone: async () => false,
    isKeeperAlive: () => true,
  };
  const claim = { partition: 0, epoch: 1, lost: lost.signal };
  const { handle } = hostPartition(claim, [account], ports, { work }, beats, []);
  await bank.command('a', 'work', { key: 'w' });
  await bank.command('a', 'later', { name: 'x', delayMs: 100 });
  lost.abort();
  assert.is(await handle.exited, 'fenced');
  assert.equal(aborted, ['w']);
  assert.is(bank.clock.pending, 0);
  assert.is(getEventListeners(lost.signal, 'abort').length, 0);
  await bank.command('a', 'deposit', { amount: 1 });
  assert.is((await bank.account('a'))?.balance, 0);
});

test('O4: a host told to stop ends while a write is under way; what that write committed is answered', async () => {
  const bank = new Bank();
  const gate = Promise.withResolvers<void>();
  const store = faultyStore(bank.store, operation => (operation === 'put' ? gate.promise : undefined));
  const owner = await bank.claim({ store });
  await bank.command('a', 'deposit', { amount: 1 });
  await bank.command('a', 'deposit', { amount: 1 });
  await owner.host.stop();
  assert.is(owner.ended(), 'shutdown');
  gate.resolve();
  await bank.clock.settle();
  assert.is((await bank.account('a'))?.balance, 1);
  assert.equal(owner.answers, [{ inbox: 'inbox.deposit', body: { balance: 1 } }]);
  assert.equal([owner.reports, bank.clock.pending], [[], 0]);
  await bank.claim();
  assert.is((await bank.account('a'))?.balance, 2);
});

test('O8: a host that hands over answers what it has taken, takes no more, and ends; the next one takes the rest', async () => {
  const bank = new Bank();
  const gate = Promise.withResolvers<void>();
  const store = faultyStore(bank.store, operation => (operation === 'put' ? gate.promise : undefined));
  const owner = await bank.claim({ store });
  await bank.command('a', 'deposit', { amount: 1 });
  const ended = owner.host.handOver(1_000);
  await bank.command('a', 'deposit', { amount: 2 });
  assert.is(owner.ended(), null, 'it has something in hand');
  gate.resolve();
  await bank.clock.advance(100);
  await ended;
  assert.equal(owner.answers, [{ inbox: 'inbox.deposit', body: { balance: 1 } }]);
  assert.equal([owner.ended(), owner.reports, bank.clock.pending], ['shutdown', [], 0]);
  const next = await bank.claim();
  assert.equal(next.answers, [{ inbox: 'inbox.deposit', body: { balance: 3 } }]);
});

test('O8: a host that cannot finish what it has in hand ends all the same', async () => {
  const bank = new Bank();
  const store = faultyStore(bank.store, operation => (operation === 'put' ? new Promise(() => {}) : undefined));
  const owner = await bank.claim({ store });
  await bank.command('a', 'deposit', { amount: 1 });
  const ended = owner.host.handOver(1_000);
  await bank.clock.advance(900);
  assert.is(owner.ended(), null);
  await bank.clock.advance(200);
  await ended;
  assert.is(owner.ended(), 'shutdown');
});

test('O4: a host told to stop ends while a write waits to be tried again, and no timer is left', async () => {
  const bank = new Bank();
  const store = faultyStore(bank.store, () => {
    throw new WriteRetry('no leader');
  });
  const owner = await bank.claim({ store });
  await bank.command('a', 'deposit', { amount: 1 });
  await owner.host.stop();
  await bank.clock.settle();
  assert.equal([owner.ended(), owner.reports, bank.clock.pending], ['shutdown', [], 0]);
});

test('O4: a mailbox that ends by itself ends the host with an error', async () => {
  const bank = new Bank();
  const read = async function* () {};
  const owner = await bank.claim({ mailbox: { ...bank.mailbox, read } });
  assert.equal(owner.ended(), { error: { code: 'unavailable', message: 'the mailbox ended' } });
});

test('memory: at most a bounded number of messages is taken from the mailbox and not yet processed', async () => {
  const bank = new Bank();
  const gate = Promise.withResolvers<void>();
  const store = faultyStore(bank.store, operation => (operation === 'put' ? gate.promise : undefined));
  let read = 0;
  const mailbox = {
    ...bank.mailbox,
    read: async function* (partition: number, signal: AbortSignal) {
      for await (const message of bank.mailbox.read(partition, signal)) {
        read++;
        yield message;
      }
    },
  };
  const total = LIMITS.partitionQueue + 100;
  for (let i = 0; i < total; i++) {
    const to = { kind: i % 2 === 0 ? 'account' : 'nobody', id: `a${i % 7}` };
    await bank.mailbox.send({ to, class: 'sys', verb: `v${i % 5}`, headers: {}, body: Buffer.from('{}') });
  }
  const append = async (subject: string, body: Uint8Array): Promise<void> => {
    await gate.promise;
    await bank.journal.append(subject, body);
  };
  const owner = await bank.claim({ store, mailbox, journal: { ...bank.journal, append } });
  assert.is(read, LIMITS.partitionQueue);
  gate.resolve();
  await bank.clock.settle();
  assert.is(read, total);
  assert.equal([(await bank.retained()).length, owner.reports], [0, []]);
});

test('tree: a host shows the actors that exist, each with the child table that its committed state gives', async () => {
  const bank = new Bank();
  const owner = await bank.claim();
  await bank.command('a', 'work', { key: 'w' });
  await bank.command('b', 'deposit', { amount: 1 });
  await bank.command('c', 'deposit', { amount: 1 });
  await bank.command('c', 'close');
  const shown = owner.tree('account').map(({ id, type, children }) => [id, type, children.map(child => child.id)]);
  assert.equal(shown, [
    ['account/a', 'supervisor', ['w']],
    ['account/b', 'supervisor', []],
  ]);
});

test.run();
