/** One attempt: N1–N5, and L8 and L9 of docs/LOG.md, on a log in memory and in virtual time. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { PredictionLog } from '../../src/actors/ports/prediction-log.ts';
import { WriteRetry } from '../../src/actors/ports/write-outcome.ts';
import { Runner, type RunnerJob, type RunnerOutcome } from '../../src/actors/runner/runner.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { LogKey, LogRecord } from '../../src/domain/log-record.ts';
import { atThreshold, type Prediction } from '../../src/domain/prediction.ts';
import { FrameSelector, type Sampling } from '../../src/domain/sampling.ts';
import { toSpec } from '../../src/domain/scenario-spec.ts';
import { SUBJECTS } from '../../src/domain/subjects.ts';
import { MemoryServer } from '../../src/infra/memory/memory-server.ts';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';
import { assertWhole, records, story } from './log-rules.ts';
import { anyOrder, ENGINE, MODEL, type Script, ScriptedDecoder, ScriptedInference, SOURCE, seen } from './scripted.ts';

const KEY: LogKey = { scenario: 'cam', run: 1, segment: 0 };
const steady = (frames: number): number[] => Array.from({ length: frames }, (_, i) => i * 40);

/** One log, and attempts at it one after the other. */
class Stage {
  readonly clock = new VirtualClock();
  readonly random = new SeededRandom(5);
  readonly server = new MemoryServer({ clock: this.clock, partitions: LIMITS.partitions });
  readonly bus = this.server.bus();
  log: PredictionLog = this.server.predictionLog();
  readonly script: Script;
  readonly spec: object;
  attempt = 0;
  lastSeq = 0;

  constructor(script: Script, spec: object = {}) {
    this.script = script;
    this.spec = spec;
  }

  start(startedAt = this.clock.monotonic()) {
    const { clock, random, log, bus, script } = this;
    const decoder = new ScriptedDecoder(script);
    const inference = new ScriptedInference(script, clock);
    const committed: number[] = [];
    const job: RunnerJob = {
      assignment: {
        ...KEY,
        attempt: ++this.attempt,
        spec: toSpec({ source: { uri: 'video.mp4' }, model: 'shapes', ...this.spec }),
        lastSeq: this.lastSeq,
        source: null,
        engine: null,
        modelSha256: null,
      },
      node: 'n1',
      path: '/video.mp4',
      source: SOURCE,
      model: MODEL,
      engine: ENGINE,
      workers: 2,
      heartbeatMs: 100,
      leaseRevision: 1,
    };
    const runner = new Runner(
      { log, clock, random, bus, decoder, inference },
      job,
      seq => committed.push(seq),
      startedAt,
    );
    let outcome: RunnerOutcome | null = null;
    const done = runner.run().then(ended => {
      outcome = ended;
    });
    const ended = async (): Promise<RunnerOutcome> => {
      await clock.runUntil(() => outcome !== null, clock.monotonic() + 3_600_000);
      await Promise.race([done, Promise.resolve()]);
      if (outcome === null) throw new Error('the attempt does not end');
      return outcome;
    };
    return { runner, decoder, inference, committed, ended, over: () => outcome !== null };
  }

  records(): Promise<LogRecord[]> {
    return records(this.server.predictionLog(), KEY);
  }

  async predictions(): Promise<Prediction[]> {
    const found = await this.records();
    assertWhole(found);
    return found.flatMap(record => (record.kind === 'frames' ? record.predictions : []));
  }
}

const plain = (frame: number, ptsMs: number | null): Prediction => ({ frame, ptsMs, detections: seen(frame) });

const test = suite('runner');

test('N2: results in any order are appended in the order of the source, each once, and the end counts them', async () => {
  const random = new SeededRandom(2);
  const stage = new Stage({ times: steady(300), inferMs: anyOrder(random) });
  const { ended, committed, inference } = stage.start();
  const { reason, result, seq, fruitful } = await ended();
  assert.equal([reason, result, fruitful, committed.length], ['normal', 'end', true, 1]);
  assert.equal(
    await stage.predictions(),
    steady(300).map((pts, i) => plain(i, pts)),
  );
  const last = (await stage.records()).at(-1);
  assert.equal([last?.kind, last?.kind === 'end' && last.frames, seq], ['end', 300, (await stage.log.last(KEY)).seq]);
  assert.is(inference.closed, 1);
});

