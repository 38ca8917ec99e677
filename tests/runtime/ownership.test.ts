// shared
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { leaseKey, Membership } from '../../src/actors/ownership/membership.ts';
import { Ownership } from '../../src/actors/ownership/ownership.ts';
import type { StateStore } from '../../src/actors/ports/state-store.ts';
import { WriteRetry, WriteUnknown } from '../../src/actors/ports/write-outcome.ts';
import type { PartitionClaim } from '../../src/actors/runtime/partition-host.ts';
import { TroupeError } from '../../src/domain/errors.ts';
import { rendezvous } from '../../src/domain/rendezvous.ts';
import { BUCKETS } from '../../src/domain/subjects.ts';
import { MemoryServer } from '../../src/infra/memory/memory-server.ts';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import { clusterBackend, memoryBackend, natsBackend } from '../contract/backends.ts';
import { JumpingClock } from '../support/jumping-clock.ts';
import { faultyStore } from './bank.ts';
import { ownershipContract } from './ownership.ts';

const test = suite('Ownership');

const PARTITIONS = 16;
const RENEW_MS = 1_000;
const DEAD_MS = 5_000;
const RELEASE_MS = 2_000;

interface Node {
  /** Claims hosted now, by partition. */
  readonly hosted: Map<number, PartitionClaim>;
  readonly membership: Membership;
  readonly ownership: Ownership;
  /** Partitions it gave up in good order, with when. */
  readonly released: { readonly partition: number; readonly atMs: number }[];
  /** How it ended; undefined while it runs. */
  readonly end: { error?: string; done: boolean };
  /** As kill -9: nothing of it goes on. */
  kill(): Promise<void>;
}

class Cluster {
  readonly clock = new JumpingClock();
  readonly server = new MemoryServer({ clock: this.clock, partitions: PARTITIONS });
  readonly leases = this.server.stateStore(BUCKETS.lease);
  writes = 0;
  #seeds = 0;

