/**
 * The bugs that are planted, one at a time, each with the test that must fail. A new one is one more object: see README.md.
 */
import type { PlantedBug } from './planted-bug.ts';

const CELL = 'tests/runtime/cell.test.ts';
const COMMITTED = 'tests/runtime/committed.test.ts';
const HOST = 'tests/runtime/partition-host.test.ts';
const WATCH = 'tests/runtime/heartbeat-watch.test.ts';
const OWNERSHIP = 'tests/runtime/ownership.test.ts';
const SUPERVISOR = 'tests/runtime/supervisor.test.ts';
const DESK = 'tests/runtime/errand-desk.test.ts';
const SCENARIO = 'tests/scenario/supervisor.test.ts';
const COMMANDS = 'tests/scenario/commands.test.ts';
const PLACING = 'tests/scenario/place-runner.test.ts';
const RUNNER = 'tests/runner/runner.test.ts';
const ORDER = 'tests/runner/frame-order.test.ts';
const NODE = 'tests/runner/node-agent.test.ts';
const STORE = 'tests/projection/projection-store.test.ts';
const PROJECTOR = 'tests/projection/projector.test.ts';
const DEFECTS = 'tests/defects/control.test.ts';
const ACCESS = 'tests/api/access.test.ts';
const ORACLE = {
  file: 'tests/otp/oracle.test.ts',
  name: 'every golden script runs on our supervisors as it ran on Erlang’s',
};
const partition = { file: 'tests/runtime/partition.test.ts', suite: 'Partition on memory' };
const logRules = { file: 'tests/runner/log-rules.test.ts', suite: 'log rules on the memory server' };
const natsLog = { file: 'tests/contract/prediction-log.test.ts', suite: 'PredictionLog of nats' };
const natsState = { file: 'tests/contract/state-store.test.ts', suite: 'StateStore of nats' };
const natsMailbox = { file: 'tests/contract/mailbox.test.ts', suite: 'Mailbox of nats' };

