/**
 * How soon the next frame is committed after a runner's process was killed in mid-stream, and where the time goes.
 *
 * A listener of its own on the node's NATS sees every message pass: the report of the exit, the scenario's commits, the
 * request to the node, the runner's first beat. What happens inside the node and the runner they tell
 * themselves (`Startup` in src/domain/messages.ts). Nothing is built into the program for this bench.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { connect } from '@nats-io/transport-node';
import { invariant } from '../src/domain/errors.ts';
import { fromJson } from '../src/domain/json.ts';
import { type Progressed, readRunnerBeat } from '../src/domain/messages.ts';
import { attemptKey, type SegmentDoc } from '../src/domain/scenario-doc.ts';
import { BUCKETS, kvSubject, SUBJECTS } from '../src/domain/subjects.ts';
import { asset } from '../src/infra/process/assets.ts';
import { findFfmpeg } from '../src/infra/process/find-program.ts';
import type { Bench } from './bench.ts';
import { type BenchNode, startBenchNode } from './bench-node.ts';
import { median, quantile } from './statistics.ts';

export const recovery: Bench = {
  summary: 'from SIGKILL of a runner to the next committed frame, by stage',
  usage: '[--rounds N] [--calm MS] [--video FILE] [--model NAME|FILE] [-- OPTIONS OF troupe up]',
  run,
};

/** Each with the milestones that it waits for: what it took counts from the last of these. */
const STAGES = {
  noticed: { after: ['killed'], what: 'detection: the node reports the exit' },
  decided: { after: ['noticed'], what: 'decision: the next attempt is committed' },
  asked: { after: ['decided'], what: 'placement: the node is asked' },
  checked: { after: ['asked'], what: 'check: source, model and engine fit' },
  begun: { after: ['checked'], what: 'process: the runner has its orders and beats' },
  loaded: { after: ['begun'], what: 'model: the sessions are loaded' },
  claimed: { after: ['begun'], what: 'claim: `open` is in the log' },
  decoded: { after: ['claimed'], what: 'seek: the first new frame is decoded' },
  committed: { after: ['decoded', 'loaded'], what: 'commit: its result is in the log' },
} as const;
type Stage = keyof typeof STAGES;
type Milestone = Stage | 'killed';
/** ms on this process' clock. */
type Times = Record<Milestone, number>;

const NAMES = Object.keys(STAGES) as Stage[];