  /**
   * @param data the DATA folder it runs over
   * @param unhosting what a host that hands over has yet to do
   */
  async start(
    node: string,
    leases: StateStore = this.leases,
    data = node,
    hosting = (): void => {},
    unhosting = async (): Promise<void> => {},
  ): Promise<Node> {
    const hosted = new Map<number, PartitionClaim>();
    const released: Node['released'] = [];
    const counted = {
      ...leases,
      put: (...of: Parameters<StateStore['put']>) => {
        this.writes++;
        return leases.put(...of);
      },
    };
    const process = new SeededRandom(++this.#seeds).token(12);
    const members = { node, partitions: PARTITIONS, renewMs: RENEW_MS, deadMs: DEAD_MS };
    const lease = { process, data };
    const membership = new Membership({ clock: this.clock, leases: counted }, { ...members, lease }, true);
    const ports = {
      clock: this.clock,
      leases: counted,
      membership,
      hosted: () => new Set(hosted.keys()),
      host: async (claims: readonly PartitionClaim[]) => {
        hosting();
        for (const claim of claims) {
          hosted.set(claim.partition, claim);
          claim.lost.addEventListener('abort', () => {
            if (hosted.get(claim.partition) === claim) hosted.delete(claim.partition);
          });
        }
      },
      unhost: async (partition: number) => {
        await unhosting();
        if (hosted.delete(partition)) released.push({ partition, atMs: this.clock.monotonic() });
      },
    };
    const ownership = new Ownership(ports, { ...members, process, stableMs: DEAD_MS, releaseMs: RELEASE_MS });
    const stop = new AbortController();
    const end: Node['end'] = { done: false };
    const run = membership
      .join(stop.signal)
      .then(async () => {
        const loops = [membership.run(stop.signal), ownership.run(stop.signal)];
        await Promise.race(loops).finally(() => stop.abort());
        await Promise.allSettled(loops);
      })
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
    return { hosted, membership, ownership, released, end, kill };
  }
}

const all = Array.from({ length: PARTITIONS }, (_, i) => i);
const owned = (...nodes: readonly Node[]): number[] =>
  nodes.flatMap(node => [...node.hosted.keys()]).sort((a, b) => a - b);

/** What the second has the first has released to it. */
function assertNotRobbed(first: Node, second: Node): void {
  const released = new Set(first.released.map(({ partition }) => partition));
  assert.equal(
    [...released].sort((a, b) => a - b),
    owned(second),
  );
  assert.equal(owned(first, second), all);
}

test('W3: a first node claims every partition at once', async () => {
  const { hosted, membership } = await new Cluster().start('n1');
  assert.equal([...hosted.keys()], all);
  assert.equal(membership.unowned(), []);
});

test('W1: the idle cluster writes one key per node and interval', async () => {
  const cluster = new Cluster();
  const nodes = [await cluster.start('n1'), await cluster.start('n2')];
  await cluster.clock.advance(60_000); // shared out
  assert.equal(owned(...nodes), all);
  const before = cluster.writes;
  await cluster.clock.advance(10 * RENEW_MS);
  assert.is(cluster.writes - before, 20);
});

test('W3: a live owner is never robbed, however many nodes come: what others get it has released', async () => {
  const cluster = new Cluster();
  const first = await cluster.start('n1');
  const claims = [...first.hosted.values()];
  const others = [await cluster.start('n2'), await cluster.start('n3')];
  await cluster.clock.advance(60_000);
  const kept = [...first.hosted.keys()];
  assert.equal(
    first.released.map(({ partition }) => partition).sort((a, b) => a - b),
    owned(...others),
  );
  assert.equal(
    [...first.hosted.values()],
    claims.filter(claim => kept.includes(claim.partition)),
    'under the same epochs',
  );
});

test('W8: nodes that come get what rendezvous hashing gives them, one partition at a time, when all has been quiet', async () => {
  const cluster = new Cluster();
  const first = await cluster.start('n1');
  await cluster.clock.advance(20_000);
  const cameMs = cluster.clock.monotonic();
  const nodes = [first, await cluster.start('n2'), await cluster.start('n3')];
  for (let now = 0; now < 60_000; now += 50) {
    await cluster.clock.advance(50);
    const missing = PARTITIONS - owned(...nodes).length;
    assert.is(missing, 0, `at ${now} ms ${missing} partitions have no owner`);
  }
  for (const [i, node] of nodes.entries())
    assert.equal(
      owned(node),
      all.filter(partition => rendezvous(['n1', 'n2', 'n3'], partition) === `n${i + 1}`),
    );
  const moves = first.released.map(({ atMs }) => atMs);
  assert.ok((moves[0] ?? 0) - cameMs >= DEAD_MS, 'not before the members were the same for a while');
  for (const [i, atMs] of moves.entries()) if (i > 0) assert.ok(atMs - (moves[i - 1] ?? 0) >= RELEASE_MS);
  const before = cluster.writes;
  await cluster.clock.advance(20_000);
  assert.is(cluster.writes - before, 60, 'then only leases are written');
});

test('W8: members that come and go let nothing move', async () => {
  const cluster = new Cluster();
  const first = await cluster.start('n1');
  for (let i = 0; i < 10; i++) {
    const other = await cluster.start('n2');
    await cluster.clock.advance(3_000);
    await other.membership.leave();
    await other.kill();
    await cluster.clock.advance(1_000);
  }
  assert.equal([first.released, owned(first)], [[], all]);
});

test('W8, W9: a node that is not to own partitions hands all over at once, and gets none until it is to again', async () => {
  const cluster = new Cluster();
  const first = await cluster.start('n1');
  const others = [await cluster.start('n2'), await cluster.start('n3')];
  await cluster.clock.advance(1_000);
  await first.membership.setOwner(false);
  await Promise.all([first.ownership.empty(), cluster.clock.advance(100)]);
  await cluster.clock.advance(100);
  assert.equal([owned(first), owned(...others)], [[], all]);
  for (const [i, node] of others.entries())
    for (const partition of owned(node)) assert.is(rendezvous(['n2', 'n3'], partition), `n${i + 2}`);
  await cluster.clock.advance(30_000);
  assert.equal([owned(first), owned(...others)], [[], all]);
  await first.membership.setOwner(true);
  await cluster.clock.advance(60_000);
  assert.equal(
    owned(first),
    all.filter(partition => rendezvous(['n1', 'n2', 'n3'], partition) === 'n1'),
  );
  assert.equal(owned(first, ...others), all);
});

test('W8: the only node gives its partitions up too, and takes them again', async () => {
  const cluster = new Cluster();
  const node = await cluster.start('n1');
  await node.membership.setOwner(false);
  await node.ownership.empty();
  await cluster.clock.advance(20_000);
  assert.equal([owned(node), node.membership.unowned()], [[], all]);
  await node.membership.setOwner(true);
  await cluster.clock.advance(100);
  assert.equal(owned(node), all);
});

test('W9: a release that is not acknowledged is tried again, and never leaves a partition without an owner for long', async () => {
  const cluster = new Cluster();
  let lost = 20;
  const link = faultyStore(cluster.leases, (operation, key) => {
    if (operation !== 'put' || !key.startsWith('partition.') || cluster.clock.monotonic() < 1_000 || lost-- <= 0)
      return undefined;
    const trouble = () => {
      throw new WriteUnknown('timed out');
    };
    return lost % 2 === 0 ? { after: trouble } : trouble();
  });
  const first = await cluster.start('n1', link);
  const other = await cluster.start('n2');
  await cluster.clock.advance(2_000);
  await first.membership.setOwner(false);
  await Promise.all([first.ownership.empty(), cluster.clock.advance(40_000)]);
  assert.equal([first.end.error, owned(first), owned(other)], [undefined, [], all]);
});

test('W9: a claim is given up when its host has ended, not before', async () => {
  const cluster = new Cluster();
  const nodes: Node[] = [];
  const givenUp: string[] = [];
  const link = faultyStore(cluster.leases, (operation, key) => {
    const partition = Number(key.slice('partition.'.length));
    const [node] = nodes;
    if (operation !== 'put' || !key.startsWith('partition.') || node === undefined) return undefined;
    givenUp.push(node.hosted.has(partition) ? `${partition} is still hosted` : 'in good order');
    return undefined;
  });
  const first = await cluster.start(
    'n1',
    link,
    'n1',
    () => {},
    () => cluster.clock.sleep(100),
  );
  nodes.push(first);
  const other = await cluster.start('n2');
  await cluster.clock.advance(2_000);
  await first.membership.setOwner(false);
  await Promise.all([first.ownership.empty(), cluster.clock.advance(10_000)]);
  assert.equal([givenUp, owned(other)], [all.map(() => 'in good order'), all]);
});

test('W2: a wall clock that jumps makes nobody dead', async () => {
  const cluster = new Cluster();
  const first = await cluster.start('n1');
  const second = await cluster.start('n2');
  await cluster.clock.advance(60_000);
  const before = [[...first.hosted.keys()], [...second.hosted.keys()]];
  for (const jumpMs of [3_600_000, -7_200_000, 7_200_000]) {
    cluster.clock.jump(jumpMs);
    await cluster.clock.advance(3 * DEAD_MS);
    assert.equal([[...first.hosted.keys()], [...second.hosted.keys()]], before);
  }
  await first.kill();
  cluster.clock.jump(-3_600_000);
  await cluster.clock.advance(DEAD_MS + 3 * RENEW_MS);
  assert.equal(owned(second), all, 'nor does it keep a dead one alive');
});

test('W2: a node that leaves is not waited for', async () => {
  const cluster = new Cluster();
  const first = await cluster.start('n1');
  const second = await cluster.start('n2');
  await cluster.clock.advance(1_000);
  await first.kill();
  await first.membership.leave();
  await cluster.clock.advance(10);
  assert.equal([owned(second), second.membership.unowned()], [all, []]);
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

test('W7: a name in use over another DATA folder is refused, and says what to do; its holder is not disturbed', async () => {
  const cluster = new Cluster();
  const first = await cluster.start('n1');
  const second = await cluster.start('n1', cluster.leases, 'other');
  await cluster.clock.advance(3 * RENEW_MS);
  assert.match(second.end.error ?? '', /runs elsewhere too: give this one another name with --node/);
  assert.equal([owned(first), first.end.done, owned(second)], [all, false, []]);
});

test('W7: a name whose lease is dead is free, also over another DATA folder', async () => {
  const cluster = new Cluster();
  const first = await cluster.start('n1');
  await first.kill();
  const second = await cluster.start('n1', cluster.leases, 'other');
  await cluster.clock.advance(DEAD_MS - RENEW_MS);
  assert.equal(owned(second), []);
  await cluster.clock.advance(2 * RENEW_MS);
  assert.equal([owned(second), second.end.done], [all, false]);
});

test('W7: of two processes over one DATA folder the older one ends, and says what to do', async () => {
  const cluster = new Cluster();
  const first = await cluster.start('n1');
  const second = await cluster.start('n1');
  await cluster.clock.advance(2 * RENEW_MS);
  assert.match(first.end.error ?? '', /runs elsewhere too: give this one another name with --node/);
  assert.equal(owned(first), []);
  await cluster.clock.advance(2 * RENEW_MS);
  assert.equal([owned(second), second.end.done], [all, false]);
});

test('W10: a node that comes back to an older copy of the store ends; one that comes back to the same or a newer one does not', async () => {
  const cluster = new Cluster();
  const node = await cluster.start('n1');
  const revisionOf = (): number => cluster.server.lastRevision(BUCKETS.lease, leaseKey('n1'));
  const copied = revisionOf();
  const copy = cluster.server.copy();
  await cluster.clock.advance(2 * RENEW_MS);
  assert.ok(node.membership.recognises(revisionOf()));
  assert.ok(node.membership.recognises(revisionOf() + 1), 'a renewal whose answer was lost');
  await cluster.clock.settle();
  assert.not(node.end.done);
  assert.not(node.membership.recognises(0));
  cluster.server.putBack(copy);
  assert.is(revisionOf(), copied);
  assert.not(node.membership.recognises(revisionOf()));
  await cluster.clock.settle();
  assert.not(node.end.done, 'nothing is proved yet');
  node.membership.replaced();
  await cluster.clock.settle();
  assert.match(node.end.error ?? '', /older copy of NATS' store was put back .*: start the node again/);
  assert.equal(owned(node), []);
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
  assertNotRobbed(first, second);
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
  assertNotRobbed(first, second);
});

test('W5: a server that nobody could reach makes nobody dead: each lease has its full time again', async () => {
  const cluster = new Cluster();
  const reaches = { n1: true, n2: true };
  const link = (node: 'n1' | 'n2'): StateStore =>
    faultyStore(cluster.leases, () => {
      if (!reaches[node]) throw new WriteUnknown('timed out');
      return undefined;
    });
  const first = await cluster.start('n1', link('n1'));
  const second = await cluster.start('n2', link('n2'));
  await cluster.clock.advance(60_000);
  const claims = () => [first, second].map(node => [...node.hosted.values()].map(({ epoch }) => epoch));
  const before = claims();
  Object.assign(reaches, { n1: false, n2: false });
  await cluster.clock.advance(30_000);
  reaches.n2 = true; // it is the first to be back
  await cluster.clock.advance(2 * RENEW_MS);
  reaches.n1 = true;
  await cluster.clock.advance(60_000);
  assert.equal(claims(), before);
  assert.equal([first.end, second.end], [{ done: false }, { done: false }]);
});

test('W5: a node whose watch is blind while its renewals go through judges nobody', async () => {
  const cluster = new Cluster();
  const first = await cluster.start('n1');
  let blind = false;
  const held: (() => void)[] = [];
  const second = await cluster.start('n2', {
    ...cluster.leases,
    watch: async function* (signal: AbortSignal) {
      for await (const change of cluster.leases.watch(signal)) {
        if (blind) await new Promise<void>(resolve => held.push(resolve));
        yield change;
      }
    },
  });
  await cluster.clock.advance(RENEW_MS);
  blind = true;
  await cluster.clock.advance(3 * DEAD_MS);
  const released = first.released.map(({ partition }) => partition);
  assert.equal(
    owned(first),
    all.filter(partition => !released.includes(partition)),
  );
  blind = false;
  for (const release of held) release();
  await cluster.clock.advance(60_000);
  assertNotRobbed(first, second);
});

test('what cannot be hosted now is hosted later, and nothing else is lost by it', async () => {
  const cluster = new Cluster();
  let trouble = 3;
  const hosting = () => {
    if (trouble-- > 0) throw new TroupeError('unavailable', 'JetStream does not answer.', { retryable: true });
  };
  const node = await cluster.start('n1', cluster.leases, 'n1', hosting);
  await cluster.clock.advance(5 * RENEW_MS);
  assert.equal([node.end.done, owned(node)], [false, all]);
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
    assert.equal([node.end.done, owned(node), node.membership.unowned()], [false, all, []]);
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
  const before = first.hosted.get(3);
  const entry = await cluster.leases.get('partition.3');
  await cluster.leases.put('partition.3', Buffer.from('{"node":"n2","process":"p"}'), entry?.revision ?? 0);
  await cluster.clock.settle();
  assert.is(before?.lost.aborted, true);
  // Nobody by that name is alive: it is free again, under a higher epoch.
  await cluster.clock.advance(RENEW_MS);
  assert.equal(owned(first), all);
  assert.ok((first.hosted.get(3)?.epoch ?? 0) > (before?.epoch ?? 0));
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

ownershipContract('memory', async () => memoryBackend());
ownershipContract('nats', natsBackend);
ownershipContract('cluster', clusterBackend);
