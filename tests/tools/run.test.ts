import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const test = suite('test runner');
const runner = path.resolve(import.meta.dirname, '../run.ts');

interface Ending {
  readonly code: number | string | null | undefined;
  readonly lines: readonly string[];
  readonly stdout: string;
}

/** Runs the runner over fixtures by name. */
function run(names: readonly string[], options: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Ending> {
  const args = [runner, '--ending', '.case.ts', ...options, ...names.map(name => `fixtures/${name}.`)];
  return new Promise(resolve => {
    execFile(process.execPath, args, { env: { ...process.env, ...env } }, (error, stdout) => {
      resolve({ code: error === null ? 0 : error.code, lines: stdout.trimEnd().split('\n'), stdout });
    });
  });
}

test('T5: passed and skipped tests of all suites are counted, and the count is the last line', async () => {
  const { code, lines } = await run(['passing']);
  assert.is(code, 0);
  assert.equal(lines.slice(-2), ['1 skipped', '3 passed, 0 failed']);
  assert.match(lines[0] ?? '', /^ok {3}tests\/tools\/fixtures\/passing\.case\.ts \(3 passed, 1 skipped, /);
});

test('T5: one failing test fails the run and shows why', async () => {
  const { code, lines, stdout } = await run(['failing', 'serial']);
  assert.is(code, 1);
  assert.is(lines.at(-1), '2 passed, 1 failed');
  assert.match(stdout, 'why it failed');
});

for (const [name, complaint, count] of [
  ['unrun-suite', 'ran no test', '0 passed, 1 failed'],
  ['throwing-before', '2 of 2 tests did not pass', '0 passed, 2 failed'],
  ['throwing-after-each', '2 of 2 tests did not pass', '0 passed, 2 failed'],
  ['crash', 'ended by SIGKILL', '0 passed, 1 failed'],
  ['late-exit-code', 'exit code 3', '1 passed, 1 failed'],
  ['late-suite', 'a suite began when the others had ended', '1 passed, 1 failed'],
] as const) {
  test(`T1: ${name} fails: ${complaint}`, async () => {
    const { code, lines, stdout } = await run([name]);
    assert.is(code, 1);
    assert.match(stdout, `(${complaint}, `);
    assert.is(lines.at(-1), count);
  });
}

test('T6: of shared files each hash takes an eighth, eight of them all, and the rest counts as skipped', async () => {
  const taken = [];
  for (const share of [0, 1, 2, 3, 4, 5, 6, 7]) {
    const { code, lines } = await run(['shared-a', 'shared-b', 'shared-c', 'passing'], ['--hash', `0000000${share}`]);
    assert.equal(
      [code, ...lines.slice(-2)],
      [0, ...(share < 3 ? ['3 skipped', '4 passed, 0 failed'] : ['4 skipped', '3 passed, 0 failed'])],
    );
    taken.push(
      ...lines.filter(line => line.startsWith('ok') && line.includes('shared')).map(line => line.split(' ')[3]),
    );
  }
  assert.equal(
    taken,
    ['a', 'b', 'c'].map(name => `tests/tools/fixtures/shared-${name}.case.ts`),
  );
  const all = await run(['shared-a', 'shared-b', 'shared-c'], ['--hash', '00000000', '--all']);
  assert.is(all.lines.at(-1), '3 passed, 0 failed');
});

test('T2: a pattern that matches no file is an error, also beside one that matches', async () => {
  assert.is((await run(['passing', 'no-such-file'])).code, 2);
});

test('T3: an endless test is ended at its limit', async () => {
  const { code, lines, stdout } = await run(['endless'], ['--limit-ms', '500']);
  assert.is(code, 1);
  assert.match(stdout, '(over its limit of 500 ms, ');
  assert.is(lines.at(-1), '0 passed, 1 failed');
});

test('T3: a process that a test leaves behind is killed', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const gone = once(server, 'connection').then(([socket]) =>
    once(
      socket.resume().on('error', () => {}),
      'close',
    ),
  );
  const { code } = await run(['leaves-behind'], [], { TROUPE_TEST_PORT: String(address.port) });
  assert.is(code, 0);
  await gone;
  server.close();
});

test('T4: serial files run after the others', async () => {
  const { lines } = await run(['serial', 'throwing-after-each', 'passing']);
  const order = lines.flatMap(line => /fixtures\/([a-z-]+)\.case\.ts \(/.exec(line)?.[1] ?? []);
  assert.is(order.at(-1), 'serial');
});

test.run();
