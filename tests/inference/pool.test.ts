// shared
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FrameRing } from '../../src/actors/ports/frame-ring.ts';
import type { InferenceOptions, InferencePool } from '../../src/actors/ports/inference.ts';
import type { LocalModel } from '../../src/domain/model.ts';
import type { Detection } from '../../src/domain/prediction.ts';
import { openModelCatalog } from '../../src/infra/inference/model-catalog.ts';
import { inferenceFactory } from '../../src/infra/inference/pool.ts';
import { integerField as int } from '../../src/infra/inference/protobuf.ts';
import { asset } from '../../src/infra/process/assets.ts';
import { loadReferenceModel } from '../reference/loop.ts';
import { waitUntil } from '../support/wait-until.ts';
import { drawShapes, paint } from './frames.ts';
import { attribute, FLOAT, integers, node, onnxModel, UINT8 } from './onnx-model.ts';
import { rejection } from './refusal.ts';
import { shared, testWith } from './shared-assets.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'troupe-pool-'));
const catalog = await openModelCatalog({
  dirs: [asset('models')],
  roots: [folder, shared()],
});
const never = new AbortController().signal;

const test = suite('inference pool');
test.after(() => rmSync(folder, { recursive: true, force: true }));

interface Running {
  readonly pool: InferencePool;
  readonly ring: FrameRing;
}

async function start(model: LocalModel, options: Partial<InferenceOptions> = {}, slots = 4): Promise<Running> {
  const { width, height } = model.info.input;
  const ring = new FrameRing(slots, 3 * width * height);
  const defaults = { picture: { width, height }, workers: 1, recordThreshold: 0.1, iou: 0.45, classIds: null };
  return { ring, pool: await inferenceFactory().open({ model, ring, ...defaults, ...options }, never) };
}

/** For tests with a slot for each of their frames. */
function inferFrame({ pool, ring }: Running, frame: Uint8Array): Promise<Detection[]> {
  const slot = ring.acquire();
  if (slot === null) throw new Error('no slot is free');
  ring.view(slot).set(frame);
  return pool.infer(slot);
}

/** R1: all slots are free, each once. */
function assertAllFree(ring: FrameRing): void {
  const free = new Set<number>();
  for (let slot = ring.acquire(); slot !== null; slot = ring.acquire()) {
    assert.not.ok(free.has(slot), `slot ${slot} is free twice`);
    free.add(slot);
  }
  assert.is(free.size, ring.slots);
}

/** A model whose output [1, 7, 84] is its 588 input bytes, through one more operator. */
async function byteModel(operator: string): Promise<LocalModel> {
  const file = path.join(folder, `${operator}.onnx`);
  writeFileSync(
    file,
    onnxModel({
      inputs: [{ name: 'x', type: UINT8, dims: [1, 3, 14, 14] }],
      outputs: [{ name: 'y', type: FLOAT, dims: [1, 7, 84] }],
      graph: [
        node('Cast', ['x'], 'f', attribute('to', int(3, FLOAT), int(20, 2))),
        node('Reshape', ['f', 'shape'], 'r'),
        node(operator, ['r'], 'y'),
        integers('shape', [1, 7, 84]),
      ],
    }),
  );
  return catalog.resolve(file);
}

test('squares of pure colour are found exactly, in displayed pixels', async () => {
  const model = await catalog.resolve('colorblob');
  // 640 × 320 lies as 320 × 160 at (0, 80) in the input: everything doubles.
  const running = await start(model, { picture: { width: 640, height: 320 } });
  const frame = paint(
    320,
    { color: 'red', x: 16, y: 96, side: 64 },
    { color: 'green', x: 136, y: 112, side: 32 },
    { color: 'blue', x: 240, y: 160, side: 64 },
  );
  const sure = (await inferFrame(running, frame)).filter(d => d.score > 0.9);
  assert.equal(sure, [
    { class: 'red', classId: 0, score: 1, box: [32, 32, 128, 128] },
    { class: 'green', classId: 1, score: 1, box: [272, 64, 64, 64] },
    { class: 'blue', classId: 2, score: 1, box: [480, 160, 128, 128] },
  ]);
  assert.equal(running.pool.engine.provider, 'cpu');
  await running.pool[Symbol.asyncDispose]();
});

