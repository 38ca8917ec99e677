/**
 * Whether the cluster does anything just now, or only looks alive: for `readyz`.
 *
 * PU1 Nothing is believed that is not seen in this look: NATS answers a question, every owner of partitions answers and goes on
 *     with its messages, the projector goes on with the log. What does not within `pulseMs` stalls.
 * PU2 Slow is not stalled: whoever gets on at all, however much is before him, is well.
 * PU3 Only reads, and only when somebody asks: looks in the same `pulseRestMs` are one.
 */
import Type, { type Static } from 'typebox';
import { LIMITS } from '../../domain/limits.ts';
import { parseJson } from '../../domain/parse.ts';
import { SUBJECTS } from '../../domain/subjects.ts';
import { type Bus, NoResponder } from '../ports/bus.ts';
import type { Clock } from '../ports/clock.ts';
import type { NodeDirectory } from '../ports/node-directory.ts';
import type { PredictionLog } from '../ports/prediction-log.ts';
import type { PredictionReader } from '../ports/projection.ts';

/** What a node with partitions says of itself on its `pulse` subject. */
export const PulseAnswer = Type.Object({
  /** Since its lease was last renewed. */
  leaseAgeMs: Type.Union([Type.Number(), Type.Null()]),
  /** Partitions with messages in hand, and for how long none of these was processed. */
  partitions: Type.Array(Type.Object({ partition: Type.Integer(), stalledMs: Type.Number() })),
});
export type PulseAnswer = Static<typeof PulseAnswer>;

export interface PulsePorts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly directory: NodeDirectory;
  readonly log: PredictionLog;
  readonly projection: PredictionReader;
}

/** What a look waits for: the answer, or the end of its patience. */
const LATE = Symbol('late');

export class Pulse {
  readonly #ports: PulsePorts;
  readonly #leaseMs: number;
  #last: { readonly at: number; readonly found: Promise<readonly string[]> } | null = null;

  /** @param leaseMs between two renewals of a lease */
  constructor(ports: PulsePorts, leaseMs: number) {
    this.#ports = ports;
    this.#leaseMs = leaseMs;
  }

  /** PU3. @returns what stalls, as sentences */
  look(): Promise<readonly string[]> {
    const now = this.#ports.clock.monotonic();
    if (this.#last === null || now - this.#last.at > LIMITS.pulseRestMs) {
      this.#last = { at: now, found: this.#look() };
    }
    return this.#last.found;
  }

  async #look(): Promise<readonly string[]> {
    const owners = this.#ports.directory.alive().filter(node => node.partitions.length > 0);
    const asked = Promise.all(owners.map(({ id, partitions }) => this.#ofOwner(id, partitions)));
    const ofLog = await this.#ofLog();
    // Through a server that does not answer nobody can.
    return ofLog.kind === 'unheard' ? ofLog.reasons : [...ofLog.reasons, ...(await asked).flat()];
  }

  /** NATS with JetStream, and the projector. */
  async #ofLog(): Promise<{ readonly kind: 'heard' | 'unheard'; readonly reasons: readonly string[] }> {
    const { log, projection, clock } = this.#ports;
    const { pulseMs } = LIMITS;
    const applied = projection.appliedSeq;
    const identity = await this.#within(pulseMs, log.identity());
    if (identity === LATE) return UNHEARD;
    if (identity === null) return { kind: 'heard', reasons: ['NATS does not answer for the prediction log.'] };
    if (identity.lastSeq <= applied) return WELL;
    // What is behind the projection may be purged, or no record: only a record must be applied.
    const next = await this.#within(pulseMs, log.next(applied));
    if (next === LATE) return UNHEARD;
    if (next === null) return WELL;
    for (const since = clock.monotonic(); clock.monotonic() - since < pulseMs; await clock.sleep(LOOK_MS)) {
      if (projection.appliedSeq !== applied) return WELL; // PU2
    }
    const reason = `The projector stalls: it has not applied record ${next.seq} of the log within ${pulseMs} ms.`;
    return { kind: 'heard', reasons: [reason] };
  }

  async #ofOwner(node: string, partitions: readonly number[]): Promise<string[]> {
    const { bus, directory } = this.#ports;
    const { pulseMs } = LIMITS;
    const asked = bus.request(SUBJECTS.control(node, 'pulse'), new Uint8Array(), pulseMs);
    const answer = await asked.catch((error: unknown) => error);
    // It has just ended, or is of a version that is not asked: the lease and `unready` decide.
    if (answer instanceof NoResponder) return [];
    const said = answer instanceof Error ? null : parseJson(PulseAnswer, (answer as { body: Uint8Array }).body);
    if (said === null) {
      const isThere = directory.alive().some(other => other.id === node);
      return isThere ? [`Node ${node}, which owns the partitions ${partitions.join(', ')}, does not answer.`] : [];
    }
    const found = said.partitions
      .filter(({ stalledMs }) => stalledMs > pulseMs)
      .map(({ partition, stalledMs }) => {
        return `Partition ${partition} on node ${node} has processed no message for ${Math.round(stalledMs)} ms.`;
      });
    const oldest = Math.max(MISSED_RENEWALS * this.#leaseMs, pulseMs);
    if ((said.leaseAgeMs ?? 0) <= oldest) return found;
    return [...found, `Node ${node} could not renew its lease for ${Math.round(said.leaseAgeMs ?? 0)} ms.`];
  }

  /** null when it failed. */
  async #within<T>(ms: number, asked: Promise<T>): Promise<T | null | typeof LATE> {
    const { promise, resolve } = Promise.withResolvers<typeof LATE>();
    const timer = this.#ports.clock.timer(ms, () => resolve(LATE));
    try {
      return await Promise.race([asked.catch(() => null), promise]);
    } finally {
      timer.cancel();
    }
  }
}

const WELL = { kind: 'heard', reasons: [] } as const;
const UNHEARD = { kind: 'unheard', reasons: [`NATS has not answered within ${LIMITS.pulseMs} ms.`] } as const;
/** Between two looks at the projector. */
const LOOK_MS = 20;
/** One renewal may be lost, the next is under way. */
const MISSED_RENEWALS = 3;
