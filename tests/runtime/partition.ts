/** What a hosted partition promises on every server: one body for the server in memory and for nats-server. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Mailbox } from '../../src/actors/ports/mailbox.ts';
import type { StateEntry, StateStore } from '../../src/actors/ports/state-store.ts';
import { WriteRetry, WriteUnknown } from '../../src/actors/ports/write-outcome.ts';
import { type Committed, emptyRecord } from '../../src/actors/runtime/committed.ts';
import { type HostedPartition, hostPartition } from '../../src/actors/runtime/partition.ts';
import { decodeRecord, encodeRecord } from '../../src/actors/runtime/record-codec.ts';
import { BUCKETS } from '../../src/domain/subjects.ts';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import { systemClock } from '../../src/infra/process/system-clock.ts';
import { type Backend, type Client, collect } from '../contract/backends.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Account, account } from './account.ts';
import { faultyStore, first } from './bank.ts';

interface Owner extends HostedPartition {
  readonly answers: unknown[];
  readonly reports: string[];
}

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
  const claim = async (
    id: string,
    client: Client,
    faults: { store?: StateStore; mailbox?: Mailbox; epoch?: number } = {},
  ): Promise<Owner> => {
    const answers: unknown[] = [];
    const reports: string[] = [];
    const partition = partitionOf(id);
    const hosted = hostPartition(
      { partition, epoch: faults.epoch ?? ++epochs, lost: new AbortController().signal },
      [account],
      {
        clock: systemClock,
        random,
        store: faults.store ?? (await client.bucket(BUCKETS.state)),
        mailbox: faults.mailbox ?? client.mailbox,
        journal: client.journal,
        answer: (_inbox, body) => answers.push(body),
        report: (_self, what, error) => reports.push(`${what}: ${String(error)}`),
      },
      {},
      {
        bus: client.bus,
        subject: 'troupe.heartbeat.*.runner.*',
        tickMs: 1_000,
        isGone: async () => false,
        isKeeperAlive: () => true,
      },
      await entries(partition),
    );
    const owner = { ...hosted, answers, reports };
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
  /** Another writer's commit. */
  const overwrite = async (id: string, change: Partial<Committed>): Promise<void> => {
    const entry = await store.get(`account.${id}`);
    const before = entry === null ? emptyRecord(1) : decodeRecord(entry.value);
    await store.put(`account.${id}`, encodeRecord({ ...before, ...change }), entry?.revision ?? 0);
  };
  /** Messages of an actor that the mailbox still holds, up to the first one of `sentinel`'s. */
  const retained = async (id: string): Promise<number> => {
    const [sentinel = ''] = ids(1).map(() => id);
    const { seq } = await command(sentinel, 'sentinel');
    const reading = collect(signal => backend.b.mailbox.read(partitionOf(id), signal));
    await waitUntil('the mailbox is read', () => reading.items.some(message => message.seq === seq));
    await reading.stop();
    await backend.b.mailbox.purge({ kind: 'account', id }, seq);
    return reading.items.filter(message => message.to.id === id && message.seq < seq).length;
  };

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
    assert.is(await older.handle.exited, 'fenced');
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
    await claim(id, backend.a, { store: ambiguous });
    for (let i = 0; i < 6; i++) await command(id, 'deposit', { amount: 1 });
    await balance(id, 6);
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

  test.run();
}