async function run(args: readonly string[]): Promise<void> {
  const separator = args.indexOf('--');
  const own = separator < 0 ? args : args.slice(0, separator);
  const { values } = parseArgs({
    args: [...own],
    options: {
      rounds: { type: 'string', default: '30' },
      calm: { type: 'string', default: '2500' },
      video: { type: 'string' },
      model: { type: 'string', default: 'shapes' },
    },
  });
  const folder = mkdtempSync(path.join(tmpdir(), 'troupe-bench-'));
  try {
    const video = values.video ?? tenTimes(asset('test_videos', 'test_video.mp4'), folder);
    const options = separator < 0 ? [] : args.slice(separator + 1);
    await using node = await startBenchNode({ roots: [asset(), path.dirname(path.resolve(video))], args: options });
    const work = { source: { uri: video }, model: values.model };
    const rounds = await kills(node, work, Number(values.rounds), Number(values.calm));
    const about = [path.basename(video), values.model, `${rounds.length} kills`, ...options];
    console.log(`${about.join(', ')}; ms, median (95th percentile)\n`);
    report(rounds);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A runner is through the test video before a second runner is ready to be killed. */
function tenTimes(video: string, folder: string): string {
  const given = process.env['TROUPE_FFMPEG'];
  const tools = findFfmpeg({ given, searchPath: process.env['PATH'], own: asset('.troupe', 'bin') });
  invariant(tools !== null, 'ffmpeg is there: run `npm run setup`');
  const long = path.join(folder, `ten-times-${path.basename(video)}`);
  const { status } = spawnSync(tools.ffmpeg, ['-v', 'error', '-stream_loop', '9', '-i', video, '-c', 'copy', long]);
  invariant(status === 0, 'ffmpeg joins copies of the video');
  return long;
}

/** @param calmMs how long a runner works before it is killed: nothing of its start, or of a spare's, is under way then */
async function kills(node: BenchNode, work: object, rounds: number, calmMs: number): Promise<Times[]> {
  const done: Times[] = [];
  const listener = await connect({ servers: new URL(node.natsUrl).host });
  try {
    for (let n = 1; done.length < rounds; n++) {
      const id = `recovery${n}`;
      const watch = new Watch(listener, id);
      await node.create({ id, ...work, restart: { intensity: 1000, periodMs: 60_000 } });
      for (let attempt = 1; done.length < rounds; attempt++) {
        if (!(await watch.committed(attempt))) break;
        await delay(calmMs);
        const { state, runners } = await node.get(id);
        const [runner] = runners;
        if (state === 'inactive' || typeof runner?.pid !== 'number') break;
        const killed = watch.now();
        process.kill(runner.pid, 'SIGKILL');
        if (!(await watch.committed(attempt + 1))) break; // it was at its end
        done.push(watch.times(attempt + 1, killed));
      }
      await node.ended(id);
      watch.close();
    }
  } finally {
    await listener.close();
  }
  return done;
}

/** What is seen of one scenario's attempts. */
class Watch {
  readonly #close: () => void;
  readonly #attempts = new Map<number, Partial<Times>>();
  /** The attempt whose first batch is waited for. */
  #awaited: { readonly attempt: number; readonly resolve: (committed: boolean) => void } | null = null;
  #ended = false;

  constructor(listener: Awaited<ReturnType<typeof connect>>, id: string) {
    const hear = (subject: string, receive: (data: Uint8Array) => void) =>
      listener.subscribe(subject, { callback: (_, message) => receive(message.data) });
    const subscriptions = [
      hear(SUBJECTS.message('sys', 'scenario', id, 'exited'), data => {
        const { attempt, result } = fromJson(data) as { attempt: number; result: string | null };
        this.#ended ||= result === 'end';
        if (this.#ended) this.#awaited?.resolve(false);
        this.#note(attempt + 1, 'noticed');
      }),
      hear(kvSubject(BUCKETS.state, `scenario.${id}`), data => {
        const { state } = fromJson(data) as { state?: { segments?: SegmentDoc[] } };
        const [segment] = state?.segments ?? [];
        if (segment?.phase === 'placing') this.#note(segment.attempt, 'decided');
      }),
      hear(SUBJECTS.control('*', 'start'), data => {
        const { scenario, attempt } = fromJson(data) as { scenario: string; attempt: number };
        if (scenario === id) this.#note(attempt, 'asked');
      }),
      hear(SUBJECTS.heartbeat('*', 'runner', id), data => {
        const beat = readRunnerBeat(data);
        const attempt = Number(beat?.key.split('.').at(-1));
        if (
          beat !== null &&
          beat.progress >= 0 &&
          beat.key === attemptKey({ scenario: id, run: 1, segment: 0, attempt })
        )
          this.#note(attempt, 'begun');
      }),
      hear(SUBJECTS.message('sys', 'scenario', id, 'progressed'), data =>
        this.#progressed(fromJson(data) as Progressed),
      ),
    ];
    this.#close = () => {
      for (const subscription of subscriptions) subscription.unsubscribe();
    };
  }

  now(): number {
    return performance.now();
  }

  close(): void {
    this.#close();
  }

  /** Resolves when the attempt's first batch is: false when there will be none. */
  committed(attempt: number): Promise<boolean> {
    if (this.#attempts.get(attempt)?.committed !== undefined) return Promise.resolve(true);
    if (this.#ended) return Promise.resolve(false);
    return new Promise(resolve => {
      this.#awaited = { attempt, resolve };
    });
  }

  times(attempt: number, killed: number): Times {
    const times = { ...this.#attempts.get(attempt), killed };
    invariant(isWhole(times), `every stage of attempt ${attempt} was seen: ${JSON.stringify(times)}`);
    return times;
  }

  #note(attempt: number, milestone: Milestone, at = this.now()): void {
    const times = this.#attempts.get(attempt) ?? {};
    times[milestone] ??= at;
    this.#attempts.set(attempt, times);
  }

  #progressed({ attempt, startup }: Progressed): void {
    const { asked, begun } = this.#attempts.get(attempt) ?? {};
    invariant(
      asked !== undefined && begun !== undefined && startup !== undefined,
      'a runner is asked for and beats first',
    );
    this.#note(attempt, 'checked', asked + startup.checkedMs);
    this.#note(attempt, 'loaded', begun + startup.loadedMs);
    this.#note(attempt, 'claimed', begun + startup.claimedMs);
    this.#note(attempt, 'decoded', begun + startup.decodedMs);
    // Acknowledged, that is: on its way to the server it was seen before.
    this.#note(attempt, 'committed', begun + startup.committedMs);
    if (this.#awaited?.attempt === attempt) this.#awaited.resolve(true);
  }
}

const isWhole = (times: Partial<Times>): times is Times => NAMES.every(name => times[name] !== undefined);

function report(rounds: readonly Times[]): void {
  const row = (label: string, took: readonly number[], at: readonly number[]): void =>
    console.log(`| ${label} | ${shown(took)} | ${shown(at)} |`);
  console.log('| stage | took | reached after the kill |\n|---|---|---|');
  for (const name of NAMES) {
    const { after, what } = STAGES[name];
    const took = rounds.map(times => times[name] - Math.max(...after.map(before => times[before])));
    row(
      what,
      took,
      rounds.map(times => times[name] - times.killed),
    );
  }
  const whole = rounds.map(times => times.committed - times.killed);
  console.log(`| **whole** | **${shown(whole)}** | |`);
}

const shown = (samples: readonly number[]): string =>
  `${median(samples).toFixed(0)} (${quantile(samples, 0.95).toFixed(0)})`;
