/** What holds for all inputs of the pure parts that every frame passes, beside what their own tests say of some. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { RunView } from '../../src/actors/ports/gateway.ts';
import { FrameOrder } from '../../src/actors/runner/frame-order.ts';
import { exportCsv, exportLines } from '../../src/api/export-stream.ts';
import type { Position } from '../../src/domain/log-record.ts';
import type { Prediction } from '../../src/domain/prediction.ts';
import { rendezvous } from '../../src/domain/rendezvous.ts';
import { FrameSelector, type Sampling } from '../../src/domain/sampling.ts';
import { partitionOf } from '../../src/domain/subjects.ts';
import { Candidates } from '../../src/infra/inference/candidates.ts';
import { nonMaximumSuppression } from '../../src/infra/inference/nms.ts';
import { openProjection } from '../../src/infra/sqlite/projection-store.ts';
import { IDENTITY, LogWriter } from '../projection/log-entries.ts';

const test = suite('properties');
const SEED = { seed: 1 };

type Times = readonly (number | null)[];

/** As a runner does it: what is selected of the frames `from` up to `to`, and where its log stands then. */
function attempt(sampling: Sampling, times: Times, position: Position | null, to: number) {
  const selector = new FrameSelector(sampling, position?.startPts ?? null, position?.selectedPts ?? null);
  const order = new FrameOrder(position, index => index >= (sampling.from ?? 0));
  const selected: number[] = [];
  for (let index = (position?.to ?? -1) + 1; index < to; index++) {
    const ptsMs = times[index] ?? null;
    if (selector.selects(index, ptsMs)) order.expect(index, ptsMs)({ frame: index, ptsMs, detections: [] });
    else order.pass(index, ptsMs);
  }
  let stands = position;
  for (let batch = order.take(); batch !== null; batch = order.take()) {
    selected.push(...batch.predictions.map(({ frame }) => frame));
    stands = batch.position;
  }
  return { selected, position: stands };
}

/** Mostly forwards, now and then back, or none. */
const anyTimes = fc
  .array(fc.tuple(fc.integer({ min: -60_000, max: 120_000 }), fc.nat(9)), { minLength: 1, maxLength: 80 })
  .map(steps => {
    let us = 0;
    return steps.map(([step, odd]) => {
      us += odd === 0 ? step : Math.abs(step);
      return odd === 1 ? null : us / 1000;
    });
  });
const anySampling: fc.Arbitrary<Sampling> = fc
  .record(
    {
      every: fc.integer({ min: 1, max: 9 }),
      fps: fc.oneof(fc.integer({ min: 1, max: 60 }), fc.constantFrom(0.5, 23.976, 29.97)),
      from: fc.nat(30),
      to: fc.nat(80),
    },
    { requiredKeys: [] },
  )
  .map(({ every, fps, ...range }) => (fps === undefined ? { ...range, ...(every && { every }) } : { ...range, fps }));

test('sampling: a run that is cut into attempts anywhere selects the frames that one attempt selects', () => {
  const cuts = fc.array(fc.nat(80), { maxLength: 6 });
  const same = fc.property(anyTimes, anySampling, cuts, (times, sampling, places) => {
    const whole = attempt(sampling, times, null, times.length);
    let position: Position | null = null;
    const selected: number[] = [];
    for (const to of [...places.filter(at => at < times.length).toSorted((a, b) => a - b), times.length]) {
      const next = attempt(sampling, times, position, to);
      selected.push(...next.selected);
      position = next.position;
    }
    assert.equal(selected, whole.selected);
    assert.equal(position, whole.position);
  });
  fc.assert(same, { ...SEED, numRuns: 1_000 });
});

const anyNodes = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 8 });

test('rendezvous: a node that comes takes partitions and moves no other; one that goes gives away its own', () => {
  const moves = fc.property(anyNodes, fc.string({ minLength: 13, maxLength: 14 }), fc.nat(4_095), (nodes, one, p) => {
    const before = rendezvous(nodes, p);
    const after = rendezvous([...nodes, one], p);
    assert.ok(after === before || after === one, `${before} → ${after}`);
    assert.is(rendezvous([one, ...nodes].toReversed(), p), after, 'the order of the names');
    for (const gone of nodes) {
      const left = nodes.filter(node => node !== gone);
      if (gone !== before) assert.is(rendezvous(left, p), before);
      else assert.ok(left.length === 0 ? rendezvous(left, p) === null : left.includes(rendezvous(left, p) ?? ''));
    }
  });
  fc.assert(moves, { ...SEED, numRuns: 1_000 });
});

/** FNV-1a with 32 bits, as draft-eastlake-fnv writes it. */
const fnv = (text: string): number =>
  Number(Buffer.from(text).reduce((hash, byte) => ((hash ^ BigInt(byte)) * 16_777_619n) % 2n ** 32n, 2_166_136_261n));

