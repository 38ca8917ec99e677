import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const test = suite('tidy');
const root = path.resolve(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');
const source = globSync('src/**/*.ts', { cwd: root });
const tests = globSync('tests/**/*.test.ts', { cwd: root });

interface Package {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}
const wanted = ['package.json', 'scripts/client-types/package.json'].flatMap(file => {
  const { dependencies, optionalDependencies, devDependencies } = JSON.parse(read(file)) as Partial<Package>;
  return Object.entries({ ...dependencies, ...optionalDependencies, ...devDependencies });
});

/** `file:line` of every line of code, comments left out, that matches. */
function linesWith(files: readonly string[], pattern: RegExp): string[] {
  return files.flatMap(file =>
    read(file)
      .split('\n')
      .flatMap((line, i) => (pattern.test(line.replace(/^\s*(\/?\*|\/\/).*/, '')) ? [`${file}:${i + 1}`] : [])),
  );
}

test('the patterns below look at something', () => {
  assert.ok(source.length >= 100 && tests.length >= 10 && wanted.length >= 20);
});

test('only config.ts reads process.env', () => {
  const files = source.filter(file => file !== 'src/infra/config.ts');
  assert.equal(linesWith(files, /process\.env\b(?!\['\w+'\] = )/), []);
});

test('processes and threads begin in five places, and roles of our own only through self-exec', () => {
  // self-exec: runners and threads, for supervisors, and the trial of a model, awaited on the spot; server-process: nats-server, for the embedded one's supervisor; media-process: ffmpeg, for the
  // decoder that owns it; nats-binary and data-lock: `--version` and flock(1), awaited on the spot.
  const starters = linesWith(source, /from 'node:child_process'|import \{ Worker\b.*from 'node:worker_threads'/);
  assert.equal([...new Set(starters.map(line => line.replace(/:\d+$/, '')))].toSorted(), [
    'src/infra/nats/data-lock.ts',
    'src/infra/nats/nats-binary.ts',
    'src/infra/nats/server-process.ts',
    'src/infra/process/self-exec.ts',
    'src/infra/video/media-process.ts',
  ]);
  const callers = source.filter(file =>
    /\b(selfExec|processLauncher|startEmbeddedNats|startServerProcess)\(/.test(read(file)),
  );
  assert.equal(callers.toSorted(), [
    'src/infra/inference/trial.ts',
    'src/infra/nats/embedded-server.ts',
    'src/infra/nats/server-process.ts',
    'src/infra/process/launcher.ts',
    'src/infra/process/self-exec.ts',
    'src/system.ts',
  ]);
});

test('domain and actors have time and chance from ports', () => {
  const files = source.filter(file => /^src\/(domain|actors)\//.test(file));
  const forbidden =
    /\b(Date\.now|new Date\(\)|performance\.|setTimeout|setInterval|setImmediate|Math\.random|randomUUID|randomBytes|node:timers|node:crypto)/;
  assert.equal(linesWith(files, forbidden), []);
});

test('every suite is run and no test is singled out', () => {
  const unrun = tests.filter(file => {
    const made = read(file).matchAll(/^const (\w+) = suite\(/gm);
    return [...made].some(([, name]) => !read(file).includes(`\n${name}.run();`));
  });
  assert.equal(unrun, []);
  assert.equal(linesWith(tests, /^\w+\.only\(/), []);
});

test('every dependency is pinned exactly and has its row in DEPENDENCIES.md, with that version', () => {
  const rows = read('docs/DEPENDENCIES.md')
    .split('\n')
    .flatMap(line => {
      const [name, version, licence, reason] = line
        .split('|')
        .slice(1)
        .map(cell => cell.trim());
      return licence && reason ? [`${name} ${version}`] : [];
    });
  const missing = wanted.map(([name, version]) => `\`${name}\` ${version}`).filter(row => !rows.includes(row));
  assert.equal(missing, []);
  assert.equal(
    wanted.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version)).map(([name]) => name),
    [],
  );
});

test('DEPENDENCIES.md names no package that is gone', () => {
  const named = [...read('docs/DEPENDENCIES.md').matchAll(/^\| `([^`]+)` \| \d/gm)].map(([, name]) => name ?? '');
  const known = new Set(wanted.map(([name]) => name));
  assert.equal(
    named.filter(name => !known.has(name)),
    [],
  );
});

test('the lock file names no registry: everyone installs from their own', () => {
  assert.equal(linesWith(['package-lock.json'], /"resolved": "[a-z+]+:|registry/), []);
});

const PROMISING = ['docs/FAILURE_MODES.md', 'docs/LOG.md', 'docs/SECURITY.md'];

test('every test that FAILURE_MODES.md, LOG.md and SECURITY.md name is there, and not as a comment', () => {
  const cited = PROMISING.flatMap(doc =>
    [...read(doc).matchAll(/`(tests\/[^`]+\.ts)`: ("[^"]+"(?:; "[^"]+")*)/g)].flatMap(([, file = '', names = '']) =>
      names
        .slice(1, -1)
        .split('"; "')
        .map(name => ({ doc, file, name: name.replace(/:? *…$/, '') })),
    ),
  );
  assert.ok(cited.length >= 80);
  const missing = cited.filter(
    ({ file, name }) => linesWith([file], new RegExp(name.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))).length === 0,
  );
  assert.equal(missing, []);
});

test('every file of tests/ that a document names is there', () => {
  const named = [...PROMISING, 'docs/PROOF.md', 'docs/ARCHITECTURE.md', 'docs/OPERATIONS.md', 'docs/NATS.md'].flatMap(
    doc => [...read(doc).matchAll(/`(tests\/[^`\s]+)`/g)].map(([, file = '']) => ({ doc, file })),
  );
  assert.ok(named.length >= 90);
  assert.equal(
    named.filter(({ file }) => !existsSync(path.join(root, file))),
    [],
  );
});

test('every row of FAILURE_MODES.md has a fault, a promise and a test', () => {
  const rows = read('docs/FAILURE_MODES.md')
    .split('\n')
    .filter(line => line.startsWith('| ') && !/^\| (fault|---) /.test(line));
  assert.ok(rows.length >= 40);
  const whole = /^\| [^|]+ \| [^|]+ \| `tests\/[^|]+ \|$/;
  assert.equal(
    rows.filter(row => !whole.test(row)),
    [],
  );
});

test.run();