export const BUGS: readonly PlantedBug[] = [
  // The prediction log: its fence, its order, its end.
  {
    id: 'log-append-expects-nothing',
    promise: 'a writer that names a stale sequence is refused by the server',
    file: 'src/infra/nats/prediction-log.ts',
    before: 'expect: { streamName: STREAMS.log, lastSubjectSequence: expected },',
    after: 'expect: { streamName: STREAMS.log },',
    caughtBy: { ...natsLog, name: 'L2: an append that names a stale sequence is a conflict and stores nothing' },
  },
  {
    id: 'log-opened-unread',
    promise: 'an attempt looks at the last record before it opens the log, and goes on after it',
    file: 'src/actors/runner/log-writer.ts',
    before: 'const tail = await readTail(ports, attempt.key, signal, attempt.openBy);',
    after: 'const tail: LogTail = { ...(await readTail(ports, attempt.key, signal, attempt.openBy)), entry: null };',
    caughtBy: {
      ...logRules,
      name: 'L1: an attempt opens an empty log, and after an older attempt goes on at its last record',
    },
  },
  {
    id: 'log-opened-by-the-same-attempt-twice',
    promise: 'an attempt that is not newer than the log is fenced',
    file: 'src/actors/runner/log-writer.ts',
    before: 'last.record.attempt >= attempt.attempt',
    after: 'last.record.attempt > attempt.attempt',
    caughtBy: {
      ...logRules,
      name: 'L1: an attempt that is not newer than the last record is fenced and stores nothing',
    },
  },
  {
    id: 'log-ended-goes-on',
    promise: 'nothing follows the end of a log',
    file: 'src/actors/runner/log-writer.ts',
    before: "if (last?.record.kind === 'end') return { kind: 'ended', seq: last.seq };",
    after: '',
    caughtBy: { file: RUNNER, name: 'N1: a log that has ended is reported as ended, and nothing is decoded again' },
  },
  {
    id: 'log-fence-argued-with',
    promise: 'a writer whose log has a newer attempt ends, and does not write on behind it',
    file: 'src/actors/runner/log-writer.ts',
    before: "if (!mine || n !== this.#n - 1) return 'lost';",
    after: '',
    caughtBy: { ...logRules, name: 'L2: of writers that alternate one survives, and the log is whole' },
  },
  {
    id: 'log-own-record-not-recognised',
    promise: 'an append that landed without an answer is found, and its healthy writer goes on',
    file: 'src/actors/runner/log-writer.ts',
    before: 'if (mine && n === this.#n) {',
    after: 'if (mine && n === this.#n + 1) {',
    caughtBy: {
      ...logRules,
      name: 'L2: a record whose append was unheard is in the log once, and the writer goes on',
    },
  },
  {
    id: 'log-timeout-is-failure',
    promise: 'a time-out of an append is no verdict: the same record is sent again',
    file: 'src/actors/runner/log-writer.ts',
    before: '} else if (isPassing(error)) {',
    after: "} else if (isPassing(error) && (error as Error).name !== 'WriteUnknown') {",
    caughtBy: {
      ...logRules,
      name: 'L2: a record whose append was unsent is in the log once, and the writer goes on',
    },
  },
  {
    id: 'log-refused-for-now-is-fenced',
    promise: 'a refusal without a verdict fences nobody',
    file: 'src/actors/runner/log-writer.ts',
    before: '} else if (isPassing(error)) {',
    after:
      "} else if ((error as Error).name === 'WriteRetry') {\n            return false;\n          } else if (isPassing(error)) {",
    caughtBy: { ...logRules, name: 'L2: a record whose append was retry is in the log once, and the writer goes on' },
  },
  {
    id: 'nats-10164-is-a-conflict',
    promise: 'what nats-server refuses as unknown (10164) is no lost race',
    file: 'src/infra/nats/outcome.ts',
    before: 'if (error.code === JetStreamApiCodes.StreamWrongLastSequence)',
    after:
      'if (error.code === JetStreamApiCodes.StreamWrongLastSequence || error.code === JetStreamApiCodes.StreamWrongLastSequenceUnknown)',
    caughtBy: {
      file: 'tests/nats/cluster.test.ts',
      name: 'L2: of writers that race with one expectation at most one wins, and 10164 says that the same write may be sent again',
    },
  },
  {
    id: 'nats-lost-connection-is-unsent',
    promise: 'a write that was under way when the connection broke may have landed',
    file: 'src/infra/nats/outcome.ts',
    before: 'return error instanceof NotSent || ',
    after: 'return error instanceof NotSent || error instanceof ConnectionLost || ',
    caughtBy: {
      file: 'tests/nats/recovery.test.ts',
      name: 'NC2: a write under way when the server dies ends at once, as unknown',
    },
  },
  {
    id: 'log-lost-is-begun-anew',
    promise: 'a log that held records and is empty is not begun again at frame 0',
    file: 'src/actors/runner/log-writer.ts',
    before: 'if (last === null && attempt.lastSeq > 0) {',
    after: 'if (last === null && attempt.lastSeq < 0) {',
    caughtBy: {
      ...logRules,
      name: 'L6: an attempt told of a record that finds no log fails with log_lost and opens nothing',
    },
  },
  {
    id: 'log-claimed-however-late',
    promise: 'an attempt that comes late enough for its scenario to be another one opens nothing',
    file: 'src/actors/runner/log-writer.ts',
    before: 'if (clock.monotonic() <= by) return;',
    after: 'if (clock.monotonic() <= by || by > 0) return;',
    caughtBy: { ...logRules, name: 'L10: an attempt that is too late to claim its log opens nothing' },
  },
  {
    id: 'log-hidden-by-a-stranger',
    promise: 'a foreign message on a log’s subject hides no record',
    file: 'src/infra/nats/prediction-log.ts',
    before: ' ??\n        (await lastRecord(key, message.seq));',
    after: ';',
    caughtBy: {
      ...natsLog,
      name: 'PL1: a stranger’s message is no record, hides none, and moves the sequence to expect',
    },
  },
  {
    id: 'log-close-gives-up',
    promise: 'closing a log over a writer tries until it lands',
    file: 'src/actors/scenario/log-errands.ts',
    before: 'if (error instanceof WriteConflict) continue;',
    after:
      "if (error instanceof WriteConflict) return { verb: 'closed', body: { run: ref.run, segment: ref.segment, result: 'closed', seq: 0 } };",
    caughtBy: { ...logRules, name: 'L4: closing tries again however often the writer is faster' },
  },
  {
    id: 'log-closed-over-its-end',
    promise: 'a log that has ended stays ended',
    file: 'src/actors/scenario/log-errands.ts',
    before: "if (last?.kind === 'end') return answer('end', tail.entry?.seq ?? tail.seq);",
    after: '',
    caughtBy: {
      ...logRules,
      name: 'L4: closing leaves an end as it is, and an own one that was unheard is not written twice',
    },
  },
  {
    id: 'log-ages',
    promise: 'the log drops nothing by itself',
    file: 'src/infra/nats/provision.ts',
    before: 'max_age: 0,',
    after: 'max_age: nanos(86_400_000),',
    caughtBy: {
      file: 'tests/nats/provision.test.ts',
      name: 'reads are the leader’s, the log has no age, a full mailbox refuses the newest',
    },
  },
  {
    id: 'log-full-drops-the-oldest',
    promise: 'a log that is full refuses, and loses nothing',
    file: 'src/infra/nats/provision.ts',
    before: '...(logBytes === null ? {} : { max_bytes: logBytes }),\n    discard: DiscardPolicy.New,',
    after: '...(logBytes === null ? {} : { max_bytes: logBytes }),\n    discard: DiscardPolicy.Old,',
    caughtBy: {
      file: 'tests/nats/recovery.test.ts',
      name: 'L6: a log that is full refuses appends as retryable, and loses nothing',
    },
  },

  // The runner: every frame once, in order, and where to go on.
  {
    id: 'order-not-restored',
    promise: 'results are appended in the order of the source, whichever comes first',
    file: 'src/actors/runner/frame-order.ts',
    before: '      turn.result = result;\n',
    after:
      '      turn.result = result;\n      this.#turns.splice(this.#turns.indexOf(turn), 1);\n      this.#turns.splice(this.#head, 0, turn);\n',
    caughtBy: {
      file: ORDER,
      name: 'F1: whatever the order of the results, frames leave in the order of the source, each once, and positions join up',
    },
  },
  {
    id: 'resume-at-the-last-seen',
    promise: 'an attempt goes on after the last frame whose result is in the log, not after the last one decoded',
    file: 'src/actors/runner/frame-order.ts',
    before: 'position: this.#position, predictions: this.#predictions };',
    after:
      'position: { ...this.#position, to: this.#turns.at(-1)?.last ?? this.#position.to }, predictions: this.#predictions };',
    caughtBy: {
      file: DEFECTS,
      name: 'defect 7: a resume follows the highest contiguous frame, not the last one seen',
    },
  },
  {
    id: 'resume-from-the-start',
    promise: 'the first frame decoded follows the last one in the log',
    file: 'src/actors/runner/runner.ts',
    before: 'position === null ? null : { frame: position.to, prevPts: position.prevPts, lastPts: position.lastPts };',
    after: 'null;',
    caughtBy: { file: RUNNER, name: 'N1: the first frame decoded follows the last one in the log' },
  },
  {
    id: 'resume-forgets-the-selection',
    promise: '`fps` goes on where it was, whatever died in between',
    file: 'src/actors/runner/runner.ts',
    before: 'new FrameSelector(spec.sampling, position?.startPts ?? null, position?.selectedPts ?? null)',
    after: 'new FrameSelector(spec.sampling)',
    caughtBy: { file: RUNNER, name: 'N2: a selection over any number of crashes and stops is the undisturbed one' },
  },
  {
    id: 'broken-off-is-the-end',
    promise: 'a decoder that breaks off is not the end of the video',
    file: 'src/actors/runner/runner.ts',
    before: 'if (this.#isStopped()) return [];\n      throw error;',
    after: 'return [];',
    caughtBy: {
      file: RUNNER,
      name: 'N8: when decoding breaks off, everything before the break is in the log, and the attempt fails',
    },
  },
  {
    id: 'stopped-without-closing',
    promise: 'a runner that is told to stop closes its log',
    file: 'src/actors/runner/runner.ts',
    before: 'this.#seq = await writer.close(order.position);',
    after: '',
    caughtBy: { file: RUNNER, name: 'N4: `close` ends the log at a batch’s edge; a start after it goes on there' },
  },
  {
    id: 'failed-frame-skipped',
    promise: 'a frame that fails ends the attempt, unless skipping was asked for',
    file: 'src/actors/runner/runner.ts',
    before: "if (this.#assignment.spec.onFrameError === 'skip' && isOfFrame) {",
    after: 'if (isOfFrame) {',
    caughtBy: {
      file: RUNNER,
      name: 'L9: `fail` ends the attempt at that frame, named; nothing from it on is in the log',
    },
  },
  {
    id: 'batch-without-a-bound-in-bytes',
    promise: 'a batch fits into one message',
    file: 'src/actors/runner/frame-order.ts',
    before: ' || this.#bytes >= LIMITS.batchBytes;',
    after: ';',
    caughtBy: {
      file: ORDER,
      name: 'F2: a batch of the largest frames is full at 256 KiB, and the record fits into one NATS message',
    },
  },
  {
    id: 'backlog-without-a-bound',
    promise: 'a log that does not answer stops inference: memory is bounded',
    file: 'src/actors/runner/runner.ts',
    before: 'while (this.#pool !== null && this.#order.backlog - this.#held.length < BACKLOG_FRAMES) {',
    after: 'while (this.#pool !== null) {',
    caughtBy: {
      file: RUNNER,
      name: 'N3: with a log that never answers, inference stops at its bound and the decoder at the ring',
    },
  },
  {
    id: 'ring-slot-released-twice',
    promise: 'a slot of the ring is one frame’s at a time',
    file: 'src/infra/inference/pool.ts',
    before: 'if (job.released) return;',
    after: '',
    caughtBy: {
      file: 'tests/inference/pool.test.ts',
      name: 'IP2: a worker that is lost while it runs a frame gives its slot back once',
    },
  },
  {
    id: 'changed-model-run',
    promise: 'what runs is the model file that was registered',
    file: 'src/infra/inference/pool.ts',
    before: 'if ((await sha256(bytes)) !== info.sha256) {',
    after: 'if ((await sha256(bytes)) === "") {',
    caughtBy: {
      file: 'tests/inference/pool.test.ts',
      name: 'IP5: a file that changed since it was registered is not run',
    },
  },
  {
    id: 'changed-source-read',
    promise: 'what is decoded is the file that the run began with',
    file: 'src/infra/video/ffmpeg-decoder.ts',
    before: 'if (sameIdentity(await sourceIdentity(path), source.identity)) return;',
    after: 'if (sameIdentity(await sourceIdentity(path), source.identity) || path !== "") return;',
    caughtBy: {
      file: 'tests/video/ffmpeg-decoder.test.ts',
      name: 'a file that changed since the probe is refused as changed',
    },
  },
  {
    id: 'seek-not-checked',
    promise: 'a resume seeks only where time tells frames apart',
    file: 'src/infra/video/ffmpeg-decoder.ts',
    before: 'if (!(await ffmpeg.wasSilent()) || !(await seek.allowed)) return null;',
    after: 'if (!(await ffmpeg.wasSilent())) return null;',
    caughtBy: {
      file: 'tests/video/ffmpeg-process.test.ts',
      name: 'D1, K1: what a seek found is dropped when the packets do not allow it, and the frames are counted',
    },
  },
  {
    id: 'killed-decoder-is-the-end',
    promise: 'a decoder that was killed is not the end of the video',
    file: 'src/infra/video/ffmpeg-decoder.ts',
    before: 'if (surplus || missing > 0 || exit.code !== 0) throw brokenOff(ffmpeg, exit, source, next);',
    after: '',
    caughtBy: {
      file: 'tests/video/ffmpeg-process.test.ts',
      name: 'D2: an ffmpeg killed while frame 17 is looked at is decode_failed, never the end of the video',
    },
  },
  {
    id: 'nms-at-the-threshold',
    promise: 'an overlap of exactly `iou` removes no box',
    file: 'src/infra/inference/nms.ts',
    before: 'return intersection > iou * (areaA + areaB - intersection);',
    after: 'return intersection >= iou * (areaA + areaB - intersection);',
    caughtBy: {
      file: 'tests/inference/nms.test.ts',
      name: 'N1: an overlap of exactly iou is no reason to remove a box',
    },
  },
  {
    id: 'nms-over-all-classes',
    promise: 'a box is removed only by a better one of its class',
    file: 'src/infra/inference/nms.ts',
    before: 'classId[k] === classId[i] && overlaps',
    after: 'overlaps',
    caughtBy: {
      file: 'tests/inference/nms.test.ts',
      name: 'N1: a box is kept exactly when no better kept one of its class overlaps it by more than iou',
    },
  },
  {
    id: 'not-a-number-is-a-result',
    promise: 'an output that is not finite fails the frame',
    file: 'src/infra/inference/detections.ts',
    before: 'if (!allFinite(output.values)) throw',
    after: 'if (!allFinite(output.values) && anchors < 0) throw',
    caughtBy: {
      file: 'tests/inference/detections.test.ts',
      name: 'D1: what is not finite, or no score of 0 to 1, fails the frame',
    },
  },

  // One commit: state, timers, cursor and outbox together, then the world.
  {
    id: 'state-put-expects-nothing',
    promise: 'a commit that names an old revision is refused by the server',
    file: 'src/infra/nats/state-store.ts',
    before: 'expect: { streamName: stream, lastSubjectSequence: expected },',
    after: 'expect: { streamName: stream },',
    caughtBy: { ...natsState, name: 'a write that names an older revision is a conflict and stores nothing' },
  },
  {
    id: 'answered-before-the-commit',
    promise: 'a command is answered when its commit is stored, not before',
    file: 'src/actors/runtime/cell.ts',
    before: 'if (judged.idle) return;',
    after: 'if (judged.idle) return;\n      for (const { inbox, body } of judged.answers) this.#answer(inbox, body);',
    caughtBy: { file: CELL, name: 'M1: no answer, fact or message leaves before the commit is stored' },
  },
  {
    id: 'sent-before-the-commit',
    promise: 'what a message causes leaves only when its commit is stored',
    file: 'src/actors/runtime/cell.ts',
    before: 'if (judged.idle) return;',
    after: 'if (judged.idle) return;\n      for (const message of judged.next.outbox) await this.#store(message);',
    caughtBy: { ...partition, name: 'M1: nothing leaves before the commit that contains it' },
  },
  {
    id: 'committed-without-outbox',
    promise: 'the messages that a state change causes are stored with it',
    file: 'src/actors/runtime/cell.ts',
    before: 'bytes: encodeRecord(record) };',
    after: 'bytes: encodeRecord({ ...record, outbox: [] }) };',
    caughtBy: {
      file: CELL,
      name: 'M5: messages committed before a crash are sent by the next owner, in order, each received once',
    },
  },
  {
    id: 'outbox-sent-backwards',
    promise: 'an outbox is sent in order: a receiver drops what comes after its turn',
    file: 'src/actors/runtime/cell.ts',
    before: 'return this.#record.outbox.find(message => isAfter(message.number, this.#sent));',
    after: 'return this.#record.outbox.findLast(message => isAfter(message.number, this.#sent));',
    caughtBy: {
      file: CELL,
      name: 'M5: messages committed before a crash are sent by the next owner, in order, each received once',
    },
  },
  {
    id: 'outbox-goes-on-over-the-unknown',
    promise: 'the next message waits until the one before it is surely stored',
    file: 'src/actors/runtime/cell.ts',
    before: 'if (!isPassing(error) && !(error instanceof MailboxFull)) throw error;',
    after:
      'if (!isPassing(error) && !(error instanceof MailboxFull)) throw error;\n          this.#sent = message.number;',
    caughtBy: {
      file: CELL,
      name: 'M5: the next message waits until the one before it is stored, also when that is ambiguous',
    },
  },
  {
    id: 'outbox-never-trimmed',
    promise: 'what was sent does not grow the state',
    file: 'src/actors/runtime/cell.ts',
    before: 'outbox: this.#record.outbox.filter(message => isAfter(message.number, this.#sent)) },',
    after: 'outbox: [...this.#record.outbox] },',
    caughtBy: {
      file: CELL,
      name: 'M5: what was sent is trimmed by the next commit, and does not count against the state’s bound',
    },
  },
  {
    id: 'seen-not-checked',
    promise: 'a message that is sent again takes effect once',
    file: 'src/actors/runtime/committed.ts',
    before: 'if (isRepeat(record.seen[sender.from], sender.number)) return { next, answers: [] };',
    after: '',
    caughtBy: {
      file: COMMITTED,
      name: 'C2: of any sequence of resends in order per sender, each message takes effect once',
    },
  },
  {
    id: 'cursor-not-checked',
    promise: 'a message that is read again after a crash is not processed again',
    file: 'src/actors/runtime/committed.ts',
    before: 'if (delivery.seq > 0 && delivery.seq <= record.cursor) return false;',
    after: '',
    caughtBy: {
      file: CELL,
      name: 'M6: messages left behind by a crash between commit and purge are skipped and purged by the next owner',
    },
  },
  {
    id: 'numbers-begin-again',
    promise: 'a sender’s numbers rise over its deletion and re-creation: no word of its new life is taken for a repeat',
    file: 'src/actors/runtime/committed.ts',
    before: "revision === 0 && outbox.some(message => message.kind === 'tell');",
    after: "revision < 0 && outbox.some(message => message.kind === 'tell');",
    caughtBy: {
      file: CELL,
      name: 'C3: a sender’s numbers go on rising over deletion, and when nothing is left of it',
    },
  },
  {
    id: 'commit-timeout-is-failure',
    promise: 'a commit of which nothing was heard is read back, and counts once',
    file: 'src/actors/runtime/cell.ts',
    before: '} else if (error instanceof WriteConflict || error instanceof WriteUnknown) {\n          const stored',
    after: '} else if (error instanceof WriteConflict) {\n          const stored',
    caughtBy: {
      file: CELL,
      name: 'M4: an ambiguous write that landed is recognised by its mark and not written again',
    },
  },
  {
    id: 'commit-own-mark-not-recognised',
    promise: 'a commit that landed unheard is known by its mark, and its caller is answered',
    file: 'src/actors/runtime/cell.ts',
    before: 'if (stored.record.mark === record.mark) {',
    after: 'if (stored.record.mark === "") {',
    caughtBy: {
      file: CELL,
      name: 'M4: an ambiguous write that landed is recognised by its mark and not written again',
    },
  },
  {
    id: 'commit-unheard-is-taken-for-stored',
    promise: 'a commit of which nothing was heard is never assumed to be stored',
    file: 'src/actors/runtime/cell.ts',
    before: 'if (stored.revision === this.#revision) continue;',
    after:
      'if (stored.revision === this.#revision) {\n            this.#adopt(record, this.#revision);\n            return true;\n          }',
    caughtBy: { file: CELL, name: 'M4: an ambiguous write that did not land is sent again as it is' },
  },
  {
    id: 'commit-conflict-argued-with',
    promise: 'a record that another owner wrote is not overwritten',
    file: 'src/actors/runtime/cell.ts',
    before: 'this.#adopt(stored.record, stored.revision); // M2',
    after: 'this.#revision = stored.revision;\n          continue;',
    caughtBy: { file: CELL, name: 'M2: a message that the second writer has processed is not processed again' },
  },
  {
    id: 'commit-epoch-not-checked',
    promise: 'an owner that meets a record of a higher epoch stops',
    file: 'src/actors/runtime/cell.ts',
    before: 'if (stored.record.epoch > this.#owner.epoch) {',
    after: 'if (stored.record.epoch < 0) {',
    caughtBy: {
      file: CELL,
      name: 'M3: a record of a higher epoch ends the host as fenced, and nothing of it is overwritten',
    },
  },
  {
    id: 'purged-past-the-cursor',
    promise: 'only messages that a stored commit has counted are purged',
    file: 'src/actors/runtime/cell.ts',
    before: 'await this.#ports.mailbox.purge(this.self, through);',
    after: 'await this.#ports.mailbox.purge(this.self, through + 1);',
    caughtBy: { file: CELL, name: 'M6: no message is purged that the stored record has not counted' },
  },
  {
    id: 'purged-before-the-commit',
    promise: 'a message stays in the mailbox until the commit that counts it is stored',
    file: 'src/actors/runtime/cell.ts',
    before: 'await this.#process(delivery);',
    after:
      'if (delivery.seq > 0) await this.#ports.mailbox.purge(this.self, delivery.seq);\n      await this.#process(delivery);',
    caughtBy: { file: CELL, name: 'M6: messages are purged only after the commit that counts them' },
  },
  {
    id: 'poison-one-try-more',
    promise: 'a message that its actor cannot survive is dead-lettered at the third end',
    file: 'src/actors/runtime/committed.ts',
    before: 'if (count < LIMITS.poisonDeliveries) {',
    after: 'if (count <= LIMITS.poisonDeliveries) {',
    caughtBy: {
      file: CELL,
      name: 'C4: a message whose receive throws is dead-lettered at the third end, and the actor goes on',
    },
  },
  {
    id: 'poison-counted-in-memory',
    promise: 'the tries of a message are counted in the state, over owners',
    file: 'src/actors/runtime/committed.ts',
    before: '(record.deliveries.head === head ? record.deliveries.count : 0) + 1;',
    after: '1;',
    caughtBy: {
      file: COMMITTED,
      name: 'C4: the third abnormal end in a row dead-letters the message; another message in between starts anew',
    },
  },
  {
    id: 'tombstone-goes-at-once',
    promise: 'what outlives a deletion stays until nothing of that life can still be running',
    file: 'src/actors/runtime/cell.ts',
    before: 'this.#ports.clock.now() - died >= LIMITS.tombstoneMs;',
    after: 'this.#ports.clock.now() - died >= 0;',
    caughtBy: {
      file: CELL,
      name: 'M7: a tombstone stays for `tombstoneMs`, then it goes, and its cell with it; an idle store is not written to',
    },
  },
  {
    id: 'record-goes-before-its-last-words',
    promise: 'a record with unsent messages stays',
    file: 'src/actors/runtime/cell.ts',
    before: 'if (state !== null || this.#unsent() !== undefined) return false;',
    after: 'if (state !== null) return false;',
    caughtBy: { file: CELL, name: 'M7: last words that a defect holds back keep the tombstone' },
  },
  {
    id: 'record-goes-before-its-messages',
    promise: 'a record stays while messages that it has counted lie in the mailbox',
    file: 'src/actors/runtime/cell.ts',
    before: 'if (through > this.#purged) await this.#ports.mailbox.purge(this.self, through);',
    after: 'if (through > this.#purged) void this.#ports.mailbox.purge(this.self, through).catch(() => {});',
    caughtBy: { ...partition, name: 'M7: a tombstone waits until its messages are purged and its last words sent' },
  },
  {
    id: 'record-made-out-of-touch',
    promise: 'an owner that was paused for long does not bring a deleted actor’s record back',
    file: 'src/actors/runtime/cell.ts',
    before:
      "if (this.#revision === 0 && !this.#owner.inTouch) throw new Error('out of touch for too long to make a record'); // M8",
    after: '',
    caughtBy: { file: CELL, name: 'M8: an owner that was paused for long makes no record where there is none' },
  },
  {
    id: 'claimed-and-not-resumed',
    promise: 'a new owner carries on what is owed before anything new comes',
    file: 'src/actors/runtime/partition-host.ts',
    before: 'for (const cell of this.#cells.values()) cell.resume(); // O1',
    after: '',
    caughtBy: { file: HOST, name: 'O1: every stored actor is resumed before the first message is read' },
  },
  {
    id: 'lost-claim-ignored',
    promise: 'a host whose claim is lost stops at once',
    file: 'src/actors/runtime/partition-host.ts',
    before: "lost.addEventListener('abort', () => this.#end('fenced'), { signal }); // O4",
    after: '',
    caughtBy: {
      file: HOST,
      name: 'O4: a lost claim ends the host at once as fenced, and with it timers, errands and everything under way',
    },
  },
  {
    id: 'handed-over-in-the-middle',
    promise: 'a host that hands over finishes and answers what it has taken',
    file: 'src/actors/runtime/partition-host.ts',
    before: 'while (!this.#stop.signal.aborted && !this.idle && clock.monotonic() < deadline)',
    after: 'while (!this.#stop.signal.aborted && !this.idle && clock.monotonic() > deadline)',
    caughtBy: {
      file: HOST,
      name: 'O8: a host that hands over answers what it has taken, takes no more, and ends; the next one takes the rest',
    },
  },
  {
    id: 'mailbox-read-without-a-bound',
    promise: 'a bounded number of messages is in memory',
    file: 'src/actors/runtime/partition-host.ts',
    before: 'while (this.#underWay >= LIMITS.partitionQueue && !signal.aborted)',
    after: 'while (this.#underWay < 0 && !signal.aborted)',
    caughtBy: {
      ...partition,
      name: 'O6: a bounded number of messages is taken and not yet processed; the rest waits in the mailbox',
    },
  },
  {
    id: 'mailbox-drops-the-oldest',
    promise: 'a full mailbox refuses the newest message, and drops no stored one',
    file: 'src/infra/nats/provision.ts',
    before: 'discard_new_per_subject: true,',
    after: 'discard_new_per_subject: false,',
    caughtBy: {
      ...natsMailbox,
      name: 'a full mailbox refuses the next message of that verb, and takes it again when there is room',
    },
  },
  {
    id: 'errand-abandoned-in-name-only',
    promise: 'what is no longer owed is abandoned',
    file: 'src/actors/runtime/errand-desk.ts',
    before: "controller.abort(new Error('no longer wanted')); // E2",
    after: '',
    caughtBy: {
      file: DESK,
      name: 'E2: an errand that is no longer named is abandoned, and its late answer is dropped',
    },
  },
  {
    id: 'errand-run-at-every-commit',
    promise: 'an errand runs once at a time, however often it is named',
    file: 'src/actors/runtime/errand-desk.ts',
    before: 'errands.filter(errand => !current.has(errand.key)); // E1, E3',
    after: '[...errands];',
    caughtBy: { file: DESK, name: 'E1: an errand runs once, however often the state that names it is committed' },
  },

  // Liveness, restarts, supervision.
  {
    id: 'alive-until-the-first-beat',
    promise: 'a runner that dies before its first beat is noticed',
    file: 'src/actors/runtime/heartbeat-watch.ts',
    before: 'beatAt: now, progressAt: now, progress: -1,',
    after: 'beatAt: Number.POSITIVE_INFINITY, progressAt: Number.POSITIVE_INFINITY, progress: -1,',
    caughtBy: { file: WATCH, name: 'H1: one that never beats is lost `silenceMs` after its monitoring began' },
  },
  {
    id: 'watched-from-its-first-frame',
    promise: 'the clock of an attempt starts when it is placed',
    file: 'src/actors/scenario/scenario-supervisor.ts',
    before: "    .filter(segment => segment.phase === 'running')\n    .map(",
    after:
      "    .filter(segment => segment.phase === 'running' && segment.fruitfulAttempt === segment.attempt)\n    .map(",
    caughtBy: {
      file: DEFECTS,
      name: 'defect 2: a runner that dies or hangs before its first heartbeat is noticed and replaced',
    },
  },
  {
    id: 'late-watcher-judges',
    promise: 'a watcher that was paused itself calls nobody lost',
    file: 'src/actors/runtime/heartbeat-watch.ts',
    before: 'if (late || !this.#ports.connected())',
    after: 'if (!this.#ports.connected())',
    caughtBy: { file: WATCH, name: 'H3: a watcher that was late starts every clock again' },
  },
  {
    id: 'judged-without-an-echo',
    promise: 'a server that hangs makes nobody lost',
    file: 'src/actors/runtime/heartbeat-watch.ts',
    before: 'const heard = await this.#hearsEcho();',
    after: 'const heard = (await this.#hearsEcho()) || this.#judging;',
    caughtBy: { file: WATCH, name: 'H3: when the server’s echo comes never, everybody’s clock starts again' },
  },
  {
    id: 'missed-by-the-wall-clock',
    promise: 'a wall clock that jumps makes no runner lost',
    file: 'src/actors/runtime/heartbeat-watch.ts',
    before: 'watched.beatAt = this.#ports.clock.monotonic();',
    after: 'watched.beatAt = this.#ports.clock.now() - Date.UTC(2030, 0, 1);',
    caughtBy: { file: WATCH, name: 'H2: a wall clock that jumps makes nobody lost, and hides no loss' },
  },
  {
    id: 'stalled-is-alive',
    promise: 'a runner that beats without progress is replaced',
    file: 'src/actors/runtime/heartbeat-watch.ts',
    before: "return stalledMs > stallMs ? { key, cause: 'stalled', forMs: stalledMs } : null;",
    after: 'return null;',
    caughtBy: { file: WATCH, name: 'H2: beats without progress for `stallMs` are loss too' },
  },
  {
    id: 'old-attempts-heard',
    promise: 'messages of older attempts change nothing',
    file: 'src/actors/scenario/scenario-supervisor.ts',
    before: 'return doc.run === ref.run && segment?.attempt === ref.attempt ? segment : null;',
    after: 'return segment ?? null;',
    caughtBy: {
      file: SCENARIO,
      name: 'X1: messages of older attempts and runs change nothing but what is still to be killed',
    },
  },
  {
    id: 'attempt-number-used-twice',
    promise: 'every attempt has a number of its own, committed before it is dispatched',
    file: 'src/actors/scenario/scenario-supervisor.ts',
    before: '  const attempt = segment.attempt + 1;\n',
    after: '  const attempt = Math.max(1, segment.attempt);\n',
    caughtBy: {
      file: SCENARIO,
      name: 'X10: an attempt that committed a frame is followed at once by the next, in the commit that counts the restart',
    },
  },
  {
    id: 'finished-revived',
    promise: 'nothing that comes late revives a finished scenario',
    file: 'src/actors/scenario/scenario-supervisor.ts',
    before: "return isStarting(next) ? activate(next, 'first results committed', context) : next;",
    after: "return next.state === 'active' ? next : activate(next, 'first results committed', context);",
    caughtBy: { file: DEFECTS, name: 'defect 4: nothing that comes late revives a finished scenario' },
  },
  {
    id: 'active-when-placed',
    promise: '`active` means that the first results are committed',
    file: 'src/actors/scenario/scenario-supervisor.ts',
    before: "    ? record(next, 'in_startup_processing', `placed on node ${body.node}`, context)\n    : next;",
    after:
      "    ? record(next, 'in_startup_processing', `placed on node ${body.node}`, context)\n    : isStarting(next)\n      ? activate(next, 'placed', context)\n      : next;",
    caughtBy: { file: SCENARIO, name: 'X3: active when the first batch is committed, not when it is placed' },
  },
  {
    id: 'inactive-before-the-log-is-closed',
    promise: '`inactive` means that every log has its end',
    file: 'src/actors/scenario/scenario-supervisor.ts',
    before: "if (!doc.segments.every(segment => segment.phase === 'ended')) return doc;",
    after: "if (!doc.segments.every(({ phase }) => phase === 'ended' || phase === 'closing')) return doc;",
    caughtBy: { file: SCENARIO, name: 'X2: inactive only when the log is known to hold its end' },
  },
  {
    id: 'stop-waits-for-ever',
    promise: 'a runner that does not answer a stop is stopped at its log',
    file: 'src/actors/scenario/scenario-supervisor.ts',
    before: "context.timer(overdueTimer(segment), settings.shutdownMs, 'overdue', refOf(doc, segment));",
    after: '',
    caughtBy: {
      file: SCENARIO,
      name: 'X7: a runner that does not answer a stop is stopped at the log with the next attempt number, and then killed',
    },
  },
  {
    id: 'stop-of-the-finished-hangs',
    promise: 'a stop that meets the natural end is over with it',
    file: 'src/actors/scenario/scenario-supervisor.ts',
    before: "if (body.result === 'end') return finish(",
    after: "if (body.result === 'end' && doc.ending === null) return finish(",
    caughtBy: {
      file: SCENARIO,
      name: 'a natural end while a stop is under way is completed at once, and nothing is left to be done',
    },
  },
  {
    id: 'closed-with-the-runners-own-number',
    promise: 'the supervisor closes a log as an attempt of its own, and so fences the runner',
    file: 'src/actors/scenario/scenario-supervisor.ts',
    before: "  phase: 'closing',\n  attempt: segment.attempt + 1,",
    after: "  phase: 'closing',\n  attempt: segment.attempt,",
    caughtBy: {
      file: SCENARIO,
      name: 'X7: a runner that does not answer a stop is stopped at the log with the next attempt number, and then killed',
    },
  },
  {
    id: 'backoff-ignored',
    promise: 'an attempt that committed nothing is followed by the next one later each time',
    file: 'src/actors/scenario/scenario-supervisor.ts',
    before: 'const delayMs = fruitful ? 0 : Math.round(base * (0.8 + 0.4 * context.random.float()));',
    after: 'const delayMs = base * 0;',
    caughtBy: {
      file: SCENARIO,
      name: 'X10: delays after fruitless attempts grow from the first to the most, each with some chance in it',
    },
  },
  {
    id: 'fruitless-one-attempt-more',
    promise: 'five attempts in a row without a new frame fail',
    file: 'src/actors/scenario/scenario-supervisor.ts',
    before: 'if (fruitless >= LIMITS.fruitlessAttempts) {',
    after: 'if (fruitless > LIMITS.fruitlessAttempts) {',
    caughtBy: {
      file: SCENARIO,
      name: 'X6: five attempts in a row without a new frame fail, however slow; a new frame starts the count again',
    },
  },
  {
    id: 'permanent-error-tried-again',
    promise: 'what no attempt can mend fails at once',
    file: 'src/actors/scenario/scenario-supervisor.ts',
    before: "if (typeof reason !== 'string' && PERMANENT_CODES.has(reason.error.code)) {",
    after: "if (typeof reason !== 'string' && PERMANENT_CODES.has('internal')) {",
    caughtBy: { file: SCENARIO, name: 'X6: a permanent error fails at once and keeps its frame' },
  },
  {
    id: 'fruitless-excused',
    promise: 'an attempt that committed nothing counts, whatever ended it',
    file: 'src/actors/scenario/scenario-supervisor.ts',
    before: "const excused = fruitful && (reason === 'fenced'",
    after: "const excused = (reason === 'fenced'",
    caughtBy: {
      file: SCENARIO,
      name: 'X6: drain, fencing, node loss and lost NATS are excused when the attempt committed something, and only then',
    },
  },
  {
    id: 'intensity-off-by-one',
    promise: '`intensity` restarts within `period` are allowed',
    file: 'src/actors/runtime/restart-plan.ts',
    before: 'return recent.length > limits.intensity ? null : recent;',
    after: 'return recent.length >= limits.intensity ? null : recent;',
    caughtBy: {
      file: 'tests/runtime/restart-plan.test.ts',
      name: 'S3: a restart is admitted as long as no more than `intensity` fall within any `period`',
    },
  },
  {
    id: 'temporary-restarted-with-its-sibling',
    promise: 'a temporary child is never restarted',
    file: 'src/actors/runtime/restart-plan.ts',
    before: "start: affected.filter(c => c.restart !== 'temporary').map(c => c.id),",
    after: 'start: affected.map(c => c.id),',
    caughtBy: {
      file: 'tests/runtime/restart-plan.test.ts',
      name: 'S1, S2: for every strategy, restart type and reason the plan leaves alive whom OTP leaves alive',
    },
  },
  {
    id: 'siblings-stopped-in-order-of-start',
    promise: 'children stop in reverse order of their start',
    file: 'src/actors/runtime/restart-plan.ts',
    before: '      .map(c => c.id)\n      .toReversed(),',
    after: '      .map(c => c.id),',
    caughtBy: {
      file: 'tests/runtime/restart-plan.test.ts',
      name: 'S2: siblings stop in reverse order of start and start in order',
    },
  },
  {
    id: 'crash-loop-does-not-escalate',
    promise: 'a supervisor that gives up ends, and its parent decides',
    file: 'src/actors/runtime/supervisor.ts',
    before: "await this.#end('shutdown'); // V4",
    after: '',
    caughtBy: {
      file: SUPERVISOR,
      name: 'V4: a parent restarts a nested supervisor that gave up, with fresh children',
    },
  },
  {
    id: 'no-kill-after-the-grace',
    promise: 'a child that does not end within its grace is killed',
    file: 'src/actors/runtime/supervisor.ts',
    before: 'this.#options.clock.timer(shutdown, () => handle.kill());',
    after: 'this.#options.clock.timer(shutdown, () => handle.stop());',
    caughtBy: {
      file: SUPERVISOR,
      name: 'V3: a number of milliseconds is the grace before the kill; a child that ends in time leaves no timer',
    },
  },
  {
    id: 'drained-runner-asked-to-end',
    promise: 'a runner that does not answer a drain is killed',
    file: 'src/actors/node/node-agent.ts',
    before: "for (const { process } of this.#running) process?.kill('SIGKILL');",
    after: "for (const { process } of this.#running) process?.kill('SIGTERM');",
    caughtBy: {
      file: NODE,
      name: 'A5: draining releases every runner, kills what does not go, reports `shutdown`, and takes nothing more',
    },
  },
  {
    id: 'kill-that-asks',
    promise: 'a runner that is to be killed is killed, also one that hangs',
    file: 'src/actors/node/node-agent.ts',
    before: "if (request.mode === 'kill') process.kill('SIGKILL');",
    after: "if (request.mode === 'kill') process.kill('SIGTERM');",
    caughtBy: { file: NODE, name: 'a stop is handed on as it is asked: close in good order, kill at once' },
  },
  {
    id: 'attempt-started-twice',
    promise: 'an attempt that is asked for again is not started again',
    file: 'src/actors/node/node-agent.ts',
    before: 'if (known !== undefined) return known.answer;',
    after: '',
    caughtBy: {
      file: NODE,
      name: 'A1: a repeated start is answered as the first was, and starts nothing, also when it has ended',
    },
  },
  {
    id: 'older-attempt-left-alive',
    promise: 'a newer attempt replaces an older one on its node',
    file: 'src/actors/node/node-agent.ts',
    before: "if (isOlder) older.process?.kill('SIGKILL');",
    after: '',
    caughtBy: { file: NODE, name: 'A1: a newer attempt or run replaces an older one here, never the other way round' },
  },
  {
    id: 'exit-reported-once-and-lost',
    promise: 'a runner’s end is reported until the report is stored',
    file: 'src/actors/node/node-agent.ts',
    before: 'if (!passing) {',
    after: 'if (passing || !passing) {',
    caughtBy: { file: NODE, name: 'A3: an exit is reported until it is stored, after what was committed before it' },
  },
  {
    id: 'placed-elsewhere-while-it-may-run',
    promise: 'nobody else is asked while the node that did not answer may have taken the attempt',
    file: 'src/actors/orchestrator/place-runner.ts',
    before: 'const unheard = error instanceof NoResponder;',
    after: 'const unheard = error instanceof Error;',
    caughtBy: {
      file: PLACING,
      name: 'Z1: a node whose answer is lost is asked again while it lives, and no other before it has answered',
    },
  },
  {
    id: 'placed-elsewhere-when-it-died',
    promise: 'the runner of a node that dies has time to die with it',
    file: 'src/actors/orchestrator/place-runner.ts',
    before: "kind: unheard && !mayHaveIt ? 'refused' : 'lost', problem",
    after: "kind: 'refused', problem",
    caughtBy: {
      file: PLACING,
      name: 'Z2: when a node that may have taken the attempt dies, nobody else is asked in this round',
    },
  },
  {
    id: 'mixed-engines',
    promise: 'a run goes on only where an equal engine computes its results',
    file: 'src/domain/node.ts',
    before: 'sameEngine(engine, node.engine)) return null;',
    after: 'node.engine !== null) return null;',
    caughtBy: {
      file: 'tests/scenario/placement.test.ts',
      name: 'a node that drains, is full or has another engine says so in its view, in a sentence',
    },
  },

  // Commands: accepted once, deleted for good.
  {
    id: 'run-number-used-again',
    promise: 'run numbers of an id go on over its deletion',
    file: 'src/actors/scenario/scenario-supervisor.ts',
    before: "const run = Number(context.remnant['lastRun'] ?? 0) + 1; // X8",
    after: 'const run = 1;',
    caughtBy: { file: COMMANDS, name: 'X8: run numbers of an id never repeat, not even over deletion' },
  },
  {
    id: 'deleted-before-its-log',
    promise: 'a scenario is gone when its log is, not before',
    file: 'src/actors/scenario/scenario-supervisor.ts',
    before: 'return { ...doc, deleting: { inbox: message.headers[HEADERS.reply] ?? null } };',
    after: 'return message.headers[HEADERS.reply] === "" ? doc : (null as unknown as ScenarioDoc);',
    caughtBy: {
      file: COMMANDS,
      name: 'a scenario that is being deleted is no longer there; its id is free when its log is gone',
    },
  },
  {
    id: 'log-removed-under-a-runner',
    promise: 'a log is removed only when no runner that may write to it is left',
    file: 'src/actors/scenario/scenario-supervisor.ts',
    before: 'if (doc.deleting !== null && owed.length === 0) {',
    after: 'if (doc.deleting !== null) {',
    caughtBy: {
      file: COMMANDS,
      name: 'a log is removed only when no runner that may still write to it is left to kill',
    },
  },
  {
    id: 'deleted-while-it-runs',
    promise: 'a scenario that runs cannot be deleted',
    file: 'src/actors/scenario/scenario-supervisor.ts',
    before: "if (doc.state !== 'inactive') {\n    throw new TroupeError('scenario_running'",
    after: "if (doc.id === '') {\n    throw new TroupeError('scenario_running'",
    caughtBy: { file: COMMANDS, name: 'active: each command is answered as the API says' },
  },
  {
    id: 'idempotency-key-not-honoured',
    promise: 'the same key and body answer the scenario that they made',
    file: 'src/actors/scenario/scenario-supervisor.ts',
    before: 'if (key !== undefined && key === doc.idempotency?.key) {',
    after: "if (key === '' && key === doc.idempotency?.key) {",
    caughtBy: {
      file: COMMANDS,
      name: 'idempotency: the same key and body answer the scenario of before, whatever the order of keys; another body is a conflict',
    },
  },
  {
    id: 'idempotency-key-used-twice',
    promise: 'one key makes one scenario',
    file: 'src/actors/idempotency/idempotency-key.ts',
    before: 'if (!isDeepStrictEqual(claim, doc.claim)) {',
    after: 'if (!isDeepStrictEqual(claim, claim)) {',
    caughtBy: {
      file: 'tests/scenario/idempotency-key.test.ts',
      name: 'K1, K2: the first claim wins; the same again is let through, another request is refused and changes nothing',
    },
  },
  {
    id: 'log-position-forgotten',
    promise: 'a scenario remembers that its log held records',
    file: 'src/actors/scenario/scenario-supervisor.ts',
    before: '    pid: null,\n    lastSeq: Math.max(segment.lastSeq, body.seq),',
    after: '    pid: null,',
    caughtBy: {
      file: COMMANDS,
      name: 'going on after a stop is the next attempt of the same run, told what the log holds',
    },
  },

  // Who owns a partition.
  {
    id: 'live-owner-robbed',
    promise: 'a partition is never taken from a live owner',
    file: 'src/actors/ownership/ownership.ts',
    before: 'if (!mine && claim !== null && membership.isAlive(claim.value.node)) continue;',
    after: '',
    caughtBy: {
      file: OWNERSHIP,
      name: 'W3: a live owner is never robbed, however many nodes come: what others get it has released',
    },
  },
  {
    id: 'all-released-at-once',
    promise: 'partitions move one at a time',
    file: 'src/actors/ownership/ownership.ts',
    before: 'if (membership.stableMs() < stableMs || clock.monotonic() - this.#releasedAt < releaseMs) return;',
    after: 'if (membership.stableMs() < stableMs) return;',
    caughtBy: {
      file: OWNERSHIP,
      name: 'W8: nodes that come get what rendezvous hashing gives them, one partition at a time, when all has been quiet',
    },
  },
  {
    id: 'released-while-members-change',
    promise: 'members that come and go move nothing',
    file: 'src/actors/ownership/ownership.ts',
    before: 'if (membership.stableMs() < stableMs || clock.monotonic() - this.#releasedAt < releaseMs) return;',
    after: 'if (clock.monotonic() - this.#releasedAt < releaseMs) return;',
    caughtBy: { file: OWNERSHIP, name: 'W8: members that come and go let nothing move' },
  },
  {
    id: 'released-before-its-host-has-ended',
    promise: 'a partition’s host has finished what it had in hand before the claim is given up',
    file: 'src/actors/ownership/ownership.ts',
    before: 'await this.#ports.unhost(partition);',
    after: 'void this.#ports.unhost(partition);',
    caughtBy: { file: OWNERSHIP, name: 'W9: a claim is given up when its host has ended, not before' },
  },
  {
    id: 'host-not-told-of-its-loss',
    promise: 'who hosts a claim is told when another has the partition',
    file: 'src/actors/ownership/ownership.ts',
    before: 'if (claim === null || claim.revision <= epoch) continue;',
    after: 'if (claim === null || claim.revision >= epoch) continue;',
    caughtBy: { file: OWNERSHIP, name: 'W6: the host of a claim is told when another has claimed the partition' },
  },
  {
    id: 'judged-before-all-is-known',
    promise: 'a node that does not know every lease yet claims nothing',
    file: 'src/actors/ownership/membership.ts',
    before: 'return this.#current && this.#ports',
    after: 'return this.#ports',
    caughtBy: { file: OWNERSHIP, name: 'W5: a node that does not know every lease yet claims nothing' },
  },
  {
    id: 'judged-after-a-cut',
    promise: 'a node that was cut off gives everybody’s lease its full time again',
    file: 'src/actors/ownership/membership.ts',
    before: 'if (now - this.#heardAt > deadMs / 2) for (const seen of this.#leases.values()) seen.movedAt = now;',
    after: '',
    caughtBy: {
      file: OWNERSHIP,
      name: 'W5: a server that nobody could reach makes nobody dead: each lease has its full time again',
    },
  },
  {
    id: 'judged-by-the-wall-clock',
    promise: 'a wall clock that jumps makes nobody dead',
    file: 'src/actors/ownership/membership.ts',
    before:
      '    this.#ports = ports;\n    this.#settings = settings;\n    this.#owner = owner;\n    this.#heardAt = ports.clock.monotonic();',
    after:
      '    const { clock } = ports;\n    const wall = { now: () => clock.now(), monotonic: () => clock.now(), timer: clock.timer.bind(clock), sleep: clock.sleep.bind(clock) };\n    this.#ports = { ...ports, clock: wall };\n    this.#settings = settings;\n    this.#owner = owner;\n    this.#heardAt = wall.monotonic();',
    caughtBy: { file: OWNERSHIP, name: 'W2: a wall clock that jumps makes nobody dead' },
  },
  {
    id: 'name-taken-from-the-living',
    promise: 'a node’s name belongs to one DATA folder at a time',
    file: 'src/actors/ownership/membership.ts',
    before: "holder.node !== '' && holder.data !== lease.data) {",
    after: "holder.node === '' && holder.data !== lease.data) {",
    caughtBy: {
      file: OWNERSHIP,
      name: 'W7: a name in use over another DATA folder is refused, and says what to do; its holder is not disturbed',
    },
  },

  // Reading: the projection, events, exports.
  {
    id: 'projector-trusts-the-sequence',
    promise: 'a restored store, whose sequence numbers mean other records, is read anew',
    file: 'src/actors/projector/projector.ts',
    before:
      'return position.created === identity.created && (await this.#deps.log.timeOf(position.seq)) === position.at;',
    after: 'return position.created === identity.created;',
    caughtBy: {
      file: PROJECTOR,
      name: 'J1: it starts from nothing when the stream has another entry at the position',
    },
  },
  {
    id: 'projector-trusts-the-stream',
    promise: 'another stream of the same name is read from its beginning',
    file: 'src/actors/projector/projector.ts',
    before: 'return position.created === identity.created && (await',
    after: 'return position.created !== "" && (await',
    caughtBy: { file: PROJECTOR, name: 'J1: it starts from nothing when the stream was created at another time' },
  },
  {
    id: 'projection-position-apart-from-its-rows',
    promise: 'rows and the position that they belong to are written together',
    file: 'src/infra/sqlite/projection-store.ts',
    before:
      'this.#applyAll = db.transaction((identity: LogIdentity, entries: readonly LogEntry[]) =>\n      this.#applyInTransaction(identity, entries),\n    );',
    after:
      'this.#applyAll = (identity: LogIdentity, entries: readonly LogEntry[]) =>\n      this.#applyInTransaction(identity, entries);',
    caughtBy: {
      file: STORE,
      name: 'Q1: killed inside the transaction of entry 14, the file holds exactly the batches before it',
    },
  },
  {
    id: 'projection-takes-a-frame-twice',
    promise: 'a second result for a frame is a defect, and shows',
    file: 'src/infra/sqlite/projection-store.ts',
    before: "'INSERT INTO prediction VALUES",
    after: "'INSERT OR REPLACE INTO prediction VALUES",
    caughtBy: { file: STORE, name: 'Q2: a second result for one frame throws and leaves the file as it was' },
  },
  {
    id: 'projection-mixes-two-lives',
    promise: 'a new scenario of a deleted one’s id has its own results, and only those',
    file: 'src/infra/sqlite/projection-store.ts',
    before: 'if (known !== undefined && beginsAgain(known, record)) this.#drop',
    after: 'if (known !== undefined && beginsAgain(known, record) && seq < 0) this.#drop',
    caughtBy: {
      file: STORE,
      name: 'Q6: a scenario that begins at run 1 again under a deleted one’s id has its own results, and only those',
    },
  },
  {
    id: 'export-leaves-a-frame-out',
    promise: 'pages follow each other without a gap',
    file: 'src/infra/sqlite/projection-store.ts',
    before: 'from = last.frame + 1;',
    after: 'from = last.frame + 2;',
    caughtBy: {
      file: STORE,
      name: 'Q4: a run being exported may grow meanwhile; the pages stay a contiguous prefix',
    },
  },
  {
    id: 'export-backwards',
    promise: 'results are read in frame order',
    file: 'src/infra/sqlite/projection-store.ts',
    before: 'AND frame BETWEEN ? AND ? ORDER BY frame LIMIT ?',
    after: 'AND frame BETWEEN ? AND ? ORDER BY frame DESC LIMIT ?',
    caughtBy: { file: STORE, name: 'Q4: pages one after the other equal the full list, whatever the limit' },
  },
  {
    id: 'complete-before-it-is',
    promise: 'an ended run is read when its projection has come to the end of its log',
    file: 'src/api/routes/results.ts',
    before: 'if (await projection.caughtUpWith(view.lastSeq, LIMITS.catchUpMs)) return view;',
    after: 'if ((await projection.caughtUpWith(0, LIMITS.catchUpMs)) || view.ended) return view;',
    caughtBy: {
      file: 'tests/api/results.test.ts',
      name: 'C1: results of an ended run wait for the projection, and are not_ready when it does not come',
    },
  },
  {
    id: 'last-event-id-ignored',
    promise: 'a reader of events goes on where it was',
    file: 'src/api/routes/events.ts',
    before: "const last = request.headers['last-event-id'] || lastEventId;",
    after: 'const last = lastEventId;',
    caughtBy: {
      file: 'tests/api/events.test.ts',
      name: 'SE1: the id of an event is where its reader goes on, in the header or in the query, the header first',
    },
  },
  {
    id: 'inactive-before-the-last-prediction',
    promise: 'a reader of events hears of the end behind the last prediction',
    file: 'src/actors/gateway/scenario-events.ts',
    before: "if (to !== 'inactive' || this.#at.run !== run) return true;",
    after: 'if (this.#at.run <= run) return true;',
    caughtBy: {
      file: 'tests/api/scenario-events.test.ts',
      name: 'EV3: inactive comes after the last prediction, however late the projection is',
    },
  },
  {
    id: 'read-repeats-the-last-message',
    promise: 'a reader goes on after a server’s death without a gap or a repeat',
    file: 'src/infra/nats/ordered-read.ts',
    before: 'next = message.seq + 1;',
    after: 'next = message.seq;',
    caughtBy: {
      file: 'tests/nats/recovery.test.ts',
      name: 'OR1: readers go on after the server was killed, without a gap or a repeat',
    },
  },
  {
    id: 'replaced-stream-read-on',
    promise: 'a stream that was made anew is not read on as if it were the old one',
    file: 'src/infra/nats/ordered-read.ts',
    before: '(created ??= opened.created) !== opened.created || !opened.goesOn',
    after: '!(created ??= opened.created) || !opened.goesOn',
    caughtBy: {
      file: 'tests/nats/recovery.test.ts',
      name: 'OR3: a read of a stream that was made anew fails instead of skipping',
    },
  },
  {
    id: 'restored-stream-read-from-beyond-its-end',
    promise: 'a stream that was restored to an earlier state is not read on from beyond its end',
    file: 'src/infra/nats/ordered-read.ts',
    before: 'state.last_seq >= last.seq && (await isThere(nats, stream, last))',
    after: '(await isThere(nats, stream, last))',
    caughtBy: {
      file: 'tests/nats/recovery.test.ts',
      name: 'OR3: a read of a stream that was restored to before what was read fails instead of skipping',
    },
  },
  {
    id: 'restored-stream-read-on',
    promise: 'a stream that was restored, and has grown again, is not read on as if it were the same',
    file: 'src/infra/nats/ordered-read.ts',
    before: 'return message === null || storedAt(message.timestamp) === at;',
    after: 'return message === null || storedAt(message.timestamp) >= 0;',
    caughtBy: {
      file: 'tests/nats/recovery.test.ts',
      name: 'OR3: a read of a stream that was restored to before what was read, and has grown past it since, fails instead of skipping',
    },
  },
  {
    id: 'watch-current-too-early',
    promise: 'a watch has brought every key when it says that it is current',
    file: 'src/infra/nats/state-store.ts',
    before: "if (got !== null && ++looks < MOST_LOOKS) newest = await last('>'); // SS5",
    after: '',
    caughtBy: {
      file: 'tests/nats/watch.test.ts',
      name: 'SS5: a watch is not current before it has brought every key, also those that were written anew while it began',
    },
  },

  // The machine, and who may ask.
  {
    id: 'acknowledged-before-the-disk',
    promise: 'what was acknowledged is on the disk',
    file: 'src/infra/nats/embedded-server.ts',
    before: "sync_interval: ${relaxedSync ? '\"2m\"' : 'always'}",
    after: 'sync_interval: ${relaxedSync ? \'"2m"\' : \'"2m"\'}',
    caughtBy: {
      file: 'tests/nats/embedded-server.test.ts',
      name: 'it listens on loopback only, without a monitoring port, and syncs every write unless told otherwise',
    },
  },
  {
    id: 'data-not-locked',
    promise: 'one process tree per DATA folder',
    file: 'src/infra/nats/data-lock.ts',
    before: 'if (flock.status === 0) return fd;',
    after: 'if (flock.status !== null) return fd;',
    caughtBy: {
      file: 'tests/nats/data-lock.test.ts',
      name: 'DL1: a second holder is refused and told who holds it; a released lock can be taken',
    },
  },
  {
    id: 'store-lock-not-inherited',
    promise: 'two servers never have one store',
    file: 'src/infra/nats/embedded-server.ts',
    before: '    inherited: lock.fd,\n',
    after: '',
    caughtBy: { file: 'tests/nats/embedded-server.test.ts', name: 'ES1: two servers never have one store' },
  },
  {
    id: 'partitions-renumbered',
    promise: 'the number of partitions stays what the first node wrote',
    file: 'src/infra/nats/provision.ts',
    before:
      'const entry = await store.get(PARTITIONS_KEY);\n    if (entry !== null) return storedPartitions(entry.value);',
    after: 'const entry = await store.get(PARTITIONS_KEY);\n    if (entry !== null) return proposed;',
    caughtBy: {
      file: 'tests/nats/provision.test.ts',
      name: 'PR3: the number of partitions stays what the first node wrote',
    },
  },
  {
    id: 'host-not-checked',
    promise: 'a web page that names a local node by a name of its own gets nothing',
    file: 'src/api/access.ts',
    before: 'if (isLoopback(bound) && !isLoopback(hostName(host)) && hostName(host) !== bound) {',
    after: "if (isLoopback(bound) && hostName(host) === '*') {",
    caughtBy: {
      file: 'tests/security/forged-requests.test.ts',
      name: 'A2, A3: each of these forged requests is refused, and none of them does or tells anything',
    },
  },
  {
    id: 'origin-not-checked',
    promise: 'a web page of another origin gets nothing',
    file: 'src/api/access.ts',
    before: 'if (origin !== undefined && hostOf(origin) !== host.toLowerCase()) {',
    after: "if (origin === '*' && hostOf(origin) !== host.toLowerCase()) {",
    caughtBy: { file: ACCESS, name: 'A3: pages of another origin are refused, those of our own are not' },
  },
  {
    id: 'any-token-opens',
    promise: 'only the token opens',
    file: 'src/api/access.ts',
    before: 'if (given === undefined || !timingSafeEqual(digest(given), expected)) {',
    after: 'if (given === undefined) {',
    caughtBy: { file: ACCESS, name: 'A1: the right token opens, any other does not' },
  },
  {
    id: 'link-out-of-the-roots',
    promise: 'a link that leads out of the roots is not followed',
    file: 'src/infra/files/roots.ts',
    before: 'return { real: await realpath(at), exists: at === wanted };',
    after: 'return { real: (await realpath(at)) && at, exists: at === wanted };',
    caughtBy: {
      file: 'tests/video/source-file.test.ts',
      name: 'S1: link-out.mp4 leads out of the root and is not allowed',
    },
  },
  {
    id: 'playlists-opened',
    promise: 'a playlist that is named as a video reads no other file',
    file: 'src/infra/video/media-process.ts',
    before: "...['-protocol_whitelist', 'file', '-format_whitelist', FORMATS.join(',')],",
    after: "...['-protocol_whitelist', 'file'],",
    caughtBy: {
      file: 'tests/security/strange-sources.test.ts',
      name: 'M1: playlists and lists named as videos read no other file, in none',
    },
  },
  {
    id: 'sandbox-dropped-in-silence',
    promise: 'a sandbox that is demanded and does not work is an error',
    file: 'src/infra/process/sandbox.ts',
    before: "if (demanded !== 'auto' && demanded !== sandbox.level) {",
    after: "if (demanded === 'none' && demanded !== sandbox.level) {",
    caughtBy: {
      file: 'tests/security/sandbox.test.ts',
      name: 'SB4: a level that is demanded and does not work is an error that says what to do',
    },
  },
  {
    id: 'secrets-handed-down',
    promise: 'a decoder of untrusted files is handed no secret',
    file: 'src/infra/config.ts',
    before: 'Object.fromEntries(HANDED_DOWN.flatMap(',
    after: 'Object.fromEntries(Object.keys(process.env).flatMap(',
    caughtBy: {
      file: 'tests/security/secrets.test.ts',
      name: 'a child gets what it needs of the environment and nothing else',
    },
  },
  // Supervisors, as Erlang's have them.
  {
    id: 'otp-restarts-never-grow-old',
    promise: 'a restart counts within its period only',
    file: 'src/actors/runtime/restart-plan.ts',
    before: 'restarts.filter(at => now - at <= limits.periodMs)',
    after: 'restarts.filter(() => true)',
    caughtBy: ORACLE,
  },
  {
    id: 'otp-rest-for-one-spares-who-ended',
    promise: 'rest_for_one restarts the child that ended, and those started after it',
    file: 'src/actors/runtime/restart-plan.ts',
    before: '? children.slice(index)',
    after: '? children.slice(index + 1)',
    caughtBy: ORACLE,
  },
  {
    id: 'otp-forgets-no-temporary-sibling',
    promise: 'a temporary child that a sibling took down is forgotten',
    file: 'src/actors/runtime/restart-plan.ts',
    before: "forget: affected.filter(c => c.restart === 'temporary').map(c => c.id),",
    after: 'forget: [],',
    caughtBy: ORACLE,
  },
  {
    id: 'otp-dynamic-child-stays-in-the-table',
    promise: 'a child of a simple_one_for_one leaves the table when it is not restarted',
    file: 'src/actors/runtime/restart-plan.ts',
    before: "restart === 'temporary' || strategy === 'simple_one_for_one';",
    after: "restart === 'temporary';",
    caughtBy: ORACLE,
  },
  {
    id: 'otp-normal-exit-of-a-permanent-child-is-the-end',
    promise: 'a permanent child is restarted however it ended',
    file: 'src/actors/runtime/restart-plan.ts',
    before: "restart === 'permanent' || (restart === 'transient' && isAbnormal(reason));",
    after: "restart !== 'temporary' && isAbnormal(reason);",
    caughtBy: ORACLE,
  },
  {
    id: 'otp-killed-is-no-crash',
    promise: 'a transient child that was killed is restarted',
    file: 'src/actors/runtime/exit-reason.ts',
    before: "reason !== 'normal' && reason !== 'shutdown';",
    after: "reason !== 'normal' && reason !== 'shutdown' && reason !== 'killed';",
    caughtBy: ORACLE,
  },
  {
    id: 'otp-children-stop-in-order-of-start',
    promise: 'children stop in reverse order of start',
    file: 'src/actors/runtime/supervisor.ts',
    before: 'const children = this.#children.toReversed();',
    after: 'const children = [...this.#children];',
    caughtBy: ORACLE,
  },
  {
    id: 'otp-gives-up-as-if-all-were-well',
    promise: 'a supervisor that gives up exits shutdown, and its parent decides',
    file: 'src/actors/runtime/supervisor.ts',
    before: "await this.#end('shutdown'); // V4",
    after: "await this.#end('normal'); // V4",
    caughtBy: ORACLE,
  },
  {
    id: 'otp-waits-for-ever-for-a-deaf-child',
    promise: 'a child that does not stop in its grace is killed',
    file: 'src/actors/runtime/supervisor.ts',
    before: 'clock.timer(shutdown, () => handle.kill())',
    after: 'clock.timer(shutdown * 1e6, () => handle.kill())',
    caughtBy: ORACLE,
  },
  {
    id: 'otp-forgets-its-restarts',
    promise: 'restarts are counted over all children and starts',
    file: 'src/actors/runtime/supervisor.ts',
    before: 'this.#restarts = plan.restarts;',
    after: '',
    caughtBy: ORACLE,
  },
];
