/**
 * The runner process: one attempt, told by its node over the IPC channel.
 *
 * It reports over that channel and exits with one of RUNNER_EXIT.
 * When the channel closes its node is gone, and it goes too, with all that it started.
 */
import { once } from 'node:events';
import Type from 'typebox';
import { Runner } from './actors/runner/runner.ts';
import { Engine } from './domain/engine.ts';
import { Assignment, RUNNER_EXIT } from './domain/messages.ts';
import { ModelInfo } from './domain/model.ts';
import { parse } from './domain/parse.ts';
import { SourceInfo } from './domain/source.ts';
import { inferenceFactory } from './infra/inference/pool.ts';
import { natsBus } from './infra/nats/bus.ts';
import { connect } from './infra/nats/connection.ts';
import { natsPredictionLog } from './infra/nats/prediction-log.ts';
import { systemClock, systemRandom } from './infra/process/system-clock.ts';
import { ffmpegDecoder } from './infra/video/ffmpeg-decoder.ts';

export const RunnerSettings = Type.Object({
  natsUrl: Type.String(),
  credsFile: Type.Union([Type.String(), Type.Null()]),
  ffmpeg: Type.String(),
  ffprobe: Type.String(),
});

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
  }),
  settings: RunnerSettings,
});

/** What the node says after the orders. */
const Told = Type.Object({ kind: Type.Union([Type.Literal('close'), Type.Literal('release')]) });

export async function main(): Promise<void> {
  process.once('disconnect', () => process.kill(-process.pid, 'SIGKILL')); // we lead a group
  const startedAt = systemClock.monotonic();
  const [orders] = await once(process, 'message');
  const { job, settings } = parse(Orders, orders, 'The orders of the node');
  const { credsFile, natsUrl, ffmpeg, ffprobe } = settings;
  const { scenario, attempt } = job.assignment;
  const decoder = ffmpegDecoder({ ffmpeg, ffprobe, engine: job.engine.decoder });
  const name = `troupe runner ${scenario} ${attempt}`;
  await using nats = await connect(natsUrl, credsFile === null ? { name } : { name, credsFile });
  const ports = {
    log: natsPredictionLog(nats, (subject, seq) =>
      console.error(`${subject} holds something that is no record: ${seq}`),
    ),
    bus: natsBus(nats),
    clock: systemClock,
    random: systemRandom,
    decoder: await decoder,
    inference: inferenceFactory(),
  };
  const runner = new Runner(ports, job, (seq, startup) => say({ kind: 'committed', seq, startup }), startedAt);
  process.on('message', message => runner.stop(parse(Told, message, 'The word of the node').kind));
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
