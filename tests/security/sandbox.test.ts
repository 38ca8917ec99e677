/** The sandbox round programs that read strangers' files, with the real bubblewrap and prlimit. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TroupeError } from '../../src/domain/errors.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { programs } from '../../src/infra/config.ts';
import { type Confinement, confined, findSandbox, NO_SANDBOX, type Sandbox } from '../../src/infra/process/sandbox.ts';
import { chooseSandbox } from '../../src/infra/video/choose-decoder.ts';
import { ffmpegDecoder } from '../../src/infra/video/ffmpeg-decoder.ts';
import { answersIn, inSandbox, MediaProcess } from '../../src/infra/video/media-process.ts';
import { decodeAll } from '../contract/decoder.ts';
import { isRunning } from '../support/processes.ts';
import { waitUntil } from '../support/wait-until.ts';
import { CLIPS, tools } from '../video/clips.ts';

const test = suite('sandbox');
const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'troupe-sandbox-')));
test.after(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => path.join(folder, name);
const { searchPath, own } = programs();

const runs = (sandbox: Sandbox): Promise<void> => answersIn(tools.ffmpeg, '-version', sandbox);
const { sandbox: best, lacks } = await findSandbox('auto', { searchPath, own }, runs);
const limits: Sandbox = { ...best, level: 'limits', bwrap: null };
/** Tests of a level that this machine does not have are skipped, and say why. */
const where = (level: 'full' | 'limits', name: string, body: () => Promise<void> | void): void => {
  if (best.level === 'full' || best.level === level) test(name, body);
  else test.skip(`${name} — skipped: ${lacks}`, body);
};

const BOUNDS = { as: LIMITS.mediaBytes, nofile: LIMITS.mediaFiles, fsize: 0 };
/** What a shell says in a sandbox; its standard output is a pipe. */
function shell(sandbox: Sandbox, script: string, { bounds = BOUNDS, readable = [] }: Partial<Confinement> = {}) {
  const { program, args } = confined(sandbox, '/bin/sh', ['-c', script], { bounds, readable });
  return spawnSync(program, args, { encoding: 'utf8' });
}

writeFileSync(at('canary'), 'CANARY');
writeFileSync(at('video'), 'pixels');

where('full', 'SB1: of all files but the system’s it sees the one it is given, and can write nowhere', () => {
  const { stdout, stderr } = shell(
    best,
    `cat ${at('video')}; cat ${at('canary')} /etc/passwd /proc/self/environ; echo x > ${at('new')}; echo x > /new; echo x > ${at('video')}; ls -A ${folder} / /etc`,
    { readable: [at('video')] },
  );
  assert.match(stdout, /^pixels/);
  assert.not.match(stdout, 'CANARY');
  assert.not.match(stdout, 'root:');
  assert.is(stderr.match(/No such file/g)?.length, 3, stderr);
  assert.is(stderr.match(/Read-only file system/g)?.length, 3, stderr);
  assert.match(stdout, new RegExp(`${folder}:\nvideo\n`));
  assert.is(readFileSync(at('video'), 'utf8'), 'pixels');
});

where('full', 'SB1: it has no network, sees no other process, and has no privilege', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const script = `bash -c 'exec 4<>/dev/tcp/127.0.0.1/${port} && echo connected'; kill -0 ${process.pid} && echo seen; unshare --net true && echo root`;
  try {
    const outside = spawn('/bin/sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'] });
    let said = '';
    outside.stdout.on('data', text => (said += text));
    await once(outside, 'close');
    assert.match(said, /connected\nseen/, 'the script tells the difference');
    const inside = shell(best, script);
    assert.is(inside.stdout, '');
    assert.match(inside.stderr, /(unreachable|refused)[^]*No such process[^]*not permitted/);
  } finally {
    server.close();
  }
});

for (const level of ['limits', 'full'] as const) {
  const sandbox = level === 'full' ? best : limits;

  where(level, `SB2: in ${level} memory, open files and written files have an end, and there is no core dump`, () => {
    const bounded = shell(
      sandbox,
      'ulimit -v; ulimit -n; ulimit -f; ulimit -c; dd if=/dev/zero of=/dev/null bs=5G count=1',
    );
    const [memory, files, size, core] = bounded.stdout.split('\n');
    assert.equal([Number(memory) * 1024, files, size, core], [LIMITS.mediaBytes, String(LIMITS.mediaFiles), '0', '0']);
    assert.match(bounded.stderr, /memory exhausted|No such file/); // in full there is no /dev either
    const { signal, status } = shell(sandbox, `exec head -c 1 ${at('video')} > ${at('out')}`, {
      readable: [at('video')],
    });
    assert.ok(signal !== null || status !== 0, 'nothing can be written');
  });

  where(level, `SB5: in ${level} descriptor 3, standard error and the exit code are the program's own`, async () => {
    const program = { binary: '/bin/sh', sandbox };
    await using child = new MediaProcess(program, ['-c', 'echo times >&3; echo pixels; echo oh >&2; exit 7'], never);
    const read = async (stream: Readable): Promise<string> => (await stream.toArray()).join('');
    assert.equal(await Promise.all([read(child.side), read(child.stdout)]), ['times\n', 'pixels\n']);
    assert.is((await child.exited).code, 7);
    assert.is(child.complaints.last(), 'oh');
  });

  where(level, `M2: in ${level} a program that does nothing is gone when its owner has disposed of it`, async () => {
    const seconds = `${9_000_000 + process.pid}${level === 'full' ? 1 : 0}`;
    const child = new MediaProcess({ binary: '/bin/sh', sandbox }, ['-c', `exec sleep ${seconds}`], never);
    const sleepers = (): number[] => processesNamed('sleep', seconds);
    await waitUntil('it sleeps', () => sleepers().length === 1);
    const [pid = 0] = sleepers();
    await child[Symbol.asyncDispose]();
    assert.not.ok(isRunning(pid));
  });

  where(level, `M4: in ${level} every kind of clip is probed and decoded as without a sandbox`, async () => {
    const bare = await ffmpegDecoder(tools);
    const walled = await ffmpegDecoder(inSandbox(tools, sandbox));
    for (const name of ['b-frames.mp4', 'alt-ref.webm', 'transport.ts', 'no-times.h264']) {
      const file = at(`-${level} ${name}`);
      CLIPS[name]?.(file);
      assert.equal(await decodeAll(walled, file), await decodeAll(bare, file));
    }
    assert.is(walled.engine, bare.engine);
  });
}