test('IP1, IP2: with frames overlapping in few slots, each result is its own frame’s, and each slot comes back once', async () => {
  const running = await start(await catalog.resolve('colorblob'), { workers: 2, recordThreshold: 0.9 }, 3);
  const places = Array.from({ length: 40 }, (_, i) => ({ x: (i % 8) * 32, y: Math.floor(i / 8) * 32 }));
  const results: Promise<Detection[]>[] = [];
  for (const place of places) {
    // As a decoder does it: fill a slot, hand it over, wait for the next one.
    let slot = running.ring.acquire();
    for (; slot === null; slot = running.ring.acquire()) {
      await new Promise<void>(resolve => running.ring.onFree(resolve));
    }
    running.ring.view(slot).set(paint(320, { color: 'red', ...place, side: 32 }));
    results.push(running.pool.infer(slot));
  }
  const boxes = (await Promise.all(results)).map(([first]) => first?.box);
  assert.equal(
    boxes,
    places.map(({ x, y }) => [x, y, 32, 32]),
  );
  await running.pool[Symbol.asyncDispose]();
  assertAllFree(running.ring);
});

test('IW1: a slot is free before its result is there', async () => {
  const running = await start(await catalog.resolve('colorblob'), {}, 1);
  const order: string[] = [];
  const slot = running.ring.acquire() ?? 0;
  running.ring.onFree(() => order.push('free'));
  await running.pool.infer(slot).then(() => order.push('result'));
  assert.equal(order, ['free', 'result']);
  await running.pool[Symbol.asyncDispose]();
});

test('IP1: a frame that the model fails on is rejected alone; the pool goes on', async () => {
  const running = await start(await byteModel('Log'), { recordThreshold: 0 });
  const ones = new Uint8Array(3 * 14 * 14).fill(1); // log 1 = 0
  const zeros = new Uint8Array(3 * 14 * 14); // log 0 = −∞
  const results = [inferFrame(running, ones), inferFrame(running, zeros), inferFrame(running, ones)] as const;
  assert.equal(await results[0], []);
  await rejection(results[1], 'inference_failed', /not finite/);
  assert.equal(await results[2], []);
  await running.pool[Symbol.asyncDispose]();
  assertAllFree(running.ring);
});

test('IP1: a lost worker rejects everything that waits or runs, and what comes later', async () => {
  const running = await start(await catalog.resolve('colorblob'), { workers: 2 }, 8);
  const frames = Array.from({ length: 6 }, () => inferFrame(running, paint(320)).catch((error: unknown) => error));
  const outsideOfTheRing = 99; // a defect in the worker's code, as far as it can tell
  await rejection(running.pool.infer(outsideOfTheRing), 'inference_failed', /worker crashed/);
  for (const result of await Promise.all(frames)) assert.ok(Array.isArray(result) || result instanceof Error);
  await rejection(running.pool.infer(0), 'inference_failed', /worker crashed/);
  await running.pool[Symbol.asyncDispose]();
});

test('IP2: a worker that is lost while it runs a frame gives its slot back once', async () => {
  const isLost = new Error('out of memory');
  process.once('worker', worker =>
    worker.on('message', (message: { readonly kind: string }) => {
      if (message.kind === 'copied') worker.emit('error', isLost);
    }),
  );
  const running = await start(await catalog.resolve('colorblob'), {}, 3);
  const frames = Array.from({ length: 3 }, () => inferFrame(running, paint(320)));
  for (const frame of frames) await rejection(frame, 'inference_failed', /worker crashed: out of memory/);
  await running.pool[Symbol.asyncDispose]();
  assertAllFree(running.ring);
});