test('L7: a batch is in the log after 200 ms at the latest, and holds at most 32 frames', async () => {
  const stage = new Stage({ times: steady(100), inferMs: frame => (frame === 3 ? 5_000 : 1) });
  const { ended } = stage.start();
  await stage.clock.advance(LIMITS.batchMs + 50);
  assert.is(story(await stage.records()), 'open 1, 0–0, 1–2');
  await ended();
  for (const record of await stage.records()) {
    if (record.kind === 'frames') assert.ok(record.predictions.length <= LIMITS.batchFrames);
  }
});

test('L7: the first result of an attempt is flushed at once, and only that', async () => {
  const stage = new Stage({ times: steady(400), pace: () => stage.clock.sleep(15) });
  const { committed, ended } = stage.start();
  await stage.clock.advance(20);
  assert.is(story(await stage.records()), 'open 1, 0–0');
  assert.is(committed.length, 1);
  await stage.clock.advance(LIMITS.batchMs / 2);
  assert.is((await stage.records()).length, 2, 'the others wait for company');
  await ended();
});

test('N6: the model loads while the first frames are decoded; they wait in the ring, and none is lost', async () => {
  const stage = new Stage({ times: steady(100), loadMs: 10_000 });
  const { decoder, inference, ended } = stage.start();
  await stage.clock.advance(5_000);
  assert.is(decoder.handed, 2 * LIMITS.ringSlotsPerWorker + LIMITS.ringSlotsLead, 'N3: as many as the ring holds');
  assert.equal([inference.asked, story(await stage.records())], [0, 'open 1']);
  assert.is((await ended()).result, 'end');
  assert.equal(
    await stage.predictions(),
    steady(100).map((pts, i) => plain(i, pts)),
  );
});

test('N6: a model that cannot be loaded fails the attempt, also with `skip`, whenever that turns out', async () => {
  for (const loadMs of [0, 10_000]) {
    const stage = new Stage({ times: steady(3), unusable: true, loadMs }, { onFrameError: 'skip' });
    const { ended } = stage.start();
    const { reason, result } = await ended();
    assert.equal(reason, { error: { code: 'model_unsupported', message: 'it does not load' } });
    assert.equal([result, story(await stage.records())], [null, 'open 1']);
  }
});

test('N6: an attempt that fails while the model loads closes what was loaded', async () => {
  const stage = new Stage({ times: steady(100), failAt: [5], loadMs: 10_000 });
  const { inference, ended } = stage.start();
  assert.match(JSON.stringify((await ended()).reason), /breaks off/);
  assert.is(inference.closed, 1);
});

test('N1: nothing is decoded before the log is claimed; a fenced attempt decodes nothing', async () => {
  const stage = new Stage({ times: steady(40) });
  await stage.start().ended();
  stage.attempt = 0;
  const late = stage.start();
  const { reason, result } = await late.ended();
  assert.equal([reason, result, late.decoder.began], ['fenced', null, []]);
  assert.is(late.inference.closed, 1);
});

test('L10: an attempt whose log could not be claimed for `claimMs` ends with an error, and never opens it', async () => {
  const stage = new Stage({ times: steady(40) });
  const { log } = stage;
  let up = false;
  const answer = <T>(work: () => Promise<T>): Promise<T> => (up ? work() : Promise.reject(new WriteRetry('no leader')));
  stage.log = {
    ...log,
    last: key => answer(() => log.last(key)),
    append: (key, record, expected) => answer(() => log.append(key, record, expected)),
  };
  const attempt = stage.start();
  await stage.clock.advance(LIMITS.claimMs);
  assert.not.ok(attempt.over());
  await stage.clock.advance(1_000);
  assert.ok(attempt.over());
  up = true;
  const { reason } = await attempt.ended();
  assert.is(typeof reason === 'object' && reason.error.code, 'unavailable');
  assert.equal([await stage.records(), attempt.inference.closed], [[], 1]);
});

test('L10: the time that its process has waited before counts; once the log is open it may take as long as it likes', async () => {
  const stage = new Stage({ times: steady(40), pace: () => stage.clock.sleep(LIMITS.claimMs) });
  await stage.clock.advance(2 * LIMITS.claimMs);
  const late = await stage.start(0).ended();
  assert.is(typeof late.reason === 'object' && late.reason.error.code, 'unavailable');
  assert.equal(await stage.records(), []);
  const slow = stage.start();
  await stage.clock.advance(50 * LIMITS.claimMs);
  assert.is((await slow.ended()).reason, 'normal');
});

test('N1: a log that has ended is reported as ended, and nothing is decoded again', async () => {
  const stage = new Stage({ times: steady(40) });
  const { seq } = await stage.start().ended();
  const again = stage.start();
  assert.equal(await again.ended(), { reason: 'normal', result: 'end', seq, fruitful: false });
  assert.equal(again.decoder.began, []);
});

