/** Every subject, stream and bucket name. Nothing else in the repository spells one. */
import { LIMITS } from './limits.ts';
import type { LogKey } from './log-record.ts';

export const STREAMS = {
  mailbox: 'TROUPE_MAILBOX',
  log: 'TROUPE_PREDICTION',
  event: 'TROUPE_EVENT',
  rejected: 'TROUPE_REJECTED',
} as const;

export const BUCKETS = { state: 'troupe_state', lease: 'troupe_lease' } as const;

export const HEADERS = {
  /** Inbox that wants the answer of a public command, after its commit. */
  reply: 'Troupe-Reply',
  /** `<kind>.<id>` of a sending actor. */
  from: 'Troupe-From',
  /** `<revision>.<index>`: the sender's message number. */
  number: 'Troupe-Number',
  /** Message id; becomes the causation id of what it causes. */
  id: 'Troupe-Id',
  causation: 'Troupe-Causation-Id',
  idempotencyKey: 'Troupe-Idempotency-Key',
  requestId: 'Troupe-Request-Id',
  traceparent: 'traceparent',
  /** Of an answer that is a problem: its message and its HTTP status (NATS ADR-32). */
  serviceError: 'Nats-Service-Error',
  serviceErrorCode: 'Nats-Service-Error-Code',
} as const;

/** The name under which service discovery finds every node. */
export const SERVICE = 'troupe';

export const SUBJECTS = {
  /** Public verbs and internal ones as published; the server's transform turns both into `mailbox`. */
  mailboxIn: ['troupe.cmd.*.*.*', 'troupe.sys.*.*.*'],
  message: (cls: 'cmd' | 'sys', kind: string, id: string, verb: string) => `troupe.${cls}.${kind}.${id}.${verb}`,
  /** As stored: `troupe.mbx.<partition>.<kind>.<id>.<cmd|sys>.<verb>`. */
  transformSource: 'troupe.*.*.*.*',
  transformTarget: (partitions: number) =>
    `troupe.mbx.{{partition(${partitions},2,3)}}.{{wildcard(2)}}.{{wildcard(3)}}.{{wildcard(1)}}.{{wildcard(4)}}`,
  mailboxStored: (partition: number, kind: string, id: string, cls: 'cmd' | 'sys', verb: string) =>
    `troupe.mbx.${partition}.${kind}.${id}.${cls}.${verb}`,
  mailboxPartition: (partition: number) => `troupe.mbx.${partition}.>`,
  mailboxActor: (partition: number, kind: string, id: string) => `troupe.mbx.${partition}.${kind}.${id}.>`,

  logAll: 'troupe.prediction.*.*.*',
  log: (key: LogKey) => `troupe.prediction.${key.scenario}.${key.run}.${key.segment}`,
  logOfScenario: (scenario: string) => `troupe.prediction.${scenario}.>`,

  eventAll: 'troupe.event.>',
  event: (kind: string, id: string, type: string) => `troupe.event.${kind}.${id}.${type}`,
  eventsOf: (kind: string, id: string) => `troupe.event.${kind}.${id}.*`,
  rejectedAll: 'troupe.rejected.>',
  /** Whatever somebody took for a kind or an id: cut to what a subject can hold. */
  rejected: (kind: string, id: string) => `troupe.rejected.${token(kind)}.${token(id)}`,

  heartbeat: (node: string, kind: string, id: string) => `troupe.heartbeat.${node}.${kind}.${id}`,
  heartbeats: (kind: string) => `troupe.heartbeat.*.${kind}.*`,
  /** Node control: core requests, idempotent, repeated by timer. */
  control: (node: string, verb: string) => `troupe.ctl.${node}.${verb}`,
  /** Answered requests (`nats req`). */
  api: (id: string, verb: string) => `troupe.api.scenario.${id}.${verb}`,
  /**
   * Where an answer may be asked to: inboxes, and nothing that somebody else acts upon. `_R_` and `_GR_` are the server's own,
   * of requests from another account or another cluster (nats-server, server/client.go, server/gateway.go).
   */
  isInbox: (subject: string) =>
    subject.length <= LIMITS.inboxChars && /^(_INBOX[A-Za-z0-9_-]*|_R_|_GR_)\.[^\s*>]+$/.test(subject),
  apiAll: 'troupe.api.scenario.*.*',
  /** Service discovery (NATS ADR-32): of all services, of all instances of this one, of one instance. */
  service: (verb: 'PING' | 'INFO' | 'STATS', instance: string) => [
    `$SRV.${verb}`,
    `$SRV.${verb}.${SERVICE}`,
    `$SRV.${verb}.${SERVICE}.${instance}`,
  ],
} as const;

const token = (text: string): string => text.replaceAll(/[*>]/g, '_').slice(0, 128);

/** The stream that stores a journal subject or filter. */
export const journalStream = (subject: string): string =>
  subject.startsWith('troupe.rejected.') ? STREAMS.rejected : STREAMS.event;

/** Key in the state bucket of the number of partitions, fixed when a cluster is created. */
export const PARTITIONS_KEY = 'meta.partitions';

/** A KV bucket's stream, and its subjects there (NATS ADR-8). */
export const kvStream = (bucket: string): string => `KV_${bucket}`;
export const kvSubject = (bucket: string, key: string): string => `$KV.${bucket}.${key}`;
export const kvKey = (bucket: string, subject: string): string => subject.slice(kvSubject(bucket, '').length);

/** What a stored mailbox subject says (`transformTarget`). */
export function mailboxTokens(subject: string): {
  to: { kind: string; id: string };
  class: 'cmd' | 'sys';
  verb: string;
} {
  const [, , , kind = '', id = '', cls, verb = ''] = subject.split('.');
  return { to: { kind, id }, class: cls === 'sys' ? 'sys' : 'cmd', verb };
}

/** The log that a subject names; null when it names none. */
export function logKey(subject: string): LogKey | null {
  const [, scenario, run, segment] = /^troupe\.prediction\.([^.]+)\.(\d{1,9})\.(\d{1,9})$/.exec(subject) ?? [];
  if (scenario === undefined) return null;
  return { scenario, run: Number(run), segment: Number(segment) };
}

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/**
 * The partition nats-server's `{{partition(n,2,3)}}` computes: FNV-1a (32 bit) over the tokens' bytes, one after
 * the other, modulo n (nats-server, server/subject_transform.go).
 */
export function partitionOf(kind: string, id: string, partitions: number): number {
  let hash = FNV_OFFSET;
  for (const byte of Buffer.from(kind + id, 'utf8')) {
    hash ^= byte;
    hash = Math.imul(hash, FNV_PRIME);
  }
  return (hash >>> 0) % partitions;
}
