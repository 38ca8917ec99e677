// shared
/** The bundle, moved away from the checkout and without node_modules, on a bare account. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { programs } from '../../src/infra/config.ts';
import { asset, root } from '../../src/infra/process/assets.ts';
import { findFfmpeg } from '../../src/infra/process/find-program.ts';
import { natsServerBinary } from '../support/nats.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('bundle');
const folder = mkdtempSync(path.join(tmpdir(), 'troupe-bundle-'));
const bundle = path.join(folder, 'moved');
const home = path.join(folder, 'home');
const started: ChildProcess[] = [];

function node(file: string, args: readonly string[], env: NodeJS.ProcessEnv, cwd: string) {
  const child = spawn(process.execPath, [file, ...args], { cwd, env, stdio: ['ignore', 'pipe', 'inherit'] });
  started.push(child);
  const ended = new Promise<number | null>(resolve => child.on('close', resolve));
  return { child, ended };
}

/** The bundle with nothing of this account: no HOME of its own, no search path but the system's. */
function troupe(args: readonly string[], cwd: string, more: NodeJS.ProcessEnv = {}) {
  const { ffmpeg: given, searchPath, own } = programs();
  const env = {
    PATH: '/usr/bin:/bin',
    HOME: home,
    TROUPE_FFMPEG: findFfmpeg({ given, searchPath, own })?.ffmpeg,
    TROUPE_NATS_SERVER: natsServerBinary(),
    ...more,
  };
  return node(path.join(bundle, 'troupe.mjs'), args, env, cwd);
}

test.before(async () => {
  const built = path.join(folder, 'built');
  const { ended } = node(asset('scripts', 'bundle.ts'), ['--out', built], process.env, root);
  assert.is(await ended, 0);
  renameSync(built, bundle);
  mkdirSync(home);
});

test.after(() => {
  for (const child of started) if (child.exitCode === null) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 20 });
});

test('BU1, BU2: up serves its page, and a scenario over HTTP completes with every frame', async () => {
  const { child, ended } = troupe(['up', '--port', '0', '--data', path.join(folder, 'data')], bundle);
  let stdout = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk;
  });
  await waitUntil('the node is ready', () => stdout.includes('\n') || child.exitCode !== null, 60_000);
  const [, url = ''] = /^troupe ready (\S+) /.exec(stdout) ?? [];
  const get = (at: string): Promise<Response> => fetch(url + at);

  for (const at of ['/docs', '/docs/static/swagger-ui-bundle.js', '/docs/static/logo.svg', '/docs/json'])
    assert.is((await get(at)).status, 200, at);

  const request = { id: 'demo', source: { uri: 'test_videos/test_video.mp4' }, model: 'shapes' };
  const answer = await fetch(`${url}/api/v1/scenarios`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...request, sampling: { every: 5 } }),
  });
  assert.is(answer.status, 201, await answer.text());
  let scenario: Record<string, unknown> = {};
  await waitUntil(
    'the scenario has ended',
    async () => {
      scenario = (await (await get('/api/v1/scenarios/demo?wait=10')).json()) as typeof scenario;
      return scenario['state'] === 'inactive';
    },
    120_000,
  );
  assert.is(scenario['outcome'], 'completed', JSON.stringify(scenario['error']));
  const lines = (await (await get('/api/v1/scenarios/demo/export')).text()).trimEnd().split('\n');
  assert.equal(
    lines.map(line => (JSON.parse(line) as { frame: number }).frame),
    Array.from({ length: 120 }, (_, i) => 5 * i),
  );

  child.kill('SIGTERM');
  assert.is(await ended, 0);
});

test('BU1, BU2: run embeds a node with its data below HOME, and writes the results of every frame that ffmpeg.wasm decodes', async () => {
  const video = path.join(bundle, 'test_videos', 'test_video.mp4');
  const { child, ended } = troupe(['run', video, '--out', 'results.jsonl'], folder, { TROUPE_DECODER: 'wasm' });
  assert.ok(child.stdout !== null);
  const said = await text(child.stdout);
  assert.is(await ended, 0);
  assert.match(said, /: 600 frames in /);
  assert.match(said, /\n {2}circle +\d+ detections\n/);
  assert.is(readFileSync(path.join(folder, 'results.jsonl'), 'utf8').split('\n').length, 601);
});

/** Not in the code, but beside it. */
const CARRIED = ['@ffmpeg/core', 'better-sqlite3', 'onnxruntime-node'];

test('BU3: THIRD-PARTY.txt names every package whose code or files are inside', () => {
  const code = readFileSync(path.join(bundle, 'troupe.mjs'), 'utf8');
  const notices = readFileSync(path.join(bundle, 'THIRD-PARTY.txt'), 'utf8');
  const inside = new Set([...code.matchAll(/^ *\/\/ node_modules\/((?:@[^/]+\/)?[^/]+)\//gm)].map(([, name]) => name));
  assert.ok(inside.has('fastify') && inside.has('onnxruntime-node') && inside.has('@nats-io/transport-node'));
  const named = new Set([...notices.matchAll(/^(\S+) \d+\.\d+\.\d+\S*: \S+/gm)].map(([, name]) => name));
  assert.equal(
    [...inside, ...CARRIED].filter(name => !named.has(name)),
    [],
  );
});

test.run();
