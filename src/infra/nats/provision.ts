/**
 * Makes the cluster's streams and buckets what this version wants them to be. Every node calls it at start, at the same
 * time as others, again and again.
 *
 * PR1 Repeating it changes nothing; two at once end in the same.
 * PR2 It never deletes anything, and never lets go of a stored message that the running version could still need.
 * PR3 The number of partitions is what the first node wrote, for ever: messages lie where it says.
 * PR4 It waits for JetStream to have a leader, and for as many servers as there are to be copies.
 * PR5 A node that may not create (API-only: its NATS user may read alone) waits until others have created everything, and
 *     says what is missing.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { DiscardPolicy, JetStreamApiError, type StreamConfig, type StreamInfo } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { errors, nanos } from '@nats-io/transport-node';
import { WriteConflict } from '../../actors/ports/write-outcome.ts';
import { TroupeError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import { BUCKETS, kvStream, PARTITIONS_KEY, STREAMS, SUBJECTS } from '../../domain/subjects.ts';
import type { Nats } from './connection.ts';
import { MINIMUM_CLUSTER_VERSION, MINIMUM_VERSION, refuseOlderThan } from './nats-binary.ts';
import { isStreamNotFound } from './outcome.ts';
import { natsStateStore } from './state-store.ts';

export interface ProvisionOptions {
  /** Copies of every stream and bucket: 1, 3 or 5. An existing one never gets fewer (PR2). */
  readonly replicas: number;
  /** For a new cluster; an existing one keeps its own (PR3). */
  readonly partitions: number;
  /** Bound of the prediction log; at it, appends are refused until scenarios are deleted (L6). null: as it is, at first the disk. */
  readonly logBytes: number | null;
  /** Given: PR5. Told what is missing, each time that it is something else. */
  readonly onMissing?: (what: string) => void;
  readonly signal: AbortSignal;
}

type Wanted = Partial<StreamConfig> & { readonly name: string; readonly num_replicas: number };

const RETRY_MS = 200;
/** "stream name already in use with a different configuration": another node of another version was quicker. */
const NAME_IN_USE = 10058;
/** "insufficient storage resources available": what the streams reserve is more than the server may store. */
const NO_ROOM = 10047;
/** "no suitable peers for placement": fewer servers are up than there are to be copies. */
const NO_PEERS = 10005;

/**
 * @returns the number of partitions of this cluster
 * @throws TroupeError unavailable: a server too old, or no JetStream or too few servers (PR5: or something still missing)
 *   within 30 s; forbidden: the NATS user is one for other roles
 */
export async function provision(nats: Nats, options: ProvisionOptions): Promise<{ readonly partitions: number }> {
  checkServer(nats);
  const giveUp = AbortSignal.any([options.signal, AbortSignal.timeout(LIMITS.provisionMs)]);
  const { onMissing } = options;
  let waitedFor = '';
  for (;;) {
    try {
      return await nats.request(() => (onMissing === undefined ? provisionOnce(nats, options) : provisioned(nats)));
    } catch (error) {
      if (options.signal.aborted) throw options.signal.reason;
      const forbidden = forbiddenSubject(error);
      if (forbidden !== null) throw notForThisUser(forbidden, error);
      if (nats.closed || !mayPass(error)) throw error;
      // A server alone gets no more room by waiting.
      if (codeOf(error) === NO_ROOM && nats.connection.info?.cluster === undefined) throw noJetStream(nats, error);
      // PR4, PR5
      if (giveUp.aborted) throw error instanceof Missing ? error : noJetStream(nats, error);
      if (error instanceof Missing && error.message !== waitedFor) onMissing?.((waitedFor = error.message));
      await delay(RETRY_MS, undefined, { signal: giveUp }).catch(() => giveUp.aborted);
    }
  }
}

async function provisionOnce(nats: Nats, options: ProvisionOptions): Promise<{ readonly partitions: number }> {
  const kvm = new Kvm(nats.js);
  for (const bucket of Object.values(BUCKETS)) {
    await kvm.create(bucket, { history: 1, replicas: options.replicas, allow_direct: false });
    await ensure(nats, { name: kvStream(bucket), num_replicas: options.replicas, allow_direct: false });
  }
  const partitions = await agreedPartitions(nats, options.partitions);
  for (const stream of streams(options, partitions)) await ensure(nats, stream);
  return { partitions };
}

/** PR5 */
class Missing extends TroupeError {
  constructor(what: string) {
    super('unavailable', `NATS lacks ${what}, which a node with the role orchestrator or runner creates.`, {
      retryable: true,
    });
  }
}

/** PR5. @throws Missing */
async function provisioned(nats: Nats): Promise<{ readonly partitions: number }> {
  const wanted = [...Object.values(BUCKETS).map(kvStream), ...Object.values(STREAMS)];
  const found = await Promise.all(wanted.map(name => infoOf(nats, name)));
  const missing = wanted.filter((_, i) => found[i] === null);
  if (missing.length > 0) throw new Missing(missing.join(', '));
  const entry = await natsStateStore(nats, BUCKETS.state).get(PARTITIONS_KEY);
  if (entry === null) throw new Missing(`the key ${PARTITIONS_KEY} of bucket ${BUCKETS.state}`);
  return { partitions: storedPartitions(entry.value) };
}

