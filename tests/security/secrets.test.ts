// shared
/** Where a secret must never be: a node with a token and a NATS password is looked at from every side. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, globSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect as natsConnect } from '@nats-io/transport-node';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { childEnvironment, settings } from '../../src/infra/config.ts';
import { asset } from '../../src/infra/process/assets.ts';
import { natsServerBinary } from '../support/nats.ts';
import { descendants } from '../support/processes.ts';
import { Workplace } from '../support/troupe-command.ts';
import { waitUntil } from '../support/wait-until.ts';

const TOKEN = 'tokenTOKEN1234567890';
const PASSWORD = 'passwordPASSWORD0987';
const OTHER = 'somebodyElsesKEY5555';
const SECRETS = [TOKEN, PASSWORD, OTHER];

const test = suite('secrets');

/** The secrets that are in a text. */
const secretsIn = (text: string): string[] => SECRETS.filter(secret => text.includes(secret));

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

test('no secret is in a log, a state, a message, an answer, an error, a file or a command line', async () => {
  using place = new Workplace();
  copyFileSync(asset('test_videos', 'test_video.mp4'), path.join(place.folder, 'v.mp4'));
  writeFileSync(path.join(place.folder, 'bad.mp4'), 'no video');
  const port = await freePort();
  const conf = path.join(place.folder, 'nats.conf');
  writeFileSync(
    conf,
    `listen: "127.0.0.1:${port}"\njetstream { store_dir: "${place.folder}/store" }\nauthorization { user: node, password: "${PASSWORD}" }\n`,
  );
  const server = spawn(natsServerBinary(), ['-c', conf], { stdio: 'ignore' });
  try {
    const open = () => natsConnect({ servers: `127.0.0.1:${port}`, user: 'node', pass: PASSWORD, reconnect: false });
    await waitUntil('nats-server answers', async () => {
      const connection = await open().catch(() => null);
      await connection?.close();
      return connection !== null;
    });
    const listener = await open();
    let wire = '';
    listener.subscribe('>', {
      callback: (_, message) => {
        wire += `${message.subject} ${message.string()}\n`;
      },
    });

    const node = place.start(['up', '--port', '0', '--root', '.', '--sandbox', 'auto'], {
      TROUPE_TOKEN: TOKEN,
      TROUPE_NATS: `nats://node:${PASSWORD}@127.0.0.1:${port}`,
      SOMEBODY_ELSES_KEY: OTHER,
    });
    await waitUntil('the node serves', () => node.stdout().includes('troupe ready'), 120_000);
    const { url } = JSON.parse(place.read('data/endpoint.json')) as { url: string };
    const answers: string[] = [];
    const ask = async (at: string, init: RequestInit = {}, token = TOKEN): Promise<string> => {
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      const answer = await fetch(url + at, { ...init, headers });
      const text = `${JSON.stringify([...answer.headers])} ${await answer.text()}`;
      answers.push(text);
      return text;
    };
    const create = (body: object): Promise<string> =>
      ask('/api/v1/scenarios', { method: 'POST', body: JSON.stringify(body) });
    await create({ id: 'good', source: { uri: 'v.mp4' }, model: 'shapes' });
    await waitUntil('it decodes', () =>
      descendants(node.child.pid ?? 0).some(pid => commandOf(pid).includes('ffmpeg')),
    );
    const below = descendants(node.child.pid ?? 0);
    const processes = below.map(pid => ({ pid, command: commandOf(pid), environment: environmentOf(pid) }));
    assert.ok(below.length >= 2);
    assert.equal(
      processes.filter(({ command, environment }) => secretsIn(command + environment).length > 0),
      [],
    );
    assert.equal(secretsIn(execFileSync('ps', ['-eo', 'args='], { encoding: 'utf8' })), []);
    await create({ id: 'bad', source: { uri: 'bad.mp4' }, model: 'shapes' });
    await create({ id: 'worse', source: { uri: 'v.mp4' }, model: `no ${'x'.repeat(10)}` });
    await create({ nonsense: 1 });
    await ask('/api/v1/scenarios', {}, `${TOKEN.slice(0, -1)}x`);
    for (const at of [
      'nodes',
      'tree',
      'models',
      'rejected',
      'scenarios',
      'scenarios/good?wait=60',
      'scenarios/bad?wait=20',
    ])
      await ask(`/api/v1/${at}`);
    for (const at of ['/docs/json', '/metrics', '/readyz', '/healthz', '/nothing']) await ask(at);
    node.child.kill('SIGTERM');
    const { stdout, stderr } = await node.ended;

    await listener.close();
    assert.match(wire, /troupe\.prediction\.good/);
    for (const [what, text] of Object.entries({ stdout, stderr, wire, answers: answers.join('\n') })) {
      assert.equal(secretsIn(text), [], what);
    }
    const files = globSync('data/**/*', { cwd: place.folder, withFileTypes: true }).filter(entry => entry.isFile());
    assert.ok(files.length > 1);
    assert.is(statSync(place.data).mode & 0o777, 0o700, 'others may not look into DATA');
    for (const { parentPath, name } of files) {
      assert.equal(secretsIn(readFileSync(path.join(parentPath, name), 'latin1')), [], name);
    }
  } finally {
    server.kill('SIGKILL');
  }
});

