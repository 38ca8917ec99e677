// shared
/** The command line on real nodes, a real video and a real model. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { asset } from '../../src/infra/process/assets.ts';
import { Workplace } from '../support/troupe-command.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('cli');
const VIDEO = asset('test_videos', 'test_video.mp4');
const RESULTS = 'test_video.mp4.predictions.jsonl';

/** What an undisturbed run wrote. */
let undisturbed = '';

test('U1, U2: up serves what run asks for, its export is the file, it keeps DATA to itself and drains', async () => {
  using place = new Workplace();
  const node = place.start(['up', '--port', '0', '--root', path.dirname(VIDEO)]);
  await waitUntil('the node is ready', () => node.stdout().includes('\n'), 60_000);
  const [, url] = /^troupe ready (http:\/\/127\.0\.0\.1:\d+) nats:\/\/127\.0\.0\.1:\d+\n$/.exec(node.stdout()) ?? [];
  assert.is(JSON.parse(readFileSync(path.join(place.data, 'endpoint.json'), 'utf8')).url, url);

  const run = await place.run(['run', VIDEO, '--id', 'whole']);
  assert.is(run.code, 0, run.stderr);
  assert.match(run.stdout, /^whole: 600 frames in [\d.]+ s .*\n {2}circle +\d+ detections\n/);
  assert.ok(run.stdout.endsWith(`results: ${path.join(place.folder, RESULTS)}\n`));
  undisturbed = place.read(RESULTS);
  assert.is(undisturbed.split('\n').length, 601);
  assert.is((await place.run(['export', 'whole'])).stdout, undisturbed);
  assert.match((await place.run(['ls'])).stdout, /whole +inactive +completed +1 +600/);
  assert.match((await place.run(['tree'])).stdout, /nats-server +running +pid \d+/);

  const second = await place.run(['up', '--port', '0']);
  assert.is(second.code, 1);
  assert.match(second.stderr, new RegExp(`^troupe: ${place.data} is in use by process ${node.child.pid}`));

  const removed = await place.run(['rm', 'whole']);
  assert.is(removed.stdout, 'whole deleted\n');
  assert.is((await place.run(['show', 'whole'])).code, 1);

  node.child.kill('SIGTERM');
  const { code, stdout } = await node.ended;
  assert.is(code, 0);
  assert.is(stdout.split('\n').length, 2, 'one line');
  assert.not.ok(existsSync(path.join(place.data, 'endpoint.json')));
});

test('R1, J1: Ctrl-C ends an embedded run with 130, and the command it names goes on to the same bytes', async () => {
  using place = new Workplace();
  const run = place.start(['run', VIDEO, '--id', 'cut']);
  await place.midway('cut');
  run.signal('SIGINT');
  const { code, stdout, stderr } = await run.ended;
  assert.is(code, 130, stderr);
  assert.is(stdout, '');
  const [, command] = /go on with: troupe (.*)\n/.exec(stderr) ?? [];
  assert.is(command, `run ${VIDEO} --id cut`);
  assert.equal(readdirSync(place.folder), ['data'], 'J2: no results, no half of them');

  const again = await place.run(command?.split(' ') ?? []);
  assert.is(again.code, 0, again.stderr);
  assert.is(place.read(RESULTS), undisturbed);

  const other = await place.run(['run', VIDEO, '--id', 'cut', '--every', '2']);
  assert.is(other.code, 1);
  assert.match(other.stderr, /^troupe: there is a scenario cut with another request/m);
});

test('N2: a run whose node is killed brings a node of its own and goes on to the same bytes', async () => {
  using place = new Workplace();
  const node = place.start(['up', '--port', '0', '--root', path.dirname(VIDEO)]);
  await waitUntil('the node is ready', () => node.stdout().includes('\n'), 60_000);
  const run = place.start(['run', VIDEO, '--id', 'orphan']);
  await place.midway('orphan');
  node.child.kill('SIGKILL');
  const { code, stderr } = await run.ended;
  assert.is(code, 0, stderr);
  assert.is(place.read(RESULTS), undisturbed);
});

test('a video that is none fails with 1, says why, and leaves no results', async () => {
  using place = new Workplace();
  writeFileSync(path.join(place.folder, 'text.mp4'), 'this is no video');
  const { code, stdout, stderr } = await place.run(['run', 'text.mp4']);
  assert.is(code, 1);
  assert.is(stdout, '');
  assert.match(stderr, /^troupe: cannot read .*text\.mp4/m);
  assert.equal(readdirSync(place.folder).sort(), ['data', 'text.mp4']);
});

test('--json prints the scenario and where its results are; an embedded node takes the decoder and the sandbox that run names', async () => {
  using place = new Workplace();
  const own = ['--decoder', 'wasm', '--sandbox', 'none'];
  const part = ['--every', '100', '--to', '200'];
  const { code, stdout, stderr } = await place.run(['run', VIDEO, ...part, '--out', 'r.jsonl', '--json', ...own]);
  assert.is(code, 0, stderr);
  const { state, outcome, out, id, engine } = JSON.parse(stdout);
  assert.equal(
    { state, outcome, out },
    { state: 'inactive', outcome: 'completed', out: path.join(place.folder, 'r.jsonl') },
  );
  assert.match(id, /^test_video-mp4-[0-9a-f]{6}$/);
  assert.is(place.read('r.jsonl').split('\n').length, 4);
  assert.match(engine.decoder, /^ffmpeg\.wasm /);
  assert.match(stderr, /^sandbox: none$/m);
});

test.run();