where('full', 'SB5: in full a program that meets no broken pipe dies with its parent', async () => {
  const seconds = String(8_000_000 + process.pid);
  const script = `
    const { MediaProcess } = await import(${JSON.stringify(path.resolve('src/infra/video/media-process.ts'))});
    new MediaProcess({ binary: '/bin/sh', sandbox: ${JSON.stringify(best)} }, ['-c', 'exec sleep ${seconds}'], new AbortController().signal);`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const sleepers = (): number[] => processesNamed('sleep', seconds);
  await waitUntil('it sleeps', () => sleepers().length === 1);
  parent.kill('SIGKILL');
  await waitUntil('it is gone', () => sleepers().length === 0);
});

/** A bwrap that cannot make namespaces, as in most containers. */
const powerless = at('bwrap');
writeFileSync(powerless, '#!/bin/sh\necho "bwrap: No permissions to create new namespace" >&2\nexit 1\n');
chmodSync(powerless, 0o755);
const places = { searchPath: [folder, searchPath].join(path.delimiter), own: folder };

test('SB4: auto takes what works, and says what it lacks and what to do', async () => {
  const { sandbox, lacks: why } = await findSandbox('auto', places, runs);
  assert.is(sandbox.level, best.level === 'none' ? 'none' : 'limits');
  assert.match(why ?? '', /full does not work here: bwrap: No permissions to create new namespace\. Allow namespaces/);
  const bare = await findSandbox('auto', { searchPath: '', own: folder.concat('/none') }, runs);
  assert.equal(bare.sandbox, NO_SANDBOX);
  assert.match(bare.lacks ?? '', 'Install util-linux');
  assert.equal(await findSandbox('none', places, runs), { sandbox: NO_SANDBOX, lacks: null });
});

test('SB4: a level that is demanded and does not work is an error that says what to do', async () => {
  for (const wish of ['require', 'full'] as const) {
    const refused = await findSandbox(wish, places, runs).catch((error: unknown) => error);
    assert.instance(refused, TroupeError);
    assert.match(String(refused), new RegExp(`--sandbox ${wish}: full does not work here: .*--sandbox auto`));
  }
});

where('full', 'SB4: a bwrap on PATH that does not work hides none that set-up brought', async () => {
  mkdirSync(at('own'));
  symlinkSync(best.bwrap ?? '', at('own/bwrap'));
  const { sandbox, lacks: why } = await findSandbox('auto', { ...places, own: at('own') }, runs);
  assert.equal([sandbox.level, sandbox.bwrap, why], ['full', at('own/bwrap'), null]);
});

where(
  'full',
  'SB4: a level in which the decoder’s other program does not run is not taken, and not for want of namespaces',
  async () => {
    const ffprobe = at('ffprobe');
    writeFileSync(ffprobe, `#!/bin/sh\nexec cat '${at('canary')}'\n`, { mode: 0o700 });
    const decoder = { kind: 'native', ffmpeg: tools.ffmpeg, ffprobe } as const;
    const { sandbox, lacks: why } = await chooseSandbox('auto', decoder, { searchPath, own });
    assert.is(sandbox.level, 'limits');
    assert.match(why ?? '', /canary: No such file or directory\. A program has there its own file/);
  },
);

where('full', 'SB1: a program that is a link is there with what it links to', () => {
  mkdirSync(at('opt'));
  writeFileSync(at('opt/program'), `#!/bin/sh\ncat '${at('opt/program')}'\n`, { mode: 0o700 });
  symlinkSync('opt/program', at('middle'));
  symlinkSync(at('middle'), at('link'));
  const { program, args } = confined(best, at('link'), [], { bounds: {}, readable: [] });
  const { stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  assert.match(stdout, '#!/bin/sh', stderr);
  assert.ok(args.includes(at('middle')), 'the kernel goes from one to the next');
});

where('limits', 'SB2: a bound above that which its owner is under is that one', () => {
  const hard = execFileSync('/bin/sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' });
  const { stdout, stderr } = shell(limits, 'ulimit -n', { bounds: { nofile: 2 ** 31 - 1 } });
  assert.is(stdout, hard, stderr);
});

where('limits', 'SB4: a level that is named is the one taken, though there is a better one', async () => {
  assert.is((await findSandbox('limits', { searchPath, own }, runs)).sandbox.level, 'limits');
});

where('full', 'SB4: require is content with full', async () => {
  assert.is((await findSandbox('require', { searchPath, own }, runs)).sandbox.level, 'full');
});

/** Processes of this name whose last argument is `last`, also those of another namespace. */
const processesNamed = (name: string, last: string): number[] =>
  execFileSync('ps', ['-eo', 'pid=,stat=,comm=,args='], { encoding: 'utf8' })
    .split('\n')
    .map(row => row.trim().split(/\s+/))
    .filter(([, state = 'Z', comm, ...args]) => !state.startsWith('Z') && comm === name && args.at(-1) === last)
    .map(([pid]) => Number(pid));

const never = new AbortController().signal;

test.run();
