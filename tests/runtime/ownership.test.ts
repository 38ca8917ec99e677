import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Ownership } from '../../src/actors/ownership/ownership.ts';
import type { StateStore } from '../../src/actors/ports/state-store.ts';
import { WriteRetry, WriteUnknown } from '../../src/actors/ports/write-outcome.ts';
import type { PartitionClaim } from '../../src/actors/runtime/partition-host.ts';
import { TroupeError } from '../../src/domain/errors.ts';
import { rendezvous } from '../../src/domain/rendezvous.ts';
import { BUCKETS } from '../../src/domain/subjects.ts';
import { MemoryServer } from '../../src/infra/memory/memory-server.ts';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';
import { faultyStore } from './bank.ts';

const test = suite('Ownership');

const PARTITIONS = 16;
const RENEW_MS = 1_000;
const DEAD_MS = 5_000;

interface Node {
  /** Claims hosted now, by partition. */
  readonly hosted: Map<number, PartitionClaim>;
  readonly ownership: Ownership;
  /** How it ended; undefined while it runs. */
  readonly end: { error?: string; done: boolean };
  /** As kill -9: nothing of it goes on. */
  kill(): Promise<void>;
}

class Cluster {
  readonly clock = new VirtualClock();
  readonly server = new MemoryServer({ clock: this.clock, partitions: PARTITIONS });
  readonly leases = this.server.stateStore(BUCKETS.lease);
  writes = 0;
  #seeds = 0;

