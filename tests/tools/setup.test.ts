// shared
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const test = suite('setup');
const repo = path.resolve(import.meta.dirname, '../..');
const LOCKED = {
  packages: { '': {}, 'node_modules/a': { version: '1.0.0' }, 'node_modules/b': { version: '2.0.0', optional: true } },
};
const PROGRAM = `
  if (process.argv[2] === 'wait') {
    process.on('SIGTERM', () => process.exit(7));
    setInterval(() => {}, 1000);
    console.log('waiting ' + process.pid);
  } else {
    console.log(JSON.stringify([process.argv.slice(2), process.version, process.env.ORT_DISABLE_TELEMETRY, process.env.TROUPE_NATS_SERVER, process.env.TROUPE_DECODER]));
    process.exitCode = 5;
  }`;

let checkout: string;
let bin: string;
const troupeBin = (): string => path.join(checkout, '.troupe/bin');
const calls = (): string[] => {
  const log = path.join(checkout, 'calls');
  return existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [];
};

/** A program that notes each of its calls, and does what a shell script says. */
function program(folder: string, name: string, script: string): void {
  mkdirSync(folder, { recursive: true });
  const note = `echo "${name} $*" >> ${path.join(checkout, 'calls')}`;
  writeFileSync(path.join(folder, name), `#!/bin/sh\n${note}\n${script}\n`, { mode: 0o755 });
}
const natsServer = (folder: string, version: string): void =>
  program(folder, 'nats-server', `echo nats-server: v${version}`);

function install(a: string): void {
  const installed = { packages: { 'node_modules/a': { version: a } } };
  writeFileSync(path.join(checkout, 'node_modules/.package-lock.json'), JSON.stringify(installed));
}

