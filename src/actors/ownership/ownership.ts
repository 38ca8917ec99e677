/**
 * Which partitions this node owns: leases say who is alive, claims say who owns what, and neither says whether a write
 * counts — compare-and-set does.
 *
 * W1 One key per node, renewed once per interval: the idle cluster's only write.
 * W2 A lease is dead when its revision has not moved for `deadMs` on this observer's own monotonic clock. A new process of
 *    the same node replaces its predecessor at once: it holds the lock of the node's DATA.
 * W3 A claim's revision is its epoch. A partition is taken only from nobody, from a dead owner, or from oneself.
 * W4 Of the live nodes, the one that rendezvous hashing names claims.
 */
import Type, { type Static } from 'typebox';
import { problemsOf } from '../../domain/parse.ts';
import { rendezvous } from '../../domain/rendezvous.ts';
import type { Clock, Random } from '../ports/clock.ts';
import type { StateStore } from '../ports/state-store.ts';
import { WriteConflict, WriteRetry, WriteUnknown } from '../ports/write-outcome.ts';
import type { PartitionClaim } from '../runtime/partition-host.ts';

const Owner = Type.Object({ node: Type.String(), process: Type.String() });
type Owner = Static<typeof Owner>;

export interface OwnershipSettings {
  readonly node: string;
  readonly partitions: number;
  readonly renewMs: number;
  readonly deadMs: number;
}

export interface OwnershipPorts {
  readonly clock: Clock;
  readonly random: Random;
  /** The lease bucket. */
  readonly leases: StateStore;
  /** Partitions that are hosted here now. */
  hosted(): ReadonlySet<number>;
  /** Hosts newly claimed partitions. */
  host(claims: readonly PartitionClaim[]): Promise<void>;
}

interface Seen {
  readonly owner: Owner;
  readonly revision: number;
  readonly movedAt: number;
}

export class Ownership {
  readonly #ports: OwnershipPorts;
  readonly #settings: OwnershipSettings;
  readonly #me: Owner;
  /** Leases by node, claims by partition, as the bucket's watch tells. */
  readonly #leases = new Map<string, Seen>();
  readonly #claims = new Map<number, Seen>();
  #lease = 0;

  constructor(ports: OwnershipPorts, settings: OwnershipSettings) {
    this.#ports = ports;
    this.#settings = settings;
    this.#me = { node: settings.node, process: ports.random.token(12) };
  }

  /** Resolves when the signal aborts. @throws when another process took over this node's lease */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#ports;
    const watching = this.#watch(signal);
    while (!signal.aborted) {
      await this.#renew();
      await this.#claim();
      await Promise.race([clock.sleep(this.#settings.renewMs, signal).catch(() => {}), watching]);
    }
    await watching;
  }

  /** Partitions without a live owner, for `readyz`. */
  unowned(): readonly number[] {
    const orphans: number[] = [];
    for (let partition = 0; partition < this.#settings.partitions; partition++) {
      const claim = this.#claims.get(partition);
      if (claim === undefined || !this.#isAlive(claim.owner.node)) orphans.push(partition);
    }
    return orphans;
  }

  async #watch(signal: AbortSignal): Promise<void> {
    for await (const change of this.#ports.leases.watch(signal)) {
      if (change.kind === 'current') continue;
      const key = change.kind === 'entry' ? change.entry.key : change.key;
      const [kind = '', id = ''] = key.split('.');
      if (change.kind === 'deleted') {
        if (kind === 'node') this.#leases.delete(id);
        else this.#claims.delete(Number(id));
        continue;
      }
      const owner: unknown = JSON.parse(Buffer.from(change.entry.value).toString('utf8'));
      if (problemsOf(Owner, owner).length > 0) continue;
      const { revision } = change.entry;
      const seen: Seen = { owner: owner as Owner, revision, movedAt: this.#ports.clock.monotonic() };
      if (kind === 'node') this.#leases.set(id, seen);
      else if (kind === 'partition') this.#claims.set(Number(id), seen);
    }
  }

  /** W1, W2 */
  async #renew(): Promise<void> {
    const { leases, clock } = this.#ports;
    const key = `node.${this.#settings.node}`;
    try {
      this.#lease = await leases.put(key, encode(this.#me), this.#lease);
    } catch (error) {
      if (error instanceof WriteRetry || error instanceof WriteUnknown) return; // the next interval tries again
      if (!(error instanceof WriteConflict)) throw error;
      const stored = await leases.get(key);
      const owner = stored === null ? null : (JSON.parse(Buffer.from(stored.value).toString('utf8')) as Owner);
      if (this.#lease > 0 && owner !== null && owner.process !== this.#me.process) {
        throw new Error(`node '${this.#settings.node}' runs elsewhere too: give this one another --node`);
      }
      this.#lease = await leases.put(key, encode(this.#me), stored?.revision ?? 0);
    }
    // Its own lease is alive whatever the watch has brought so far.
    this.#leases.set(this.#settings.node, { owner: this.#me, revision: this.#lease, movedAt: clock.monotonic() });
  }

  /** W3, W4 */
  async #claim(): Promise<void> {
    const { leases } = this.#ports;
    const live = [...this.#leases.keys()].filter(node => this.#isAlive(node));
    const hosted = this.#ports.hosted();
    const won: PartitionClaim[] = [];
    for (let partition = 0; partition < this.#settings.partitions; partition++) {
      if (hosted.has(partition)) continue;
      const key = `partition.${partition}`;
      const entry = await leases.get(key);
      const owner = entry === null ? null : (JSON.parse(Buffer.from(entry.value).toString('utf8')) as Owner);
      const mine = owner?.node === this.#settings.node;
      if (!mine && owner !== null && this.#isAlive(owner.node)) continue;
      if (!mine && rendezvous(live, partition) !== this.#settings.node) continue;
      try {
        const epoch = await leases.put(key, encode(this.#me), entry?.revision ?? 0);
        won.push({ partition, epoch });
      } catch (error) {
        // Lost the race, or not known: the next interval looks again.
        const passing = [WriteConflict, WriteRetry, WriteUnknown].some(kind => error instanceof kind);
        if (!passing) throw error;
      }
    }
    if (won.length > 0) await this.#ports.host(won);
  }

  /** W2: an owner whose lease was never seen has died before this node began to watch. */
  #isAlive(node: string): boolean {
    const seen = this.#leases.get(node);
    return seen !== undefined && this.#ports.clock.monotonic() - seen.movedAt <= this.#settings.deadMs;
  }
}

const encode = (owner: Owner): Uint8Array => Buffer.from(JSON.stringify(owner));
