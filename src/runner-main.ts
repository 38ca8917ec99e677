/**
 * The runner process: one attempt, told by its node over the IPC channel.
 *
 * Its first message has the settings, with the job or without: as a spare it gets ready for any job, and waits for its orders.
 * It reports over that channel and exits with one of RUNNER_EXIT.
 * When the channel closes its node is gone, and it goes too, with all that it started.
 */
import { on } from 'node:events';
import Type from 'typebox';
import { leaseKey } from './actors/ownership/membership.ts';
import { Runner } from './actors/runner/runner.ts';
import { Engine } from './domain/engine.ts';
import { Assignment, RUNNER_EXIT } from './domain/messages.ts';
import { ModelInfo } from './domain/model.ts';
import { parse } from './domain/parse.ts';
import { SourceInfo } from './domain/source.ts';
import type { Measured } from './domain/stage.ts';
import { BUCKETS } from './domain/subjects.ts';
import { inferenceFactory } from './infra/inference/pool.ts';
import { natsBus } from './infra/nats/bus.ts';
import { connect } from './infra/nats/connection.ts';
import { natsPredictionLog } from './infra/nats/prediction-log.ts';
import { storedRevision } from './infra/nats/state-store.ts';
import { preferAsOomVictim } from './infra/process/oom-victim.ts';
import { Sandbox } from './infra/process/sandbox.ts';
import { machineMs, systemClock, systemRandom } from './infra/process/system-clock.ts';
import { DecoderChoice, openDecoder } from './infra/video/choose-decoder.ts';

const RunnerSettings = Type.Object({
  natsUrl: Type.String(),
  credsFile: Type.Union([Type.String(), Type.Null()]),
  decoder: DecoderChoice,
  /** What that decoder was found to be. */
  engine: Type.String(),
  sandbox: Sandbox,
  /** Inference threads to start before a job is known. */
  workers: Type.Integer({ minimum: 1 }),
});

const Prepare = Type.Object({ settings: RunnerSettings });
const Orders = Type.Object({
  job: Type.Object({
    assignment: Assignment,
    node: Type.String(),
    path: Type.String(),
    source: SourceInfo,
    model: Type.Object({ info: ModelInfo, file: Type.String() }),
    engine: Engine,
    workers: Type.Integer({ minimum: 1 }),
    heartbeatMs: Type.Integer({ minimum: 1 }),
    leaseRevision: Type.Integer({ minimum: 0 }),
  }),
  /** When the node handed them over: since then this process may have been paused (L10). */
  sentAtMs: Type.Number(),
});

/** What the node says after the orders. */
const Told = Type.Object({ kind: Type.Union([Type.Literal('close'), Type.Literal('release')]) });

export async function main(): Promise<void> {
  process.once('disconnect', () => process.kill(-process.pid, 'SIGKILL')); // we lead a group
  preferAsOomVictim(); // OV1: before it starts anything
  // From the first moment on: what is said while we connect must not be lost.
  const said = on(process, 'message');
  const next = async (): Promise<unknown> => ((await said.next()).value as unknown[])[0];
  const first = await next();
  const { settings } = parse(Prepare, first, 'The settings of the node');
  const { credsFile, natsUrl, workers } = settings;
  const inference = inferenceFactory(workers);
  const decoder = openDecoder(settings.decoder, settings.sandbox, settings.engine);
  const name = `troupe runner ${process.pid}`;
  await using nats = await connect(natsUrl, credsFile === null ? { name } : { name, credsFile });
  const isSpare = !('job' in (first as object));
  const { job, sentAtMs } = parse(Orders, isSpare ? await next() : first, 'The orders of the node');
  // Its node knows for certain, and takes it along: until then nothing is asked.
  nats.guard(async () => {
    const stored = await storedRevision(nats, BUCKETS.lease, leaseKey(job.node));
    if (stored < job.leaseRevision) throw new Error("the node's lease is older than these orders");
    return true;
  });
  const ports = {
    log: natsPredictionLog(nats, (subject, seq) =>
      console.error(`${subject} holds something that is no record: ${seq}`),
    ),
    bus: natsBus(nats),
    clock: systemClock,
    random: systemRandom,
    decoder: await decoder,
    inference,
    measured: (measured: Measured) => void say({ kind: 'measured', measured }),
  };
  const startedAt = systemClock.monotonic() - (machineMs() - sentAtMs);
  const runner = new Runner(
    ports,
    job,
    (seq, startup, frame) => say({ kind: 'committed', seq, startup, frame }),
    startedAt,
  );
  void (async () => {
    for (;;) runner.stop(parse(Told, await next(), 'The word of the node').kind);
  })();
  process.on('SIGTERM', () => runner.stop('release'));
  const outcome = await runner.run();
  await say({ kind: 'outcome', ...outcome });
  process.exitCode =
    outcome.reason === 'fenced'
      ? RUNNER_EXIT.fenced
      : typeof outcome.reason === 'string'
        ? RUNNER_EXIT.inOrder
        : RUNNER_EXIT.failed;
  await nats[Symbol.asyncDispose]();
  process.removeAllListeners('disconnect');
  process.disconnect?.();
  process.exit();
}

/** Resolves when the node has it, or is gone. */
const say = (message: object): Promise<void> =>
  new Promise(resolve => {
    if (process.send === undefined || !process.connected) resolve();
    else process.send(message, () => resolve());
  });