test('N1: the first frame decoded follows the last one in the log', async () => {
  const stage = new Stage({ times: steady(200), failAt: [100], pace: () => stage.clock.sleep(5) });
  const first = await stage.start().ended();
  assert.equal(first.reason, { error: { code: 'decode_failed', message: 'the stream breaks off', frame: 100 } });
  const { entry } = await stage.log.last(KEY);
  const second = stage.start();
  await second.ended();
  assert.ok((entry?.record.position?.to ?? 0) > 10);
  assert.equal(second.decoder.began, [(entry?.record.position?.to ?? -1) + 1]);
  assert.equal(
    await stage.predictions(),
    steady(200).map((pts, i) => plain(i, pts)),
  );
});

test('N2: a selection over any number of crashes and stops is the undisturbed one', async () => {
  const sampling = fc.oneof(
    fc.record({ every: fc.integer({ min: 1, max: 9 }), from: fc.nat(80), length: fc.nat(150) }),
    fc.record({ fps: fc.constantFrom(1, 3, 7.5, 10, 24, 25, 30, 100), from: fc.nat(80), length: fc.nat(150) }),
  );
  const steps = fc.array(fc.constantFrom(null, -90, 0, 0.001, 20, 33.367, 40, 41, 200, 1_000), {
    minLength: 1,
    maxLength: 160,
    size: 'max',
  });
  const cuts = fc.array(
    fc.record({ at: fc.nat(170), how: fc.constantFrom('decoder', 'inference', 'close', 'release') }),
    { maxLength: 5, size: 'max' },
  );
  let resumes = 0;
  await fc.assert(
    fc.asyncProperty(
      sampling,
      steps,
      cuts,
      fc.boolean(),
      fc.nat(),
      async (wanted, deltas, faults, bounded, startMs) => {
        const { from, length, ...rest } = wanted;
        const spec: Sampling = { ...rest, from, ...(bounded ? { to: from + length } : {}) };
        let at = startMs % 5_000;
        const times = deltas.map(delta => {
          if (delta === null) return null;
          at = Math.round((at + delta) * 1000) / 1000;
          return at;
        });
        const selector = new FrameSelector(spec);
        const selected = times.flatMap((pts, i) => (selector.selects(i, pts) ? [plain(i, pts)] : []));
        const stage = new Stage(
          {
            times,
            failAt: faults.filter(fault => fault.how === 'decoder').map(fault => fault.at),
            inferenceFailsAt: faults.filter(fault => fault.how === 'inference').map(fault => fault.at),
            inferMs: anyOrder(new SeededRandom(deltas.length)),
            pace: () => stage.clock.sleep(20),
          },
          { sampling: spec },
        );
        const stops = faults.filter(fault => fault.how === 'close' || fault.how === 'release');
        for (let result: string | null = null, attempts = 0; result !== 'end'; attempts++) {
          assert.ok(attempts <= faults.length, 'an attempt without a fault ends the log');
          const { runner, decoder, ended, over } = stage.start();
          const stop = stops.shift();
          if (stop !== undefined) {
            await stage.clock.runUntil(over, stage.clock.monotonic() + stop.at * 20);
            runner.stop(stop.how === 'close' ? 'close' : 'release');
          }
          ({ result } = await ended());
          if ((decoder.began[0] ?? 0) > 0) resumes += 1;
        }
        assert.equal(await stage.predictions(), selected);
      },
    ),
    { seed: 11, numRuns: 400 },
  );
  assert.ok(resumes > 100, `only ${resumes} attempts went on in the middle`);
});

test('N3: with a log that never answers, inference stops at its bound and the decoder at the ring', async () => {
  const stage = new Stage({ times: steady(5_000) });
  const inner = stage.log;
  const writes = { held: true, waiting: 0 };
  stage.log = {
    ...inner,
    async append(key, record, expected) {
      if (writes.held && record.kind === 'frames') {
        writes.waiting += 1;
        throw new WriteRetry('no leader');
      }
      return inner.append(key, record, expected);
    },
  };
  const { decoder, inference, ended } = stage.start();
  await stage.clock.advance(60_000);
  const slots = 2 * LIMITS.ringSlotsPerWorker + LIMITS.ringSlotsLead;
  assert.ok(inference.asked <= 5 * LIMITS.batchFrames + 1, `${inference.asked} inferred`);
  assert.ok(decoder.handed <= inference.asked + slots, `${decoder.handed} decoded`);
  const before = decoder.handed;
  await stage.clock.advance(60_000);
  assert.is(decoder.handed, before);
  assert.ok(writes.waiting > 10);
  writes.held = false;
  const { result } = await ended();
  assert.is(result, 'end');
  assert.is((await stage.predictions()).length, 5_000);
});

