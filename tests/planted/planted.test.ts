import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BUGS } from './bugs.ts';
import { flawOf, type PlantedBug, plant } from './planted-bug.ts';
import { type Controls, trial } from './trial.ts';

const test = suite('planted bugs');
const root = path.resolve(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');

test('every planted bug fits its source, changes what runs, and has a name of its own', () => {
  assert.ok(BUGS.length >= 40);
  assert.is(new Set(BUGS.map(({ id }) => id)).size, BUGS.length);
  const flaws = BUGS.flatMap(bug => flawOf(read(bug.file), bug) ?? []);
  assert.equal(flaws, []);
});

test('every planted bug names a test that is there', () => {
  const missing = BUGS.filter(({ caughtBy: { file, name } }) => !namesOf(file).some(known => known.test(name)));
  assert.equal(
    missing.map(({ id }) => id),
    [],
  );
});

const literally = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');

/** The names of a file's tests and of the test bodies that it imports, those with `${…}` in them as patterns. */
function namesOf(file: string): RegExp[] {
  const bodies = [...read(file).matchAll(/from '(\.[^']*)'/g)].map(([, near = '']) =>
    path.join(path.dirname(file), near),
  );
  return [file, ...bodies.filter(body => body.startsWith('tests/') && existsSync(path.join(root, body)))].flatMap(
    from =>
      [...read(from).matchAll(/^ *(?:test|where|run)\((?:'\w+', )?(['`])(.+?)\1, /gm)].map(
        ([, , name = '']) =>
          new RegExp(
            `^${name
              .split(/\$\{.*?\}/)
              .map(literally)
              .join('.*')}$`,
          ),
      ),
  );
}

const FIRST = 'what was put first is taken first';
const fixture: PlantedBug = {
  id: 'fixture',
  promise: 'a queue is a queue',
  file: 'tests/planted/fixtures/queue.ts',
  before: 'this.#items.shift();',
  after: 'this.#items.pop();',
  caughtBy: { file: 'tests/planted/fixtures/queue.case.ts', name: FIRST },
};
const controls: Controls = new Map();

/** What comes of it: the kind of the verdict, and why when there is none. */
async function verdict(change: Partial<PlantedBug>, name = FIRST, limitMs = 60_000): Promise<string> {
  const found = await trial({ ...fixture, ...change, caughtBy: { ...fixture.caughtBy, name } }, limitMs, controls);
  return found.kind === 'void' ? found.why : found.kind;
}

for (const [how, change, name] of [
  ['fails the test', {}, FIRST],
  [
    'leaves it waiting for what cannot come',
    { before: 'this.#bell.resolve();', after: '' },
    'it rings when something was put',
  ],
  ['takes its process along', { after: 'process.exit(3);' }, FIRST],
] as const)
  test(`PT1: a bug that ${how} is caught`, async () => {
    assert.is(await verdict(change, name), 'caught');
  });

test('PT1: a bug that only other tests would notice has survived', async () => {
  assert.is(await verdict({}, 'it knows its size'), 'survived');
});

for (const [how, change, name, why] of [
  ['is no TypeScript', { after: 'this.#items.shift(' }, FIRST, 'with the bug the test does not begin'],
  ['names what is not there', { after: 'items.shift();' }, FIRST, 'it meets a name that is not there'],
  [
    'no longer fits its source',
    { before: 'this.#items.unshift();' },
    FIRST,
    'the test does not load tests/planted/fixtures/queue.ts, or the bug does not fit into it',
  ],
  [
    'its test never meets',
    { file: 'src/domain/nearest.ts', before: 'export', after: 'export ' },
    FIRST,
    'the test does not load src/domain/nearest.ts, or the bug does not fit into it',
  ],
  [
    'names no test',
    {},
    'it is never full',
    "no test 'it is never full' begins in tests/planted/fixtures/queue.case.ts",
  ],
  ['names a failing test', {}, 'no test passes that is wrong itself', 'without the bug the test, alone, fails too'],
] as const)
  test(`PT1, PT2, PT3: a bug that ${how} proves nothing`, async () => {
    assert.is(await verdict(change, name), why);
  });

test('PT1: a bug whose test is over its time proves nothing', async () => {
  await verdict({}); // its control has run
  assert.is(await verdict({ after: '(() => { for (;;); })();' }, FIRST, 3_000), 'its time was over');
});

test('a bug that changes nothing that runs, or leaves no TypeScript, is none', () => {
  const source = read(fixture.file);
  assert.is(flawOf(source, fixture), null);
  assert.is(flawOf(source, { ...fixture, after: 'this.#items.shift( ) as number;' }), null);
  assert.match(
    flawOf(source, { ...fixture, before: 'take(): number | undefined', after: 'take(): number' }) ?? '',
    /changes nothing/,
  );
  assert.match(flawOf(source, { ...fixture, after: 'this.#items.shift(' }) ?? '', /no TypeScript/);
  assert.throws(() => plant(source, { ...fixture, before: 'this.#items' }), /is in .*queue\.ts 3 times, not once/);
});

test('PL1, PL2: each bug of this commit’s share is caught by the test that was named for it', async () => {
  const { code, stdout } = await new Promise<{ code: unknown; stdout: string }>(resolve => {
    execFile(process.execPath, [path.join(root, 'tests/planted/plant.ts'), '--jobs', '1'], (error, out) =>
      resolve({ code: error?.code ?? 0, stdout: out }),
    );
  });
  console.log(`\n${stdout}`);
  assert.is(code, 0, stdout);
  assert.match(stdout, /^(\d+) of \1 planted bugs caught$/m);
});

test.run();
