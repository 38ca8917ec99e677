// serial
// shared
/**
 * The Dockerfile, without an engine.
 *
 * DF1 What it copies is there and let in; secrets, packages and results are not.
 * DF2 What runs is not root, hears signals, and holds no package manager's packages.
 * DF3 Its own COPY, npm and bundle lines make a program that needs no package beside it.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import packageJson from '../../package.json' with { type: 'json' };
import { asset } from '../../src/infra/process/assets.ts';
import { copied, instructions, isIgnored } from './dockerfile.ts';
import { killLaunched, type Launched, launch } from './launched.ts';

const test = suite('dockerfile');
const folder = mkdtempSync(path.join(tmpdir(), 'troupe-dockerfile-'));
const app = path.join(folder, 'app');

test.after(() => {
  killLaunched();
  rmSync(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 20 });
});

const ended = async (process: Launched): Promise<{ code: number | null; output: string }> => ({
  code: await process.exit,
  output: process.output(),
});

/** The first stage's lines, in order, with /build and /app in `folder`. */
async function build(): Promise<void> {
  const workdir = path.join(folder, 'build');
  mkdirSync(workdir);
  for (const instruction of instructions().filter(({ stage }) => stage === 0)) {
    const { name, rest } = instruction;
    if (name === 'COPY') {
      const { sources = [], target = '' } = copied(instruction) ?? {};
      for (const source of sources) {
        const isFolder = statSync(asset(source)).isDirectory();
        cpSync(asset(source), path.join(workdir, target, isFolder ? '' : path.basename(source)), { recursive: true });
      }
    } else if (name === 'RUN') {
      const line = rest.replaceAll('/app', app);
      const PATH = `${path.dirname(process.execPath)}:${process.env['PATH']}`;
      const done = await ended(launch('/bin/sh', ['-c', line], workdir, { ...process.env, PATH }));
      assert.is(done.code, 0, `${line}\n${done.output}`);
    } else {
      assert.ok(['FROM', 'WORKDIR'].includes(name), `${name} ${rest}`);
    }
  }
}

test('DF1: what the image is made of exists and is let in; secrets, packages and results are not', () => {
  const sources = instructions()
    .filter(({ name }) => name === 'COPY')
    .flatMap(line => copied(line)?.sources ?? []);
  assert.ok(sources.length >= 8);
  for (const source of sources) {
    assert.ok(existsSync(asset(source)), source);
    assert.not.ok(isIgnored(source), source);
  }
  for (const kept of ['.env', '.git', '.troupe', 'node_modules', 'dist', 'nats-store', 'x.predictions.jsonl', 'tests'])
    assert.ok(isIgnored(kept), kept);
});

test('DF2: the image starts as an array, ends by SIGTERM, and holds no package manager’s packages', () => {
  const last = instructions().filter(({ stage }) => stage === 1);
  const of = (name: string): string[] => last.filter(line => line.name === name).map(({ rest }) => rest);
  assert.equal(of('USER'), ['node']);
  assert.equal(of('STOPSIGNAL'), ['SIGTERM']);
  assert.equal(
    of('ENTRYPOINT').map(text => JSON.parse(text)),
    [['node', '/app/troupe.mjs']],
  );
  assert.equal(of('COPY'), ['--from=build /app /app']);
  assert.not.match(of('RUN').join('\n'), /npm/);
  assert.ok(
    instructions()
      .filter(({ name }) => name === 'FROM')
      .every(({ rest }) => rest.startsWith('node:24-')),
  );
});

test('DF3: npm and the bundle, as the Dockerfile has them, make a program without packages and tools of development', async () => {
  await build();
  assert.not.ok(existsSync(path.join(app, 'node_modules')));
  const notices = readFileSync(path.join(app, 'THIRD-PARTY.txt'), 'utf8');
  const inside = [...notices.matchAll(/^(\S+) \d+\.\d+\.\d+\S*: \S+/gm)].map(([, name]) => name ?? '');
  assert.ok(inside.includes('fastify'));
  // `yaml` is also of the product: Swagger's own.
  const tools = Object.keys(packageJson.devDependencies).filter(name => name !== 'yaml');
  assert.equal(
    inside.filter(name => tools.includes(name)),
    [],
  );
  for (const [flag, said] of [
    ['--version', packageJson.version],
    ['--help', 'troupe'],
  ] as const) {
    const { code, output } = await ended(launch(process.execPath, [path.join(app, 'troupe.mjs'), flag], folder, {}));
    assert.is(code, 0, output);
    assert.ok(output.includes(said), output);
  }
});

test.run();