test('N4: `close` ends the log at a batch’s edge; a start after it goes on there', async () => {
  const stage = new Stage({ times: steady(400), inferMs: anyOrder(new SeededRandom(1)) });
  const { runner, ended, committed } = stage.start();
  await stage.clock.runUntil(() => committed.length > 0, 60_000);
  runner.stop('close');
  const { reason, result } = await ended();
  assert.equal([reason, result], ['shutdown', 'closed']);
  const closed = (await stage.records()).at(-1);
  const passed = (await stage.predictions()).length;
  assert.equal([closed?.kind, closed?.position?.to], ['closed', passed - 1]);
  assert.ok(passed > 0 && passed < 400);
  await stage.start().ended();
  assert.equal(
    await stage.predictions(),
    steady(400).map((pts, i) => plain(i, pts)),
  );
});

test('N4: `release` leaves the log open, with what was inferred in it', async () => {
  const stage = new Stage({ times: steady(400) });
  const { runner, ended, committed, inference } = stage.start();
  await stage.clock.runUntil(() => committed.length > 0, 60_000);
  runner.stop('release');
  const { reason, result } = await ended();
  assert.equal([reason, result], ['shutdown', null]);
  assert.is((await stage.records()).at(-1)?.kind, 'frames');
  assert.is((await stage.predictions()).length, inference.asked);
});

test('N4: a stop before the first frame ends an empty log', async () => {
  const stage = new Stage({ times: steady(10) });
  const { runner, ended } = stage.start();
  runner.stop('close');
  assert.is((await ended()).result, 'closed');
  assert.is(story(await stage.records()), 'open 1, closed 1');
});

test('the sampled range ends the attempt; the rest of the source is not decoded', async () => {
  const stage = new Stage({ times: steady(5_000) }, { sampling: { from: 5, to: 20, every: 5 } });
  const { decoder, ended } = stage.start();
  assert.is((await ended()).result, 'end');
  assert.equal(
    (await stage.predictions()).map(p => p.frame),
    [5, 10, 15, 20],
  );
  assert.is(decoder.handed, 4);
  assert.is(decoder.decoded, 22);
  const beyond = new Stage({ times: steady(10) }, { sampling: { from: 50 } });
  assert.is((await beyond.start().ended()).result, 'end');
  assert.equal(await beyond.predictions(), []);
  assert.equal(
    (await beyond.records()).map(record => record.position?.to),
    [undefined, 9, 9],
  );
});

test('a range that an earlier attempt passed is not decoded at all', async () => {
  const stage = new Stage({ times: steady(100), failAt: [] }, { sampling: { to: 20 } });
  const inner = stage.log;
  stage.log = {
    ...inner,
    append: async (key, record, expected) => {
      if (record.kind === 'end' && record.attempt === 1) throw new Error('power cut');
      return inner.append(key, record, expected);
    },
  };
  assert.equal((await stage.start().ended()).result, null);
  const second = stage.start();
  assert.is((await second.ended()).result, 'end');
  assert.equal(second.decoder.began, []);
  assert.is((await stage.predictions()).length, 21);
});

test('N5: it beats from the start, its progress grows with frames, and it beats no more when it is over', async () => {
  const stage = new Stage({ times: steady(5_000), inferMs: () => 100 });
  const beats: { key: string; progress: number }[] = [];
  stage.bus.subscribe(SUBJECTS.heartbeats('runner'), ({ body }) =>
    beats.push(JSON.parse(Buffer.from(body).toString())),
  );
  const { ended } = stage.start();
  await stage.clock.settle();
  assert.equal(
    beats.map(beat => beat.key),
    ['cam.1.0.1'],
  );
  await stage.clock.advance(1_000);
  assert.ok(beats.length >= 10);
  const progress = beats.map(beat => beat.progress);
  assert.equal(
    progress,
    progress.toSorted((a, b) => a - b),
  );
  assert.ok((progress.at(-1) ?? 0) > (progress[2] ?? 0));
  await ended();
  const after = beats.length;
  await stage.clock.advance(1_000);
  assert.is(beats.length, after);
});

