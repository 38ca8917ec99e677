import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ModelCatalog } from '../../src/actors/ports/inference.ts';
import { openModelCatalog } from '../../src/infra/inference/model-catalog.ts';
import { asset } from '../../src/infra/process/assets.ts';
import { onnxModel } from './onnx-model.ts';
import { rejection } from './refusal.ts';

const colorblob = asset('models', 'colorblob.onnx');

interface Folders {
  readonly top: string;
  readonly models: string;
  readonly data: string;
  readonly root: string;
}

const test = suite<Folders>('model catalog');

test.before.each(context => {
  const top = mkdtempSync(path.join(tmpdir(), 'troupe-models-'));
  const folders = { top, models: path.join(top, 'models'), data: path.join(top, 'data'), root: path.join(top, 'root') };
  Object.assign(context, folders);
  for (const dir of [folders.models, folders.data, folders.root]) mkdirSync(dir);
});

test.after.each(({ top }) => rmSync(top, { recursive: true, force: true }));

const open = ({ models, data, root }: Folders): Promise<ModelCatalog> =>
  openModelCatalog({ dirs: [models, data, `${data}/none`], roots: [root] });
const names = (catalog: ModelCatalog): string[] => catalog.list().map(model => model.info.name);

test('the shipped models are registered under their names, with their classes', async () => {
  const catalog = await openModelCatalog({ dirs: [asset('models')], roots: [] });
  assert.equal(
    catalog.list().map(({ info }) => [info.name, info.family, info.classes]),
    [
      ['colorblob', 'yolov8', ['red', 'green', 'blue']],
      ['shapes', 'yolov8', ['circle', 'square', 'triangle']],
    ],
  );
  const { info, file } = await catalog.resolve('shapes');
  assert.is(file, asset('models', 'shapes.onnx'));
  assert.match(info.sha256, /^[0-9a-f]{64}$/);
});

test('C2: of two folders with one name the first wins, and no name leads out of the folders', async folders => {
  copyFileSync(colorblob, path.join(folders.data, 'a.onnx'));
  copyFileSync(asset('models', 'shapes.onnx'), path.join(folders.models, 'a.onnx'));
  copyFileSync(colorblob, path.join(folders.top, 'out.onnx'));
  const catalog = await open(folders);
  assert.is((await catalog.resolve('a')).file, path.join(folders.models, 'a.onnx'));
  for (const name of ['../out', '', '.', '..', 'b', 'a\0']) {
    await rejection(catalog.resolve(name), 'model_not_found', /there are a, or give the path/);
  }
});

test('a path below a root is a model too, named after its file', async folders => {
  const file = path.join(folders.root, 'own.v1.onnx');
  copyFileSync(colorblob, file);
  const catalog = await open(folders);
  const model = await catalog.resolve(file);
  assert.equal([model.info.name, model.file], ['own.v1', file]);
  assert.is((await catalog.resolve(path.relative(process.cwd(), file))).file, file);
  assert.equal(names(catalog), []);
  await rejection(catalog.resolve(path.join(folders.root, 'none.onnx')), 'model_not_found', /there is no file/);
});

test('C1: a path that leads out of the roots is refused, in the same words whether the file exists or not', async folders => {
  const outside = path.join(folders.top, 'out.onnx');
  copyFileSync(colorblob, outside);
  symlinkSync(outside, path.join(folders.root, 'link.onnx'));
  symlinkSync(folders.top, path.join(folders.root, 'dir'));
  const catalog = await open(folders);
  const { root, top } = folders;
  for (const file of [
    `${root}/link.onnx`,
    `${root}/dir/out.onnx`,
    `${root}/dir/no.onnx`,
    `${root}/../out.onnx`,
    outside,
    `${top}/no.onnx`,
  ]) {
    await rejection(catalog.resolve(file), 'source_not_allowed', /is not below a root of this node/);
  }
});

test('C1: settings beside a model are not read through a link', async folders => {
  writeFileSync(path.join(folders.top, 'secret.toml'), 'classes = ["s", "e", "c"]');
  copyFileSync(asset('models', 'shapes.onnx'), path.join(folders.root, 'a.onnx'));
  symlinkSync(path.join(folders.top, 'secret.toml'), path.join(folders.root, 'a.toml'));
  const catalog = await open(folders);
  await rejection(catalog.resolve(path.join(folders.root, 'a.onnx')), 'model_unsupported', /not a plain file/);
});

test('C3: a replaced model or its changed settings are noticed, an unchanged one is not read again', async folders => {
  const file = path.join(folders.models, 'a.onnx');
  copyFileSync(asset('models', 'shapes.onnx'), file);
  const catalog = await open(folders);
  const first = await catalog.resolve('a');
  assert.is(await catalog.resolve('a'), first);
  writeFileSync(path.join(folders.models, 'a.toml'), 'classes = ["x", "y", "z"]');
  assert.equal((await catalog.resolve('a')).info.classes, ['x', 'y', 'z']);
  copyFileSync(colorblob, file);
  utimesSync(file, 1, 1);
  const replaced = await catalog.resolve('a');
  assert.is.not(replaced.info.sha256, first.info.sha256);
  assert.equal(catalog.list(), [replaced]);
  rmSync(file);
  await rejection(catalog.resolve('a'), 'model_not_found', /there are none/);
  assert.equal(catalog.list(), []);
});

test('a model that comes into a folder later is found by its name', async folders => {
  const catalog = await open(folders);
  copyFileSync(colorblob, path.join(folders.data, 'new.onnx'));
  assert.is((await catalog.resolve('new')).info.name, 'new');
  assert.equal(names(catalog), ['new']);
});

test('C4: an unusable model does not keep others from being used, and says why when it is asked for', async folders => {
  writeFileSync(path.join(folders.models, 'bad.onnx'), 'no model');
  copyFileSync(colorblob, path.join(folders.models, 'good.onnx'));
  mkdirSync(path.join(folders.models, 'dir.onnx'));
  const catalog = await open(folders);
  assert.equal(names(catalog), ['good']);
  await rejection(catalog.resolve('bad'), 'model_unsupported', /not a readable ONNX file|no graph/);
  await rejection(catalog.resolve('dir'), 'model_unsupported', /is not a regular file/);
});

test('settings that say nothing usable are refused with the place', async folders => {
  writeFileSync(path.join(folders.models, 'a.onnx'), onnxModel());
  const catalog = await open(folders);
  const settings = (text: string): void => writeFileSync(path.join(folders.models, 'a.toml'), text);
  settings('classes = [');
  await rejection(catalog.resolve('a'), 'model_unsupported', /a\.toml is not TOML: /);
  settings('family = "yolov5"\nmeen = 1');
  await rejection(catalog.resolve('a'), 'model_unsupported', /meen is not a known field/);
  settings('classes = ["a", "b", "c"]\nchannels = "bgr"');
  assert.is((await catalog.resolve('a')).info.input.channels, 'bgr');
});

test.run();
