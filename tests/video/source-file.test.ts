import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findFfmpeg, findProgram } from '../../src/infra/process/find-program.ts';
import { resolveSource } from '../../src/infra/video/source-file.ts';
import { sourceIdentity } from '../../src/infra/video/source-identity.ts';
import { refusal } from '../contract/decoder.ts';

const test = suite('files');
const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'troupe-roots-')));
test.after(() => rmSync(folder, { recursive: true, force: true }));

const root = path.join(folder, 'videos');
const inside = path.join(root, 'a.mp4');
const outside = path.join(folder, 'secret.mp4');
mkdirSync(path.join(root, 'folder'), { recursive: true });
mkdirSync(path.join(folder, 'videos-of-others'));
for (const file of [inside, outside, path.join(folder, 'videos-of-others/b.mp4'), path.join(root, '..dots.mp4')]) {
  writeFileSync(file, 'x');
}
symlinkSync(outside, path.join(root, 'link-out.mp4'));
symlinkSync(folder, path.join(root, 'up'));
symlinkSync(inside, path.join(folder, 'link-in.mp4'));
symlinkSync(root, path.join(folder, 'root-link'));

test('S1: a file below a root is allowed, by absolute, relative and file: names, through links that end inside', async () => {
  const names = [
    inside,
    path.relative(process.cwd(), inside),
    pathToFileURL(inside).href,
    path.join(folder, 'link-in.mp4'),
  ];
  for (const name of names) assert.is(await resolveSource(name, ['/nowhere', root]), inside);
  assert.is(await resolveSource(inside, [path.join(folder, 'root-link')]), inside);
  assert.is(await resolveSource(path.join(root, '..dots.mp4'), [root]), path.join(root, '..dots.mp4'));
  assert.is(await resolveSource(inside, ['/']), inside);
});

for (const name of ['../secret.mp4', 'link-out.mp4', 'up/secret.mp4', '../videos-of-others/b.mp4']) {
  test(`S1: ${name} leads out of the root and is not allowed`, async () => {
    const { code, message } = await refusal(resolveSource(path.join(root, name), [root]));
    assert.is(code, 'source_not_allowed');
    assert.match(message, '--root');
  });
}

test('S2: outside the roots a missing file is refused like one that exists', async () => {
  for (const name of ['../missing.mp4', 'up/missing.mp4', '../missing/deep.mp4']) {
    assert.is((await refusal(resolveSource(path.join(root, name), [root]))).code, 'source_not_allowed');
  }
});

const unreadable = { missing: 'missing.mp4', 'below a file': 'a.mp4/b.mp4', 'a folder': 'folder', 'the root': '.' };
for (const [what, name] of Object.entries(unreadable)) {
  test(`S1: ${what} is unreadable`, async () => {
    assert.is((await refusal(resolveSource(path.join(root, name), [root]))).code, 'source_unreadable');
  });
}

test('a name that cannot be a file is unreadable, another scheme not supported', async () => {
  for (const uri of ['', 'a\0.mp4', 'file://host/a.mp4']) {
    assert.is((await refusal(resolveSource(uri, [root]))).code, 'source_unreadable');
  }
  assert.is((await refusal(resolveSource('rtsp://camera/1', [root]))).code, 'not_supported_yet');
});

test('a binary is the one given, else the first on the search path, else our own', () => {
  const place = (name: string): string => {
    mkdirSync(path.join(folder, name));
    for (const tool of ['ffmpeg', 'ffprobe']) {
      writeFileSync(path.join(folder, name, tool), '#!/bin/sh\n');
      chmodSync(path.join(folder, name, tool), 0o755);
    }
    return path.join(folder, name);
  };
  const [first, second, own] = [place('first'), place('second'), place('own')];
  const searchPath = [folder, first, second].join(path.delimiter);
  const given = path.join(second, 'ffmpeg');
  assert.is(findProgram('ffmpeg', { given, searchPath, own }), given);
  assert.is(findProgram('ffmpeg', { given: undefined, searchPath, own }), path.join(first, 'ffmpeg'));
  assert.is(findProgram('ffmpeg', { given: undefined, searchPath: undefined, own }), path.join(own, 'ffmpeg'));
  assert.is(findProgram('ffmpeg', { given: '', searchPath: folder, own: folder }), null);
  assert.throws(() => findProgram('ffmpeg', { given: inside, searchPath, own }), /is not a program/);
  assert.equal(findFfmpeg({ given, searchPath, own }), { ffmpeg: given, ffprobe: path.join(second, 'ffprobe') });
});

test('the identity is size and hash of both ends: a change there, or of the length, shows', async () => {
  const file = path.join(folder, 'big');
  const bytes = Buffer.alloc(3 * 1024 * 1024);
  const identities = new Set<string>();
  const add = async (content: Uint8Array): Promise<void> => {
    writeFileSync(file, content);
    identities.add(JSON.stringify(await sourceIdentity(file)));
  };
  await add(bytes);
  await add(bytes);
  assert.is(identities.size, 1);
  for (const change of [0, bytes.length - 1]) {
    const changed = Buffer.from(bytes);
    changed[change] = 1;
    await add(changed);
  }
  await add(bytes.subarray(1));
  await add(new Uint8Array());
  assert.is(identities.size, 5);
});

test.run();