test('partitions: the hash is FNV-1a with 32 bits', () => {
  assert.equal([fnv('a'), fnv('foobar')], [0xe40c292c, 0xbf9cf968]); // its test vectors
  const same = fc.property(fc.string({ unit: 'binary' }), fc.string(), fc.integer({ min: 1, max: 4096 }), (a, b, n) =>
    assert.is(partitionOf(a, b, n), fnv(a + b) % n),
  );
  fc.assert(same, { ...SEED, numRuns: 1_000 });
});

test('suppression: what it has kept, it keeps', () => {
  const side = fc.integer({ min: 1, max: 30 });
  const box = fc.tuple(fc.nat(2), fc.nat(20), fc.nat(40), fc.nat(40), side, side);
  const idempotent = fc.property(fc.array(box, { maxLength: 40 }), fc.nat(10), (boxes, tenths) => {
    const keptOf = (some: typeof boxes): number[] => {
      const into = new Candidates(some.length);
      for (const [anchor, [classId, score, ...rest]] of some.entries()) into.push(anchor, classId, score / 20, ...rest);
      return nonMaximumSuppression(into, tenths / 10, null);
    };
    const kept = keptOf(boxes).flatMap(i => boxes.slice(i, i + 1));
    assert.equal(keptOf(kept), [...kept.keys()]);
  });
  fc.assert(idempotent, { ...SEED, numRuns: 500 });
});

const anyName = fc.oneof(
  fc.string(),
  fc.string({ unit: fc.constantFrom('"', ',', '\n', '\r', '\r\n', ' ', 'a', '=') }),
);
const anyNumber = fc.integer({ min: -100_000, max: 1_000_000 }).map(n => n / 100);
const anyDetection = fc.record({
  class: anyName,
  classId: fc.nat(90),
  score: fc.nat(10_000).map(n => n / 10_000),
  box: fc.tuple(anyNumber, anyNumber, anyNumber, anyNumber),
});
const anyPredictions = fc
  .array(
    fc.oneof(
      fc.record({ ptsMs: fc.option(anyNumber), detections: fc.array(anyDetection, { maxLength: 4 }) }),
      fc.record({
        ptsMs: fc.option(anyNumber),
        error: fc.record({ code: fc.constant('decode_failed'), message: anyName }),
      }),
    ),
    { maxLength: 8 },
  )
  // As JSON has it: fast-check's records have no prototype.
  .map(all => JSON.parse(JSON.stringify(all.map((one, frame) => ({ frame, ...one })))) as Prediction[]);

test('exports: read back, JSONL is the predictions and CSV their detections, whatever a class is called', async () => {
  const roundTrip = fc.asyncProperty(anyPredictions, async predictions => {
    const store = openProjection(':memory:');
    try {
      const log = new LogWriter().run('cam', 1, 1, null);
      const [open, frames] = log.entries;
      if (open === undefined || frames?.record.kind !== 'frames') throw new Error('no run');
      const { length } = predictions;
      const position = { ...frames.record.position, to: Math.max(0, length - 1), frames: length };
      store.apply(IDENTITY, [open, { ...frames, record: { ...frames.record, position, predictions } }]);
      const view = { scenario: { id: 'cam' }, run: 1, threshold: 0, ended: true } as unknown as RunView;
      const lines = await textOf(exportLines(store, view));
      assert.equal(
        lines
          .split('\n')
          .slice(0, -1)
          .map(line => JSON.parse(line) as unknown),
        predictions,
      );
      const [, ...rows] = rowsOf(await textOf(exportCsv(store, view)));
      const detections = predictions.flatMap(one =>
        'detections' in one ? one.detections.map(d => ({ ...one, d })) : [],
      );
      assert.equal(
        rows.map(([frame, ptsMs, name, ...rest]) => [
          Number(frame),
          ptsMs === '' ? null : Number(ptsMs),
          name,
          ...rest.map(Number),
        ]),
        detections.map(({ frame, ptsMs, d }) => [frame, ptsMs, d.class, d.classId, d.score, ...d.box]),
      );
    } finally {
      store.close();
    }
  });
  await fc.assert(roundTrip, { ...SEED, numRuns: 200 });
});

async function textOf(parts: AsyncIterable<string>): Promise<string> {
  let text = '';
  for await (const part of parts) text += part;
  return text;
}

/** CSV as RFC 4180 has it, character by character. */
function rowsOf(text: string): string[][] {
  const rows: string[][] = [];
  let [row, field, quoted]: [string[], string, boolean] = [[], '', false];
  for (let i = 0; i < text.length; i++) {
    const char = text[i] ?? '';
    assert.ok(quoted || char !== '\r', 'to some readers it ends a line');
    if (quoted && char === '"' && text[i + 1] === '"') field += text[i++];
    else if (char === '"') quoted = !quoted;
    else if (quoted || (char !== ',' && char !== '\n')) field += char;
    else {
      row.push(field);
      field = '';
      if (char === '\n') {
        rows.push(row);
        row = [];
      }
    }
  }
  assert.ok(!quoted && field === '' && row.length === 0, 'it ends with a line');
  return rows;
}

test.run();
