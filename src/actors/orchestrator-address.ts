/** Which orchestrator a scenario belongs to: the one that lives in the scenario's own partition. */
import { LIMITS } from '../domain/limits.ts';
import { partitionOf } from '../domain/subjects.ts';
import type { ActorAddress } from './ports/mailbox.ts';

/** The id, per partition, that hashes into that partition: computed the same way by everyone. */
const IDS: readonly string[] = Array.from({ length: LIMITS.partitions }, (_, partition) => {
  for (let salt = 0; ; salt++) {
    const id = `${partition}-${salt}`;
    if (partitionOf('orchestrator', id, LIMITS.partitions) === partition) return id;
  }
});

export function orchestratorIn(partition: number): ActorAddress {
  const id = IDS[partition];
  if (id === undefined) throw new Error(`no partition ${partition}`);
  return { kind: 'orchestrator', id };
}

export const orchestratorOf = (scenario: string): ActorAddress =>
  orchestratorIn(partitionOf('scenario', scenario, LIMITS.partitions));
