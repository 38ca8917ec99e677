/** What `doctor` says of this machine, and of one that lacks something. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { nodeConfig } from '../../src/infra/config.ts';
import { lockFile } from '../../src/infra/nats/data-lock.ts';
import { examine, type Finding } from '../../src/machine.ts';
import { startForeignNats } from '../support/nats.ts';
import { Workplace } from '../support/troupe-command.ts';

const test = suite('doctor');
const place = new Workplace();
test.after(() => place[Symbol.dispose]());
const find = (items: readonly Finding[], what: string): Finding => {
  const found = items.find(item => item.what === what);
  assert.ok(found, what);
  return found;
};

test('doctor exits 0 where a model can run over a video, and names each part', async () => {
  const { code, stdout, stderr } = await place.run(['doctor', '--json', '--port', '0']);
  assert.is(code, 0, stdout + stderr);
  const { ok, items } = JSON.parse(stdout) as { ok: boolean; items: Finding[] };
  assert.ok(ok);
  const found = Object.fromEntries(items.map(item => [item.what, item.found]));
  assert.match(found['node'] ?? '', /^Node \d+\./);
  assert.match(found['nats'] ?? '', /^nats-server \d+\.\d+\.\d+ at \//);
  assert.match(found['inference'] ?? '', /^onnxruntime [\d.]+ \(cpu/);
  assert.match(found['models'] ?? '', /shapes/);
  assert.match(found['disk'] ?? '', /GiB free below .*, a synced write takes [\d.]+ ms/);
  for (const { state, todo, what } of items) assert.is(todo === null, state === 'ok', what);
  assert.equal(readdirSync(place.folder), [], 'DATA was not made');
});

test('doctor exits 1 and says what to do where nats-server cannot be used', async () => {
  const { code, stdout } = await place.run(['doctor'], { TROUPE_NATS_SERVER: '/no/such/program', NO_COLOR: '1' });
  assert.is(code, 1);
  assert.match(stdout, /^missing {2}nats .*\n +→ \/no\/such\/program is not a program: set the path of nats-server/m);
  assert.match(stdout, /cannot run over a video here yet\.$/m);
  // oxlint-disable-next-line no-control-regex -- no escape code where NO_COLOR is set
  assert.not.match(stdout, /\u001b/);
});

test('doctor says of a NATS that no node can use what the node would', async () => {
  await using bare = await startForeignNats(() => '');
  const config = nodeConfig({ port: '0', data: path.join(place.folder, 'no') }, { env: {}, cwd: place.folder });
  const { state, todo } = find(await examine({ ...config, nats: { url: bare.url, credsFile: null } }), 'nats');
  assert.is(state, 'missing');
  assert.match(String(todo), /the server runs without JetStream: start it with -js/);
});

test('doctor names the fallback where there is no ffmpeg, as a warning, and not where it was chosen', async () => {
  const config = nodeConfig({ port: '0', data: path.join(place.folder, 'no') }, { env: {}, cwd: place.folder });
  const bare = { ...config, programs: { ...config.programs, ffmpeg: undefined, searchPath: '', own: place.folder } };
  const { state, found, todo } = find(await examine(bare), 'decoder');
  assert.is(state, 'warning');
  assert.match(found, /^ffmpeg\.wasm 5\.1\.4, since ffmpeg and ffprobe were not found/);
  assert.match(String(todo), 'TROUPE_FFMPEG');
  assert.is(find(await examine({ ...bare, decoder: 'wasm' }), 'decoder').state, 'ok');
  assert.is(find(await examine({ ...bare, decoder: 'native' }), 'decoder').state, 'missing');
});

test('doctor says which sandbox there is, what to do for a better one, and what a demanded one lacks', async () => {
  const { code, stdout } = await place.run(['doctor', '--port', '0', '--sandbox', 'none'], { NO_COLOR: '1' });
  assert.is(code, 0, stdout);
  assert.match(stdout, /^ok {7}sandbox {4}none\n(?! +→)/m);
  const config = nodeConfig({ port: '0', data: path.join(place.folder, 'no') }, { env: {}, cwd: place.folder });
  const bare = { ...config, programs: { ...config.programs, searchPath: '', own: place.folder } };
  assert.equal(find(await examine(bare), 'sandbox'), {
    what: 'sandbox',
    state: 'warning',
    found: 'none',
    todo: 'there is no prlimit. Install util-linux (on Linux)',
  });
  const { state, todo } = find(await examine({ ...bare, sandbox: 'require' }), 'sandbox');
  assert.is(state, 'missing');
  assert.match(String(todo), /^--sandbox require: there is no prlimit\..* Or take what .*--sandbox auto/);
});

test('doctor tells a DATA folder in use from one that is free or cannot be written to', async () => {
  const data = path.join(place.folder, 'data');
  mkdirSync(data);
  const at = (folder: string) => examine(nodeConfig({ data: folder, port: '0' }, { env: {}, cwd: place.folder }));
  assert.match(find(await at(data), 'data').found, /is free/);
  {
    using _ = await lockFile(data, 'lock', 0);
    assert.match(find(await at(data), 'data').found, new RegExp(`in use by process ${process.pid}: a node runs`));
  }
  assert.equal(readdirSync(data), ['lock'], 'nothing else is left there');
  writeFileSync(path.join(place.folder, 'file'), '');
  const { state, todo } = find(await at(path.join(place.folder, 'file')), 'disk');
  assert.is(state, 'missing');
  assert.match(String(todo), /cannot be written to .*choose another with --data DIR/);
});

test.run();