test('IP4: closing lets running inferences finish, rejects waiting and later ones, and leaves no thread', async () => {
  const running = await start(await catalog.resolve('colorblob'), {}, 6);
  const outcomes = Array.from({ length: 6 }, () =>
    inferFrame(running, paint(320)).then(
      () => 'done',
      (error: Error) => error.message,
    ),
  );
  const closed = running.pool[Symbol.asyncDispose]();
  assert.is(running.pool[Symbol.asyncDispose](), closed);
  await closed;
  const refused = 'the inference pool was closed';
  assert.equal(await Promise.all(outcomes), ['done', 'done', refused, refused, refused, refused]);
  await rejection(inferFrame(running, paint(320)), 'inference_failed', /closed/);
  assertAllFree(running.ring);
  assert.not.ok(process.getActiveResourcesInfo().includes('MessagePort'));
});

test('IP6: threads that were started ahead are used first, each by one pool, and leave with it', async () => {
  const model = await catalog.resolve('colorblob');
  const ring = new FrameRing(4, 3 * 320 * 320);
  const options = { model, ring, picture: ring320, recordThreshold: 0.9, iou: 0.45, classIds: null };
  const threads = (): number => readdirSync('/proc/self/task').length;
  const before = threads();
  const factory = inferenceFactory(2);
  await waitUntil('both are there', () => threads() === before + 2);
  const first = { ring, pool: await factory.open({ ...options, workers: 1 }, never) };
  assert.is(threads(), before + 2);
  const second = { ring, pool: await factory.open({ ...options, workers: 2 }, never) };
  assert.is(threads(), before + 3, 'one more than were ready');
  const square = paint(320, { color: 'red', x: 64, y: 96, side: 32 });
  for (const running of [first, second]) {
    assert.equal((await inferFrame(running, square))[0]?.box, [64, 96, 32, 32]);
    await running.pool[Symbol.asyncDispose]();
  }
  await waitUntil('all have left', () => threads() === before);
});

test('IP5: a file that changed since it was registered is not run', async () => {
  const model = await byteModel('Sqrt');
  writeFileSync(model.file, onnxModel());
  await rejection(start(model), 'model_unsupported', /has changed since it was registered/);
});

test('a model that onnxruntime refuses is model_unsupported, with its reason', async () => {
  await rejection(
    byteModel('NoSuchOperator').then(m => start(m)),
    'model_unsupported',
    /cannot load.*NoSuchOperator/s,
  );
});

test('opening stops when its signal aborts, and leaves no thread', async () => {
  const model = await catalog.resolve('colorblob');
  const ring = new FrameRing(1, 3 * 320 * 320);
  const options = { model, ring, picture: ring320, workers: 2, recordThreshold: 0.1, iou: 0.5, classIds: null };
  const reason = new Error('enough');
  const abort = new AbortController();
  const opening = inferenceFactory().open(options, abort.signal);
  setImmediate(() => abort.abort(reason));
  assert.is(await opening.catch((error: unknown) => error), reason);
  assert.not.ok(process.getActiveResourcesInfo().includes('MessagePort'));
});
const ring320 = { width: 320, height: 320 };

async function assertLikeReference(model: LocalModel, frames: readonly Uint8Array[]): Promise<void> {
  const picture = { width: 1000, height: 700 };
  const reference = await loadReferenceModel(model.file);
  const running = await start(model, { picture, workers: 2 });
  let found = 0;
  for (const frame of frames) {
    const detections = await inferFrame(running, frame);
    assert.is(
      JSON.stringify(detections),
      JSON.stringify(await reference.detect(frame, picture, { threshold: 0.1, iou: 0.45 })),
    );
    found += detections.length;
  }
  assert.ok(found > 0, 'something was found');
  await running.pool[Symbol.asyncDispose]();
}

test('shapes: detections equal the reference’s, byte for byte', async () => {
  const frames = Array.from({ length: 10 }, (_, seed) => drawShapes(320, seed));
  await assertLikeReference(await catalog.resolve('shapes'), frames);
});

const yolox = shared('models', 'yolox_nano.onnx');

testWith(test, [yolox], 'yolox: detections equal the reference’s, byte for byte', async () => {
  const frames = Array.from({ length: 4 }, (_, seed) => drawShapes(416, seed));
  await assertLikeReference(await catalog.resolve(yolox), frames);
});

test.run();
