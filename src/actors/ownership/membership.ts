/**
 * Who is a member of the cluster, and what the lease bucket says of the partitions: leases say who is alive, claims who owns
 * what, and neither says whether a write counts — compare-and-set does.
 *
 * W1 One key per node, renewed once per interval: the idle cluster's only write.
 * W2 A lease is dead when its revision has not moved for `deadMs` on this observer's own monotonic clock, or its node has left.
 * W5 A node that does not know every lease yet, or whose watch has not brought its own renewals for a while (cut off, paused,
 *    blind), has no right to judge: it waits, and gives everybody's lease its full time again.
 * W7 A name belongs to one DATA folder at a time. A new process over the same folder, whose lock it holds, replaces its
 *    predecessor at once; one over another folder joins only when the name's lease is dead.
 * W10 A store that has this node's lease as it was before its last renewal is an older copy that was put back: nobody else
 *    writes that lease. The node ends, for what it knows may be of later than the copy, and what it would write by it is wrong.
 *
 * It decides nothing about partitions: Ownership does.
 */

import Type, { type Static } from 'typebox';
import { TroupeError } from '../../domain/errors.ts';
import { toJson } from '../../domain/json.ts';
import { parseJson } from '../../domain/parse.ts';
import type { Clock } from '../ports/clock.ts';
import type { StateEntry, StateStore } from '../ports/state-store.ts';
import { isPassing, WriteConflict } from '../ports/write-outcome.ts';

const Lease = Type.Object({
  node: Type.String(),
  /** Random per process. */
  process: Type.String(),
  /** Random per DATA folder (W7). */
  data: Type.String(),
  /** Takes part in owning partitions: has the role and is not draining. */
  owner: Type.Boolean(),
});
export type Lease = Static<typeof Lease>;

const Claim = Type.Object({
  /** Empty: released, so that whoever is to have it takes it at once. */
  node: Type.String(),
  process: Type.String(),
});
export type Claim = Static<typeof Claim>;

export const RELEASED: Claim = { node: '', process: '' };
/** Nobody's: the name may be taken at once. */
export const LEFT: Lease = { ...RELEASED, data: '', owner: false };

export interface Seen<T> {
  readonly value: T;
  readonly revision: number;
}

export interface MembershipSettings {
  readonly node: string;
  /** A process that only watches, and is nobody (an API node), has none. */
  readonly lease: { readonly process: string; readonly data: string } | null;
  readonly partitions: number;
  readonly renewMs: number;
  readonly deadMs: number;
}

export interface MembershipPorts {
  readonly clock: Clock;
  /** The lease bucket. */
  readonly leases: StateStore;
}

interface SeenLease extends Seen<Lease> {
  movedAt: number;
}

export class Membership {
  readonly #ports: MembershipPorts;
  readonly #settings: MembershipSettings;
  readonly #key: string;
  readonly #leases = new Map<string, SeenLease>();
  readonly #claims = new Map<number, Seen<Claim>>();
  readonly #listeners = new Set<() => void>();
  /** W5: the watch has brought everything that was stored. */
  #current = false;
  #owner: boolean;
  #revision = 0;
  #renewedAt = 0;
  /** When the watch last brought this node's own lease; of a process that has none, any lease. */
  #heardAt: number;
  #stableSince: number;
  #members = '';
  /** Renewals, one after the other: two at once would refuse each other. */
  #turn: Promise<void> = Promise.resolve();
  /** W10 */
  readonly #replaced = Promise.withResolvers<never>();

  /** @param owner whether it is to own partitions */
  constructor(ports: MembershipPorts, settings: MembershipSettings, owner: boolean) {
    this.#ports = ports;
    this.#settings = settings;
    this.#key = leaseKey(settings.node);
    this.#owner = owner;
    this.#heardAt = ports.clock.monotonic();
    this.#stableSince = this.#heardAt;
    this.#replaced.promise.catch(() => {}); // told by `run`
  }

