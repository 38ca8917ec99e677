/**
 * What Troupe needs on a machine: its npm packages, nats-server and ffmpeg; and bubblewrap, which it can do without.
 * Plain JavaScript without dependencies: it runs before there is a node_modules, on Node 20.
 *
 * P1 Nothing outside the checkout changes: what is brought lies in node_modules and .troupe.
 * P2 What is there is used: TROUPE_NATS_SERVER and TROUPE_FFMPEG, then PATH, then .troupe/bin. A version that is too
 *    old is passed over, unless a variable names it: then it is an error.
 * P3 When all is there, no process is started: versions are remembered by the file's size and time.
 * P4 A tool appears whole or not at all, and one process at a time brings things.
 * P5 What Troupe can do without and could not be brought is done without, which is said once; only `npm run setup` tries again.
 * P6 bubblewrap is brought where apt can; without it Troupe works in a weaker sandbox. A failure is told once and not tried again.
 */
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { downloadFromSuite, downloadWithDependencies, libraryFolders, unpack } from './debian.mjs';
import { run } from './run.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const home = path.join(root, '.troupe');
const bin = path.join(home, 'bin');
const memory = path.join(home, 'versions.json');

/** The nats-server that Troupe was tried with. A suite moves on; then apt's own signature check has to do. */
const NATS = {
  suite: 'forky',
  version: '2.15.1-1',
  sha256: {
    x64: '31ef4ceaa84e8248d449e508472e3770c17c3695cb5cb0ee96e03912724ea884',
    arm64: '68923b614b6b5594bbd63ffdce7258c2155ec448fb4cb7efd099bf9273eca128',
  },
};

const TOOLS = [
  {
    name: 'nats-server',
    variable: 'TROUPE_NATS_SERVER',
    companions: [],
    ask: '-v',
    least: [2, 10, 27],
    bring: bringNatsServer,
    byHand: {
      darwin: 'brew install nats-server',
      linux: `mkdir -p ${bin} && curl -fsSL https://github.com/nats-io/nats-server/releases/download/v2.12.1/nats-server-v2.12.1-linux-${process.arch === 'x64' ? 'amd64' : process.arch}.tar.gz | tar -xz -C ${bin} --strip-components=1 --wildcards '*/nats-server'`,
    },
  },
  {
    name: 'ffmpeg',
    variable: 'TROUPE_FFMPEG',
    companions: ['ffprobe'],
    ask: '-version',
    least: [5, 1, 0],
    bring: bringFfmpeg,
    // P5: what stands in for it, and the variable that says so.
    instead: { said: 'video is decoded by ffmpeg.wasm, which is slower', variable: 'TROUPE_DECODER', value: 'wasm' },
    byHand: {
      darwin: 'brew install ffmpeg',
      linux: has('dnf') ? 'sudo dnf install -y ffmpeg-free' : 'sudo apt-get install -y ffmpeg',
    },
  },
];

/**
 * Brings what is missing. Returns the variables by which a child finds the tools that its own search would miss (P2).
 * @param again also what could not be brought before (P5)
 * @throws Error whose message says what to do
 */
export async function provision({ again = false } = {}) {
  const before = await survey(again);
  if (before.missing.length === 0) return before.variables;
  mkdirSync(home, { recursive: true });
  const release = await oneAtATime();
  try {
    // Another process may have brought it all while this one waited.
    const { missing } = await survey(again);
    for (const left of readdirSync(home).filter(name => name.startsWith('new-')))
      rmSync(path.join(home, left), { recursive: true, force: true });
    const ends = await Promise.allSettled(missing.map(bring => bring()));
    const problems = ends.flatMap(end => (end.status === 'rejected' ? [end.reason.message] : []));
    if (problems.length > 0) throw new Error(problems.join('\n'));
  } finally {
    release();
  }
  const after = await survey();
  if (after.missing.length > 0) throw new Error('what was brought does not work on this machine');
  return after.variables;
}

/** P6: what is left behind in .troupe where bubblewrap could not be brought; says why. Delete it to have it tried again. */
const withoutBubblewrap = path.join(home, 'without-bubblewrap');

