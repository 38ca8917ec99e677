/** Every bound in one place, with its reason; the relations between them are asserted at the end. */
import { invariant } from './errors.ts';

const KIB = 1024;

export const LIMITS = {
  /** Partitions of the actor space; fixed when a cluster is created and stored in its state bucket. */
  partitions: 16,
  /** An actor's committed state; a larger commit dead-letters its message. NATS refuses payloads over 1 MiB. */
  stateBytes: 512 * KIB,
  /** One command or internal message. */
  messageBytes: 256 * KIB,
  /** Messages waiting per actor and verb before a publisher is told `mailbox_full`. */
  mailboxPerSubject: 256,
  /** The server's `max_payload`. */
  payloadBytes: 1024 * KIB,
  /** A batch of the log is flushed at the first of these three (L7). */
  batchFrames: 32,
  batchMs: 200,
  batchBytes: 256 * KIB,
  /** Detections of a frame after class-wise NMS (L7). */
  detectionsPerFrame: 300,
  /** Abnormal ends of `receive` on one message before it is dead-lettered. */
  poisonDeliveries: 3,
  /** The state transitions kept in a scenario's public history. */
  historyEntries: 50,
  /** Frames between decode and inference, per inference worker, plus a fixed lead. */
  ringSlotsPerWorker: 2,
  ringSlotsLead: 4,
  /** Attempts in a row that committed no new frame before a scenario fails. */
  fruitlessAttempts: 5,
  /** Tries to close a log over a writer that does not stop (L4: 20 tries landed within 11 ms against a full-speed writer). */
  closeTries: 20,
  /** HTTP request body (uploads have their own routes). */
  requestBytes: 1024 * KIB,
  /** Largest page of a listing. */
  pageItems: 1000,
  /** Longest `?wait=` in seconds. */
  waitSeconds: 60,
} as const;

invariant(LIMITS.messageBytes < LIMITS.stateBytes, 'a message must fit into a state that quotes it');
invariant(LIMITS.stateBytes < LIMITS.payloadBytes, 'a state must fit into one NATS message');
// One detection serialises to at most 160 bytes; one frame's detections may overshoot the batch by one frame.
invariant(
  LIMITS.batchBytes + LIMITS.detectionsPerFrame * 160 < LIMITS.payloadBytes,
  'a batch and the frame that overflows it must fit into one NATS message',
);
