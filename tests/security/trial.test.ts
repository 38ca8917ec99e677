// shared
/** The trial of models, with real child processes and the real onnxruntime. */
import { copyFileSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LIMITS } from '../../src/domain/limits.ts';
import { programs } from '../../src/infra/config.ts';
import { openModelCatalog } from '../../src/infra/inference/model-catalog.ts';
import { ENGINE } from '../../src/infra/inference/onnxruntime.ts';
import { integerField as int, lengthField as part } from '../../src/infra/inference/protobuf.ts';
import { modelTrial } from '../../src/infra/inference/trial.ts';
import { asset } from '../../src/infra/process/assets.ts';
import { findSandbox, type Sandbox } from '../../src/infra/process/sandbox.ts';
import { answersIn } from '../../src/infra/video/media-process.ts';
import { attribute, floats, integers, node, onnxModel } from '../inference/onnx-model.ts';
import { rejection } from '../inference/refusal.ts';

const test = suite('trial of models');
const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'troupe-trial-')));
test.after(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => path.join(folder, name);

const runs = (sandbox: Parameters<typeof modelTrial>[0]['sandbox']): Promise<void> =>
  answersIn(process.execPath, '--version', sandbox);
const { sandbox, lacks } = await findSandbox('auto', programs(), runs);

const NAMES = { names: "{0: 'a', 1: 'b', 2: 'c'}" };
/** A float tensor of 7 × 1600 × `times` numbers, reduced to the 7 × 1600 that are wanted. */
const greedy = (times: number): Buffer =>
  onnxModel({
    metadata: NAMES,
    graph: [
      integers('size', [1, 7, 1600, times]),
      node('ConstantOfShape', ['size'], 'huge'),
      node(
        'ReduceMax',
        ['huge'],
        'output0',
        attribute('axes', int(8, 3), int(20, 7)),
        attribute('keepdims', int(3, 0), int(20, 2)),
      ),
    ],
  });
/** Sums 7 × 1600 numbers again and again, for minutes. */
const endless = (): Buffer => {
  const turn = part(
    6,
    node('Identity', ['go'], 'again'),
    node('Add', ['before', 'one'], 'after'),
    part(2, 'turn'),
    part(11, part(1, 'i'), part(2, part(1, int(1, 7), part(2)))),
    part(11, part(1, 'go'), part(2, part(1, int(1, 9), part(2)))),
    part(11, part(1, 'before'), part(2, part(1, int(1, 1)))),
    part(12, part(1, 'again'), part(2, part(1, int(1, 9), part(2)))),
    part(12, part(1, 'after'), part(2, part(1, int(1, 1)))),
  );
  return onnxModel({
    metadata: NAMES,
    graph: [
      integers('size', [1, 7, 1600]),
      part(5, int(2, 7), part(8, 'turns'), part(9, Buffer.from(BigInt64Array.of(10n ** 12n).buffer))),
      part(5, int(2, 9), part(8, 'yes'), part(9, Buffer.of(1))),
      floats('one', [1], [1]),
      node('ConstantOfShape', ['size'], 'zero'),
      node('Loop', ['turns', 'yes', 'zero'], 'output0', attribute('body', turn, int(20, 5))),
    ],
  });
};

writeFileSync(at('greedy.onnx'), greedy(600_000));
writeFileSync(at('endless.onnx'), endless());
writeFileSync(at('slow.onnx'), Buffer.concat([endless(), part(2, 'other')])); // another hash
copyFileSync(asset('models', 'colorblob.onnx'), at('good.onnx'));
const known = at('tried.json');
const catalog = async (timeMs: number = LIMITS.trialMs) =>
  openModelCatalog({ dirs: [], roots: [folder], trial: await modelTrial({ sandbox, known: [known], timeMs }) });

if (sandbox.level === 'none') test.skip(`TR1: a model that asks for 25 GB — skipped: ${lacks}`, () => {});
else
  test('TR1, C5: a model of a few bytes that asks for 25 GB is refused with how much it asks for', async () => {
    assert.ok(greedy(600_000).length < 300);
    const models = await catalog();
    await rejection(
      models.resolve(at('greedy.onnx')),
      'model_unsupported',
      /needs more than \d+ MiB of memory, and asks for 25635 MiB/,
    );
  });

test('TR1, TR4, TR5: a model that does not end is refused for good when its time is over twice, and then without being run', async () => {
  const models = await catalog(1_000);
  await rejection(
    models.resolve(at('endless.onnx')),
    'unavailable',
    /tried again: it did not load and run once within 1 s/,
  );
  await rejection(models.resolve(at('endless.onnx')), 'model_unsupported', /did not load and run once within 1 s/);
  const before = performance.now();
  const other = models.resolve(at('slow.onnx')).catch(() => 'refused');
  await rejection(models.resolve(at('endless.onnx')), 'model_unsupported', /did not load and run once within 1 s/);
  assert.ok(performance.now() - before < 900, 'neither is it run again nor does it wait for the trial of another');
  assert.is(await other, 'refused');
});

test('TR5: a process that cannot be started, or is killed from outside, says nothing about the model', async () => {
  writeFileSync(at('fork-fails'), '#!/bin/sh\nexit 1\n', { mode: 0o700 });
  writeFileSync(at('killed'), '#!/bin/sh\nkill -KILL $$\n', { mode: 0o700 });
  for (const [name, why] of [
    ['absent', /could be started: .*ENOENT/],
    ['fork-fails', /was ended \(exit code 1\)/],
    ['killed', /was ended \(SIGKILL\)/],
  ] as const) {
    const trial = await modelTrial({ sandbox: { level: 'limits', prlimit: at(name), bwrap: null }, known: [] });
    const models = await openModelCatalog({ dirs: [], roots: [folder], trial });
    await rejection(models.resolve(at('good.onnx')), 'unavailable', why);
  }
});

test('TR5: a kill while a model is being tried says nothing about it, a crash does', async () => {
  for (const [signal, code] of [
    ['SIGKILL', 'unavailable'],
    ['SIGSEGV', 'model_unsupported'],
  ] as const) {
    const dies = `process.once('message', () => process.kill(process.pid, '${signal}')); process.send({ kind: 'ready' });`;
    writeFileSync(at(signal), `#!${process.execPath}\n${dies}\n`, { mode: 0o700 });
    const trial = await modelTrial({ sandbox: { level: 'limits', prlimit: at(signal), bwrap: null }, known: [] });
    const models = await openModelCatalog({ dirs: [], roots: [folder], trial });
    await rejection(models.resolve(at('good.onnx')), code, new RegExp(signal));
  }
});

test('TR5: a model that is killed from outside whenever it is tried is refused at the third time, when that went on for long enough', async () => {
  const dies = `process.once('message', () => process.kill(process.pid, 'SIGKILL')); process.send({ kind: 'ready' });`;
  writeFileSync(at('oom-killer'), `#!${process.execPath}\n${dies}\n`, { mode: 0o700 });
  const killer: Sandbox = { level: 'limits', prlimit: at('oom-killer'), bwrap: null };
  for (const [killedForMs, third] of [
    [0, 'model_unsupported'],
    [LIMITS.trialKilledMs, 'unavailable'],
  ] as const) {
    const trial = await modelTrial({ sandbox: killer, known: [], killedForMs });
    const models = await openModelCatalog({ dirs: [], roots: [folder], trial });
    for (const code of ['unavailable', 'unavailable', third] as const)
      await rejection(models.resolve(at('good.onnx')), code, /was ended \(SIGKILL\)\. Is the machine short of memory/);
  }
});

test('TR5: a kill and then a trial whose time is over are one doubt each, not two of a kind', async () => {
  const marker = JSON.stringify(at('was-killed'));
  const dies = `const fs = require('node:fs'); process.once('message', () => { if (fs.existsSync(${marker})) setInterval(() => {}, 1000); else { fs.writeFileSync(${marker}, ''); process.kill(process.pid, 'SIGKILL'); } }); process.send({ kind: 'ready' });`;
  writeFileSync(at('killed-then-late'), `#!${process.execPath}\n${dies}\n`, { mode: 0o700 });
  const slow: Sandbox = { level: 'limits', prlimit: at('killed-then-late'), bwrap: null };
  const trial = await modelTrial({ sandbox: slow, known: [], timeMs: 300 });
  const models = await openModelCatalog({ dirs: [], roots: [folder], trial });
  await rejection(models.resolve(at('good.onnx')), 'unavailable', /SIGKILL/);
  await rejection(models.resolve(at('good.onnx')), 'unavailable', /did not load and run once/);
  await rejection(models.resolve(at('good.onnx')), 'model_unsupported', /did not load and run once/);
});

test('TR3: a model that worked may be used although that cannot be kept, which is said once', async () => {
  const said: unknown[] = [];
  const known = [at('no such folder/tried.json')];
  const trial = await modelTrial({ sandbox, known, report: error => said.push(error) });
  const models = await openModelCatalog({ dirs: [asset('models')], roots: [], trial });
  for (const { info } of models.list().slice(0, 2)) assert.is((await models.resolve(info.name)).info.name, info.name);
  assert.is(said.length, 1);
});

test('TR2, TR3: what works is tried once, whoever asks, and is known after a restart; what is known waits for nobody', async () => {
  const models = await catalog();
  const asked = [models.resolve(at('good.onnx')), models.resolve(at('good.onnx'))];
  const [model] = await Promise.all(asked);
  assert.equal(JSON.parse(readFileSync(known, 'utf8')), { [model?.info.sha256 ?? '']: ENGINE.onnxruntime });
  // A restart: with no time for a trial only what is known is let through, also while another model is being tried.
  const restarted = await catalog(1);
  const other = restarted.resolve(at('endless.onnx')).catch(() => 'refused');
  assert.is(await Promise.race([restarted.resolve(at('good.onnx')).then(({ info }) => info.name), other]), 'good');
  assert.is(await other, 'refused');
  writeFileSync(known, JSON.stringify({ [model?.info.sha256 ?? '']: '1.2.3' }));
  await rejection((await catalog(1)).resolve(at('good.onnx')), 'unavailable', /is tried again/);
});

test('TR3: a file of known models that is damaged or missing holds nothing', async () => {
  writeFileSync(known, '{"a": 1');
  assert.is((await (await catalog()).resolve(at('good.onnx'))).info.name, 'good');
});

test('TR3: the models that ship work with this onnxruntime, and are known to', async () => {
  rmSync(known, { force: true });
  const dirs = [asset('models')];
  const models = await openModelCatalog({ dirs, roots: [], trial: await modelTrial({ sandbox, known: [known] }) });
  for (const { info } of models.list()) await models.resolve(info.name);
  assert.equal(
    JSON.parse(readFileSync(asset('models', 'tried.json'), 'utf8')),
    JSON.parse(readFileSync(known, 'utf8')),
  );
});

test.run();