test('an error about the configuration names an option and not what it was set to', async () => {
  using place = new Workplace();
  writeFileSync(path.join(place.folder, 'seed.creds'), `-----BEGIN NATS USER JWT-----\n${OTHER}\n`);
  for (const [args, env, code] of [
    [[], { TROUPE_TOKEN: `${TOKEN} with spaces` }, 2],
    [[], { TROUPE_NATS: `http://node:${PASSWORD}@host` }, 2],
    [['--nats', `node:${PASSWORD}@host`], {}, 2],
    [['--nats', 'nats://127.0.0.1:1', '--creds', 'seed.creds'], {}, 1],
    [['--nats', `nats://node:${PASSWORD}@127.0.0.1:1`], {}, 1],
  ] as const) {
    const ended = await place.run(['up', ...args], env);
    assert.is(ended.code, code, ended.stderr);
    assert.equal(secretsIn(ended.stdout + ended.stderr), []);
    assert.ok(ended.stderr.length > 20);
  }
});

test('a mistake in troupe.toml is told without the lines around it', () => {
  const cwd = mkdtempSync(path.join(tmpdir(), 'troupe-toml-'));
  try {
    writeFileSync(path.join(cwd, 'troupe.toml'), `token = "${TOKEN}"\nport = = 1\n`);
    assert.throws(
      () => settings({}, { cwd, env: {} }),
      (error: Error) => /troupe\.toml:2: /.test(error.message) && secretsIn(error.message).length === 0,
    );
  } finally {
    rmSync(cwd, { recursive: true });
  }
});

test('a child gets what it needs of the environment and nothing else', () => {
  const before = { ...process.env };
  try {
    Object.assign(process.env, {
      TROUPE_TOKEN: TOKEN,
      TROUPE_NATS: PASSWORD,
      AWS_SECRET_ACCESS_KEY: OTHER,
      NODE_OPTIONS: '--inspect',
      LD_PRELOAD: '/x',
    });
    const handed = childEnvironment();
    assert.equal(secretsIn(JSON.stringify(handed)), []);
    assert.is(handed['PATH'], process.env['PATH']);
    for (const name of ['TROUPE_TOKEN', 'NODE_OPTIONS', 'LD_PRELOAD']) assert.not.ok(name in handed, name);
  } finally {
    for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
    Object.assign(process.env, before);
  }
});

function commandOf(pid: number): string {
  return procFile(pid, 'cmdline');
}

function environmentOf(pid: number): string {
  return procFile(pid, 'environ');
}

/** Empty when the process has ended meanwhile. */
function procFile(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return '';
  }
}

test.run();
