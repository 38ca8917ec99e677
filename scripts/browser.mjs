/**
 * `node scripts/browser.mjs` prints where a Chromium is, for the tests and the pictures of the page at /docs; where there
 * is none, it brings one. Nothing else needs a browser, so set-up does not bring it: it is 100 MB.
 *
 * B1 What is there is used: TROUPE_BROWSER, then PATH, then .troupe/bin. One that does not start is passed over, unless
 *    the variable names it: then it is an error.
 * B2 Without root, and nothing outside .troupe changes. It appears whole or not at all, and one process at a time brings it.
 * B3 Where it cannot be had, stderr says why and the exit code is 69; one that was brought and does not start is a 1.
 */
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { downloadWithDependencies, libraryFolders, unpack } from './debian.mjs';
import { executable, oneAtATime } from './provision.mjs';
import { run } from './run.mjs';

const UNAVAILABLE = 69;
const START_MS = 30_000;
const NAMES = ['chromium', 'chromium-headless-shell', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const home = fileURLToPath(new URL('../.troupe', import.meta.url));
const brought = path.join(home, 'bin', 'chromium');
const LEFT_OUT = ['etc', 'var', 'usr/bin', 'usr/sbin', 'usr/share/doc', 'usr/share/man'];

/** Fonts that came with the browser are found from where this file lies; no cache is written anywhere. */
const FONTS = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <dir>/usr/share/fonts</dir><dir prefix="relative">usr/share/fonts</dir>
  <alias><family>sans-serif</family><prefer><family>DejaVu Sans</family></prefer></alias>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
`;

async function browser() {
  const named = process.env.TROUPE_BROWSER;
  if (named) {
    await version(named);
    return named;
  }
  const found = await there();
  if (found !== undefined) return found;
  mkdirSync(home, { recursive: true });
  const release = await oneAtATime();
  try {
    // Another process may have brought it while this one waited.
    if (!executable(brought)) await bring();
  } finally {
    release();
  }
  await version(brought);
  return brought;
}

/** B1 */
async function there() {
  const folders = (process.env.PATH ?? '').split(path.delimiter).filter(path.isAbsolute);
  for (const file of [...folders.flatMap(folder => NAMES.map(name => path.join(folder, name))), brought]) {
    if (!executable(file)) continue;
    const starts = await version(file).then(
      () => true,
      () => false,
    );
    if (starts) return file;
  }
  return undefined;
}

const version = file => run(file, ['--version'], { timeout: START_MS });

/** B2 */
async function bring() {
  process.stderr.write('troupe: bringing a headless Chromium, which takes a minute\n');
  const scratch = mkdtempSync(path.join(home, 'new-'));
  try {
    const debs = await download(scratch);
    const unpacked = path.join(scratch, 'chromium');
    await unpack(debs, unpacked);
    for (const folder of LEFT_OUT) rmSync(path.join(unpacked, folder), { recursive: true, force: true });
    writeFileSync(path.join(unpacked, 'fonts.conf'), FONTS);
    const libraries = libraryFolders(unpacked).map(folder => `$here/../chromium/${folder}`);
    const lines = [
      '#!/bin/sh',
      'here=${0%/*}',
      'export FONTCONFIG_FILE="$here/../chromium/fonts.conf"',
      `export LD_LIBRARY_PATH="${libraries.join(':')}"`,
      'exec "$here/../chromium/usr/lib/chromium/chromium-headless-shell" "$@"',
    ];
    const start = path.join(scratch, 'start');
    writeFileSync(start, `${lines.join('\n')}\n`, { mode: 0o755 });
    rmSync(path.join(home, 'chromium'), { recursive: true, force: true });
    renameSync(unpacked, path.join(home, 'chromium'));
    mkdirSync(path.dirname(brought), { recursive: true });
    renameSync(start, brought);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** B3 */
async function download(scratch) {
  try {
    return await downloadWithDependencies(scratch, ['chromium-headless-shell', 'fonts-dejavu-core']);
  } catch (cause) {
    process.exitCode = UNAVAILABLE;
    throw new Error(`there is no Chromium on PATH, and apt could not bring one: ${cause.message}`, { cause });
  }
}

try {
  process.stdout.write(`${await browser()}\n`);
} catch (error) {
  process.stderr.write(`troupe: ${error.message}\n`);
  process.exitCode ??= 1;
}
