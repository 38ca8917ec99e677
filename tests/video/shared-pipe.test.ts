import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SharedPipeReader, sharedPipe, writeBlocking } from '../../src/infra/video/shared-pipe.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('shared pipe');

const CAPACITY = 64;
/** The n-th byte written. */
const byteAt = (n: number): number => (n * 31 + (n >> 8)) & 0xff;

/** A thread that writes `total` bytes in chunks of the sizes given, in turn, and ends. */
function writer(total: number, sizes: readonly number[]) {
  const pipe = sharedPipe(CAPACITY);
  const code = `
    const { workerData: { pipe, total, sizes } } = require('node:worker_threads');
    const byteAt = ${byteAt.toString()};
    import(${JSON.stringify(new URL('../../src/infra/video/shared-pipe.ts', import.meta.url).href)}).then(({ writeBlocking }) => {
      for (let at = 0, turn = 0; at < total; turn++) {
        const size = Math.min(sizes[turn % sizes.length], total - at);
        writeBlocking(pipe, Uint8Array.from({ length: size }, (_, i) => byteAt(at + i)));
        at += size;
      }
    });`;
  const worker = new Worker(code, { eval: true, workerData: { pipe, total, sizes } });
  const reader = new SharedPipeReader(pipe);
  worker.once('exit', () => reader.end());
  const written = (): number => Atomics.load(pipe.counts, 0) >>> 0;
  return { pipe, worker, reader, written };
}

test('SP2: every byte comes once and in order, in chunks smaller and larger than the pipe, and then the end', async () => {
  const { reader } = writer(10_000, [1, 7, CAPACITY, 3 * CAPACITY + 5]);
  let at = 0;
  for await (const chunk of reader as AsyncIterable<Buffer>) {
    for (const byte of chunk) assert.is(byte, byteAt(at++));
    await turn();
  }
  assert.is(at, 10_000);
});

test('SP1: a writer whose reader takes nothing stops when the pipe is full', async () => {
  const { reader, worker, written } = writer(10 * CAPACITY, [10]);
  await waitUntil('the pipe is full', () => written() === CAPACITY);
  for (let turns = 0; turns < 100; turns++) await turn();
  assert.is(written(), CAPACITY);
  assert.not.ok(reader.isDrained);
  await worker.terminate();
  const chunks = (await reader.toArray()) as Buffer[];
  assert.is(Buffer.concat(chunks).length, CAPACITY, 'what a thread wrote before it was ended can still be read');
});

test('SP2: counts that wrap around lose nothing', async () => {
  const pipe = sharedPipe(CAPACITY);
  pipe.counts.fill(2 ** 31 - 10);
  const reader = new SharedPipeReader(pipe);
  writeBlocking(
    pipe,
    Uint8Array.from({ length: 40 }, (_, i) => i),
  );
  reader.end();
  const chunks = (await reader.toArray()) as Buffer[];
  assert.equal(
    [...Buffer.concat(chunks)],
    Array.from({ length: 40 }, (_, i) => i),
  );
});

test('a reader that is destroyed while it waits leaves nobody waiting at the pipe', async () => {
  const pipe = sharedPipe(CAPACITY);
  const reader = new SharedPipeReader(pipe);
  reader.resume();
  await turn();
  reader.destroy();
  await once(reader, 'close');
  assert.is(Atomics.notify(pipe.counts, 0), 0);
});

test.run();
