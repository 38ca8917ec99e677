// shared
/** M1: what a wrong, an impossible and a hopeless command answer, and with which exit code. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { program, VERBS } from '../../src/cli/commands.ts';
import { serveApi } from '../api/served-api.ts';
import { inProcess } from '../support/in-process.ts';
import { Workplace } from '../support/troupe-command.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('usage');
const place = new Workplace();
test.after(() => place[Symbol.dispose]());

const CASES: readonly (readonly [number, string, RegExp])[] = [
  [2, 'watc cam1', /troupe: unknown command 'watc'\n\(Did you mean watch\?\)/],
  [2, 'ls --staet active', /troupe: unknown option '--staet'\n\(Did you mean --state\?\)/],
  [2, 'run', /troupe: missing required argument 'video'/],
  [2, 'run a.mp4 --speed 2', /troupe: unknown option '--speed'/],
  [2, 'run a.mp4 --threshold 2', /troupe: --threshold 2 is not valid/],
  [2, 'run a.mp4 --every 0', /troupe: --every 0 is not valid/],
  [2, 'run a.mp4 --out no/such/folder/x', /troupe: .*no\/such\/folder is no folder/],
  [2, 'up --port 70000', /troupe: --port 70000 is not valid/],
  [2, 'up --host 0.0.0.0', /troupe: .*token/],
  [1, 'up --port 0 --data /dev/null/x', /^troupe: DATA \/dev\/null\/x cannot be used: .*--data/],
  [2, 'export a --format xml', /troupe: .*Allowed choices are jsonl, csv, coco/],
  [
    1,
    'ls --url http://127.0.0.1:1',
    /^troupe: no node answers at http:\/\/127\.0\.0\.1:1; start one with 'troupe up', or name another with --url\n$/,
  ],
  [
    1,
    'run a.mp4 --url http://127.0.0.1:1',
    /^troupe: no node answers at http:\/\/127\.0\.0\.1:1; start one with 'troupe up', or name another with --url\n$/,
  ],
];
for (const [code, command, stderr] of CASES) {
  test(`M1: 'troupe ${command}' exits ${code} and says why`, async () => {
    const ended = await inProcess(command.split(' '));
    assert.is(ended.code, code, ended.stderr);
    assert.match(ended.stderr, stderr);
    assert.is(ended.stdout, '');
    assert.not.match(ended.stderr, /\n {4}at /);
  });
}

test('M1, M3: a process ends with that code, and what it wrote has left it', async () => {
  const [wrong, failed] = await Promise.all([
    place.run(['watc', 'cam1']),
    place.run(['ls', '--url', 'http://127.0.0.1:1']),
  ]);
  assert.equal([wrong.code, failed.code], [2, 1]);
  assert.match(wrong.stderr, /^troupe: unknown command 'watc'\n[^]* say more\.\n$/);
  assert.match(failed.stderr, /^troupe: no node answers .* --url\n$/);
});

test('V1: --help of every verb says what it does, has examples of it, and each of its options has words', () => {
  const troupe = program(new AbortController().signal, () => {});
  const all = [troupe, ...troupe.commands];
  assert.is(all.length, VERBS.length + 1);
  for (const command of all) {
    let text = '';
    command.configureOutput({ writeOut: more => void (text += more) }).outputHelp();
    assert.match(text, new RegExp(`\nExamples:\n {2}\\$ troupe${command === troupe ? '' : ` ${command.name()}`}`));
    assert.ok(command.description().length >= 10, command.name());
    for (const { long, description } of command.options) assert.ok(description.length > 3, `${command.name()} ${long}`);
  }
});

const READING = ['ls', 'show', 'explain', 'rejected', 'watch', 'verify', 'nodes', 'tree', 'models', 'doctor'];
test('every reading verb has --json, and every verb that calls a node says where it is', () => {
  for (const { usage, options } of VERBS) {
    const longs = options.map(({ long }) => long);
    const [name = ''] = usage.split(' ');
    if (READING.includes(name)) assert.ok(longs.includes('--json'), name);
    if (longs.includes('--token') && name !== 'up') assert.ok(longs.includes('--url'), name);
  }
});

test("'troupe' alone names the next useful thing: without a node, with one, with scenarios; and exits 0", async () => {
  await using api = await serveApi();
  const [bare, empty] = await Promise.all([place.run([]), place.run([], { TROUPE_URL: api.url })]);
  assert.is(bare.code, 0, bare.stderr);
  assert.match(bare.stdout, /no node runs here yet\.\n\n {2}troupe run \S+test_video\.mp4 /);
  assert.match(empty.stdout, /^A node serves http:\/\/127\.0\.0\.1:\d+ .*\n\nIt has no scenarios yet\./);
  api.have('cam1');
  const busy = await place.run([], { TROUPE_URL: api.url });
  assert.equal([empty.code, busy.code], [0, 0]);
  assert.match(busy.stdout, /^cam1 +init_startup[^]*^ {2}troupe watch cam1 /m);
});

test('an interrupted --watch ends at a whole line with 130 and says how to go on; no escape code without a terminal', async () => {
  await using api = await serveApi();
  api.have('cam1');
  const run = place.start(['ls', '--watch', '--url', api.url]);
  await waitUntil('the first line is there', () => run.stdout().includes('\n'));
  api.have('cam2');
  await waitUntil('the new one is there', () => run.stdout().includes('cam2'));
  api.cluster.scenarios.delete('cam1');
  await waitUntil('the old one is gone', () => run.stdout().includes('gone'));
  run.signal('SIGINT');
  const { code, stdout, stderr } = await run.ended;
  assert.is(code, 130);
  assert.equal(stdout.split('\n'), [
    'cam1  init_startup  -  1  0  a.mp4',
    'cam2  init_startup  -  1  0  a.mp4',
    'cam1  gone',
    '',
  ]);
  assert.is(stderr, `troupe: interrupted. Again: troupe ls --watch --url ${api.url}\n`);
});

test('a refusal of the API is shown in its own words, with what to do about a token', async () => {
  await using api = await serveApi({ token: 'secret' });
  const without = await inProcess(['ls', '--url', api.url]);
  assert.is(without.code, 1);
  assert.match(without.stderr, /^troupe: .*--token or TROUPE_TOKEN/);
  const missing = await inProcess(['show', 'nobody', '--url', api.url, '--token', 'secret']);
  assert.is(missing.code, 1);
  assert.is(missing.stderr, 'troupe: There is no scenario nobody.\n');
});

test('the reading verbs show a table, and the answer of the API with --json', async () => {
  await using api = await serveApi();
  api.have('cam1');
  const at = ['--url', api.url];
  const shown = {
    ls: /^ID .*\ncam1 +init_startup/,
    nodes: /^NODE .* SANDBOX\nnode1 .* full$/m,
    models: /^MODEL .*\nshapes /,
    tree: /└─ /,
  };
  for (const [verb, text] of Object.entries(shown)) {
    assert.match((await inProcess([verb, ...at])).stdout, text);
    const paths = { ls: '/api/v1/scenarios' } as Record<string, string>;
    const answer = await (await api.fetch(paths[verb] ?? `/api/v1/${verb}`)).json();
    assert.equal(JSON.parse((await inProcess([verb, '--json', ...at])).stdout), answer);
  }
  assert.match((await inProcess(['show', 'cam1', ...at])).stdout, /^id +cam1\nstate +init_startup\n/);
});

test('M3: ls shows every page, whole', async () => {
  await using api = await serveApi();
  for (let i = 0; i < 1001; i++) api.have(`s${i}`);
  const { stdout } = await place.run(['ls', '--json', '--url', api.url]);
  assert.is(JSON.parse(stdout).items.length, 1001);
});

test('K1: an answer that is not of a Troupe node is refused and not shown', async () => {
  const server = createServer((_, response) => response.end('{"items":[{"id":1}]}')).listen(0, '127.0.0.1');
  await new Promise(resolve => server.once('listening', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { code, stderr, stdout } = await inProcess(['ls', '--url', url]);
  server.close();
  assert.is(code, 1);
  assert.match(stderr, /does not answer like a Troupe node/);
  assert.is(stdout, '');
});

test('the files that run names are made absolute: the node has another current folder', async () => {
  await using api = await serveApi();
  await using _ = {
    [Symbol.asyncDispose]: async () => {
      run.signal('SIGKILL');
      await run.ended;
    },
  };
  const run = place.start(['run', 'v.mp4', '--model', 'm.onnx', '--id', 'a', '--url', api.url]);
  await waitUntil('the command has arrived', () => api.cluster.commands.length > 0);
  const { body } = api.cluster.commands[0] ?? {};
  assert.equal(body, {
    source: { uri: path.join(place.folder, 'v.mp4') },
    model: path.join(place.folder, 'm.onnx'),
  });
});

test.run();
