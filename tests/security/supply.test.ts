/** What is installed, and under which licences. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { asset } from '../../src/infra/process/assets.ts';

const test = suite('supply');
const folder = mkdtempSync(path.join(tmpdir(), 'troupe-supply-'));
test.after(() => rmSync(folder, { recursive: true, force: true }));

interface Lock {
  readonly packages: Record<string, Record<string, unknown>>;
}
const lock = (): Lock => JSON.parse(readFileSync(asset('package-lock.json'), 'utf8')) as Lock;

function check(changed: Lock): { code: number | null; said: string } {
  const file = path.join(folder, 'package-lock.json');
  writeFileSync(file, JSON.stringify(changed));
  const { status, stderr } = spawnSync(process.execPath, [asset('scripts', 'check-lockfile.mjs'), file], {
    encoding: 'utf8',
  });
  return { code: status, said: stderr };
}

test('the lock file is what check:lockfile wants', () => {
  assert.equal(check(lock()), { code: 0, said: '' });
});

for (const [rule, change, complaint] of [
  ['K1: an address', { resolved: 'https://evil.example/fastify.tgz' }, 'comes from https://evil.example'],
  ['K1: a git repository', { resolved: 'git+ssh://git@example.com/a/b.git#1' }, 'comes from git+ssh'],
  ['K1: a folder', { link: true, resolved: '../fastify' }, 'comes from ../fastify'],
  ['K1: another package under its name', { name: 'fastifi' }, 'comes from fastifi'],
  ['K1: a dependency on an address', { dependencies: { a: 'http://example.com/a.tgz' } }, 'wants a as http:'],
  ['K1: a dependency on a repository', { dependencies: { a: 'someone/a' } }, 'wants a as someone/a'],
  ['K2: no hash', { integrity: undefined }, 'has no SHA-512'],
  ['K2: a weak hash', { integrity: 'sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=' }, 'has no SHA-512'],
  [
    'K3: one that binds, in another place than the one it is known of',
    { license: 'GPL-2.0-or-later' },
    'has the licence GPL-2',
  ],
  ['K3: no licence', { license: undefined }, 'has the licence undefined'],
  ['K3: a licence that binds', { license: 'AGPL-3.0-only' }, 'has the licence AGPL-3.0-only'],
  ['K3: one of two that bind', { license: 'MIT AND GPL-3.0' }, 'has the licence MIT AND GPL-3.0'],
] as const) {
  test(`${rule} is refused in the lock file`, () => {
    const { packages, ...rest } = lock();
    const changed = {
      ...rest,
      packages: { ...packages, 'node_modules/fastify': { ...packages['node_modules/fastify'], ...change } },
    };
    const { code, said } = check(changed);
    assert.is(code, 1);
    assert.match(said, `fastify: ${complaint}`);
  });
}

test('B1: the bill of materials names every package of the lock file with version, hash and licence', () => {
  const file = path.join(folder, 'sbom.json');
  const { status, stderr } = spawnSync(process.execPath, [asset('scripts', 'sbom.mjs'), file], { encoding: 'utf8' });
  assert.is(status, 0, stderr);
  const { bomFormat, components } = JSON.parse(readFileSync(file, 'utf8')) as {
    bomFormat: string;
    components: unknown[];
  };
  assert.is(bomFormat, 'CycloneDX');
  const versions = new Set(
    Object.entries(lock().packages)
      .filter(([at, { link }]) => at.includes('node_modules/') && link !== true)
      .map(([at, { version }]) => `${at.split('node_modules/').at(-1)}@${String(version)}`),
  );
  // And the workspace that is Troupe's own.
  assert.is(components.length, versions.size + 1);
});

test.run();
