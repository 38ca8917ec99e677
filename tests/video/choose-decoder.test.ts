import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TroupeError } from '../../src/domain/errors.ts';
import { chooseDecoder } from '../../src/infra/video/choose-decoder.ts';

const test = suite('choice of the decoder');
const folder = mkdtempSync(path.join(tmpdir(), 'troupe-choice-'));
test.after(() => rmSync(folder, { recursive: true, force: true }));

const bin = path.join(folder, 'bin');
const empty = path.join(folder, 'empty');
mkdirSync(bin);
mkdirSync(empty);
const tools = { ffmpeg: path.join(bin, 'ffmpeg'), ffprobe: path.join(bin, 'ffprobe') };
for (const tool of Object.values(tools)) {
  writeFileSync(tool, '#!/bin/sh\n');
  chmodSync(tool, 0o755);
}
const here = { given: undefined, searchPath: bin, own: empty };
const nowhere = { given: undefined, searchPath: empty, own: empty };

test('auto takes the native ffmpeg where there is one, and nobody need be told', () => {
  assert.equal(chooseDecoder('auto', here), { choice: { kind: 'native', ...tools }, why: null, todo: null });
  assert.equal(chooseDecoder('native', here), chooseDecoder('auto', here));
});

test('auto takes ffmpeg.wasm where there is none, and says why and what to do', () => {
  const { choice, why, todo } = chooseDecoder('auto', nowhere);
  assert.equal(choice, { kind: 'wasm' });
  assert.match(why ?? '', /not found.*slower/);
  assert.match(todo ?? '', /TROUPE_FFMPEG.*npm run setup/);
});

test('native is refused where there is none', () => {
  try {
    chooseDecoder('native', nowhere);
    assert.unreachable('there is none');
  } catch (error) {
    assert.ok(error instanceof TroupeError);
    assert.is(error.code, 'unavailable');
    assert.match(error.message, 'TROUPE_FFMPEG');
  }
});

test('wasm is taken although there is an ffmpeg', () => {
  const { choice, why, todo } = chooseDecoder('wasm', here);
  assert.equal(choice, { kind: 'wasm' });
  assert.match(why ?? '', '--decoder wasm');
  assert.is(todo, null);
});

test('a TROUPE_FFMPEG that is no program is an error, and no reason for the fallback', () => {
  assert.throws(() => chooseDecoder('auto', { ...nowhere, given: path.join(folder, 'no') }), /is not a program/);
});

test.run();
