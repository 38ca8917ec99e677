/** A hosted partition with everything around its cells: errands carried out, silence noticed, all of it ending together. */
import { LIMITS } from '../../domain/limits.ts';
import type { TreeNode } from '../../domain/tree.ts';
import type { Bus } from '../ports/bus.ts';
import type { ActorAddress } from '../ports/mailbox.ts';
import type { StateEntry } from '../ports/state-store.ts';
import type { Behaviour, Monitor } from './behaviour.ts';
import type { CellPorts } from './cell.ts';
import { type ErrandAnswer, ErrandDesk, type ErrandExecutor } from './errand-desk.ts';
import type { HeartbeatFan } from './heartbeat-fan.ts';
import { HeartbeatWatch } from './heartbeat-watch.ts';
import { type PartitionClaim, PartitionHost } from './partition-host.ts';
import type { ChildHandle } from './supervisor.ts';

export type { PartitionClaim };

export interface Heartbeats {
  readonly bus: Bus;
  /** The beats of everybody, shared by the partitions of a process. */
  readonly fan: HeartbeatFan;
  readonly tickMs: number;
  /** Whether its keeper says that it has no such thing. */
  isGone(monitor: Monitor): Promise<boolean>;
  /** Whether its keeper is still heard of. */
  isKeeperAlive(monitor: Monitor): boolean;
}

export interface HostedPartition {
  readonly handle: ChildHandle;
  readonly host: PartitionHost;
  signal(to: ActorAddress, verb: string, body: unknown): void;
  /** An actor's committed state; null when it does not exist. */
  state(of: ActorAddress): unknown;
  /** The existing actors of one kind with their children. */
  tree(kind: string): readonly TreeNode[];
}

/** @param entries the partition's stored records, read after the claim */
export function hostPartition(
  claim: PartitionClaim,
  behaviours: readonly Behaviour<unknown>[],
  ports: Omit<CellPorts, 'settle'>,
  executors: Readonly<Record<string, ErrandExecutor>>,
  heartbeats: Heartbeats,
  entries: readonly StateEntry[],
): HostedPartition {
  const over = new AbortController();
  const signal = (to: ActorAddress, verb: string, body: unknown): void => host.signal(to, verb, body);
  const { clock, report } = ports;
  const answered = (owner: ActorAddress, { verb, body, traceparent }: ErrandAnswer): void =>
    host.signal(owner, verb, body, traceparent);
  const desk = new ErrandDesk(executors, answered, report, clock);
  const watch = new HeartbeatWatch(
    {
      clock,
      connected: () => heartbeats.bus.connected,
      echo: () => heartbeats.bus.flush(),
      lost: (owner, lost) => signal(owner, 'lost', lost),
      isGone: monitor => heartbeats.isGone(monitor),
      isKeeperAlive: monitor => heartbeats.isKeeperAlive(monitor),
    },
    heartbeats.tickMs,
    over.signal,
  );
  const beats = heartbeats.fan.subscribe((key, progress) => watch.beat(key, progress));
  const byKind = new Map(behaviours.map(behaviour => [behaviour.kind, behaviour]));
  const host = new PartitionHost(
    claim,
    byKind,
    {
      ...ports,
      settle: (self, errands, monitors) => {
        desk.settle(self, errands);
        watch.settle(self, monitors);
      },
    },
    entries,
  );
  const exited = host.exited.then(reason => {
    over.abort(new Error('partition ended'));
    desk.drop();
    beats.close();
    return reason;
  });
  const stop = (): void => void host.handOver(LIMITS.handOverMs);
  const kill = (): void => void host.stop();
  return {
    host,
    signal,
    state: of => host.state(of),
    tree: kind => host.tree(kind),
    handle: { exited, stop, kill },
  };
}
