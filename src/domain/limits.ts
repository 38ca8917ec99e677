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
  /** Nesting of a command's body: ours are 3 deep, and what is written and compared by recursion must not end the stack. */
  bodyDepth: 32,
  /** And of what is read of a message that anybody may have published: a record of a refusal quotes such a body. */
  messageDepth: 64,
  /** What a record of a refusal quotes of a body. */
  quotedBytes: 8 * KIB,
  /** One header of a command: ours are shorter. */
  headerChars: 512,
  /** An inbox's name; a subject of some 4,000 characters ends the connection that publishes to it. */
  inboxChars: 256,
  /** Places that a refusal names, and the characters of each one's name. */
  problemPlaces: 8,
  placeChars: 100,
  /** Messages waiting per actor and verb before a publisher is told `mailbox_full`. */
  mailboxPerSubject: 256,
  /** Senders whose last number an actor remembers, the longest silent forgotten first: 200 KB of its state. */
  seenSenders: 2048,
  /** Attempts of one partition that wait for a node; one more is put off, and its scenario asks again. */
  placementsWaiting: 2048,
  /** Nodes that one orchestrator node asks at the same time: each probes the source first. */
  placementsAsked: 64,
  /**
   * Senders whose last number an orchestrator remembers. A scenario repeats a message only until its own next commit, and
   * every one of an orchestrator's commits writes them all.
   */
  orchestratorSenders: 64,
  /** Refusals that a scenario is told of, and the length of each. */
  refusalsTold: 16,
  refusalChars: 400,
  /** A scenario's `reason`. */
  reasonChars: 1000,
  /** Models that a node names as warm. */
  warmModels: 16,
  /** Messages an owner takes from its partition's mailbox and has not processed yet; then it reads no further. */
  partitionQueue: 512,
  /** A stray message whose refusal cannot be stored is tried again so often and for so long; then it is left to the next owner. */
  rejectAgainMs: 500,
  rejectMs: 30_000,
  /** The server's `max_payload`. */
  payloadBytes: 1024 * KIB,
  /** A batch of the log is flushed at the first of these three, an attempt's first result at once (L7). */
  batchFrames: 32,
  batchMs: 200,
  batchBytes: 256 * KIB,
  /** Detections of a frame after class-wise NMS (L7). */
  detectionsPerFrame: 300,
  /** An ONNX file: read whole, copied once per session. */
  modelBytes: 512 * 1024 * KIB,
  /** Nesting of an ONNX file's messages (subgraphs within subgraphs); real models stay below 20. */
  modelDepth: 64,
  /** Fields walked when an ONNX file is read: a second's work; real models have some 100,000. */
  modelFields: 5_000_000,
  /** Text of a `<model>.toml`. */
  modelTomlBytes: 256 * KIB,
  /** Side of a model's input in pixels: one ring slot is then at most 48 MiB. */
  modelSide: 4096,
  modelClasses: 10_000,
  /** Boxes a model proposes per frame; a 4096² input on grids 8/16/32 has 344,064. */
  modelAnchors: 400_000,
  /**
   * What a model may take when it is tried: memory that it writes to (a session of yolov8x at 1280² takes some 2 GiB), and time
   * from when the process has started. A refusal holds for a minute; so many are remembered.
   */
  trialBytes: 4 * 1024 * KIB * KIB,
  trialMs: 10_000,
  trialStartMs: 30_000,
  /** A model whose trial is killed each time for this long is to blame: others' need of memory passes. */
  trialKilledMs: 120_000,
  /** Who asks for a model waits this long for its trial, and is told then that it goes on. */
  trialWaitMs: 2_000,
  trialAgainMs: 60_000,
  trialRefusals: 256,
  /** As many symbolic links in a row Linux itself follows. */
  linksFollowed: 40,
  /** Models of which is kept in DATA that they work. */
  trialsKept: 1024,
  /** Boxes over the record threshold that NMS considers, best first: bounds a frame's post-processing to some 50 ms. */
  candidatesPerFrame: 30_000,
  /**
   * What is left of a deleted actor goes after this long (M7): by then nothing of its life can still be about to write. An
   * attempt gives up that has not claimed its log `claimMs` after its start.
   */
  tombstoneMs: 3_600_000,
  claimMs: 600_000,
  /** Between two looks of a node whether its runners are wanted: a read of some KiB for each, less than its beats cost. */
  wantedMs: 10_000,
  /** Between two looks of a partition's owner at what may go, and what a deletion leaves in the store for its watchers. */
  sweepMs: 300_000,
  /** Abnormal ends of `receive` on one message before it is dead-lettered. */
  poisonDeliveries: 3,
  /** The state transitions kept in a scenario's public history. */
  historyEntries: 50,
  /** Frames between decode and inference, per inference worker, plus a fixed lead. */
  ringSlotsPerWorker: 2,
  ringSlotsLead: 4,
  /** Attempts in a row that committed no new frame before a scenario fails. */
  fruitlessAttempts: 5,
  /** One request to JetStream; after it a write's outcome is unknown. */
  natsRequestMs: 5_000,
  /** How often a silent connection is tried; after the second silence it counts as broken. */
  natsPingMs: 5_000,
  /** Messages a reader asks the server for ahead of what it has handed on: 32 MiB of the largest. */
  natsReadAhead: 128,
  /** How long a boot waits for a JetStream leader. */
  provisionMs: 30_000,
  /** Start of an embedded nats-server (a large store takes its time to recover), and the time it gets to end by itself. */
  natsReadyMs: 30_000,
  natsStopMs: 5_000,
  /**
   * An embedded server's store: the disk is its bound. By itself the server would take three quarters of what is free when it
   * starts, without what it holds already: on a small or well filled disk it then refuses its own streams.
   */
  natsStoreBytes: 1024 ** 5,
  /**
   * The disk of an embedded server: below the first it is called full (a record of the log and its place in the index may not fit);
   * with the second, for so long, it has room again (a start of the server, its state and the projection's write some MB). A server
   * that got stuck is started anew at most once in `natsAnewMs`: the root gives a node up that restarts ten children in a minute.
   */
  diskFullBytes: 1024 * KIB,
  diskRoomBytes: 16 * 1024 * KIB,
  diskRoomMs: 3_000,
  diskLookMs: 1_000,
  natsAnewMs: 60_000,
  /** What is read of nats.log in a look: a server without space writes some lines a second. */
  diskLogBytes: 256 * KIB,
  /** nats.log is rotated at this size, once. */
  natsLogBytes: 8 * KIB * KIB,
  /** Facts are kept this long and up to this size, refused commands this long; the oldest go first. */
  eventAgeMs: 7 * 24 * 3_600_000,
  eventBytes: 1024 * KIB * KIB,
  rejectedAgeMs: 24 * 3_600_000,
  rejectedBytes: 64 * KIB * KIB,
  /** Event streams that one API node serves: each looks at the projection some 10 times a second at most. */
  eventStreams: 256,
  /** And to one client, by address: a proxy is one, too. */
  eventStreamsOfClient: 64,
  /** Predictions read at a time for one: at most some 3 MB. */
  eventFrames: 100,
  /** Between two looks for one, and between two words of its progress. */
  eventPaceMs: 100,
  progressMs: 1_000,
  /** The longest silence of one: proxies cut connections that are silent for half a minute or a minute. */
  eventQuietMs: 15_000,
  /** After this a client that lost its stream asks for the rest. */
  eventRetryMs: 1_000,
  /** What `/rejected` shows of a refused command's body, and of each word about it: a page is then some 8 MB at most. */
  rejectedBodyChars: 4096,
  rejectedWordChars: 256,
  /** The newest facts of a scenario that its timeline has: some 300 kB. */
  timelineItems: 1000,
  /** How long a request reads in the journals. */
  journalReadMs: 5_000,
  /** Requests on `troupe.api` under way in one node: each waits `ANSWER_MS` at most, with its body. */
  apiRequests: 1024,
  /** HTTP request body (uploads have their own routes). */
  requestBytes: 1024 * KIB,
  /** Largest page of a listing. */
  pageItems: 1000,
  /** A DATA folder whose holder is just going is waited for this long. */
  dataLockMs: 2_000,
  /** What a killed media tool leaves behind of its standard error is waited for this long. */
  mediaEndMs: 2_000,
  /** A node answers within this whether it can read a source. */
  probeMs: 3_000,
  /** A partition's host that hands over finishes what it has in hand within this. */
  handOverMs: 2_000,
  /** From the start of a node to its serving. */
  readyMs: 30_000,
  /** Longest `?wait=` in seconds. */
  waitSeconds: 60,
  /** Largest picture decoded, 8K UHD: a 198 kB clip of 8192 × 8192 takes over 700 MB to decode. */
  picturePixels: 7680 * 4320,
  /**
   * Address space of a decoder: 16 reference pictures of the largest size with 10 bits a sample take 1.6 GiB, and 250 libraries
   * 0.5; and the files that it opens, its libraries one after the other.
   */
  mediaBytes: 4 * 1024 * KIB * KIB,
  mediaFiles: 64,
  /** Lines kept of what a media tool complains of (the rest is counted), and their length. */
  complaintLines: 20,
  complaintChars: 500,
  /**
   * What a decoder in a thread may be ahead of its reader, beside the ring; powers of two. A picture of 640 × 640 has 1200 KiB; a
   * frame's time some 50 bytes.
   */
  threadStdoutBytes: 1024 * KIB,
  threadSideBytes: 64 * KIB,
  /** Packets decoded to learn the first frame's time and size; B-frames may come a few packets after it. */
  probePackets: 16,
  /** A media tool telling its version. */
  toolStartMs: 10_000,
  /** The JSON of a probe: those frames, one stream, the container. */
  probeBytes: 1024 * KIB,
  /** Log entries applied to the projection in one transaction, and the predictions in them: about 10 ms of the event loop. */
  projectionEntries: 256,
  projectionFrames: 1024,
  /** Between two tries to write to a disk that is full. */
  storeRetryMs: 1_000,
  /** How long the projector lets a transaction fill up: what a reader of a live run lags behind. */
  projectionLingerMs: 20,
  /** Predictions read at a time for an export or a digest: a few ms of the event loop, at most some 15 MB. */
  exportFrames: 500,
  /** Source frames that a filtered query looks at before it lets the event loop turn (100,000 rows took 120 ms). */
  scanFrames: 8192,
  /** How long a reader of an ended run waits for the projection to reach the end of its log. */
  catchUpMs: 5000,
  /** Digests of ended exports kept in memory. */
  digests: 256,
  /** Characters of an `Idempotency-Key`. */
  idempotencyKey: 255,
  /** Runners a node can be told to take, and inference sessions per runner: more than any machine has cores for. */
  slots: 1024,
  /** Idle runner processes kept ready: each has the memory of a runner without a model. */
  spares: 64,
  /** Between the start of one spare, or its giving away, and the start of the next; and the most after deaths in a row. */
  spareRestMs: 1_000,
  spareMostMs: 60_000,
  workers: 64,
  /** The longest of the times after which something counts as lost or is tried again. */
  livenessMs: 3_600_000,
  /** How long a command tries again when its node does not answer. */
  clientPatienceMs: 30_000,
  /** One answer of a node to a command, beyond what it was asked to wait. */
  clientAnswerMs: 30_000,
  /**
   * `readyz`: how long NATS may take to answer, and a partition to process none of its messages; how long a whole look may take,
   * the rest of it for the projector: less than a probe's usual 3 s; and how long a look counts.
   */
  pulseMs: 1_800,
  pulseLookMs: 2_700,
  pulseRestMs: 900,
  /** How long a node may take to tell its metrics, and how long one that is no longer heard of is shown as down. */
  metricsMs: 1_000,
  nodeDownMs: 600_000,
  /** Between two reports of a runner of what it has counted: a message of 1 KiB to its node. */
  measuredMs: 2_000,
  /** The highest rate limit: above it there is none. */
  requestRate: 1_000_000,
  /** Clients whose requests are counted: 1 MB. */
  clients: 10_000,
  /** Connections to the HTTP API at a time: each waits or streams; more are closed at once. */
  httpConnections: 2_048,
  /** A request's line and headers, and how long a client may take to send them. */
  httpHeaderBytes: 16 * KIB,
  httpHeadersMs: 10_000,
  /** A whole request with its body, whatever else holds it up: Node's default. */
  httpRequestMs: 300_000,
  /** How long a body may take: 1 MiB over a slow line. */
  httpBodyMs: 30_000,
  /** A request that takes longer is logged, and how many of those and of refused ones a second. */
  slowRequestMs: 2_000,
  requestLines: 10,
  /** How long open responses may finish after the API was told to close. */
  apiDrainMs: 5000,
} as const;

