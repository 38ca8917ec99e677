/** What the server in memory does beside the ports' contracts: proposals, broken connections and restored stores, on request. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { WriteConflict, WriteRetry, WriteUnknown } from '../../src/actors/ports/write-outcome.ts';
import { ALWAYS, type Link } from '../../src/infra/memory/link.ts';
import { MemoryServer } from '../../src/infra/memory/memory-server.ts';
import { StreamReplaced } from '../../src/infra/memory/memory-stream.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';
import { bytes, collect, refusal, text } from './backends.ts';

const test = suite('server in memory');

function setUp() {
  const clock = new VirtualClock();
  const server = new MemoryServer({ clock, partitions: 1 });
  return { clock, server, bucket: server.stateStore('b') };
}

/** Its next conditional write is applied when told. */
function proposing(): { readonly link: Link; apply(): void } {
  const gate = Promise.withResolvers<void>();
  let proposal: Promise<void> | null = gate.promise;
  return {
    link: {
      ...ALWAYS,
      proposal: () => {
        const next = proposal;
        proposal = null;
        return next;
      },
    },
    apply: gate.resolve,
  };
}

/** Breaks and comes back. */
function breaking(): { readonly link: Link; again(): void } {
  let session = 1;
  return {
    link: {
      connected: true,
      get session() {
        return session;
      },
      online: async () => {},
      proposal: () => null,
    },
    again: () => {
      session += 1;
    },
  };
}

test('MS4: while a proposal is under way the same write again is refused without a verdict; it lands, and conflicts with the next', async () => {
  const { server, bucket } = setUp();
  const { link, apply } = proposing();
  const slow = server.stateStore('b', link);
  const first = slow.put('actor.x', bytes('first'), 0);
  assert.instance(await refusal(bucket.put('actor.x', bytes('again'), 0)), WriteRetry);
  assert.is(await bucket.get('actor.x'), null, 'it is not applied yet');
  await bucket.put('actor.y', bytes('another key'), 0);
  apply();
  await first;
  assert.instance(await refusal(bucket.put('actor.x', bytes('again'), 0)), WriteConflict);
  assert.is(text((await bucket.get('actor.x'))?.value ?? bytes('')), 'first');
});

test('ME3: a store that is put back holds the copy, gives sequence numbers again, and drops proposals under way', async () => {
  const { server, bucket } = setUp();
  const kept = await bucket.put('actor.x', bytes('kept'), 0);
  const gone = await bucket.put('actor.gone', bytes('deleted later'), 0);
  const copy = server.copy();
  await bucket.delete('actor.gone', gone);
  const later = await bucket.put('actor.x', bytes('lost'), kept);
  const { link, apply } = proposing();
  const pending = refusal(server.stateStore('b', link).put('actor.x', bytes('late'), later));
  server.putBack(copy);
  apply();
  assert.instance(await pending, WriteUnknown);
  assert.is(text((await bucket.get('actor.x'))?.value ?? bytes('')), 'kept');
  assert.is((await bucket.get('actor.gone'))?.revision, gone, 'what was removed is back');
  assert.is(await bucket.put('actor.y', bytes('new'), 0), gone + 1);
  server.putBack(copy);
  assert.is(await bucket.get('actor.y'), null, 'once more, from the same copy');
});

test('MS5: a reader goes on behind what it has when its connection is back, and fails where that is no longer there', async () => {
  const { clock, server } = setUp();
  const writer = server.mailbox();
  const send = (verb: string) =>
    writer.send({ to: { kind: 'k', id: 'i' }, class: 'sys', verb, headers: {}, body: bytes('') });
  await send('one');
  const copy = server.copy();
  await send('two');
  const { link, again } = breaking();
  const reader = collect(signal => server.mailbox(link).read(0, signal));
  await clock.settle();
  again();
  await send('three');
  await clock.settle();
  assert.equal(
    reader.items.map(({ verb }) => verb),
    ['one', 'two', 'three'],
  );
  server.putBack(copy);
  again();
  await send('another two');
  await clock.settle();
  assert.instance(await refusal(reader.stop()), StreamReplaced);
});

test.run();
