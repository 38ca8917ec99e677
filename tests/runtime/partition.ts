/** What a hosted partition promises on every server: one body for the server in memory and for nats-servers. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Clock } from '../../src/actors/ports/clock.ts';
import type { Mailbox, MailboxMessage } from '../../src/actors/ports/mailbox.ts';
import type { StateEntry, StateStore } from '../../src/actors/ports/state-store.ts';
import { MailboxFull, WriteRetry, WriteUnknown } from '../../src/actors/ports/write-outcome.ts';
import type { Behaviour } from '../../src/actors/runtime/behaviour.ts';
import { type Committed, emptyRecord } from '../../src/actors/runtime/committed.ts';
import type { ErrandExecutor } from '../../src/actors/runtime/errand-desk.ts';
import type { ExitReason } from '../../src/actors/runtime/exit-reason.ts';
import { HeartbeatFan } from '../../src/actors/runtime/heartbeat-fan.ts';
import { type HostedPartition, hostPartition } from '../../src/actors/runtime/partition.ts';
import { decodeRecord, encodeRecord } from '../../src/actors/runtime/record-codec.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { BUCKETS, PARTITIONS_KEY, SUBJECTS } from '../../src/domain/subjects.ts';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import { systemClock } from '../../src/infra/process/system-clock.ts';
import { type Backend, type Client, collect, refusal } from '../contract/backends.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Account, account } from './account.ts';
import { faultyStore, first } from './bank.ts';

interface Owner extends HostedPartition {
  readonly answers: unknown[];
  readonly reports: string[];
  /** How the host ended; null while it runs. */
  ended(): ExitReason | null;
}

interface OwnerOptions {
  readonly epoch?: number;
  readonly clock?: Clock;
  readonly store?: StateStore;
  readonly mailbox?: Mailbox;
  readonly behaviour?: Behaviour<Account>;
  readonly work?: ErrandExecutor;
  readonly tickMs?: number;
  readonly lost?: AbortSignal;
}

/** The machine's clock, put forward at will; the sweeps of an owner come when they are called. */
function hastyClock() {
  const sweeps = new Set<() => void>();
  const ahead = { wallMs: 0, monotonicMs: 0 };
  const clock: Clock = {
    ...systemClock,
    now: () => systemClock.now() + ahead.wallMs,
    monotonic: () => systemClock.monotonic() + ahead.monotonicMs,
    timer: (delayMs, fire) => {
      if (delayMs !== LIMITS.sweepMs) return systemClock.timer(delayMs, fire);
      sweeps.add(fire);
      return { cancel: () => sweeps.delete(fire) };
    },
  };
  const sweep = (): void => {
    const due = [...sweeps];
    sweeps.clear();
    for (const fire of due) fire();
  };
  return { clock, ahead, sweep };
}

const never = (): Promise<never> => new Promise(() => {});
/** An errand that is carried out until it is abandoned. */
const endless: ErrandExecutor = (_owner, _errand, signal) =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