  async start(node: string, leases: StateStore = this.leases): Promise<Node> {
    const hosted = new Map<number, PartitionClaim>();
    const counted = {
      ...leases,
      put: (...of: Parameters<StateStore['put']>) => {
        this.writes++;
        return leases.put(...of);
      },
    };
    const ports = {
      clock: this.clock,
      random: new SeededRandom(++this.#seeds),
      leases: counted,
      hosted: () => new Set(hosted.keys()),
      host: async (claims: readonly PartitionClaim[]) => {
        for (const claim of claims) {
          hosted.set(claim.partition, claim);
          claim.lost.addEventListener('abort', () => hosted.delete(claim.partition));
        }
      },
    };
    const ownership = new Ownership(ports, { node, partitions: PARTITIONS, renewMs: RENEW_MS, deadMs: DEAD_MS });
    const stop = new AbortController();
    const end: Node['end'] = { done: false };
    const run = ownership
      .run(stop.signal)
      .catch((error: Error) => {
        end.error = error.message;
      })
      .then(() => {
        end.done = true;
      });
    await this.clock.settle();
    const kill = async (): Promise<void> => {
      stop.abort();
      await run;
    };
    return { hosted, ownership, end, kill };
  }
}

const all = Array.from({ length: PARTITIONS }, (_, i) => i);
const owned = (...nodes: readonly Node[]): number[] =>
  nodes.flatMap(node => [...node.hosted.keys()]).sort((a, b) => a - b);

test('W3: a first node claims every partition at once', async () => {
  const { hosted, ownership } = await new Cluster().start('n1');
  assert.equal([...hosted.keys()], all);
  assert.equal(ownership.unowned(), []);
});

test('W1: the idle cluster writes one key per node and interval', async () => {
  const cluster = new Cluster();
  await cluster.start('n1');
  await cluster.start('n2');
  const before = cluster.writes;
  await cluster.clock.advance(10 * RENEW_MS);
  assert.is(cluster.writes - before, 20);
});

test('W3: a live owner is never robbed, however many nodes come', async () => {
  const cluster = new Cluster();
  const first = await cluster.start('n1');
  const claims = [...first.hosted.values()];
  const others = [await cluster.start('n2'), await cluster.start('n3')];
  await cluster.clock.advance(60_000);
  assert.equal([...first.hosted.values()], claims);
  assert.equal(owned(...others), []);
});

test('W2, W4: a dead node’s partitions go to the live ones, after `deadMs`, as rendezvous says; epochs increase', async () => {
  const cluster = new Cluster();
  const first = await cluster.start('n1');
  const epochs = new Map([...first.hosted].map(([partition, { epoch }]) => [partition, epoch]));
  const others = [await cluster.start('n2'), await cluster.start('n3')];
  await cluster.clock.advance(3_000);
  await first.kill();
  await cluster.clock.advance(DEAD_MS - RENEW_MS);
  assert.equal(owned(...others), []);
  await cluster.clock.advance(3 * RENEW_MS);
  assert.equal(owned(...others), all);
  for (const [i, node] of others.entries())
    for (const { partition, epoch } of node.hosted.values()) {
      assert.is(rendezvous(['n2', 'n3'], partition), `n${i + 2}`);
      assert.ok(epoch > (epochs.get(partition) ?? 0));
    }
});

test('W2: the same node’s next process takes its own back at once, under higher epochs', async () => {
  const cluster = new Cluster();
  const other = await cluster.start('n0');
  await other.kill();
  const first = await cluster.start('n1');
  await cluster.clock.advance(10_000);
  assert.equal(owned(first), all);
  const epochs = [...first.hosted.values()].map(claim => claim.epoch);
  await cluster.start('n2');
  await first.kill();
  const again = await cluster.start('n1');
  assert.equal(owned(again), all);
  for (const [i, claim] of [...again.hosted.values()].entries()) assert.ok(claim.epoch > (epochs[i] ?? 0));
});

test('W2: of two processes of one node the older one ends, and says what to do', async () => {
  const cluster = new Cluster();
  const first = await cluster.start('n1');
  const second = await cluster.start('n1');
  await cluster.clock.advance(2 * RENEW_MS);
  assert.match(first.end.error ?? '', /runs elsewhere too: give this one another --node/);
  assert.equal(owned(first), []);
  await cluster.clock.advance(2 * RENEW_MS);
  assert.equal([owned(second), second.end.done], [all, false]);
});

test('W5: a node that does not know every lease yet claims nothing', async () => {
  const cluster = new Cluster();
  const first = await cluster.start('n1');
  await cluster.clock.advance(2 * RENEW_MS);
  const gate = Promise.withResolvers<void>();
  const late = {
    ...cluster.leases,
    watch: async function* (signal: AbortSignal) {
      for await (const change of cluster.leases.watch(signal)) {
        // Claims are older than leases: the watch brings them first.
        if (change.kind === 'entry' && change.entry.key === 'node.n1') await gate.promise;
        yield change;
      }
    },
  };
  const second = await cluster.start('n2', late);
  await cluster.clock.advance(3 * RENEW_MS);
  gate.resolve();
  await cluster.clock.advance(10 * RENEW_MS);
  assert.equal([owned(first), owned(second)], [all, []]);
});

test('W5: a node that was cut off judges nobody until it has listened for `deadMs` again', async () => {
  const cluster = new Cluster();
  const first = await cluster.start('n1');
  let up = true;
  const held: (() => void)[] = [];
  const link: StateStore = {
    ...faultyStore(cluster.leases, () => {
      if (!up) throw new WriteUnknown('timed out');
      return undefined;
    }),
    watch: async function* (signal) {
      for await (const change of cluster.leases.watch(signal)) {
        if (!up) await new Promise<void>(resolve => held.push(resolve));
        yield change;
      }
    },
  };
  const second = await cluster.start('n2', link);
  up = false;
  await cluster.clock.advance(30_000);
  up = true;
  await cluster.clock.advance(RENEW_MS); // its own writes are through before the watch is
  for (const release of held) release();
  await cluster.clock.advance(30_000);
  assert.equal([owned(first), owned(second)], [all, []]);
});

for (const error of [
  new WriteRetry('no leader'),
  new WriteUnknown('x'),
  new TroupeError('unavailable', 'x', { retryable: true }),
])
  test(`trouble that passes (${error.name}) does not end ownership`, async () => {
    const cluster = new Cluster();
    let up = true;
    const link = faultyStore(cluster.leases, () => {
      if (!up) throw error;
      return undefined;
    });
    const node = await cluster.start('n1', link);
    up = false;
    await cluster.clock.advance(60_000);
    up = true;
    await cluster.clock.advance(2 * RENEW_MS);
    assert.equal([node.end.done, owned(node), node.ownership.unowned()], [false, all, []]);
  });

test('W1: a renewal that landed without an answer is gone on from', async () => {
  const cluster = new Cluster();
  let lost = 3;
  const link = faultyStore(cluster.leases, (operation, key) => {
    if (operation !== 'put' || !key.startsWith('node.') || lost-- <= 0) return undefined;
    return {
      after: () => {
        throw new WriteUnknown('timed out');
      },
    };
  });
  const node = await cluster.start('n1', link);
  await cluster.clock.advance(10_000);
  assert.equal([node.end.done, owned(node)], [false, all]);
});

test('W6: the host of a claim is told when another has claimed the partition', async () => {
  const cluster = new Cluster();
  const first = await cluster.start('n1');
  const entry = await cluster.leases.get('partition.3');
  await cluster.leases.put('partition.3', Buffer.from('{"node":"n2","process":"p"}'), entry?.revision ?? 0);
  await cluster.clock.settle();
  assert.equal(
    owned(first),
    all.filter(partition => partition !== 3),
  );
  // Nobody by that name is alive: it is free again.
  await cluster.clock.advance(RENEW_MS);
  assert.equal(owned(first), all);
});

test('W6: when ownership ends so do its claims, and nothing of it goes on', async () => {
  const cluster = new Cluster();
  const node = await cluster.start('n1');
  await node.kill();
  assert.equal([owned(node), cluster.clock.pending, node.end.error], [[], 0, undefined]);
});

test('W6: when the watch is lost ownership ends with why', async () => {
  const cluster = new Cluster();
  const gate = Promise.withResolvers<never>();
  const link = {
    ...cluster.leases,
    watch: async function* () {
      yield { kind: 'current' as const };
      await gate.promise;
    },
  };
  const node = await cluster.start('n1', link);
  assert.equal(owned(node), all);
  gate.reject(new Error('replaced'));
  await cluster.clock.advance(RENEW_MS);
  assert.equal([node.end.error, owned(node), cluster.clock.pending], ['replaced', [], 0]);
});

test('what a stranger put into the bucket owns nothing and disturbs nobody', async () => {
  const cluster = new Cluster();
  for (const key of ['node.n1', 'node.n9', 'partition.0', 'partition.1', 'what.ever'])
    await cluster.leases.put(key, Buffer.from(key.endsWith('1') ? 'garbage' : '{"node":7}'), 0);
  const node = await cluster.start('n1');
  await cluster.clock.advance(20_000);
  assert.equal([node.end.done, owned(node)], [false, all]);
});

test('W4: of any live nodes each partition has one, the same in whatever order they are named; a death moves only the dead one’s', () => {
  const names = fc.uniqueArray(fc.stringMatching(/^[A-Za-z0-9_-]{1,12}$/), { minLength: 2, maxLength: 8 });
  fc.assert(
    fc.property(names, fc.nat(), (nodes, which) => {
      const dead = nodes[which % nodes.length] ?? '';
      const left = nodes.filter(node => node !== dead);
      for (const partition of all) {
        const owner = rendezvous(nodes, partition);
        assert.ok(owner !== null && nodes.includes(owner));
        assert.is(rendezvous(nodes.toReversed(), partition), owner);
        if (owner !== dead) assert.is(rendezvous(left, partition), owner);
      }
    }),
  );
  assert.is(rendezvous([], 0), null);
});

test('W4: over many partitions every node gets its share', () => {
  const nodes = ['n1', 'n2', 'n3', 'n4', 'n5'];
  const total = 20_000;
  const counts = new Map<string, number>();
  for (let partition = 0; partition < total; partition++) {
    const owner = rendezvous(nodes, partition) ?? '';
    counts.set(owner, (counts.get(owner) ?? 0) + 1);
  }
  // Fair to a quarter: an even hash would be off by 3 % at most.
  for (const node of nodes) assert.ok(Math.abs((counts.get(node) ?? 0) / (total / nodes.length) - 1) < 0.25, node);
});

test.run();