/** What is missing, as functions that bring it. */
async function survey(again = false) {
  const missing = packagesMatch() ? [] : [bringPackages];
  const variables = {};
  for (const tool of TOOLS) {
    const { file, passedOver } = await locate(tool);
    if (file !== null) {
      if (passedOver) variables[tool.variable] = file;
      continue;
    }
    const { instead } = tool;
    if (instead !== undefined && passedOver)
      variables[instead.variable] = process.env[instead.variable] ?? instead.value;
    const without =
      instead !== undefined && (process.env[instead.variable] === instead.value || existsSync(noted(tool)));
    if (again || !without) missing.push(() => bring(tool));
  }
  const bubblewrap = has('bwrap') || executable(path.join(bin, 'bwrap')) || existsSync(withoutBubblewrap);
  if (!bubblewrap && has('apt-get') && has('dpkg')) missing.push(tryBubblewrap);
  return { missing, variables };
}

/** P2 */
async function locate(tool) {
  const named = process.env[tool.variable];
  if (named) {
    if (await fits(tool, named)) return { file: named, passedOver: false };
    throw new Error(`${tool.variable}=${named} is not a ${tool.name} of version ${tool.least.join('.')} or later`);
  }
  let passedOver = false;
  for (const folder of [...pathFolders(), bin]) {
    const file = path.join(folder, tool.name);
    if (!executable(file)) continue;
    if (await fits(tool, file)) return { file, passedOver };
    passedOver = true;
  }
  return { file: null, passedOver };
}

async function fits(tool, file) {
  const beside = tool.companions.map(name => path.join(path.dirname(file), name));
  if (![file, ...beside].every(executable)) return false;
  const version = await versionOf(tool, file);
  const differs = tool.least.findIndex((number, i) => version[i] !== number);
  return differs === -1 || version[differs] > tool.least[differs];
}

/** P3: its version as three numbers, [0, 0, 0] when it does not say one. */
async function versionOf(tool, file) {
  const known = remembered();
  const { size, mtimeMs } = statSync(file);
  const stamp = `${size} ${mtimeMs}`;
  if (known[file]?.stamp === stamp) return known[file].version;
  const said = await run(file, [tool.ask]).catch(() => '');
  // Builds of ffmpeg's development branch call themselves N-<commits>.
  const numbers = /version N-/.test(said) ? ['', 999, 0, 0] : /v(?:ersion )?n?(\d+)\.(\d+)(?:\.(\d+))?/.exec(said);
  const version = [1, 2, 3].map(i => Number(numbers?.[i] ?? 0));
  mkdirSync(home, { recursive: true });
  writeFileSync(`${memory}.${process.pid}`, JSON.stringify({ ...remembered(), [file]: { stamp, version } }, null, 2));
  renameSync(`${memory}.${process.pid}`, memory);
  return version;
}

function remembered() {
  return existsSync(memory) ? JSON.parse(readFileSync(memory, 'utf8')) : {};
}

/** Whether node_modules holds what package-lock.json wants here, by the record that npm leaves at the end of its work. */
function packagesMatch() {
  const record = path.join(root, 'node_modules/.package-lock.json');
  if (!existsSync(record)) return false;
  const packagesOf = file => JSON.parse(readFileSync(file, 'utf8')).packages;
  const there = packagesOf(record);
  const without = ` ${process.env['npm_config_omit'] ?? ''} ${process.env['NODE_ENV'] === 'production' ? 'dev' : ''} `;
  return Object.entries(packagesOf(path.join(root, 'package-lock.json'))).every(([folder, wanted]) => {
    if (folder === '') return true;
    const found = there[folder];
    if (found === undefined) return wanted.optional || (wanted.dev && without.includes(' dev '));
    return found.version === wanted.version && found.integrity === wanted.integrity;
  });
}

async function bringPackages() {
  say('bringing the npm packages');
  // A node that lies in node_modules must not be the one that replaces node_modules.
  const PATH = pathFolders().filter(folder => !folder.endsWith('node_modules/.bin'));
  await run('npm', ['ci', '--loglevel=error'], { cwd: root, env: { ...process.env, PATH: PATH.join(path.delimiter) } });
}

/** P5: is there when a tool could not be brought. */
const noted = tool => path.join(home, `without-${tool.name}`);

