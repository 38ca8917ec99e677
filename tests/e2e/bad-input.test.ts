// shared
/**
 * Bad input gets a clear answer, and nothing is lost: each row is tried on one real node over HTTP, and after each table a good
 * scenario runs on that node as it did before.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LIVENESS, programs } from '../../src/infra/config.ts';
import { lengthField } from '../../src/infra/inference/protobuf.ts';
import { FLOAT, floats, onnxModel, node as operator } from '../inference/onnx-model.ts';
import { type Answer, startTestNode, type TestNode } from '../support/node.ts';
import { ffmpeg, tools } from '../video/clips.ts';

const test = suite('bad input');
/** A refusal that takes longer is none that anybody waits for. */
const PATIENCE_MS = 10_000;
const CLIP = ['-c:v', 'libx264', '-preset', 'fast', '-bf', '2', '-g', '10', '-threads', '1'];
const FRAMES = 50;

const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'troupe-bad-')));
const root = path.join(folder, 'root');
const at = (name: string): string => path.join(root, name);
const bytesOf = (name: string): Buffer => readFileSync(at(name));
const start = (bytes: Buffer, share: number): Buffer => bytes.subarray(0, Math.floor(bytes.length * share));
let node: TestNode;
let good = '';

test.before(async () => {
  mkdirSync(at('folder.mp4'), { recursive: true });
  makeVideos();
  makeModels();
  makeMediaTools();
  node = await startTestNode({
    roots: [root],
    slots: 8,
    workers: 1,
    liveness: { ...LIVENESS, backoffFirstMs: 20, stallMs: 10_000 },
    programs: { ...programs(), ffmpeg: path.join(folder, 'ffmpeg') },
  });
  good = await goodRun();
  assert.is(good.trim().split('\n').length, FRAMES);
});
test.after(async () => {
  await node[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

function makeVideos(): void {
  const seconds = FRAMES / 25;
  ffmpeg('-f', 'lavfi', '-i', `testsrc2=s=96x64:r=25:d=${seconds}`, ...CLIP, '-movflags', '+faststart', at('good.mp4'));
  ffmpeg('-i', at('good.mp4'), '-c', 'copy', at('index-last.mp4'));
  ffmpeg('-i', at('good.mp4'), '-c', 'copy', at('wide.ts'));
  ffmpeg('-f', 'lavfi', '-i', 'testsrc2=s=64x96:r=25:d=1', ...CLIP, at('high.ts'));
  ffmpeg('-f', 'lavfi', '-i', 'sine=d=1', '-c:a', 'aac', at('sound.mp4'));
  writeFileSync(at('cut.mp4'), start(bytesOf('good.mp4'), 0.5));
  writeFileSync(at('no-index.mp4'), start(bytesOf('index-last.mp4'), 0.5));
  writeFileSync(at('resized.ts'), Buffer.concat([bytesOf('wide.ts'), bytesOf('high.ts')]));
  writeFileSync(at('text.mp4'), 'Shopping list: milk, eggs.\n'.repeat(40));
  writeFileSync(at('empty.mp4'), '');
  execFileSync('mkfifo', [at('pipe.mp4'), at('pipe.onnx')]);
  for (const name of ['hangs', 'chatters', 'breaks', 'babbles', 'unprobed', 'misprobed', 'locked'])
    writeFileSync(at(`${name}.mp4`), bytesOf('good.mp4'));
  writeFileSync(path.join(folder, 'secret.mp4'), bytesOf('good.mp4'));
  symlinkSync(path.join(folder, 'secret.mp4'), at('link.mp4'));
  symlinkSync(folder, at('up'));
}

/** A model whose output does not depend on its input. */
function constant(value: (row: number, box: number) => number): Buffer {
  const boxes = 1600;
  const values = Array.from({ length: 7 * boxes }, (_, i) => value(Math.floor(i / boxes), i % boxes));
  return onnxModel({ graph: [operator('Identity', ['k'], 'output0'), floats('k', [1, 7, boxes], values)] });
}

function makeModels(): void {
  const boxAt = (row: number): number => (row < 2 ? 100 : 20);
  const external = lengthField(
    5,
    lengthField(8, 'w'),
    lengthField(13, lengthField(1, 'location'), lengthField(2, '/etc/passwd')),
  );
  const models: Readonly<Record<string, Buffer | string>> = {
    'text.onnx': 'not a model',
    'empty.onnx': '',
    'classifier.onnx': onnxModel({ outputs: [{ name: 'probabilities', type: FLOAT, dims: [1, 1000] }] }),
    'custom.onnx': onnxModel({ graph: [operator('Magic', ['images'], 'output0', lengthField(7, 'com.example'))] }),
    'external.onnx': onnxModel({ graph: [external] }),
    'unknown.onnx': onnxModel({ graph: [operator('Frobnicate', ['images'], 'output0')] }),
    'nan.onnx': constant((row, box) => (row === 6 && box === 5 ? Number.NaN : boxAt(row))),
    'infinite.onnx': constant(row => (row === 0 ? Number.POSITIVE_INFINITY : 0.5)),
    'logits.onnx': constant(row => (row < 4 ? boxAt(row) : 7)),
    'negative.onnx': constant(row => (row < 2 ? 100 : row < 4 ? -20 : 0.5)),
  };
  for (const [name, bytes] of Object.entries(models)) writeFileSync(at(name), bytes);
}

/** ffmpeg and ffprobe that are the real ones, but for files of certain names. */
function makeMediaTools(): void {
  const stand = (name: string, program: string, cases: readonly string[]): void =>
    writeFileSync(
      path.join(folder, name),
      `#!/bin/sh\ncase "$*" in\n${cases.join('\n')}\nesac\nexec '${program}' "$@"\n`,
      {
        mode: 0o755,
      },
    );
  stand('ffmpeg', tools.ffmpeg, [
    '*hangs.mp4*) exec sleep 600 ;;',
    "*chatters.mp4*) yes 'the same complaint again and again and again' | head -c 300000000 >&2 ;;",
    '*breaks.mp4*) head -c 100000 /dev/urandom; exit 3 ;;',
    "*babbles.mp4*) echo 'what is a frame?' >&3; head -c 100000 /dev/zero; exit 0 ;;",
  ]);
  stand('ffprobe', tools.ffprobe, [
    '*misprobed.mp4*) echo \'{"frames": 3, \'; exit 0 ;;',
    '*unprobed.mp4*) exec sleep 600 ;;',
  ]);
}

const scenario = (uri: string, more: object = {}) => ({ source: { uri }, model: 'shapes', ...more });
let count = 0;

async function goodRun(): Promise<string> {
  const id = `good-${++count}`;
  await node.create({ id, ...scenario(at('good.mp4')) });
  const { outcome, error } = await node.ended(id);
  assert.is(outcome, 'completed', JSON.stringify(error));
  return node.export(id);
}

const stillGood = async (): Promise<void> => assert.is(await goodRun(), good);

/** POSTs text as it is. */
async function post(body: string, type = 'application/json'): Promise<Answer> {
  const answer = await fetch(`${node.node.url}/api/v1/scenarios`, {
    method: 'POST',
    headers: { 'content-type': type },
    body,
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, text, body: JSON.parse(text) };
}

/** On a machine so busy that nothing could be probed in time it is accepted, and fails with the same words. */
async function refused(answer: Answer, status: number, code: string, says: RegExp, tookMs: number): Promise<void> {
  if (answer.status === 201 && status === 422) {
    const { error } = await node.ended(String(answer.body['id']));
    assert.is(error?.code, code, error?.message);
    assert.match(error?.message ?? '', says);
    return;
  }
  assert.equal([answer.status, answer.body['code']], [status, code], answer.text);
  assert.match(String(answer.body['detail']), says);
  assert.ok(tookMs < PATIENCE_MS, `${tookMs} ms`);
}

// ── what is refused at once: name, request, code (422), words with what to do ──
const SOURCES: readonly (readonly [string, string, string, RegExp])[] = [
  ['a missing file', at('missing.mp4'), 'source_unreadable', /no such file.*Check the path/],
  ['a file below a file', at('good.mp4/x.mp4'), 'source_unreadable', /no such file/],
  ['a folder', at('folder.mp4'), 'source_unreadable', /not a regular file.*Name a video file/],
  ['a named pipe', at('pipe.mp4'), 'source_unreadable', /not a regular file/],
  ['text named .mp4', at('text.mp4'), 'source_unreadable', /Invalid data.*complete video file/],
  ['no bytes', at('empty.mp4'), 'source_unreadable', /as video.*complete video file/],
  ['sound alone', at('sound.mp4'), 'source_unreadable', /no video stream/],
  ['an MP4 cut before its index', at('no-index.mp4'), 'source_unreadable', /complete video file/],
  [
    'a file that ffprobe describes in garbage',
    at('misprobed.mp4'),
    'source_unreadable',
    /ffprobe says.*not understood/,
  ],
  ['an absolute path outside', '/etc/passwd', 'source_not_allowed', /outside the folders.*--root/],
  ['a device', '/dev/zero', 'source_not_allowed', /outside the folders/],
  ['a path that climbs out', at('../secret.mp4'), 'source_not_allowed', /outside the folders/],
  ['a relative one that climbs out', '../../../../../etc/passwd', 'source_not_allowed', /outside the folders/],
  ['a link that leads out', at('link.mp4'), 'source_not_allowed', /a link that leads out/],
  ['a folder that leads out', at('up/secret.mp4'), 'source_not_allowed', /outside the folders/],
  [
    'a missing file outside is told like one that exists',
    at('up/none.mp4'),
    'source_not_allowed',
    /outside the folders/,
  ],
  ['a file URL outside', 'file:///etc/passwd', 'source_not_allowed', /outside the folders/],
  ['a file URL with one slash, outside', 'file:/etc/passwd', 'source_not_allowed', /outside the folders/],
  ['a file URL that climbs in percents', `file://${root}/%2e%2e/secret.mp4`, 'source_not_allowed', /outside/],
  ['percents in a path are only percents', at('%2e%2e/secret.mp4'), 'source_unreadable', /no such file/],
  ['an http source', 'http://example.org/a.mp4', 'not_supported_yet', /http:\/\/ source.*Save it as a file/],
  ['an rtsp source', 'rtsp://camera/1', 'not_supported_yet', /rtsp:\/\/ source.*not supported by this version/],
  ['a protocol of ffmpeg is a file name here', 'concat:/etc/passwd|/etc/group', 'source_not_allowed', /outside/],
];
for (const [name, uri, code, says] of SOURCES) {
  test(`source: ${name} is ${code}`, async () => {
    const began = performance.now();
    await refused(await post(JSON.stringify(scenario(uri))), 422, code, says, performance.now() - began);
  });
}

const MODELS: readonly (readonly [string, string, string, RegExp])[] = [
  ['an unknown name', 'nobody', 'model_not_found', /no model is named nobody; there are colorblob, shapes/],
  ['a missing file', at('missing.onnx'), 'model_not_found', /no file .*Check the path/],
  ['a file outside the roots', '/etc/model.onnx', 'source_not_allowed', /not below a root.*Move the model/],
  ['a named pipe', at('pipe.onnx'), 'model_unsupported', /not a regular file/],
  [
    'text',
    at('text.onnx'),
    'model_unsupported',
    /text\.onnx cannot be used.*not a readable ONNX file.*export the model again/,
  ],
  ['no bytes', at('empty.onnx'), 'model_unsupported', /no graph/],
  ['another family of outputs', at('classifier.onnx'), 'model_unsupported', /\[1,1000\]; supported are yolov8/],
  ['a custom operator', at('custom.onnx'), 'model_unsupported', /custom operator Magic.*standard operators/],
  ['an unknown operator', at('unknown.onnx'), 'model_unsupported', /Frobnicate.*export it again/],
  ['weights in another file', at('external.onnx'), 'model_unsupported', /save it as one file/],
];
for (const [name, model, code, says] of MODELS) {
  test(`model: ${name} is ${code}`, async () => {
    const began = performance.now();
    await refused(
      await post(JSON.stringify(scenario(at('good.mp4'), { model }))),
      422,
      code,
      says,
      performance.now() - began,
    );
  });
}

test('model: a class that it does not have is class_unknown, with those it has', async () => {
  const answer = await post(JSON.stringify(scenario(at('good.mp4'), { classes: ['circle', 'unicorn'] })));
  await refused(answer, 422, 'class_unknown', /no class 'unicorn'. It has: .*circle/, 0);
});

const OK = JSON.stringify(scenario(at('good.mp4')));
const withFields = (more: object): string => JSON.stringify(scenario(at('good.mp4'), more));
const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
const BODIES: readonly (readonly [string, string, number, string, RegExp])[] = [
  ['half a JSON', OK.slice(0, -3), 400, 'invalid_request', /not valid/],
  ['no JSON', 'source: a.mp4', 400, 'invalid_request', /not valid/],
  ['100,000 levels', deep, 400, 'invalid_request', /must be object/],
  [
    '100,000 levels in a field',
    withFields({}).replace('}', `,"x":${deep}}`),
    400,
    'invalid_request',
    /not a known field/,
  ],
  ['an unknown field', withFields({ modle: 'shapes' }), 400, 'invalid_request', /modle is not a known field/],
  ['a wrong type', withFields({ threshold: '0.5' }), 400, 'invalid_request', /threshold must be number/],
  ['every: 0', withFields({ sampling: { every: 0 } }), 400, 'invalid_request', /sampling.every must be >= 1/],
  ['every with fps', withFields({ sampling: { every: 2, fps: 5 } }), 400, 'invalid_request', /both every and fps/],
  ['from after to', withFields({ sampling: { from: 9, to: 8 } }), 400, 'invalid_request', /must be >= from \(9\)/],
  ['from beyond every number', withFields({ sampling: { from: 1e300 } }), 400, 'invalid_request', /sampling.from/],
  ['fps without end', OK.replace(/}$/, ',"sampling":{"fps":1e999}}'), 400, 'invalid_request', /.+/],
  ['a huge number of segments', withFields({ segments: 1e9 }), 400, 'invalid_request', /segments must be <= 1024/],
  ['an id with ../', withFields({ id: '../../x' }), 400, 'invalid_request', /id must match/],
  ['an empty id', withFields({ id: '' }), 400, 'invalid_request', /id must match/],
  ['an id of 1 MB', withFields({ id: 'x'.repeat(1_000_000) }), 400, 'invalid_request', /id must match/],
  ['a name of 900 KB', withFields({ model: 'x'.repeat(900_000) }), 400, 'invalid_request', /more than 4096 characters/],
  ['NUL in the path', JSON.stringify(scenario('a\0b.mp4')), 400, 'invalid_request', /NUL/],
  ['NUL in a file URL', JSON.stringify(scenario('file:///a%00b')), 400, 'invalid_request', /NUL/],
  ['a slash in percents', JSON.stringify(scenario(`file://${root}/a%2Fb`)), 400, 'invalid_request', /encoded \/ char/],
  ["another host's file", JSON.stringify(scenario('file://host/a.mp4')), 400, 'invalid_request', /of this machine/],
  ['one key twice: the last counts', OK.replace(/}$/, ',"model":"nobody"}'), 422, 'model_not_found', /nobody/],
  ['2 MB', withFields({ id: 'x'.repeat(2_000_000) }), 413, 'too_large', /at most 1048576 bytes/],
];
for (const [name, body, status, code, says] of BODIES) {
  test(`body: ${name} is ${status} ${code}`, async () => {
    const began = performance.now();
    await refused(await post(body), status, code, says, performance.now() - began);
  });
}

test('body: another content type is 415', async () => {
  await refused(await post(OK, 'text/plain'), 415, 'unsupported_media_type', /Content-Type: application\/json/, 0);
});

test('after all refusals a good scenario runs as before', stillGood);

// ── what can be seen only while it runs: name, request, outcome, code, words, frames with results ──
const ONCE = { restart: { intensity: 0 } };
const good50 = at('good.mp4');
const RUNS: readonly (readonly [string, object, string, string | null, RegExp, number | null])[] = [
  [
    'a changed picture size',
    scenario(at('resized.ts')),
    'failed',
    'source_unreadable',
    /no longer 96 × 64.*Cut the video/,
    null,
  ],
  [
    'NaN',
    scenario(good50, { model: at('nan.onnx'), ...ONCE }),
    'failed',
    'inference_failed',
    /not finite numbers.*skip/,
    0,
  ],
  [
    'Inf',
    scenario(good50, { model: at('infinite.onnx'), ...ONCE }),
    'failed',
    'inference_failed',
    /not finite numbers/,
    0,
  ],
  [
    'scores over 1',
    scenario(good50, { model: at('logits.onnx'), ...ONCE }),
    'failed',
    'inference_failed',
    /sigmoid/,
    0,
  ],
  ['NaN, skipped', scenario(good50, { model: at('nan.onnx'), onFrameError: 'skip' }), 'completed', null, /^$/, FRAMES],
  ['negative sizes', scenario(good50, { model: at('negative.onnx') }), 'completed', null, /^$/, FRAMES],
  ['a decoder that breaks', scenario(at('breaks.mp4'), ONCE), 'failed', 'decode_failed', /ffmpeg ended with 3/, 0],
  ['a decoder that babbles', scenario(at('babbles.mp4'), ONCE), 'failed', 'decode_failed', /'what is a frame\?'/, 0],
  ['a decoder that hangs', scenario(at('hangs.mp4'), ONCE), 'failed', 'runner_lost', /made no progress/, 0],
  ['a range beyond the end', scenario(good50, { sampling: { from: 1_000_000 } }), 'completed', null, /^$/, 0],
];
for (const [i, [name, body, outcome, code, says, frames]] of RUNS.entries()) {
  test(`run: ${name} ends ${outcome}${code === null ? '' : ` with ${code}`}`, async () => {
    await node.create({ id: `run-${i}`, ...body });
    const view = await node.ended(`run-${i}`);
    assert.equal([view.outcome, view.error?.code ?? null], [outcome, code], JSON.stringify(view.error));
    assert.match(view.error?.message ?? '', says);
    if (frames !== null) assert.is(view.progress.framesDone, frames);
    assert.not.match(await node.export(`run-${i}`), /NaN|Infinity|null,null/);
  });
}

test('run: the error of a changed picture size names the frame, and every frame before it has a result', async () => {
  const { error, progress } = await node.get('run-0');
  assert.ok(error?.frame !== undefined && error.frame > FRAMES - 5 && error.frame <= FRAMES, `frame ${error?.frame}`);
  assert.is(progress.framesDone, error?.frame);
});

test('run: a frame with NaN has an error in its place, a negative box is dropped', async () => {
  const skipped = (await node.export('run-4'))
    .trim()
    .split('\n')
    .map(line => JSON.parse(line));
  assert.ok(skipped.every(prediction => prediction.error.code === 'inference_failed'));
  const negative = (await node.export('run-5'))
    .trim()
    .split('\n')
    .map(line => JSON.parse(line));
  assert.ok(negative.every(prediction => prediction.detections.length === 0));
});

test('run: a cut MP4 is processed as far as it goes, with what a whole one gives, and a warning that says so', async () => {
  await node.create({ id: 'cut', ...scenario(at('cut.mp4')) });
  const { outcome, warnings, complete, progress } = await node.ended('cut');
  assert.equal([outcome, complete], ['completed', true]);
  assert.match(warnings[0] ?? '', new RegExp(`cut or damaged: ${progress.framesDone} of about ${FRAMES} frames`));
  assert.ok(progress.framesDone > 10 && progress.framesDone < FRAMES, `${progress.framesDone} frames`);
  assert.ok(good.startsWith((await node.export('cut')).split('\n').slice(0, 10).join('\n')));
});

test('run: 300 MB of complaints are a few warnings, and every frame has its result', async () => {
  await node.create({ id: 'chatters', ...scenario(at('chatters.mp4')) });
  const { outcome, warnings } = await node.ended('chatters');
  assert.is(outcome, 'completed');
  assert.ok(warnings.length <= 21 && warnings.every(line => line.length <= 500), `${warnings.length} warnings`);
  assert.match(warnings.join('\n'), /more lines/);
  assert.is(await node.export('chatters'), good);
});

test('run: a source that cannot be probed just now is accepted, says why it waits, and can be stopped and deleted', async () => {
  const began = performance.now();
  await node.create({ id: 'unprobed', ...scenario(at('unprobed.mp4')) });
  assert.ok(performance.now() - began < PATIENCE_MS);
  let view = await node.get('unprobed');
  while (view.reason === null) view = await node.get('unprobed');
  assert.match(view.reason, /could not be probed within 3000 ms. It is tried again/);
  assert.is((await node.call('POST', '/api/v1/scenarios/unprobed/stop')).status, 202);
  assert.is((await node.ended('unprobed')).outcome, 'stopped');
  assert.is((await node.call('DELETE', '/api/v1/scenarios/unprobed')).status, 204);
});

test('after all failures a good scenario runs as before', stillGood);

test.run();