interface End {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(
  script: string,
  args: readonly string[] = [],
  env: NodeJS.ProcessEnv = {},
  node = process.execPath,
): ChildProcess {
  return spawn(node, [path.join(checkout, 'scripts', script), ...args], { env: { PATH: bin, ...env }, stdio: 'pipe' });
}

async function ended(child: ChildProcess): Promise<End> {
  let [stdout, stderr] = ['', ''];
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}
const setup = (env: NodeJS.ProcessEnv = {}): Promise<End> => ended(start('setup.mjs', [], env));

test.before.each(() => {
  checkout = mkdtempSync(path.join(tmpdir(), 'troupe-setup-'));
  bin = path.join(checkout, 'bin');
  cpSync(path.join(repo, 'scripts'), path.join(checkout, 'scripts'), { recursive: true });
  mkdirSync(path.join(checkout, 'node_modules'));
  writeFileSync(path.join(checkout, 'package-lock.json'), JSON.stringify(LOCKED));
  writeFileSync(path.join(checkout, 'program.ts'), PROGRAM);
  install('1.0.0');
  natsServer(bin, '2.12.0');
  program(bin, 'ffmpeg', 'echo ffmpeg version n7.1 Copyright');
  program(bin, 'ffprobe', '');
});
test.after.each(() => rmSync(checkout, { recursive: true, force: true }));

test('P3: when all is there, versions are asked for once and the second run starts no process', async () => {
  assert.equal(await setup(), { code: 0, stdout: '', stderr: '' });
  assert.equal(calls().sort(), ['ffmpeg -version', 'nats-server -v']);
  assert.is((await setup()).code, 0);
  assert.is(calls().length, 2);
});

test('P3: a program that was replaced is asked again', async () => {
  await setup();
  natsServer(bin, '2.9.0-replaced');
  assert.is((await setup()).code, 1);
});

test('P2: a version that is too old is passed over for the one in .troupe/bin, and children are told', async () => {
  natsServer(bin, '2.10.26');
  natsServer(troupeBin(), '2.10.27');
  const { stdout } = await ended(start('launch.mjs', ['program.ts']));
  assert.is(JSON.parse(stdout)[3], path.join(troupeBin(), 'nats-server'));
});

test('P2: a version that is too old and named is an error that says so', async () => {
  natsServer(troupeBin(), '2.9.0');
  const named = path.join(troupeBin(), 'nats-server');
  const { code, stderr } = await setup({ TROUPE_NATS_SERVER: named });
  assert.is(code, 1);
  assert.match(stderr, `TROUPE_NATS_SERVER=${named} is not a nats-server of version 2.10.27 or later`);
});

test('P2: an ffmpeg without its ffprobe is passed over, and children are told to do without', async () => {
  rmSync(path.join(bin, 'ffprobe'));
  const { stdout } = await ended(start('launch.mjs', ['program.ts']));
  assert.is(JSON.parse(stdout)[4], 'wasm');
});

test('P5: an ffmpeg that cannot be brought is done without, in one line; only setup tries it again', async () => {
  rmSync(path.join(bin, 'ffmpeg'));
  const first = await ended(start('launch.mjs', ['program.ts']));
  assert.is(first.code, 5, 'the program has run');
  const line =
    /^troupe setup: ffmpeg could not be brought \(.+\): video is decoded by ffmpeg\.wasm, .+ To install it: .+\n$/m;
  assert.match(first.stderr, line);
  assert.is((await ended(start('launch.mjs', ['program.ts']))).stderr, '');
  const again = await setup();
  assert.is(again.code, 0);
  assert.match(again.stderr, line);
  program(bin, 'ffmpeg', 'echo ffmpeg version n7.1 Copyright');
  assert.equal(await setup(), { code: 0, stdout: '', stderr: '' });
});

test('P5: an ffmpeg that nobody asks for is not brought', async () => {
  rmSync(path.join(bin, 'ffmpeg'));
  const { code, stderr } = await ended(start('launch.mjs', ['program.ts'], { TROUPE_DECODER: 'wasm' }));
  assert.equal([code, stderr], [5, '']);
});

test('a machine without apt is told everything it lacks, with one command each', async () => {
  rmSync(bin, { recursive: true });
  const { code, stderr } = await setup();
  assert.is(code, 1);
  const commands = process.platform === 'darwin' ? ['brew', 'brew'] : ['curl', 'sudo'];
  assert.match(stderr, new RegExp(`needs nats-server 2\\.10\\.27 .*\n {2}To install it: .*${commands[0]} `));
  assert.match(stderr, new RegExp(`ffmpeg could not be brought .* To install it: ${commands[1]} `));
});

test('P4: packages that differ from the lock file are installed, once when two set-ups start together', async () => {
  install('0.9.0');
  const record = path.join(checkout, 'node_modules/.package-lock.json');
  program(
    bin,
    'npm',
    `/bin/sleep 0.5; echo '${JSON.stringify({ packages: { 'node_modules/a': { version: '1.0.0' } } })}' > ${record}`,
  );
  const ends = await Promise.all([setup(), setup()]);
  assert.equal(
    ends.map(({ code }) => code),
    [0, 0],
  );
  // Elsewhere than on Linux there is no lock.
  if (process.platform === 'linux') assert.is(calls().filter(call => call.startsWith('npm ci')).length, 1);
});

test('a failed npm ci fails the set-up with what npm said', async () => {
  install('0.9.0');
  program(bin, 'npm', 'echo no space left >&2; exit 1');
  const { code, stderr } = await setup();
  assert.is(code, 1);
  assert.match(stderr, 'no space left');
});

test('N1: the program gets its arguments and ends with its own exit code', async () => {
  const { code, stdout } = await ended(start('launch.mjs', ['program.ts', '--seed', '3']));
  assert.is(code, 5);
  assert.equal(JSON.parse(stdout), [['--seed', '3'], process.version, '1', null, null]);
});

const older = (process.env['PATH'] ?? '')
  .split(path.delimiter)
  .map(folder => path.join(folder, 'node'))
  .find(
    node =>
      existsSync(node) && Number.parseInt(execFileSync(node, ['-p', 'process.versions.node']).toString(), 10) < 24,
  );

if (older === undefined) {
  test.skip('N2: skipped, there is no Node before 24 on PATH', () => {});
} else {
  test('N2: an older Node starts Node 24 in its place, and passes signals and the exit code on', async () => {
    const brought = path.join(checkout, `node_modules/node-${process.platform}-${process.arch}/bin`);
    mkdirSync(brought, { recursive: true });
    symlinkSync(process.execPath, path.join(brought, 'node'));
    const { code, stdout } = await ended(start('launch.mjs', ['program.ts', 'x'], {}, older));
    assert.is(code, 5);
    assert.equal(JSON.parse(stdout).slice(0, 3), [['x'], process.version, '1']);

    const waiting = start('launch.mjs', ['program.ts', 'wait'], {}, older);
    const end = ended(waiting);
    if (waiting.stdout !== null) await once(waiting.stdout, 'data');
    waiting.kill('SIGTERM');
    assert.is((await end).code, 7);
  });

  test('N2: the program ends when the older Node that started it is killed', async () => {
    const brought = path.join(checkout, `node_modules/node-${process.platform}-${process.arch}/bin`);
    mkdirSync(brought, { recursive: true });
    symlinkSync(process.execPath, path.join(brought, 'node'));
    const waiting = start('launch.mjs', ['program.ts', 'wait'], {}, older);
    const end = ended(waiting);
    if (waiting.stdout !== null) await once(waiting.stdout, 'data');
    waiting.kill('SIGKILL');
    await end; // its output closes only when the program, too, is gone
  });

  test('N2: an older Node that finds no Node 24 says what is needed', async () => {
    const { code, stderr } = await ended(start('launch.mjs', ['program.ts'], {}, older));
    assert.is(code, 1);
    assert.match(stderr, /^Troupe needs Node 24 or later; this is v/);
  });
}

test.run();
