// shared
/** A machine without ffmpeg where none can be brought: a checkout of its own, and on the search path only what a node runs. */
import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { programs } from '../../src/infra/config.ts';
import { asset } from '../../src/infra/process/assets.ts';
import { findProgram } from '../../src/infra/process/find-program.ts';
import { natsServerBinary } from '../support/nats.ts';
import { startTestNode } from '../support/node.ts';

const test = suite('without ffmpeg');
const folder = mkdtempSync(path.join(tmpdir(), 'troupe-no-ffmpeg-'));
const checkout = path.join(folder, 'checkout');
const bare = path.join(folder, 'bare');
const started: ChildProcess[] = [];

test.before(() => {
  mkdirSync(path.join(checkout, '.troupe', 'bin'), { recursive: true });
  mkdirSync(bare);
  const { searchPath, own } = programs();
  for (const name of ['cat', 'flock']) {
    const file = findProgram(name, { given: undefined, searchPath, own });
    if (file !== null) symlinkSync(file, path.join(bare, name));
  }
  for (const name of ['src', 'scripts', 'package.json', 'package-lock.json'])
    cpSync(asset(name), path.join(checkout, name), { recursive: true });
  for (const name of ['node_modules', 'models', 'test_videos']) symlinkSync(asset(name), path.join(checkout, name));
  symlinkSync(natsServerBinary(), path.join(checkout, '.troupe', 'bin', 'nats-server'));
});

test.after(() => {
  for (const child of started) if (child.exitCode === null) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 20 });
});

async function demo(...args: readonly string[]) {
  const command = [path.join(checkout, 'scripts', 'launch.mjs'), 'scripts/demo.ts', ...args];
  const env = { PATH: bare, HOME: folder };
  const child = spawn(process.execPath, command, { cwd: checkout, env, stdio: ['ignore', 'pipe', 'pipe'] });
  started.push(child);
  const code = new Promise<number | null>(resolve => child.on('close', resolve));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await code, stdout, stderr };
}

test('the demo goes on with ffmpeg.wasm, says so, and finds what is in the video', async () => {
  const { code, stdout, stderr } = await demo();
  assert.is(code, 0, stderr);
  assert.match(stderr, /^troupe setup: ffmpeg could not be brought .*ffmpeg\.wasm/m);
  assert.match(stderr, /^video is decoded by ffmpeg\.wasm 5\.1\.4, since ffmpeg and ffprobe were not found/m);
  const [, precision, recall] = /truth: precision (\S+), recall (\S+) /.exec(stdout) ?? [];
  assert.ok(Number(precision) > 0.9 && Number(recall) > 0.9, stdout);
  const results = path.join(checkout, '.troupe', 'demo', 'test_video.mp4.predictions.jsonl');
  const frames = readFileSync(results, 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => (JSON.parse(line) as { frame: number }).frame);
  assert.equal(
    frames,
    Array.from({ length: 600 }, (_, i) => i),
  );
});

test('the demo with --seed says that it needs ffmpeg', async () => {
  const { code, stderr } = await demo('--seed', '7');
  assert.is(code, 1);
  assert.match(stderr, /^demo: --seed draws a video, which only a native ffmpeg can encode.*npm run setup/m);
});

test('/nodes names the decoder, so that a resume never mixes it with another', async () => {
  const where = { ...programs(), ffmpeg: undefined, searchPath: bare, own: bare, natsServer: natsServerBinary() };
  await using node = await startTestNode({ programs: where, spares: 0 });
  const { text: nodes } = await node.call('GET', '/api/v1/nodes');
  assert.match(nodes, '"decoder":"ffmpeg.wasm 5.1.4"');
  assert.ok(node.log.some(line => line.startsWith('video is decoded by ffmpeg.wasm 5.1.4, since')));
});

test.run();
