/**
 * Which partitions this node owns: leases say who is alive, claims say who owns what, and neither says whether a write
 * counts — compare-and-set does.
 *
 * W1 One key per node, renewed once per interval: the idle cluster's only write.
 * W2 A lease is dead when its revision has not moved for `deadMs` on this observer's own monotonic clock. A new process of
 *    the same node replaces its predecessor at once: it holds the lock of the node's DATA.
 * W3 A claim's revision is its epoch. A partition is taken only from nobody, from a dead owner, or from oneself.
 * W4 Of the live nodes, the one that rendezvous hashing names claims.
 * W5 A node that does not know every lease yet, or could not renew its own for a while (cut off, paused), has no right to
 *    judge: it waits, and gives everybody's lease its full time again.
 * W6 Who hosts a claim is told when another has claimed the partition, or when nobody watches the claims any more.
 */

import Type, { type Static } from 'typebox';
import { fromJson, toJson } from '../../domain/json.ts';
import { problemsOf } from '../../domain/parse.ts';
import { rendezvous } from '../../domain/rendezvous.ts';
import type { Clock, Random } from '../ports/clock.ts';
import type { StateEntry, StateStore } from '../ports/state-store.ts';
import { isPassing, WriteConflict } from '../ports/write-outcome.ts';
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
  movedAt: number;
}

/** A claim of this process, as long as it stands. */
interface Held {
  readonly epoch: number;
  readonly lost: AbortController;
}

export class Ownership {
  readonly #ports: OwnershipPorts;
  readonly #settings: OwnershipSettings;
  readonly #me: Owner;
  /** Leases by node, claims by partition, as the bucket's watch tells. */
  readonly #leases = new Map<string, Seen>();
  readonly #claims = new Map<number, Seen>();
  readonly #held = new Map<number, Held>();
  /** W5: resolved when the watch has brought everything that was stored, or has ended. */
  readonly #current = Promise.withResolvers<void>();
  #lease = 0;
  #renewedAt: number | null = null;

  constructor(ports: OwnershipPorts, settings: OwnershipSettings) {
    this.#ports = ports;
    this.#settings = settings;
    this.#me = { node: settings.node, process: ports.random.token(12) };
  }

  /** Once. Resolves when the signal aborts. @throws when another process took over this node's lease */
  async run(signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal]);
    const loops = [this.#watch(either), this.#keep(either)];
    try {
      await Promise.race(loops);
    } finally {
      over.abort(new Error('ownership ended'));
      await Promise.allSettled(loops);
      for (const { lost } of this.#held.values()) lost.abort(new Error('ownership ended')); // W6
    }
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

  async #keep(signal: AbortSignal): Promise<void> {
    const { clock } = this.#ports;
    for (; !signal.aborted; await clock.sleep(this.#settings.renewMs, signal).catch(() => signal.aborted)) {
      const renewed = await this.#renew();
      await this.#current.promise; // W5
      if (renewed && !signal.aborted) await this.#claim();
    }
  }

  async #watch(signal: AbortSignal): Promise<void> {
    try {
      for await (const change of this.#ports.leases.watch(signal)) {
        if (change.kind === 'current') this.#current.resolve();
        else if (change.kind === 'deleted') this.#see(change.key, null);
        else this.#see(change.entry.key, change.entry);
      }
    } finally {
      this.#current.resolve();
    }
  }

  #see(key: string, entry: StateEntry | null): void {
    const [kind = '', id = ''] = key.split('.');
    const movedAt = this.#ports.clock.monotonic();
    const seen = entry === null ? null : { owner: ownerOf(entry), revision: entry.revision, movedAt };
    if (kind === 'node') put(this.#leases, id, seen);
    if (kind !== 'partition') return;
    const partition = Number(id);
    put(this.#claims, partition, seen);
    const held = this.#held.get(partition);
    if (held === undefined || seen === null || seen.revision <= held.epoch) return;
    held.lost.abort(new Error(`node '${seen.owner.node}' has claimed partition ${partition}`)); // W6
    this.#held.delete(partition);
  }

  /** W1, W2. @returns whether the lease is good for another while */
  async #renew(): Promise<boolean> {
    const { clock } = this.#ports;
    const { node, deadMs } = this.#settings;
    try {
      this.#lease = await this.#write(`node.${node}`);
    } catch (error) {
      if (!isPassing(error) && !(error instanceof WriteConflict)) throw error;
      return false; // the next interval tries again
    }
    const now = clock.monotonic();
    if (this.#renewedAt !== null && now - this.#renewedAt > deadMs / 2)
      for (const seen of this.#leases.values()) seen.movedAt = now; // W5
    this.#renewedAt = now;
    // Its own lease is alive whatever the watch has brought so far.
    this.#leases.set(node, { owner: this.#me, revision: this.#lease, movedAt: now });
    return true;
  }

  /** W2 */
  async #write(key: string): Promise<number> {
    const { leases } = this.#ports;
    try {
      return await leases.put(key, encode(this.#me), this.#lease);
    } catch (error) {
      if (!(error instanceof WriteConflict)) throw error;
      const stored = await leases.get(key);
      if (this.#lease > 0 && stored !== null && ownerOf(stored).process !== this.#me.process) {
        throw new Error(`node '${this.#settings.node}' runs elsewhere too: give this one another --node`, {
          cause: error,
        });
      }
      return leases.put(key, encode(this.#me), stored?.revision ?? 0);
    }
  }

  /** W3, W4 */
  async #claim(): Promise<void> {
    const { leases, clock } = this.#ports;
    const { node, partitions } = this.#settings;
    const live = [...this.#leases.keys()].filter(other => this.#isAlive(other));
    const hosted = this.#ports.hosted();
    const won: PartitionClaim[] = [];
    for (let partition = 0; partition < partitions; partition++) {
      if (hosted.has(partition)) continue;
      const seen = this.#claims.get(partition);
      const mine = seen?.owner.node === node;
      if (!mine && seen !== undefined && this.#isAlive(seen.owner.node)) continue;
      if (!mine && rendezvous(live, partition) !== node) continue;
      try {
        const epoch = await leases.put(`partition.${partition}`, encode(this.#me), seen?.revision ?? 0);
        this.#claims.set(partition, { owner: this.#me, revision: epoch, movedAt: clock.monotonic() });
        const lost = new AbortController();
        this.#held.set(partition, { epoch, lost });
        won.push({ partition, epoch, lost: lost.signal });
      } catch (error) {
        // Lost the race, or not known: the next interval looks again.
        if (!isPassing(error) && !(error instanceof WriteConflict)) throw error;
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

const encode = (owner: Owner): Uint8Array => toJson(owner);

/** Stands for whatever a stranger may have put there: no node, so never alive. */
const NOBODY: Owner = { node: '', process: '' };

function ownerOf({ value }: StateEntry): Owner {
  try {
    const owner: unknown = fromJson(value);
    return problemsOf(Owner, owner).length === 0 ? (owner as Owner) : NOBODY;
  } catch {
    return NOBODY;
  }
}

function put<K, V>(map: Map<K, V>, key: K, value: V | null): void {
  if (value === null) map.delete(key);
  else map.set(key, value);
}