invariant(LIMITS.messageBytes < LIMITS.stateBytes, 'a message must fit into a state that quotes it');
invariant(LIMITS.stateBytes < LIMITS.payloadBytes, 'a state must fit into one NATS message');
invariant(2 * LIMITS.bodyDepth <= LIMITS.messageDepth, 'a refusal that quotes a body must be readable');
// `"<kind>.<64 characters>":[revision,index],` is at most 128 bytes.
invariant(LIMITS.seenSenders * 128 <= LIMITS.stateBytes / 2, 'the senders remembered must leave room for the state');
// A runner's clock starts with its process and the tombstone's at the commit that deletes; wall clocks differ and jump.
invariant(2 * LIMITS.claimMs <= LIMITS.tombstoneMs, 'an attempt gives its claim up long before a tombstone goes');
invariant(
  4 * LIMITS.sweepMs <= LIMITS.tombstoneMs,
  'an owner that was paused notices before a tombstone can have gone',
);
// `{"scenario":"<64 characters>","run":…,"segment":…,"attempt":…,"turn":…},` is at most 160 bytes; an outbox has its place too.
invariant(
  LIMITS.placementsWaiting * 160 + LIMITS.orchestratorSenders * 128 + 64 * KIB <= LIMITS.stateBytes,
  'the placements that wait must fit into the state of their orchestrator',
);
// One detection serialises to at most 160 bytes; one frame's detections may overshoot the batch by one frame.
invariant(
  LIMITS.batchBytes + LIMITS.detectionsPerFrame * 160 < LIMITS.payloadBytes,
  'a batch and the frame that overflows it must fit into one NATS message',
);
invariant(
  (LIMITS.modelSide / 8) ** 2 * (1 + 1 / 4 + 1 / 16) <= LIMITS.modelAnchors,
  'the largest input must be usable with grids 8/16/32',
);
invariant(LIMITS.modelBytes * 4 <= LIMITS.trialBytes, 'a tried model is read, copied, and loaded');
invariant(2 * LIMITS.diskFullBytes <= LIMITS.diskRoomBytes, 'the trial of a disk leaves it the room that was found');
invariant(LIMITS.detectionsPerFrame <= LIMITS.candidatesPerFrame, 'NMS must see at least what it may keep');