export function partitionContract(name: string, open: () => Promise<Backend>, seed: number): void {
  let backend: Backend;
  let store: StateStore;
  let named = 0;
  let epochs = 0;
  const owners: Owner[] = [];
  const random = new SeededRandom(seed);
  const test = suite(`Partition on ${name} (seed ${seed})`);
  test.before(async () => {
    backend = await open();
    store = await backend.a.bucket(BUCKETS.state);
  });
  test.after.each(async () => {
    for (const owner of owners.splice(0)) await owner.host.stop();
  });
  test.after(() => backend.close());

  const partitionOf = (id: string): number => backend.a.mailbox.partitionOf({ kind: 'account', id });
  /** Ids of one partition, never used before. */
  const ids = (count: number): string[] => {
    const found = [`n${named++}`];
    while (found.length < count) {
      const id = `n${named++}`;
      if (partitionOf(id) === partitionOf(found[0] ?? '')) found.push(id);
    }
    return found;
  };
  const entries = async (partition: number): Promise<StateEntry[]> => {
    const reading = new AbortController();
    const found: StateEntry[] = [];
    for await (const change of store.watch(reading.signal)) {
      if (change.kind === 'current') break;
      if (change.kind === 'entry' && partitionOf(change.entry.key.slice('account.'.length)) === partition)
        found.push(change.entry);
    }
    reading.abort();
    return found;
  };
  /** Claims the partition of an id for a client. */
  const claim = async (id: string, client: Client, options: OwnerOptions = {}): Promise<Owner> => {
    const answers: unknown[] = [];
    const reports: string[] = [];
    const partition = partitionOf(id);
    const hosted = hostPartition(
      { partition, epoch: options.epoch ?? ++epochs, lost: options.lost ?? new AbortController().signal },
      [options.behaviour ?? account],
      {
        clock: options.clock ?? systemClock,
        random,
        store: options.store ?? (await client.bucket(BUCKETS.state)),
        mailbox: options.mailbox ?? client.mailbox,
        journal: client.journal,
        answer: (_inbox, body) => answers.push(body),
        report: (_self, what, error) => reports.push(`${what}: ${String(error)}`),
      },
      { work: options.work ?? endless },
      {
        bus: client.bus,
        fan: new HeartbeatFan(client.bus, SUBJECTS.heartbeats('runner')),
        tickMs: options.tickMs ?? 1_000,
        isGone: async () => false,
        isKeeperAlive: () => true,
      },
      await entries(partition),
    );
    let ended: ExitReason | null = null;
    void hosted.handle.exited.then(reason => {
      ended = reason;
    });
    const owner = { ...hosted, answers, reports, ended: () => ended };
    owners.push(owner);
    return owner;
  };
  const command = (id: string, verb: string, body: unknown = {}): Promise<{ readonly seq: number }> =>
    backend.b.mailbox.send({
      to: { kind: 'account', id },
      class: 'cmd',
      verb,
      headers: { 'Troupe-Reply': 'inbox' },
      body: Buffer.from(JSON.stringify(body)),
    });
  const record = async (id: string): Promise<Committed | null> => {
    const entry = await store.get(`account.${id}`);
    return entry === null ? null : decodeRecord(entry.value);
  };
  const accountOf = async (id: string): Promise<Account | null> =>
    ((await record(id))?.state ?? null) as Account | null;
  const balance = (id: string, expected: number): Promise<void> =>
    waitUntil(`the balance of ${id} is ${expected}`, async () => (await accountOf(id))?.balance === expected);
  const deleted = (id: string): Promise<void> =>
    waitUntil(`${id} is deleted`, async () => (await record(id))?.died !== undefined);
  /** Another writer's commit. */
  const overwrite = async (id: string, change: Partial<Committed>): Promise<void> => {
    const entry = await store.get(`account.${id}`);
    const before = entry === null ? emptyRecord(1) : decodeRecord(entry.value);
    await store.put(`account.${id}`, encodeRecord({ ...before, ...change }), entry?.revision ?? 0);
  };
  /** What the mailbox holds of an actor's partition while nobody owns it. */
  const waiting = async (id: string): Promise<readonly MailboxMessage[]> => {
    const { seq } = await command(id, 'sentinel');
    const reading = collect(signal => backend.b.mailbox.read(partitionOf(id), signal));
    await waitUntil('the mailbox is read', () => reading.items.some(message => message.seq === seq));
    await reading.stop();
    await backend.b.mailbox.purge({ kind: 'account', id }, seq);
    return reading.items.filter(message => message.seq < seq);
  };
  const retained = async (id: string): Promise<number> =>
    (await waiting(id)).filter(message => message.to.id === id).length;
  const credits = async (id: string): Promise<readonly number[]> => (await accountOf(id))?.credits ?? [];
  const refusalsOf = async (id: string, count: number): Promise<Record<string, unknown>[]> => {
    const reading = collect(signal => backend.b.journal.read(SUBJECTS.rejected('account', id), 1, signal));
    await waitUntil('it is refused', () => reading.items.length >= count);
    await reading.stop();
    return reading.items.map(({ body }) => JSON.parse(Buffer.from(body).toString()));
  };
  /** Sent again until it has been taken, as a publisher that asks for the acknowledgement does. */
  const patiently = (id: string, verb: string, body: unknown): Promise<void> =>
    waitUntil('the mailbox has room', async () => {
      try {
        await command(id, verb, body);
        return true;
      } catch (error) {
        if (error instanceof MailboxFull) return false;
        throw error;
      }
    });

  test('C1, M6: what waited and what comes is processed in order, committed, answered and purged', async () => {
    const [id = ''] = ids(1);
    for (const amount of [1, 2]) await command(id, 'deposit', { amount });
    const owner = await claim(id, backend.a);
    await command(id, 'deposit', { amount: 3 });
    await balance(id, 6);
    await waitUntil('all are answered', () => owner.answers.length === 3);
    assert.equal(owner.answers, [{ balance: 1 }, { balance: 3 }, { balance: 6 }]);
    await owner.host.stop();
    assert.is(await retained(id), 0);
    assert.equal(owner.reports, []);
  });

  test('M2: after a second writer’s commit the message is judged against what is stored', async () => {
    const [id = ''] = ids(1);
    await claim(id, backend.a);
    await command(id, 'deposit', { amount: 1 });
    await balance(id, 1);
    await overwrite(id, { state: { ...(await accountOf(id)), balance: 100 }, mark: 'other' });
    await command(id, 'deposit', { amount: 1 });
    await balance(id, 101);
  });

  test('M3: of two owners the one of the lower epoch is fenced, and every message counts once', async () => {
    const [id = ''] = ids(1);
    const resumed = Promise.withResolvers<void>();
    let paused = false;
    const pausable = faultyStore(await backend.a.bucket(BUCKETS.state), operation =>
      operation === 'put' && paused ? resumed.promise : undefined,
    );
    const older = await claim(id, backend.a, { store: pausable, epoch: 1_000 });
    await command(id, 'deposit', { amount: 1 });
    await balance(id, 1);
    paused = true;
    await command(id, 'deposit', { amount: 1 });
    await waitUntil('the older one is about to write', () => !older.host.idle);
    const newer = await claim(id, backend.b, { epoch: 1_001 });
    await balance(id, 2);
    resumed.resolve();
    await waitUntil('the older one is fenced', () => older.ended() === 'fenced');
    await command(id, 'deposit', { amount: 1 });
    await balance(id, 3);
    assert.equal([newer.reports, older.reports, (await record(id))?.epoch], [[], [], 1_001]);
  });

  test('M4: ambiguous writes, landed or not, count once', async () => {
    const [id = ''] = ids(1);
    let puts = 0;
    const trouble = (): never => {
      throw new WriteUnknown('timed out');
    };
    const ambiguous = faultyStore(await backend.a.bucket(BUCKETS.state), operation => {
      if (operation !== 'put' || puts++ > 5) return undefined;
      if (puts % 2 === 0) return trouble();
      return { after: trouble };
    });
    const owner = await claim(id, backend.a, { store: ambiguous });
    for (let i = 0; i < 6; i++) await command(id, 'deposit', { amount: 1 });
    await balance(id, 6);
    await waitUntil('all are answered', () => owner.answers.length === 6);
  });

  test('M5: what was committed before a crash is sent by the next owner, in order, each received once', async () => {
    const [from = '', to = ''] = ids(2);
    const { mailbox } = backend.a;
    const down = async (): Promise<never> => {
      throw new WriteRetry('no leader');
    };
    const owner = await claim(from, backend.a, { mailbox: { ...mailbox, send: down } });
    for (const amount of [1, 2, 3]) await command(from, 'transfer', { to, amount });
    await balance(from, -6);
    await owner.host.stop();
    const ambiguous = first(2, () => {
      throw new WriteUnknown('timed out');
    });
    const next = await claim(from, backend.b, {
      mailbox: {
        ...backend.b.mailbox,
        send: async message => {
          const sent = await backend.b.mailbox.send(message);
          ambiguous();
          return sent;
        },
      },
    });
    await balance(to, 6);
    await next.host.stop();
    await claim(from, backend.a);
    await command(from, 'transfer', { to, amount: 4 });
    await balance(to, 10);
    assert.equal((await accountOf(to))?.credits, [1, 2, 3, 4]);
  });

  test('M7: an actor that never existed leaves its refusal and nothing else', async () => {
    const [id = ''] = ids(1);
    const owner = await claim(id, backend.a);
    const before = owner.host.size;
    await command(id, 'unheard_of');
    const refusals = collect(signal => backend.b.journal.read(`troupe.rejected.account.${id}`, 1, signal));
    await waitUntil('it is refused', () => refusals.items.length === 1);
    await refusals.stop();
    await waitUntil('its record is gone', async () => (await store.get(`account.${id}`)) === null);
    await waitUntil('its cell is gone', () => owner.host.idle && owner.host.size === before);
    await command(id, 'deposit', { amount: 1 });
    await balance(id, 1);
    assert.equal(owner.reports, []);
  });

  test('O2: a crash between any commit and its purge repeats nothing', async () => {
    const [id = ''] = ids(1);
    const { mailbox } = backend.a;
    let total = 0;
    for (let round = 0; round < 5; round++) {
      const owner = await claim(id, backend.a, { mailbox: { ...mailbox, purge: () => new Promise(() => {}) } });
      for (let i = 0; i < 3; i++) await command(id, 'deposit', { amount: 1 });
      total += 3;
      await balance(id, total);
      await owner.host.stop();
    }
    const last = await claim(id, backend.a);
    await command(id, 'deposit', { amount: 1 });
    await balance(id, total + 1);
    assert.equal(last.answers, [{ balance: total + 1 }]);
  });

  test('O4: a host told to stop while its server is written to ends, and the next owner goes on', async () => {
    const [id = ''] = ids(1);
    const slow = faultyStore(await backend.a.bucket(BUCKETS.state), operation =>
      operation === 'put' ? new Promise(() => {}) : undefined,
    );
    const owner = await claim(id, backend.a, { store: slow });
    await command(id, 'deposit', { amount: 1 });
    await waitUntil('it is being written', () => !owner.host.idle);
    await owner.host.stop();
    await claim(id, backend.b);
    await balance(id, 1);
  });

  test('M1: nothing leaves before the commit that contains it', async () => {
    const [from = '', to = ''] = ids(2);
    let stored = Promise.withResolvers<void>();
    let asked = 0;
    const gated = faultyStore(await backend.a.bucket(BUCKETS.state), (operation, key) => {
      if (operation !== 'put' || key !== `account.${from}`) return undefined;
      asked++;
      return stored.promise;
    });
    const owner = await claim(from, backend.a, { store: gated });
    await command(from, 'deposit', { amount: 5 });
    await waitUntil('it is about to be written', () => asked === 1);
    await command(to, 'deposit', { amount: 1 });
    await balance(to, 1); // others go on meanwhile
    assert.equal(owner.answers, [{ balance: 1 }]);
    stored.resolve();
    await waitUntil('it is answered', () => owner.answers.length === 2);
    stored = Promise.withResolvers();
    await command(from, 'transfer', { to, amount: 5 });
    await waitUntil('the transfer is about to be written', () => asked === 2);
    await command(to, 'deposit', { amount: 1 });
    await waitUntil('the receiver has come to what was sent after it', () => owner.answers.length === 3);
    assert.equal(owner.answers.at(-1), { balance: 2 });
    stored.resolve();
    await balance(to, 7);
  });

  test('M3: an owner that claims its partition again at a higher epoch fences itself of before; every message counts once', async () => {
    const [id = ''] = ids(1);
    const overtaken = Promise.withResolvers<void>();
    let reclaimed = false;
    const slow = faultyStore(await backend.a.bucket(BUCKETS.state), operation =>
      operation === 'put' && reclaimed ? overtaken.promise : undefined,
    );
    const older = await claim(id, backend.a, { epoch: 2_000, store: slow });
    await command(id, 'deposit', { amount: 1 });
    await balance(id, 1);
    reclaimed = true;
    const newer = await claim(id, backend.a, { epoch: 2_001 });
    for (let i = 0; i < 5; i++) await command(id, 'deposit', { amount: 1 });
    await balance(id, 6);
    overtaken.resolve();
    await waitUntil('the older one is fenced', () => older.ended() === 'fenced');
    await command(id, 'deposit', { amount: 1 });
    await balance(id, 7);
    await waitUntil('all are answered', () => older.answers.length + newer.answers.length === 7);
    assert.equal([(await record(id))?.epoch, newer.ended(), newer.reports, older.reports], [2_001, null, [], []]);
  });

  test('O4: an owner whose claim is lost ends as fenced at once, with all that it has under way', async () => {
    const [id = ''] = ids(1);
    const lost = new AbortController();
    const abandoned: string[] = [];
    const work: ErrandExecutor = (owner, errand, signal) => {
      signal.addEventListener('abort', () => abandoned.push(errand.key));
      return endless(owner, errand, signal);
    };
    const owner = await claim(id, backend.a, { lost: lost.signal, work });
    await command(id, 'work', { key: 'w' });
    await waitUntil('it works', async () => (await accountOf(id))?.work.length === 1);
    lost.abort();
    await waitUntil('it is fenced', () => owner.ended() === 'fenced');
    assert.equal(abandoned, ['w']);
    await command(id, 'deposit', { amount: 1 });
    const next = await claim(id, backend.b);
    await command(id, 'forgo', { key: 'w' });
    await balance(id, 1);
    await waitUntil('it is answered', () => next.answers.length === 1);
    assert.equal(owner.answers, []);
  });

  test('O4, O1: handed over again and again while commands come in, nothing is lost, repeated or out of order', async () => {
    const [from = '', to = ''] = ids(2);
    const owners: Owner[] = [await claim(from, backend.a)];
    let sent = 0;
    const publishing = (async () => {
      for (let amount = 1; amount <= 60; amount++) {
        await patiently(from, 'transfer', { to, amount });
        await patiently(from, 'deposit', { amount });
        sent = amount;
      }
    })();
    for (let hand = 1; hand <= 5; hand++) {
      await waitUntil('some more have come', () => sent >= hand * 10);
      await owners.at(-1)?.host.stop();
      owners.push(await claim(from, hand % 2 === 0 ? backend.a : backend.b));
    }
    await publishing;
    await waitUntil('all are credited', async () => (await credits(to)).length === 60);
    assert.equal(
      await credits(to),
      Array.from({ length: 60 }, (_, i) => i + 1),
    );
    await balance(from, 0);
    for (const owner of owners) assert.equal(owner.reports, []);
    // An answer is lost with its owner at the worst, and never given twice.
    const balances = owners.flatMap(owner => owner.answers.map(answer => (answer as { balance: number }).balance));
    assert.ok(balances.length <= 60 && balances.length >= 60 - owners.length, `${balances.length} answers`);
  });

  test('O1: a new owner fires what came due, sends what was not sent, and carries on what was owed, before anything new', async () => {
    const [id = '', to = ''] = ids(2);
    const down = async (): Promise<never> => {
      throw new WriteRetry('no leader');
    };
    const mute = await claim(id, backend.a, { mailbox: { ...backend.a.mailbox, send: down } });
    await command(id, 'later', { name: 'due', delayMs: 300 });
    await command(id, 'later', { name: 'far', delayMs: 3_600_000 });
    await command(id, 'work', { key: 'w' });
    await command(id, 'transfer', { to, amount: 4 });
    await balance(id, -4);
    await mute.host.stop();
    assert.equal((await accountOf(id))?.rang, []);
    const due = (await record(id))?.timers['due']?.at ?? 0;
    await waitUntil('the timer is due', () => Date.now() > due);
    const done: ErrandExecutor = async (_owner, { key }) => ({ verb: 'done', body: { key } });
    const next = await claim(id, backend.b, { work: done });
    await balance(to, 4);
    await waitUntil('all has happened', async () => {
      const now = await accountOf(id);
      return now?.rang.length === 1 && now.results.length === 1;
    });
    const after = await accountOf(id);
    assert.equal([after?.rang, after?.results, after?.work], [['due'], ['w'], []]);
    assert.equal([Object.keys((await record(id))?.timers ?? {}), next.reports], [['far'], []]);
    await command(id, 'later', { name: 'far', delayMs: -1 });
    await waitUntil('it is cancelled', async () => Object.keys((await record(id))?.timers ?? {}).length === 0);
  });

  test('E3, H1: a new owner adopts running children: their errands go on, and one that beats is not lost', async () => {
    const [id = ''] = ids(1);
    const runs: string[] = [];
    const work: ErrandExecutor = (owner, errand, signal) => {
      runs.push(errand.key);
      return endless(owner, errand, signal);
    };
    const watching: Behaviour<Account> = {
      ...account,
      monitors: doc => doc.watched.map(key => ({ key, kind: 'runner', body: { silenceMs: 1_500, stallMs: 600_000 } })),
    };
    const options = { work, behaviour: watching, tickMs: 100 };
    let beats = 0;
    const beating = setInterval(() => {
      const body = Buffer.from(JSON.stringify({ key: 'r', progress: beats++ }));
      backend.b.bus.publish(SUBJECTS.heartbeat('n1', 'runner', id), body);
    }, 100);
    try {
      const first = await claim(id, backend.a, options);
      await command(id, 'work', { key: 'w' });
      await command(id, 'watch', { key: 'r' });
      await waitUntil('it is watched', async () => (await accountOf(id))?.watched.length === 1);
      await first.host.stop();
      const second = await claim(id, backend.b, options);
      await waitUntil('the errand is carried on', () => runs.length === 2);
      const before = beats;
      await waitUntil('it has beaten for longer than its silence', () => beats > before + 25);
      assert.equal([runs, (await accountOf(id))?.lost], [['w', 'w'], []]);
      clearInterval(beating);
      await waitUntil('its silence is noticed', async () => (await accountOf(id))?.lost.length === 1);
      await second.host.stop();
    } finally {
      clearInterval(beating);
    }
    const done: ErrandExecutor = async (_owner, { key }) => ({ verb: 'done', body: { key } });
    await claim(id, backend.a, { work: done });
    await waitUntil('it is done', async () => (await accountOf(id))?.results.length === 1);
    assert.equal([(await accountOf(id))?.lost, (await accountOf(id))?.work], [['r'], []]);
  });

  test('C4: the abnormal ends of a message are counted over owners; at the third it is dead-lettered and the actor goes on', async () => {
    const [id = ''] = ids(1);
    let counted = 0;
    const dying = faultyStore(await backend.a.bucket(BUCKETS.state), (operation, key) =>
      operation === 'put' && key === `account.${id}` && ++counted > 2 ? never() : undefined,
    );
    const owner = await claim(id, backend.a, { store: dying });
    await command(id, 'explode');
    await command(id, 'deposit', { amount: 1 });
    await waitUntil('two ends are counted', async () => (await record(id))?.deliveries.count === 2);
    await owner.host.stop();
    const next = await claim(id, backend.b);
    await balance(id, 1);
    assert.equal([next.reports.length, (await refusalsOf(id, 1)).map(refused => refused['verb'])], [1, ['explode']]);
    await waitUntil('both are answered', () => next.answers.length === 2);
    await next.host.stop();
    assert.is(await retained(id), 0);
  });

  test('M6: a full mailbox tells its publisher so, and has room again when its owner has processed', async () => {
    const [id = ''] = ids(1);
    const amounts = Array.from({ length: LIMITS.mailboxPerSubject }, () => 1);
    await Promise.all(amounts.map(amount => command(id, 'deposit', { amount })));
    assert.instance(await refusal(command(id, 'deposit', { amount: 1 })), MailboxFull);
    await command(id, 'transfer', { to: 'nobody', amount: 1 }); // another verb has its own room
    const owner = await claim(id, backend.a);
    await balance(id, amounts.length - 1);
    await patiently(id, 'deposit', { amount: 1 });
    await balance(id, amounts.length);
    assert.equal(owner.reports, []);
  });

  test('M5: a receiver whose mailbox is full holds its sender’s outbox back; everything arrives in order when it has room', async () => {
    const [from = ''] = ids(1);
    let [to = ''] = ids(1);
    while (partitionOf(to) === partitionOf(from)) [to = ''] = ids(1);
    const sender = await claim(from, backend.a);
    const total = LIMITS.mailboxPerSubject + 8;
    for (let amount = 1; amount <= total; amount++) await patiently(from, 'transfer', { to, amount });
    await balance(from, -(total * (total + 1)) / 2);
    assert.is(await accountOf(to), null);
    const receiver = await claim(to, backend.b);
    await waitUntil('all are credited', async () => (await credits(to)).length === total);
    assert.equal(
      await credits(to),
      Array.from({ length: total }, (_, i) => i + 1),
    );
    assert.equal([sender.reports, receiver.reports], [[], []]);
  });

  test('M7, C3: a tombstone goes when it is old; who is created again is another, whose messages count', async () => {
    const [from = '', to = ''] = ids(2);
    const { clock, ahead, sweep } = hastyClock();
    let owner = await claim(from, backend.a, { clock });
    for (const life of [1, 2, 3]) {
      await command(from, 'transfer', { to, amount: life });
      await waitUntil('it is credited', async () => (await credits(to)).length === life);
      const { size } = owner.host;
      await command(from, 'close');
      await deleted(from);
      if (life === 2) {
        await owner.host.stop();
        owner = await claim(from, backend.b, { clock });
      }
      sweep();
      await waitUntil('it is swept', () => owner.host.idle);
      assert.is((await record(from))?.state, null); // too young
      ahead.wallMs += LIMITS.tombstoneMs;
      await waitUntil('its record is gone', async () => {
        sweep();
        return (await record(from)) === null;
      });
      await command(to, 'later', { name: 'never', delayMs: -1 }); // the reader comes past all that was processed
      await waitUntil('its cell is gone', () => {
        sweep();
        return owner.host.size < size;
      });
      assert.equal(owner.reports, []);
    }
    assert.equal(await credits(to), [1, 2, 3]);
    await owner.host.stop();
    assert.is(await retained(from), 0);
  });

  test('M7: a tombstone waits until its messages are purged and its last words sent', async () => {
    const [from = '', to = ''] = ids(2);
    const { clock, ahead, sweep } = hastyClock();
    let [mute, unpurged] = [true, true];
    const { mailbox } = backend.a;
    const troubled: Mailbox = {
      ...mailbox,
      send: message => (mute ? Promise.reject(new WriteRetry('no leader')) : mailbox.send(message)),
      purge: (address, through) =>
        unpurged ? Promise.reject(new WriteRetry('no leader')) : mailbox.purge(address, through),
    };
    const owner = await claim(from, backend.a, { clock, mailbox: troubled });
    await command(from, 'transfer', { to, amount: 1 });
    await command(from, 'close');
    await deleted(from);
    ahead.wallMs = 2 * LIMITS.tombstoneMs;
    sweep();
    mute = false;
    await waitUntil('it is credited', async () => {
      sweep();
      return (await credits(to)).length === 1;
    });
    await waitUntil('all is quiet', () => owner.host.idle);
    assert.is((await record(from))?.state, null);
    unpurged = false;
    await waitUntil('its record is gone', async () => {
      sweep();
      return (await record(from)) === null;
    });
    await owner.host.stop();
    assert.is(await retained(from), 0);
  });

  test('M8: an owner that was out of touch for long makes no record where there is none; its successor does', async () => {
    const [id = '', other = '', third = ''] = ids(3);
    const { clock, ahead, sweep } = hastyClock();
    const owner = await claim(id, backend.a, { clock });
    await command(id, 'deposit', { amount: 1 });
    await balance(id, 1);
    ahead.monotonicMs = LIMITS.tombstoneMs;
    await command(id, 'deposit', { amount: 1 });
    await balance(id, 2); // where there is a record, it decides
    await command(other, 'deposit', { amount: 1 });
    await waitUntil('it has ended', () => owner.ended() !== null);
    assert.is(await accountOf(other), null);
    let answered = 0;
    const asked = faultyStore(await backend.b.bucket(BUCKETS.state), (operation, key) =>
      operation === 'get' && key === PARTITIONS_KEY ? { after: () => answered++ } : undefined,
    );
    const next = await claim(id, backend.b, { clock, store: asked });
    await balance(other, 1);
    ahead.monotonicMs += LIMITS.tombstoneMs;
    sweep();
    await waitUntil('it is in touch again', () => answered === 1);
    await command(third, 'deposit', { amount: 1 });
    await balance(third, 1);
    assert.is(next.ended(), null);
  });

  test('O3: what no actor can take is refused in public and purged', async () => {
    const [id = ''] = ids(1);
    let kind = '';
    // The same partition, so that the same owner reads it.
    for (let n = 0; backend.a.mailbox.partitionOf({ kind, id }) !== partitionOf(id); n++) kind = `nobody${n}`;
    const { seq } = await backend.b.mailbox.send({
      to: { kind, id },
      class: 'cmd',
      verb: 'v',
      headers: { 'Troupe-Reply': 'inbox' },
      body: Buffer.from('{"a":1}'),
    });
    const purged: string[] = [];
    const { mailbox } = backend.a;
    const owner = await claim(id, backend.a, {
      mailbox: {
        ...mailbox,
        purge: async (address, through) => {
          await mailbox.purge(address, through);
          purged.push(address.kind);
        },
      },
    });
    const refusals = collect(signal => backend.b.journal.read(SUBJECTS.rejected(kind, id), 1, signal));
    await waitUntil('it is refused', () => refusals.items.length === 1);
    await refusals.stop();
    await waitUntil('it is answered and purged', () => owner.answers.length === 1 && purged.includes(kind));
    await command(id, 'deposit', { amount: 1 });
    await balance(id, 1);
    await owner.host.stop();
    assert.not.ok((await waiting(id)).some(message => message.seq === seq));
    assert.equal(owner.reports, []);
  });

  test('O5: an actor whose record cannot be read is left alone, its messages with it; the others go on', async () => {
    const [torn = '', id = ''] = ids(2);
    const revision = await store.put(`account.${torn}`, Buffer.from('{"v":1'), 0);
    await command(torn, 'deposit', { amount: 7 });
    const owner = await claim(id, backend.a);
    await command(id, 'deposit', { amount: 1 });
    await balance(id, 1);
    await waitUntil('all is quiet', () => owner.host.idle);
    assert.equal([owner.reports.length, owner.ended()], [1, null]);
    await owner.host.stop();
    // Mended, its messages are still there.
    await store.delete(`account.${torn}`, revision);
    const next = await claim(id, backend.b);
    await balance(torn, 7);
    assert.equal(next.reports, []);
  });

  test('O6: a bounded number of messages is taken and not yet processed; the rest waits in the mailbox', async () => {
    const many = ids(4);
    const stored = Promise.withResolvers<void>();
    const gated = faultyStore(await backend.a.bucket(BUCKETS.state), operation =>
      operation === 'put' ? stored.promise : undefined,
    );
    let read = 0;
    const mailbox: Mailbox = {
      ...backend.a.mailbox,
      read: async function* (partition, signal) {
        for await (const message of backend.a.mailbox.read(partition, signal)) {
          read++;
          yield message;
        }
      },
    };
    const each = LIMITS.partitionQueue / many.length + 10;
    await Promise.all(many.flatMap(id => Array.from({ length: each }, () => command(id, 'deposit', { amount: 1 }))));
    const owner = await claim(many[0] ?? '', backend.a, { store: gated, mailbox });
    await waitUntil('it has taken what it may', () => read >= LIMITS.partitionQueue);
    assert.is(read, LIMITS.partitionQueue);
    stored.resolve();
    for (const id of many) await balance(id, each);
    assert.equal(owner.reports, []);
  });

  test.run();
}
