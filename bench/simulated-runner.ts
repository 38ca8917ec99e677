/**
 * A runner without a process, a video and a model: it claims its log with the real writer, commits one batch, beats, and stays
 * until it is told to go. What thousands of scenarios cost beside their inference is measured with it.
 */
import type { Bus } from '../src/actors/ports/bus.ts';
import type { ProcessExit, ProcessHandle, ProcessLauncher } from '../src/actors/ports/process-launcher.ts';
import { LogWriter, type LogWriterPorts } from '../src/actors/runner/log-writer.ts';
import type { RunnerJob, RunnerOutcome } from '../src/actors/runner/runner.ts';
import { toJson } from '../src/domain/json.ts';
import { LIMITS } from '../src/domain/limits.ts';
import type { Position } from '../src/domain/log-record.ts';
import { RUNNER_EXIT, type RunnerBeat, type Startup } from '../src/domain/messages.ts';
import type { Prediction } from '../src/domain/prediction.ts';
import { attemptKey } from '../src/domain/scenario-doc.ts';
import { SUBJECTS } from '../src/domain/subjects.ts';
import { nextTraceparent } from '../src/domain/traceparent.ts';

export type SimulatedRunnerPorts = LogWriterPorts & { readonly bus: Bus };

/** No system has a process of such a number. */
const FIRST_PID = 2 ** 23;
const BATCH_FRAMES = 8;
/** There is no model and no decoder to wait for. */
const STARTUP: Startup = { claimedMs: 0, loadedMs: 0, decodedMs: 0, committedMs: 0 };

export function simulatedRunners(ports: SimulatedRunnerPorts): ProcessLauncher {
  let pid = FIRST_PID;
  return { launch: async (_role, orders) => simulatedRunner(ports, (orders as { job: RunnerJob }).job, ++pid) };
}

function simulatedRunner(ports: SimulatedRunnerPorts, job: RunnerJob, pid: number): ProcessHandle {
  const exit = Promise.withResolvers<ProcessExit>();
  const stop = Promise.withResolvers<'close' | 'release'>();
  const killed = new AbortController();
  let hear: (message: unknown) => void = () => {};
  const say = (message: object): void => hear(message);
  const beats = beat(ports, job);
  attempt(ports, job, stop.promise, killed.signal, seq =>
    say({ kind: 'committed', seq, frame: 0, startup: STARTUP }),
  ).then(
    outcome => {
      say({ kind: 'outcome', ...outcome });
      exit.resolve({ code: RUNNER_EXIT.inOrder, signal: null });
    },
    () =>
      exit.resolve(
        killed.signal.aborted ? { code: null, signal: 'SIGKILL' } : { code: RUNNER_EXIT.failed, signal: null },
      ),
  );
  return {
    pid,
    exited: exit.promise.finally(beats),
    onMessage: receive => {
      hear = receive;
    },
    send: message => stop.resolve((message as { kind: 'close' | 'release' }).kind),
    kill: () => {
      killed.abort(new Error('killed'));
      exit.resolve({ code: null, signal: 'SIGKILL' });
    },
  };
}

async function attempt(
  ports: SimulatedRunnerPorts,
  { assignment, source, engine }: RunnerJob,
  stopped: Promise<'close' | 'release'>,
  signal: AbortSignal,
  committed: (seq: number) => void,
): Promise<RunnerOutcome> {
  const { scenario, run, segment, attempt: number, lastSeq } = assignment;
  const openBy = ports.clock.monotonic() + LIMITS.claimMs;
  const key = { scenario, run, segment };
  const traceparent = nextTraceparent(assignment.traceparent, ports.random);
  const claim = { key, attempt: number, lastSeq, source: source.identity, engine, traceparent, openBy };
  const opened = await LogWriter.open(ports, claim, signal);
  if (opened.kind === 'ended') return { reason: 'normal', result: 'end', seq: opened.seq, fruitful: false };
  const { from, position, predictions } = batchAfter(opened.position);
  const seq = await opened.writer.frames(from, position, predictions);
  committed(seq);
  if ((await stopped) === 'release') return { reason: 'shutdown', result: null, seq, fruitful: true };
  return { reason: 'shutdown', result: 'closed', seq: await opened.writer.close(position), fruitful: true };
}

function batchAfter(before: Position | null): { from: number; position: Position; predictions: Prediction[] } {
  const from = before === null ? 0 : before.to + 1;
  const to = from + BATCH_FRAMES - 1;
  const msOf = (frame: number): number => frame * 40;
  const detections = [
    { class: 'thing', classId: 0, score: 0.5, box: [1, 2, 3, 4] as [number, number, number, number] },
  ];
  return {
    from,
    position: {
      to,
      prevPts: msOf(to - 1),
      lastPts: msOf(to),
      startPts: 0,
      frames: (before?.frames ?? 0) + BATCH_FRAMES,
    },
    predictions: Array.from({ length: BATCH_FRAMES }, (_, i) => ({
      frame: from + i,
      ptsMs: msOf(from + i),
      detections,
    })),
  };
}

/** As a runner does that waits for the next frame of a slow source: its progress is a clock's. @returns ends it */
function beat({ bus, clock }: SimulatedRunnerPorts, { assignment, node, heartbeatMs }: RunnerJob): () => void {
  const subject = SUBJECTS.heartbeat(node, 'runner', assignment.scenario);
  const key = attemptKey(assignment);
  let progress = 0;
  const say = (): void => {
    const body: RunnerBeat = { key, progress: ++progress, fps: 25 };
    bus.publish(subject, toJson(body));
  };
  say();
  let timer = clock.timer(heartbeatMs, again);
  function again(): void {
    say();
    timer = clock.timer(heartbeatMs, again);
  }
  return () => timer.cancel();
}
