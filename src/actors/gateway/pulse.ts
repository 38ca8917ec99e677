/**
 * Whether this node does anything just now, or only looks alive: for `readyz`.
 *
 * PU1 Nothing is believed that is not seen in this look: NATS answers a question, the node goes on with the messages of its own
 *     partitions and renews its lease, its projector goes on with the log. Other nodes tell of themselves in their metrics:
 *     a sick one does not take those that are well with it.
 * PU2 Slow is not stalled: whoever gets on at all, however much is before him, is well.
 * PU3 Only reads, and only when somebody asks: looks in the same `pulseRestMs` are one. One takes `pulseLookMs` at most.
 */
import { LIMITS } from '../../domain/limits.ts';
import type { Clock } from '../ports/clock.ts';
import type { PredictionLog } from '../ports/prediction-log.ts';
import type { PredictionReader } from '../ports/projection.ts';

/** What the node knows of itself. */
export interface Hands {
  /** Since its lease was last renewed; null: it has none. */
  readonly leaseAgeMs: number | null;
  /** Its partitions with messages in hand, and for how long none of these was processed. */
  readonly partitions: readonly { readonly partition: number; readonly stalledMs: number }[];
}

export interface PulsePorts {
  readonly clock: Clock;
  readonly log: PredictionLog;
  readonly projection: PredictionReader;
  hands(): Hands;
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
    const ofLog = await this.#ofLog();
    // Without NATS nothing of it gets on.
    return ofLog === UNHEARD ? ofLog : [...ofLog, ...this.#ofHands()];
  }

  /** NATS with JetStream, and the projector. */
  async #ofLog(): Promise<readonly string[]> {
    const { log, projection, clock } = this.#ports;
    const began = clock.monotonic();
    const left = (ms: number): number => Math.max(0, began + ms - clock.monotonic());
    const applied = projection.appliedSeq;
    const identity = await this.#within(LIMITS.pulseMs, log.identity());
    if (identity === LATE) return UNHEARD;
    if (identity === null) return ['NATS does not answer for the prediction log.'];
    if (identity.lastSeq <= applied) return [];
    // What is behind the projection may be purged, or no record: only a record must be applied.
    const next = await this.#within(left(LIMITS.pulseMs), log.next(applied));
    if (next === LATE) return UNHEARD;
    if (next === null) return [];
    const lookedAt = clock.monotonic();
    for (; left(LIMITS.pulseLookMs) > 0; await clock.sleep(LOOK_MS)) {
      if (projection.appliedSeq !== applied) return []; // PU2
    }
    const ms = Math.round(clock.monotonic() - lookedAt);
    return [`The projector stalls: it has not applied record ${next.seq} of the log within ${ms} ms.`];
  }

  #ofHands(): string[] {
    const { pulseMs } = LIMITS;
    const { leaseAgeMs, partitions } = this.#ports.hands();
    const found = partitions
      .filter(({ stalledMs }) => stalledMs > pulseMs)
      .map(({ partition, stalledMs }) => {
        return `Partition ${partition} of this node has processed no message for ${Math.round(stalledMs)} ms.`;
      });
    const oldest = Math.max(MISSED_RENEWALS * this.#leaseMs, pulseMs);
    if ((leaseAgeMs ?? 0) <= oldest) return found;
    return [...found, `This node could not renew its lease for ${Math.round(leaseAgeMs ?? 0)} ms.`];
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

const UNHEARD: readonly string[] = [`NATS has not answered within ${LIMITS.pulseMs} ms.`];
/** Between two looks at the projector. */
const LOOK_MS = 20;
/** One renewal may be lost, the next is under way. */
const MISSED_RENEWALS = 3;
