/** What membership and ownership promise on every server, in real time: one body for the server in memory and for nats-server. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Membership } from '../../src/actors/ownership/membership.ts';
import { Ownership } from '../../src/actors/ownership/ownership.ts';
import type { StateStore } from '../../src/actors/ports/state-store.ts';
import { WriteUnknown } from '../../src/actors/ports/write-outcome.ts';
import type { PartitionClaim } from '../../src/actors/runtime/partition-host.ts';
import { rendezvous } from '../../src/domain/rendezvous.ts';
import { systemClock as clock, systemRandom as random } from '../../src/infra/process/system-clock.ts';
import type { Backend, Client } from '../contract/backends.ts';
import { waitUntil } from '../support/wait-until.ts';
import { faultyStore } from './bank.ts';

const PARTITIONS = 16;
const RENEW_MS = 100;
/** Far above what a busy machine lets a loop wait: a node is dead here only when it is. */
const DEAD_MS = 2_000;
const RELEASE_MS = 50;

interface Node {
  readonly hosted: Map<number, PartitionClaim>;
  readonly membership: Membership;
  readonly ownership: Ownership;
  readonly ended: Promise<string>;
  /** As kill -9. */
  kill(): Promise<void>;
}

export function ownershipContract(name: string, open: () => Promise<Backend>): void {
  let backend: Backend;
  let buckets = 0;
  const nodes: Node[] = [];
  /** Owners of each partition in this test, as they came and went: two at once are a broken promise. */
  const owners = new Map<number, Set<string>>();
  let bucket: string;
  const test = suite(`Ownership on ${name}`);
  test.before(async () => {
    backend = await open();
  });
  test.before.each(() => {
    bucket = `leases${buckets++}`;
    owners.clear();
  });
  test.after.each(async () => {
    for (const node of nodes.splice(0)) await node.kill();
  });
  test.after(() => backend.close());

  const start = async (
    node: string,
    client: Client,
    { data = node, link = (leases: StateStore) => leases } = {},
  ): Promise<Node> => {
    const hosted = new Map<number, PartitionClaim>();
    const leases = link(await client.bucket(bucket));
    const process = random.token(8);
    const members = { node, partitions: PARTITIONS, renewMs: RENEW_MS, deadMs: DEAD_MS };
    const membership = new Membership({ clock, leases }, { ...members, lease: { process, data } }, true);
    const drop = (partition: number): void => {
      hosted.delete(partition);
      owners.get(partition)?.delete(process);
    };
    const ports = {
      clock,
      leases,
      membership,
      hosted: () => new Set(hosted.keys()),
      host: async (claims: readonly PartitionClaim[]) => {
        for (const claim of claims) {
          const { partition } = claim;
          hosted.set(partition, claim);
          const now = owners.get(partition) ?? new Set();
          owners.set(partition, now.add(process));
          claim.lost.addEventListener('abort', () => {
            if (hosted.get(partition) === claim) drop(partition);
          });
        }
      },
      unhost: async (partition: number) => drop(partition),
    };
    const ownership = new Ownership(ports, { ...members, process, stableMs: 3 * RENEW_MS, releaseMs: RELEASE_MS });
    const stop = new AbortController();
    const ended = (async () => {
      try {
        await membership.join(stop.signal);
        const loops = [membership.run(stop.signal), ownership.run(stop.signal)];
        await Promise.race(loops).finally(() => stop.abort(new Error('over')));
        await Promise.all(loops);
        return '';
      } catch (error) {
        return error instanceof Error ? error.message : String(error);
      } finally {
        stop.abort(new Error('over'));
      }
    })();
    const kill = async (): Promise<void> => {
      stop.abort(new Error('killed'));
      await ended;
    };
    const started = { hosted, membership, ownership, ended, kill };
    nodes.push(started);
    return started;
  };
  const share = (all: readonly string[], node: string): number[] =>
    Array.from({ length: PARTITIONS }, (_, partition) => partition).filter(p => rendezvous(all, p) === node);
  const owned = (node: Node): number[] => [...node.hosted.keys()].sort((a, b) => a - b);
  const owns = (node: Node, partitions: readonly number[]): Promise<void> =>
    waitUntil(`partitions ${partitions.join()} are owned`, () => owned(node).join() === partitions.join());
  const all = share(['n'], 'n');

  test('W1, W8: nodes that come get their share; then leases are all that is written', async () => {
    const first = await start('n1', backend.a);
    await owns(first, all);
    const second = await start('n2', backend.b);
    await owns(second, share(['n1', 'n2'], 'n2'));
    await owns(first, share(['n1', 'n2'], 'n1'));
    const leases = await backend.a.bucket(bucket);
    const reading = new AbortController();
    const written = new Map<string, number>();
    let current = false;
    for await (const change of leases.watch(reading.signal)) {
      if (change.kind === 'current') current = true;
      else if (current) {
        const key = change.kind === 'entry' ? change.entry.key : change.key;
        written.set(key, (written.get(key) ?? 0) + 1);
      }
      if ([...written.values()].reduce((sum, n) => sum + n, 0) >= 12) break;
    }
    assert.equal([...written.keys()].sort(), ['node.n1', 'node.n2']);
  });

  test('W2, W4: a dead node’s partitions go to the live one, under higher epochs, and not before its lease is dead', async () => {
    const first = await start('n1', backend.a);
    await owns(first, all);
    const epochs = new Map([...first.hosted].map(([partition, { epoch }]) => [partition, epoch]));
    // The second one may own nothing as long as the first lives: it is told that nothing is stable.
    const second = await start('n2', backend.b);
    await waitUntil('it knows the first', () => second.membership.isAlive('n1'));
    const killedAt = performance.now();
    await first.kill();
    await owns(second, all);
    assert.ok(performance.now() - killedAt >= DEAD_MS / 2, 'nobody is robbed before its lease is dead');
    for (const { partition, epoch } of second.hosted.values()) assert.ok(epoch > (epochs.get(partition) ?? 0));
  });

  test('W2, W3: the same node’s next process takes its own back at once, under higher epochs', async () => {
    const first = await start('n1', backend.a);
    await owns(first, all);
    const epochs = [...first.hosted.values()].map(claim => claim.epoch);
    await first.kill();
    const startedAt = performance.now();
    const again = await start('n1', backend.b);
    await owns(again, all);
    assert.ok(performance.now() - startedAt < DEAD_MS, 'it did not wait for its predecessor to die');
    for (const claim of again.hosted.values()) assert.ok(epochs.every(epoch => claim.epoch > epoch));
  });

  test('W7: a name in use over another DATA folder is refused; over the same one the older process ends', async () => {
    const first = await start('n1', backend.a);
    await owns(first, all);
    assert.match(await (await start('n1', backend.b, { data: 'other' })).ended, /runs elsewhere too/);
    assert.equal(owned(first), all);
    const second = await start('n1', backend.b);
    assert.match(await first.ended, /runs elsewhere too/);
    await owns(second, all);
  });

  test('W9: a draining node hands all over to the others at once; a leaving one’s name is free', async () => {
    const first = await start('n1', backend.a);
    await owns(first, all);
    const second = await start('n2', backend.b);
    await waitUntil('they know each other', () => first.membership.owners().length === 2);
    await first.membership.setOwner(false);
    await first.ownership.empty();
    assert.equal(owned(first), []);
    await owns(second, all);
    await first.kill();
    await first.membership.leave();
    await waitUntil('it is gone', () => !second.membership.isAlive('n1'), DEAD_MS / 2);
  });

  test('W5, W6: a node that is cut off judges nobody, is replaced when its lease is dead, and is told when it is back', async () => {
    let down: PromiseWithResolvers<void> | null = null;
    const link = (leases: StateStore): StateStore => ({
      ...faultyStore(leases, () => {
        if (down !== null) throw new WriteUnknown('timed out');
        return undefined;
      }),
      watch: async function* (signal) {
        for await (const change of leases.watch(signal)) {
          if (down !== null) await down.promise;
          yield change;
        }
      },
    });
    const first = await start('n1', backend.a, { link });
    await owns(first, all);
    const lost = [...first.hosted.values()].map(claim => claim.lost);
    const second = await start('n2', backend.b);
    await waitUntil('they know each other', () => first.membership.isAlive('n2') && second.membership.isAlive('n1'));
    down = Promise.withResolvers();
    const before = owned(first);
    const restored = down;
    try {
      await waitUntil('the other one has all', () => owned(second).length === PARTITIONS);
      assert.ok(
        owned(first).every(partition => before.includes(partition)),
        'it took nothing meanwhile',
      );
    } finally {
      down = null;
      restored.resolve();
    }
    await waitUntil('it is told', () => lost.every(signal => signal.aborted));
    await waitUntil('it gets its share again', () => owned(first).join() === share(['n1', 'n2'], 'n1').join());
    await waitUntil('each partition has one owner', () => [...owners.values()].every(of => of.size === 1));
  });

  test.run();
}