test('L8: what the model finds from `recordThreshold` on is logged; `threshold` applies when it is read', async () => {
  const stage = new Stage({ times: steady(3) }, { threshold: 0.85, recordThreshold: 0.2 });
  const { ended, inference } = stage.start();
  await ended();
  assert.is(inference.opened?.recordThreshold, 0.2);
  const last = (await stage.predictions()).at(-1);
  assert.ok(last);
  assert.equal(last, plain(2, 80));
  const read = atThreshold(last, 0.85);
  assert.equal('detections' in read && read.detections.map(d => d.score), [0.9]);
  const lower = new Stage({ times: steady(1) }, { threshold: 0.05 });
  const attempt = lower.start();
  await attempt.ended();
  assert.is(attempt.inference.opened?.recordThreshold, 0.05, 'the log holds at least what is read');
});

test('N8: when decoding breaks off, everything before the break is in the log, and the attempt fails', async () => {
  const stage = new Stage({ times: steady(200), failAt: [150], inferMs: () => 40 });
  const { reason } = await stage.start().ended();
  assert.equal(typeof reason === 'object' && [reason.error.code, reason.error.frame], ['decode_failed', 150]);
  assert.equal(
    await stage.predictions(),
    steady(150).map((pts, i) => plain(i, pts)),
  );
});

test('N8: a stop while what was decoded before a break is inferred is a stop, and no failure', async () => {
  for (const [mode, result] of [
    ['close', 'closed'],
    ['release', null],
  ] as const) {
    const stage = new Stage({ times: steady(200), failAt: [3], inferMs: () => 1_000 });
    const { runner, decoder, ended } = stage.start();
    await stage.clock.runUntil(() => decoder.handed === 3, 60_000);
    await stage.clock.settle();
    runner.stop(mode);
    const outcome = await ended();
    assert.equal([outcome.reason, outcome.result], ['shutdown', result]);
    assert.is((await stage.predictions()).length, 3);
  }
});

test('N8: of a file that was found changed nothing more is appended', async () => {
  const stage = new Stage({ times: steady(20), failAt: [10], failsWith: 'source_changed', inferMs: () => 1_000 });
  const { reason } = await stage.start().ended();
  assert.is(typeof reason === 'object' && reason.error.code, 'source_changed');
  assert.is((await stage.predictions()).length, 0);
});

test('L9: `skip` logs a frame that cannot be decoded or inferred with its error, in its place', async () => {
  const stage = new Stage(
    { times: steady(12), broken: new Set([0, 5]), inferenceFailsAt: [7] },
    { onFrameError: 'skip' },
  );
  assert.is((await stage.start().ended()).result, 'end');
  const expected = steady(12).map((ptsMs, frame): Prediction => {
    if (frame === 0 || frame === 5) return { frame, ptsMs, error: { code: 'decode_failed', message: 'damaged' } };
    if (frame === 7) return { frame, ptsMs, error: { code: 'inference_failed', message: 'NaN' } };
    return plain(frame, ptsMs);
  });
  assert.equal(await stage.predictions(), expected);
});

test('L9: `fail` ends the attempt at that frame, named; nothing from it on is in the log', async () => {
  for (const code of ['decode_failed', 'inference_failed']) {
    const fault = code === 'decode_failed' ? { broken: new Set([50]) } : { inferenceFailsAt: [50] };
    const stage = new Stage({ times: steady(200), ...fault });
    const { reason, result } = await stage.start().ended();
    assert.equal(typeof reason === 'object' && [reason.error.code, reason.error.frame], [code, 50]);
    assert.is(result, null);
    const passed = await stage.predictions();
    assert.ok(passed.every(p => p.frame < 50));
  }
});

test('L9: what is no frame’s fault fails the attempt, also with `skip`', async () => {
  const stage = new Stage({ times: steady(20), breaksAt: [5] }, { onFrameError: 'skip' });
  const { reason } = await stage.start().ended();
  assert.match(JSON.stringify(reason), /a worker is gone/);
  await stage.start().ended();
  assert.equal(
    await stage.predictions(),
    steady(20).map((pts, i) => plain(i, pts)),
  );
});

test('L9: a damaged frame that is not selected is nobody’s error', async () => {
  const stage = new Stage({ times: steady(20), broken: new Set([1, 7]) }, { sampling: { every: 5 } });
  assert.is((await stage.start().ended()).result, 'end');
  assert.equal(
    (await stage.predictions()).map(p => p.frame),
    [0, 5, 10, 15],
  );
});

test('a class that the model does not have fails the attempt with the classes there are', async () => {
  const stage = new Stage({ times: steady(5) }, { classes: ['zebra'] });
  const { reason } = await stage.start().ended();
  assert.is(typeof reason === 'object' && reason.error.code, 'class_unknown');
  assert.match(JSON.stringify(reason), /circle, square/);
});

test.run();
