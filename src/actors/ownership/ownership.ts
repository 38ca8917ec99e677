/**
 * Which partitions this node owns. Who is alive is Membership's; whether a write counts is compare-and-set's.
 *
 * W3 A claim's revision is its epoch. A partition is taken only from nobody, from a dead owner, or from oneself: this process,
 *    or another of this name that claimed before this process last renewed its lease, and so is an earlier one.
 * W4 Of the live nodes that are to own partitions, the one that rendezvous hashing names claims.
 * W6 Who hosts a claim is told when another has claimed the partition, or when ownership ends here.
 * W8 What rendezvous hashing gives to another is released to it: when the members have been the same for `stableMs`, at most
 *    one partition every `releaseMs`. A node that is not to own partitions (draining) releases all, one after the other, at once.
 * W9 A partition is released in good order: its host finishes what it has in hand, and only then the claim is given up. The
 *    next owner, told by the watch, goes on within a few writes' time.
 */
import { toJson } from '../../domain/json.ts';
import { rendezvous } from '../../domain/rendezvous.ts';
import type { Clock } from '../ports/clock.ts';
import type { StateStore } from '../ports/state-store.ts';
import { isPassing, WriteConflict } from '../ports/write-outcome.ts';
import type { PartitionClaim } from '../runtime/partition-host.ts';
import { type Claim, type Membership, RELEASED, type Seen } from './membership.ts';

export interface OwnershipSettings {
  readonly node: string;
  /** Random per process: the one of its lease. */
  readonly process: string;
  readonly partitions: number;
  readonly renewMs: number;
  /** How long the members must have been the same before a partition moves to another live node. */
  readonly stableMs: number;
  /** Least time between two such moves. */
  readonly releaseMs: number;
}

export interface OwnershipPorts {
  readonly clock: Clock;
  /** The lease bucket. */
  readonly leases: StateStore;
  readonly membership: Membership;
  /** Partitions that are hosted here now. */
  hosted(): ReadonlySet<number>;
  /** Hosts newly claimed partitions. */
  host(claims: readonly PartitionClaim[]): Promise<void>;
  /** W9: ends the host of one partition in good order. */
  unhost(partition: number): Promise<void>;
}

/** A claim of this process, as long as it stands. */
interface Held {
  readonly epoch: number;
  readonly lost: AbortController;
}

export class Ownership {
  readonly #ports: OwnershipPorts;
  readonly #settings: OwnershipSettings;
  readonly #me: Claim;
  readonly #held = new Map<number, Held>();
  #releasedAt: number;
  #wake: () => void = () => {};
  #drained: PromiseWithResolvers<void> | null = null;

  constructor(ports: OwnershipPorts, settings: OwnershipSettings) {
    this.#ports = ports;
    this.#settings = settings;
    this.#me = { node: settings.node, process: settings.process };
    this.#releasedAt = ports.clock.monotonic();
  }

  /** Once. Resolves when the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, membership } = this.#ports;
    let changes = 1;
    const listening = membership.onChange(() => {
      changes += 1;
      this.#lookForLosses();
      this.#wake();
    });
    const stop = (): void => this.#wake();
    signal.addEventListener('abort', stop);
    try {
      while (!signal.aborted) {
        if (changes === 0)
          await new Promise<void>(resolve => {
            const timer = clock.timer(this.#settings.renewMs, resolve);
            this.#wake = () => {
              timer.cancel();
              resolve();
            };
          });
        changes = 0;
        if (signal.aborted) break;
        if (membership.mayJudge) {
          await this.#claim();
          await this.#release(signal);
        }
        if (this.#held.size === 0 && this.#ports.hosted().size === 0) this.#drained?.resolve();
      }
    } finally {
      listening.close();
      signal.removeEventListener('abort', stop);
      for (const { lost } of this.#held.values()) lost.abort(new Error('ownership ended')); // W6
      this.#held.clear();
    }
  }

  /** Resolves when this node owns nothing: after `membership.setOwner(false)`. */
  async empty(): Promise<void> {
    this.#drained ??= Promise.withResolvers<void>();
    this.#wake();
    await this.#drained.promise;
    this.#drained = null;
  }

  /** W6 */
  #lookForLosses(): void {
    const { membership } = this.#ports;
    for (const [partition, { epoch, lost }] of this.#held) {
      const claim = membership.claim(partition);
      if (claim === null || claim.revision <= epoch) continue;
      lost.abort(new Error(`node '${claim.value.node}' has claimed partition ${partition}`));
      this.#held.delete(partition);
    }
  }

  /** W3, W4 */
  async #claim(): Promise<void> {
    const { leases, membership } = this.#ports;
    const { node, partitions } = this.#settings;
    if (!membership.isOwner) return;
    const owners = membership.owners();
    const hosted = this.#ports.hosted();
    const won: PartitionClaim[] = [];
    for (let partition = 0; partition < partitions; partition++) {
      if (hosted.has(partition)) continue;
      const claim = membership.claim(partition);
      const mine = claim !== null && this.#isMine(claim);
      if (!mine && claim !== null && membership.isAlive(claim.value.node)) continue;
      if (!mine && rendezvous(owners, partition) !== node) continue;
      try {
        const epoch = await leases.put(`partition.${partition}`, toJson(this.#me), claim?.revision ?? 0);
        membership.learnClaim(partition, this.#me, epoch);
        const lost = new AbortController();
        this.#held.set(partition, { epoch, lost });
        won.push({ partition, epoch, lost: lost.signal });
      } catch (error) {
        // Lost the race, or not known: the watch or the next interval tells.
        if (!isPassing(error) && !(error instanceof WriteConflict)) throw error;
      }
    }
    try {
      if (won.length > 0) await this.#ports.host(won);
    } catch (error) {
      // The states cannot be read now: what is not hosted is ours still, and is claimed and hosted by a later look.
      if (!isPassing(error)) throw error;
    }
  }

  /** W3 */
  #isMine({ value, revision }: Seen<Claim>): boolean {
    const isOurs = value.process === this.#settings.process;
    return value.node === this.#settings.node && (isOurs || revision < this.#ports.membership.revision);
  }

  /** W8 */
  async #release(signal: AbortSignal): Promise<void> {
    const { clock, membership } = this.#ports;
    const { node, stableMs, releaseMs } = this.#settings;
    if (!membership.isOwner) {
      for (const partition of [...this.#held.keys()]) if (!signal.aborted) await this.#give(partition);
      return;
    }
    if (membership.stableMs() < stableMs || clock.monotonic() - this.#releasedAt < releaseMs) return;
    const owners = membership.owners();
    const moving = [...this.#held.keys()].find(partition => rendezvous(owners, partition) !== node);
    if (moving === undefined) return;
    this.#releasedAt = clock.monotonic();
    await this.#give(moving);
  }

  /** W9 */
  async #give(partition: number): Promise<void> {
    const { leases, membership } = this.#ports;
    await this.#ports.unhost(partition);
    const held = this.#held.get(partition);
    if (held === undefined) return; // taken meanwhile
    try {
      const revision = await leases.put(`partition.${partition}`, toJson(RELEASED), held.epoch);
      membership.learnClaim(partition, RELEASED, revision);
      this.#held.delete(partition);
    } catch (error) {
      // A conflict: it is another's already. Otherwise it is still ours, hosted again or released again by the next look.
      if (error instanceof WriteConflict) this.#held.delete(partition);
      else if (!isPassing(error)) throw error;
    }
  }
}