/** P1, P4 */
async function bring(tool) {
  say(`bringing ${tool.name}`);
  const scratch = mkdtempSync(path.join(home, 'new-'));
  try {
    if (!has('apt-get') || !has('dpkg')) throw new Error('this machine is not of the Debian family');
    mkdirSync(bin, { recursive: true });
    await tool.bring(scratch);
    rmSync(noted(tool), { force: true });
  } catch (error) {
    const command = tool.byHand[process.platform] ?? `see the manual of ${tool.name}`;
    if (tool.instead !== undefined) {
      writeFileSync(noted(tool), error.message);
      const why = error.message.split('\n', 1)[0];
      return say(`${tool.name} could not be brought (${why}): ${tool.instead.said}. To install it: ${command}`);
    }
    throw new Error(
      `Troupe needs ${tool.name} ${tool.least.join('.')} or later and could not bring it: ${error.message}\n  To install it: ${command}`,
      { cause: error },
    );
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function bringNatsServer(scratch) {
  const deb = await downloadFromSuite(scratch, NATS.suite, 'nats-server');
  if (path.basename(deb).split('_')[1] !== NATS.version) {
    say(`${path.basename(deb)} is not the ${NATS.version} that Troupe was tried with; apt has checked its signature`);
  } else if (createHash('sha256').update(readFileSync(deb)).digest('hex') !== (NATS.sha256[process.arch] ?? '')) {
    throw new Error(`${path.basename(deb)} has another checksum than the one it is known by`);
  }
  await unpack([deb], scratch);
  renameSync(path.join(scratch, 'usr/sbin/nats-server'), path.join(bin, 'nats-server'));
}

/** P5 */
async function tryBubblewrap() {
  say('bringing bubblewrap');
  const scratch = mkdtempSync(path.join(home, 'new-'));
  try {
    const [deb] = (await downloadWithDependencies(scratch, ['bubblewrap'])).filter(file => /bubblewrap_/.test(file));
    await unpack([deb], scratch);
    await run(path.join(scratch, 'usr/bin/bwrap'), ['--version']);
    mkdirSync(bin, { recursive: true });
    renameSync(path.join(scratch, 'usr/bin/bwrap'), path.join(bin, 'bwrap'));
  } catch (error) {
    writeFileSync(withoutBubblewrap, `${error.message}\n`);
    say('bubblewrap could not be brought: decoders run with limits alone. To have it: sudo apt-get install bubblewrap');
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The packages' libraries stay beside the program, so it starts through a script that says where they are. */
async function bringFfmpeg(scratch) {
  const debs = await downloadWithDependencies(scratch, ['ffmpeg']);
  const unpacked = path.join(scratch, 'ffmpeg');
  await unpack(debs, unpacked);
  for (const folder of ['etc', 'var', 'usr/share', 'usr/sbin', 'usr/include'])
    rmSync(path.join(unpacked, folder), { recursive: true, force: true });
  const libraries = libraryFolders(unpacked).map(folder => `$here/../ffmpeg/${folder}`);
  const names = ['ffprobe', 'ffmpeg'];
  mkdirSync(path.join(scratch, 'bin'));
  for (const name of names) {
    const lines = [
      '#!/bin/sh',
      'self=$0; [ -L "$self" ] && self=$(readlink -f "$self")',
      'here=${self%/*}',
      `LD_LIBRARY_PATH="${libraries.join(':')}" exec "$here/../ffmpeg/usr/bin/${name}" "$@"`,
    ];
    writeFileSync(path.join(scratch, 'bin', name), `${lines.join('\n')}\n`, { mode: 0o755 });
    await run(path.join(scratch, 'bin', name), ['-version']);
  }
  rmSync(path.join(home, 'ffmpeg'), { recursive: true, force: true });
  renameSync(unpacked, path.join(home, 'ffmpeg'));
  for (const name of names) renameSync(path.join(scratch, 'bin', name), path.join(bin, name));
}

/**
 * P4: waits for its turn and returns what ends it. The lock is a name in Linux's abstract socket space: the kernel
 * frees it when its process dies. Elsewhere two set-ups at once in one checkout are not kept apart.
 */
export async function oneAtATime() {
  if (process.platform !== 'linux') return () => {};
  // Of full length, since versions of Node differ in how they pad a shorter one.
  const name = `\0${createHash('sha256').update(root).digest('hex').padStart(107, 'troupe-setup-')}`;
  for (;;) {
    const server = createServer();
    const taken = await new Promise((resolve, reject) => {
      server.once('error', error => (error.code === 'EADDRINUSE' ? resolve(true) : reject(error)));
      server.listen(name, () => resolve(false));
    });
    if (!taken) return () => server.close();
    await new Promise(resolve => setTimeout(resolve, 100));
  }
}

/** On stderr: stdout belongs to the program that starts afterwards. */
function say(line) {
  process.stderr.write(`troupe setup: ${line}\n`);
}

function pathFolders() {
  return (process.env['PATH'] ?? '').split(path.delimiter).filter(path.isAbsolute);
}

function has(program) {
  return pathFolders().some(folder => executable(path.join(folder, program)));
}

/** Whether a file is there that can be run. */
export function executable(file) {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