  /**
   * W7: takes the name. Once, before `run`.
   * @throws TroupeError unavailable: a live process over another DATA folder has it
   */
  async join(signal: AbortSignal): Promise<void> {
    const { lease, deadMs, renewMs } = this.#settings;
    if (lease === null) return;
    const { clock, leases } = this.#ports;
    let watched: { readonly revision: number; readonly since: number } | null = null;
    for (;;) {
      signal.throwIfAborted();
      try {
        const stored = await leases.get(this.#key);
        const holder = stored === null ? null : leaseOf(stored.value);
        const now = clock.monotonic();
        if (stored !== null && holder !== null && holder.node !== '' && holder.data !== lease.data) {
          if (watched !== null && watched.revision !== stored.revision) throw this.#taken();
          watched ??= { revision: stored.revision, since: now };
          if (now - watched.since <= deadMs) {
            await clock.sleep(renewMs / 4, signal);
            continue;
          }
        }
        this.#revision = await leases.put(this.#key, toJson(this.#lease()), stored?.revision ?? 0);
        this.#renewedAt = clock.monotonic();
        return;
      } catch (error) {
        // A conflict: somebody moved it. Another look tells who.
        if (!isPassing(error) && !(error instanceof WriteConflict)) throw error;
        await clock.sleep(renewMs / 4, signal);
      }
    }
  }

  /** Resolves when the signal aborts. @throws when another process has taken this node's name, or the watch is lost */
  async run(signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal]);
    const loops = [this.#watch(either), this.#keep(either)];
    try {
      await Promise.race([...loops, this.#replaced.promise]);
    } finally {
      over.abort(new Error('membership ended'));
      await Promise.allSettled(loops);
      this.#current = false;
      this.#changed();
    }
  }

  /** From now on this node is to own partitions, or not: told to everybody with the next renewal, which is now. */
  async setOwner(owner: boolean): Promise<void> {
    if (this.#owner === owner) return;
    this.#owner = owner;
    await this.#renew();
    this.#changed();
  }

  /** Of this node's last renewal that was acknowledged; in the same sequence as those of claims. */
  get revision(): number {
    return this.#revision;
  }

  /** Since a renewal was last acknowledged; null without a lease. */
  get leaseAgeMs(): number | null {
    return this.#settings.lease === null ? null : this.#ports.clock.monotonic() - this.#renewedAt;
  }

  get isOwner(): boolean {
    return this.#owner;
  }

  /**
   * W10: whether the store that was connected to again may be the one of before.
   * @param stored revision of the last entry or deletion under its key; 0: there is none
   */
  recognises(stored: number): boolean {
    return stored >= this.#revision;
  }

  /** W10: it is certain that the store is an older copy. `run` rejects, now and ever after. */
  replaced(): void {
    const { node } = this.#settings;
    this.#replaced.reject(
      new TroupeError(
        'unavailable',
        `an older copy of NATS' store was put back while node '${node}' ran, which knows what is not in it: start the node again.`,
      ),
    );
  }

  /** Gives the name back: whoever waits for this lease's death need not. */
  async leave(): Promise<void> {
    if (this.#settings.lease === null || this.#revision === 0) return;
    try {
      await this.#ports.leases.delete(this.#key, this.#revision);
    } catch (error) {
      if (!isPassing(error) && !(error instanceof WriteConflict)) throw error; // then the lease just dies
    }
    this.#revision = 0;
  }

  /** Called after whatever may change who is to own what. */
  onChange(changed: () => void): { close(): void } {
    this.#listeners.add(changed);
    return { close: () => void this.#listeners.delete(changed) };
  }

  /** W5: whether this node may say of others that they are dead. */
  get mayJudge(): boolean {
    return this.#current && this.#ports.clock.monotonic() - this.#heardAt <= this.#settings.deadMs / 2;
  }

  /** Live nodes that are to own partitions. */
  owners(): string[] {
    return [...this.#leases].filter(([node, { value }]) => value.owner && this.isAlive(node)).map(([node]) => node);
  }

  /** For how long `owners` has been the same, as far as this node has looked. */
  stableMs(): number {
    const now = this.#ports.clock.monotonic();
    const members = this.owners().sort().join(' ');
    if (members !== this.#members || !this.mayJudge) {
      this.#members = members;
      this.#stableSince = now;
    }
    return now - this.#stableSince;
  }

  claim(partition: number): Seen<Claim> | null {
    return this.#claims.get(partition) ?? null;
  }

  /** What this process wrote itself is known before the watch brings it. */
  learnClaim(partition: number, value: Claim, revision: number): void {
    const known = this.#claims.get(partition);
    if (known === undefined || known.revision < revision) this.#claims.set(partition, { value, revision });
  }

  /** Partitions without a live owner, for `readyz`. */
  unowned(): readonly number[] {
    const orphans: number[] = [];
    for (let partition = 0; partition < this.#settings.partitions; partition++) {
      const claim = this.#claims.get(partition);
      if (claim === undefined || !this.isAlive(claim.value.node)) orphans.push(partition);
    }
    return orphans;
  }

  /** W2: an owner whose lease was never seen has died before this node began to watch. */
  isAlive(node: string): boolean {
    const seen = this.#leases.get(node);
    return seen !== undefined && this.#ports.clock.monotonic() - seen.movedAt <= this.#settings.deadMs;
  }

  async #keep(signal: AbortSignal): Promise<void> {
    const { clock } = this.#ports;
    for (; !signal.aborted; await clock.sleep(this.#settings.renewMs, signal).catch(() => signal.aborted)) {
      await this.#renew();
      this.#changed(); // time passes: a lease may have died
    }
  }

  async #watch(signal: AbortSignal): Promise<void> {
    for await (const change of this.#ports.leases.watch(signal)) {
      if (change.kind === 'current') this.#current = true;
      else if (change.kind === 'deleted') this.#forget(change.key, change.revision);
      else this.#see(change.entry);
      if (this.#current) this.#changed();
    }
  }

  #see({ key, value, revision }: StateEntry): void {
    const [kind = '', id = ''] = key.split('.');
    const movedAt = this.#ports.clock.monotonic();
    if (kind === 'node') this.#hear(id, movedAt);
    if (kind === 'node' && revision > (this.#leases.get(id)?.revision ?? 0))
      this.#leases.set(id, { value: leaseOf(value) ?? LEFT, revision, movedAt });
    if (kind === 'partition') this.learnClaim(Number(id), claimOf(value), revision);
  }

  /** W5 */
  #hear(node: string, now: number): void {
    const { lease, deadMs } = this.#settings;
    if (lease !== null && node !== this.#settings.node) return;
    if (now - this.#heardAt > deadMs / 2) for (const seen of this.#leases.values()) seen.movedAt = now;
    this.#heardAt = now;
  }

  #forget(key: string, revision: number): void {
    const [kind = '', id = ''] = key.split('.');
    if (kind === 'node' && revision > (this.#leases.get(id)?.revision ?? 0)) this.#leases.delete(id);
    if (kind === 'partition') this.#claims.delete(Number(id));
  }

  /** W1 */
  #renew(): Promise<void> {
    const renewed = this.#turn.then(() => this.#renewOnce());
    this.#turn = renewed.catch(() => {});
    return renewed;
  }

  async #renewOnce(): Promise<void> {
    const { node, lease } = this.#settings;
    const { clock, leases } = this.#ports;
    if (lease === null) return;
    const value = this.#lease();
    try {
      this.#revision = await leases.put(this.#key, toJson(value), this.#revision);
    } catch (error) {
      if (isPassing(error)) return; // the next interval tries again
      if (!(error instanceof WriteConflict)) throw error;
      await this.#settle();
      return;
    }
    const now = clock.monotonic();
    this.#renewedAt = now;
    // Its own lease is alive whatever the watch has brought so far.
    this.#leases.set(node, { value, revision: this.#revision, movedAt: now });
  }

  /** Refused: an earlier renewal had landed without an answer, or the name is another's now. */
  async #settle(): Promise<void> {
    const { lease } = this.#settings;
    try {
      const stored = await this.#ports.leases.get(this.#key);
      const holder = stored === null ? null : leaseOf(stored.value);
      if (holder !== null && holder.node !== '' && holder.process !== lease?.process) throw this.#taken();
      this.#revision = stored?.revision ?? 0;
    } catch (error) {
      if (!isPassing(error)) throw error;
    }
  }

  #taken(): TroupeError {
    const { node } = this.#settings;
    return new TroupeError('unavailable', `node '${node}' runs elsewhere too: give this one another name with --node.`);
  }

  #lease(): Lease {
    const { node, lease } = this.#settings;
    return { node, process: lease?.process ?? '', data: lease?.data ?? '', owner: this.#owner };
  }

  #changed(): void {
    for (const tell of this.#listeners) tell();
  }
}

/** Where a node's lease is kept. */
export const leaseKey = (node: string): string => `node.${node}`;

/** null for whatever a stranger may have put there. */
const leaseOf = (bytes: Uint8Array): Lease | null => parseJson(Lease, bytes);

/** A stranger's word is no owner, so the partition is free. */
const claimOf = (bytes: Uint8Array): Claim => parseJson(Claim, bytes) ?? RELEASED;