const streams = ({ replicas, logBytes }: ProvisionOptions, partitions: number): Wanted[] => [
  {
    name: STREAMS.mailbox,
    subjects: [...SUBJECTS.mailboxIn],
    subject_transform: { src: SUBJECTS.transformSource, dest: SUBJECTS.transformTarget(partitions) },
    max_msgs_per_subject: LIMITS.mailboxPerSubject,
    max_msg_size: LIMITS.messageBytes,
    discard: DiscardPolicy.New,
    discard_new_per_subject: true,
    num_replicas: replicas,
    allow_direct: false,
  },
  {
    name: STREAMS.log,
    subjects: [SUBJECTS.logAll],
    // L6: an aged-out log would accept a fresh `open` at frame 0.
    max_age: 0,
    ...(logBytes === null ? {} : { max_bytes: logBytes }),
    discard: DiscardPolicy.New,
    num_replicas: replicas,
    allow_direct: false,
  },
  journal(STREAMS.event, SUBJECTS.eventAll, LIMITS.eventAgeMs, LIMITS.eventBytes, replicas),
  journal(STREAMS.rejected, SUBJECTS.rejectedAll, LIMITS.rejectedAgeMs, LIMITS.rejectedBytes, replicas),
];

const journal = (name: string, subject: string, ageMs: number, bytes: number, replicas: number): Wanted => ({
  name,
  subjects: [subject],
  max_age: nanos(ageMs),
  max_bytes: bytes,
  discard: DiscardPolicy.Old,
  num_replicas: replicas,
  allow_direct: false,
});

/** PR1: creates the stream, or updates what differs; what we don't name stays as it is. */
async function ensure(nats: Nats, wanted: Wanted): Promise<void> {
  const existing = await infoOf(nats, wanted.name);
  if (existing === null) {
    await nats.jsm.streams.add(wanted);
    return;
  }
  const next = { ...wanted, num_replicas: Math.max(wanted.num_replicas, existing.config.num_replicas) };
  if (differs(next, existing.config)) await nats.jsm.streams.update(wanted.name, next);
}

/** null: there is no such stream. */
const infoOf = (nats: Nats, stream: string): Promise<StreamInfo | null> =>
  nats.jsm.streams.info(stream).catch((error: unknown) => {
    if (isStreamNotFound(error)) return null;
    throw error;
  });

const differs = (wanted: Wanted, have: StreamConfig): boolean =>
  Object.entries({ ...have, ...wanted }).some(
    ([key, value]) => JSON.stringify(value) !== JSON.stringify(have[key as keyof StreamConfig]),
  );

/** PR3: the stored number; written by whoever is first. */
async function agreedPartitions(nats: Nats, proposed: number): Promise<number> {
  const store = natsStateStore(nats, BUCKETS.state);
  for (;;) {
    const entry = await store.get(PARTITIONS_KEY);
    if (entry !== null) return storedPartitions(entry.value);
    try {
      await store.put(PARTITIONS_KEY, Buffer.from(`${proposed}`), 0);
    } catch (error) {
      if (!(error instanceof WriteConflict)) throw error;
    }
  }
}

function storedPartitions(value: Uint8Array): number {
  const partitions = Number(Buffer.from(value).toString());
  if (Number.isInteger(partitions) && partitions > 0) return partitions;
  throw new TroupeError(
    'unavailable',
    `The key ${PARTITIONS_KEY} of bucket ${BUCKETS.state} is damaged: it should hold a number. Restore it from a backup, or use another NATS.`,
  );
}

/** @throws TroupeError unavailable: a server that no node can use */
export function checkServer(nats: Nats): void {
  const info = nats.connection.info;
  const version = info?.version ?? 'unknown';
  refuseOlderThan(MINIMUM_VERSION, version, 'The server at this address');
  // In a cluster another server may have it.
  if (info?.cluster === undefined && info?.jetstream !== true) throw noJetStream(nats, undefined);
  if (info?.cluster !== undefined) refuseOlderThan(MINIMUM_CLUSTER_VERSION, version, 'This cluster');
}

/** Answers of a cluster that is just starting, and of a race with another node that does the same. */
function mayPass(error: unknown): boolean {
  if (error instanceof TroupeError) return error.retryable;
  if (error instanceof JetStreamApiError)
    return error.status >= 500 || error.code === NAME_IN_USE || error.code === NO_PEERS;
  return true;
}

/** The subject that the NATS user may not publish to; null: something else went wrong. */
function forbiddenSubject(error: unknown): string | null {
  const cause = error instanceof Error ? error.cause : null;
  return cause instanceof errors.PermissionViolationError ? cause.subject : null;
}

const notForThisUser = (subject: string, cause: unknown): TroupeError =>
  new TroupeError(
    'forbidden',
    `The NATS user may not publish to ${subject}: this node's roles need another user (nats.conf says which).`,
    { cause },
  );

const codeOf = (error: unknown): number | null => (error instanceof JetStreamApiError ? error.code : null);

function noJetStream(nats: Nats, cause: unknown): TroupeError {
  const said = cause instanceof Error ? ` (it says: ${cause.message})` : '';
  const reserved = Math.ceil((LIMITS.eventBytes + LIMITS.rejectedBytes) / 2 ** 20);
  const why =
    codeOf(cause) === NO_ROOM
      ? `its store is too small${said}. Raise max_file_store in its jetstream block: Troupe reserves ${reserved} MiB, and results need room beside.`
      : nats.connection.info?.jetstream === true
        ? `JetStream has no leader, or too few servers for the copies wanted${said}: are enough servers of the cluster up?`
        : 'the server runs without JetStream: start it with -js or a jetstream block.';
  return new TroupeError('unavailable', `NATS cannot store anything: ${why}`, { cause, retryable: true });
}
