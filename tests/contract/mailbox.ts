/** What every Mailbox promises. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ActorAddress, MailboxMessage, OutgoingMessage } from '../../src/actors/ports/mailbox.ts';
import { MailboxFull } from '../../src/actors/ports/write-outcome.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { partitionOf } from '../../src/domain/subjects.ts';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Backend, bytes, collect, PARTITIONS, refusal, take, text } from './backends.ts';

const command = (to: ActorAddress, body: string, verb = 'start'): OutgoingMessage => ({
  to,
  class: 'cmd',
  verb,
  headers: {},
  body: bytes(body),
});

export function mailboxContract(name: string, open: () => Promise<Backend>, seed: number): void {
  let backend: Backend;
  let actors = 0;
  const test = suite(`Mailbox of ${name} (seed ${seed})`);
  const fresh = (): ActorAddress => ({ kind: 'scenario', id: `actor${actors++}` });
  /** The first messages of one actor. */
  const first = async (to: ActorAddress, count: number): Promise<MailboxMessage[]> => {
    const found: MailboxMessage[] = [];
    const reading = new AbortController();
    for await (const message of backend.b.mailbox.read(backend.a.mailbox.partitionOf(to), reading.signal)) {
      if (message.to.id === to.id) found.push(message);
      if (found.length >= count) break;
    }
    return found;
  };
  test.before(async () => {
    backend = await open();
  });
  test.after(() => backend.close());

  test('a message arrives as it was sent, with its partition, sequence and time', async () => {
    const to = fresh();
    const headers = { 'Troupe-From': 'node.n1', 'Troupe-Number': '7.0' };
    const before = Date.now();
    const { seq } = await backend.a.mailbox.send({
      to,
      class: 'sys',
      verb: 'progress',
      headers,
      body: bytes('{"n":1}'),
    });
    const [message] = await first(to, 1);
    if (message === undefined) throw new Error('nothing arrived');
    assert.equal([message.to, message.class, message.verb, message.seq], [to, 'sys', 'progress', seq]);
    assert.is(message.partition, partitionOf(to.kind, to.id, PARTITIONS));
    assert.is(text(message.body), '{"n":1}');
    for (const [name, value] of Object.entries(headers)) assert.is(message.headers[name], value);
    assert.ok(Math.abs(message.at - before) < 60_000);
  });

  test('messages of an actor arrive in the order they were stored, to every reader, each once', async () => {
    const to = fresh();
    const readers = [backend.a, backend.b].map(client =>
      collect(signal => client.mailbox.read(client.mailbox.partitionOf(to), signal)),
    );
    for (let i = 0; i < 100; i++)
      await (i % 2 === 0 ? backend.a : backend.b).mailbox.send(command(to, `${i}`, `v${i % 3}`));
    for (const reader of readers) {
      const bodies = () => reader.items.filter(message => message.to.id === to.id).map(message => text(message.body));
      await waitUntil('all have arrived', () => bodies().length >= 100);
      await reader.stop();
      assert.equal(
        bodies(),
        Array.from({ length: 100 }, (_, i) => `${i}`),
      );
    }
  });

  test('a reader that starts later begins with the first retained message', async () => {
    const to = fresh();
    for (const body of ['a', 'b', 'c']) await backend.a.mailbox.send(command(to, body));
    assert.equal(
      (await first(to, 3)).map(message => text(message.body)),
      ['a', 'b', 'c'],
    );
    assert.equal(
      (await first(to, 3)).map(message => text(message.body)),
      ['a', 'b', 'c'],
    );
  });

  test('a purge removes the actor’s messages up to and including its sequence, and no other actor’s', async () => {
    const [to, other] = [fresh(), { kind: 'scenario', id: `actor${actors}x` }];
    const seqs: number[] = [];
    for (const body of ['a', 'b', 'c']) seqs.push((await backend.a.mailbox.send(command(to, body, `v${body}`))).seq);
    await backend.a.mailbox.send(command(other, 'other'));
    await backend.b.mailbox.purge(to, seqs[1] ?? 0);
    await backend.b.mailbox.purge(to, seqs[1] ?? 0);
    assert.equal(
      (await first(to, 1)).map(message => text(message.body)),
      ['c'],
    );
    assert.equal(
      (await first(other, 1)).map(message => text(message.body)),
      ['other'],
    );
  });

  test('a full mailbox refuses the next message of that verb, and takes it again when there is room', async () => {
    const to = fresh();
    const seqs: number[] = [];
    for (let i = 0; i < LIMITS.mailboxPerSubject; i++)
      seqs.push((await backend.a.mailbox.send(command(to, `${i}`))).seq);
    assert.instance(await refusal(backend.a.mailbox.send(command(to, 'one too many'))), MailboxFull);
    await backend.a.mailbox.send(command(to, 'another verb', 'stop'));
    await backend.a.mailbox.purge(to, seqs[0] ?? 0);
    await backend.a.mailbox.send(command(to, 'fits'));
    const all = await first(to, LIMITS.mailboxPerSubject + 1);
    assert.equal(all.map(message => text(message.body)).slice(-2), ['another verb', 'fits']);
  });

  test('a bare publish lands in the partition that partitionOf computes, for any kind and id', async () => {
    const random = new SeededRandom(seed);
    const addresses = Array.from({ length: 500 }, () => ({
      kind: ['scenario', 'node', 'x'][Math.floor(random.float() * 3)] ?? '',
      id: `${random.token(1 + Math.floor(random.float() * 63))}${['', '-', '_'][Math.floor(random.float() * 3)]}`,
    }));
    await backend.barePublish(
      addresses.map(({ kind, id }) => `troupe.cmd.${kind}.${id}.probe`),
      'bare',
    );
    const readers = Array.from({ length: PARTITIONS }, (_, p) => collect(signal => backend.a.mailbox.read(p, signal)));
    const probes = () => readers.map(reader => reader.items.filter(message => message.verb === 'probe'));
    await waitUntil('all have arrived', () => probes().flat().length >= addresses.length);
    for (const reader of readers) await reader.stop();
    const computed = Map.groupBy(addresses, ({ kind, id }) => partitionOf(kind, id, PARTITIONS));
    for (const [partition, found] of probes().entries()) {
      assert.ok(found.every(message => message.partition === partition && text(message.body) === 'bare'));
      assert.equal(
        found.map(message => message.to),
        computed.get(partition),
      );
    }
  });

  test('a read ends when its signal aborts, at whatever instant, also while nothing comes', async () => {
    for (let turns = 0; turns < 40; turns++) {
      const reader = collect(signal => backend.a.mailbox.read(0, signal));
      for (let i = 0; i < turns; i++) await new Promise(setImmediate);
      await reader.stop();
    }
    const aborted = AbortSignal.abort();
    assert.equal(await take(1, () => backend.a.mailbox.read(0, aborted)), []);
  });

  test.run();
}
