/** VF1: what an export can have that its manifest does not say. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Manifest } from '../../src/cli/manifest.ts';
import { readManifest, verifyFile } from '../../src/cli/verify.ts';
import { predictionLine } from '../../src/domain/prediction.ts';
import type { Sampling } from '../../src/domain/sampling.ts';
import { toSpec } from '../../src/domain/scenario-spec.ts';
import { REQUEST } from '../api/served-api.ts';

const test = suite('verify');
const folder = mkdtempSync(path.join(tmpdir(), 'troupe-verify-'));
const file = path.join(folder, 'out.jsonl');
const signal = new AbortController().signal;
test.after(() => rmSync(folder, { recursive: true, force: true }));

const lineOf = (frame: number): string => predictionLine({ frame, ptsMs: frame * 40, detections: [] });
const textOf = (lines: readonly string[]): string => lines.map(line => `${line}\n`).join('');

function manifestOf(text: string, sampling: Sampling = {}): Manifest {
  const sha256 = createHash('sha256').update(text).digest('hex');
  const frames = text.split('\n').length - 1;
  return { scenario: 'cam1', run: 2, complete: true, spec: toSpec({ ...REQUEST, sampling }), frames, sha256 };
}

const FRAMES = [10, 15, 20, 25];
const WHOLE = FRAMES.map(lineOf);
const MANIFEST = manifestOf(textOf(WHOLE), { every: 5, from: 10 });

const DAMAGES: readonly (readonly [string, readonly string[], RegExp])[] = [
  ['a frame that is missing', WHOLE.toSpliced(1, 1), /line 2 has frame 20: frame 15 is missing/],
  ['a first frame that is missing', WHOLE.slice(1), /line 1 has frame 15: frame 10 is missing/],
  ['last frames that are missing', WHOLE.slice(0, 3), /it has 3 frames, the manifest of cam1, run 2 says 4/],
  ['a frame twice', WHOLE.toSpliced(1, 0, lineOf(10)), /line 2 has frame 10 a second time/],
  ['frames out of order', [10, 20, 15, 25].map(lineOf), /line 2 has frame 20: frame 15 is missing/],
  ['a frame from before', [10, 15, 10].map(lineOf), /line 3 is out of order: frame 10 after frame 15/],
  ['a frame that was not selected', [10, 12].map(lineOf), /line 2 has frame 12, which cam1 does not select/],
  ['a line that is no prediction', [...WHOLE.slice(0, 2), '{"frame":20}'], /line 3 is no prediction/],
  ['a line cut short', [...WHOLE.slice(0, 3), '{"frame":25,"pts'], /line 4 is no prediction/],
  ['a changed value', WHOLE.with(2, lineOf(20).replace('800', '801')), /its bytes are others: sha256 [0-9a-f]{64}/],
  ['nothing', [], /it has 0 frames/],
];
for (const [what, lines, message] of DAMAGES) {
  test(`VF1: ${what} is named, with what to do`, async () => {
    writeFileSync(file, textOf(lines));
    const { ok, text } = await verifyFile(file, MANIFEST, signal);
    assert.not.ok(ok);
    assert.match(text, message);
    assert.match(text, /Write it again: troupe export cam1 --run 2 --out /);
  });
}

test('VF1: an export as it was written is what its manifest says, and one whose last line has no end is not', async () => {
  writeFileSync(file, textOf(WHOLE));
  const { ok, frames, sha256 } = await verifyFile(file, MANIFEST, signal);
  assert.equal([ok, frames, sha256], [true, 4, MANIFEST.sha256]);
  writeFileSync(file, textOf(WHOLE).trimEnd());
  assert.match((await verifyFile(file, MANIFEST, signal)).text, /its bytes are others/);
});

test('VF1: with fps any growing frames are in order, and the digest decides', async () => {
  const lines = [0, 12, 25].map(lineOf);
  writeFileSync(file, textOf(lines));
  const manifest = manifestOf(textOf(lines), { fps: 2 });
  assert.ok((await verifyFile(file, manifest, signal)).ok);
  writeFileSync(file, textOf([0, 25, 12].map(lineOf)));
  assert.match((await verifyFile(file, manifest, signal)).text, /line 3 is out of order/);
});

test('a manifest that is missing or none is refused with where another can be had', async () => {
  const none = (): never => assert.unreachable() as never;
  await readManifest(file, {}, none, signal).then(
    () => assert.unreachable(),
    error => assert.match(String(error), /out\.jsonl\.manifest\.json is not there: name it with --manifest .*--id ID/),
  );
  writeFileSync(`${file}.manifest.json`, '{"scenario":"cam1"}');
  await readManifest(file, {}, none, signal).then(
    () => assert.unreachable(),
    error => assert.match(String(error), /out\.jsonl\.manifest\.json is not valid: .*run is required/),
  );
  writeFileSync(`${file}.manifest.json`, JSON.stringify(MANIFEST));
  assert.equal(await readManifest(file, {}, none, signal), MANIFEST);
});

test('VF2: a file without line ends is refused before it fills the memory', async () => {
  writeFileSync(file, Buffer.alloc(3 << 20, 'x'));
  await verifyFile(file, MANIFEST, signal).then(
    () => assert.unreachable(),
    error => assert.match(String(error), /is no JSONL export/),
  );
});

test.run();
