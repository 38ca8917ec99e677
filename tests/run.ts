/**
 * `npm test [-- PATTERN…] [--all] [--limit-ms N]`: runs the test files, each in a process of its own.
 *
 * T1 A file passes when it exits 0 within the time limit, ran or skipped at least one test, and every test it ran passed.
 *    uvu exits 0 on suites that it never ran and on hooks that threw, so its exit code alone proves nothing.
 * T2 A pattern that is part of no file's path is an error.
 * T3 A file that is over its time is killed with every process it started in its group.
 * T4 Files that begin with `// serial` run alone, after the others: what they measure or limit in time wants the machine.
 * T5 The last line of the output is `N passed, N failed`; the exit code is 0 only when nothing failed. What was skipped is counted in
 *    the line before.
 * T6 Of the files that begin with `// shared`, the long ones, a run without a pattern takes an eighth: which one,
 *    the hash of the commit tells, so that commits, one after another, come to meet them all. Each other counts as skipped. `--all` takes them all, and so
 *    does a checkout without a commit.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

const PARALLEL = 2;
const SHARES = 8;
const SHARED = /^(\/\/ serial\n)?\/\/ shared\n/;
/** How long output may stay open after its process and its group are gone. */
const CLOSE_MS = 5000;
const root = path.resolve(import.meta.dirname, '..');

const { values, positionals: patterns } = parseArgs({
  allowPositionals: true,
  options: {
    /** What test files' names end with: the runner's own tests have broken ones of another ending. */
    ending: { type: 'string', default: '.test.ts' },
    all: { type: 'boolean', default: false },
    /** Instead of the commit's hash. */
    hash: { type: 'string' },
    'limit-ms': { type: 'string', default: '420000' },
  },
});
/** What uvu closes with, once a process. Its total counts no skipped tests. */
const CLOSING_BLOCK = /^ {2}Total: +(\d+)\n {2}Passed: +(\d+)\n {2}Skipped: +(\d+)$/gm;
const limitMs = Number(values['limit-ms']);

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

interface FileResult extends Counts {
  /** Why the file failed, as a sentence; null when it passed. */
  readonly complaint: string | null;
  readonly output: string;
  readonly seconds: number;
}

interface FileEnd {
  readonly code: number | null;
  readonly signal: string | null;
  /** Closing blocks that uvu printed. */
  readonly blocks: number;
  readonly total: number;
  readonly passed: number;
  readonly skipped: number;
}

const totals: Counts = { passed: 0, failed: 0, skipped: 0 };
const running = new Set<number>();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    for (const pid of running) killGroup(pid);
    process.exit(1);
  });
}

const all = globSync(`tests/**/*${values.ending}`, { cwd: root }).sort();
const strangers = patterns.filter(pattern => !all.some(file => file.includes(pattern)));
if (strangers.length > 0 || all.length === 0) {
  console.error(`no test file matches ${strangers.join(', ') || values.ending}`); // T2
  process.exit(2);
}
const asked = patterns.length === 0 ? all : all.filter(file => patterns.some(pattern => file.includes(pattern)));
const left = leftOut(asked);
for (const file of left) console.log(`left ${file} (not in this commit's share: npm test -- --all)`);
totals.skipped += left.size;
const files = asked.filter(file => !left.has(file));
const serial = files.filter(isSerial);
const rest = files.filter(file => !serial.includes(file)).values();

await Promise.all(Array.from({ length: PARALLEL }, () => runEach(rest)));
await runEach(serial); // T4

console.log(totals.skipped > 0 ? `\n${totals.skipped} skipped` : '');
console.log(`${totals.passed} passed, ${totals.failed} failed`); // T5
process.exitCode = totals.failed === 0 ? 0 : 1;

async function runEach(queue: Iterable<string>): Promise<void> {
  for (const file of queue) {
    const result = await runFile(file);
    totals.passed += result.passed;
    totals.failed += result.failed;
    totals.skipped += result.skipped;
    const count = `${result.passed} passed${result.skipped > 0 ? `, ${result.skipped} skipped` : ''}`;
    const verdict = result.complaint === null ? 'ok  ' : 'FAIL';
    console.log(`${verdict} ${file} (${result.complaint ?? count}, ${result.seconds.toFixed(1)} s)`);
    if (result.complaint !== null) console.log(`${result.output.trimEnd()}\n`);
  }
}

async function runFile(file: string): Promise<FileResult> {
  const start = performance.now();
  const child = spawn(process.execPath, [path.join(root, file)], {
    cwd: root,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, FORCE_COLOR: undefined }, // colours would hide the closing block
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${process.execPath} does not start`);
  running.add(pid);
  let stdout = '';
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const closed = once(child, 'close');
  let late = false;
  const limit = setTimeout(() => {
    late = true;
    killGroup(pid);
  }, limitMs);
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  clearTimeout(limit);
  killGroup(pid); // T3
  const left = setTimeout(() => {
    child.stdout.destroy();
    child.stderr.destroy();
  }, CLOSE_MS);
  await closed;
  clearTimeout(left);
  running.delete(pid);
  const blocks = [...stdout.matchAll(CLOSING_BLOCK)].map(([, total, passed, skipped]) => ({
    total: Number(total),
    passed: Number(passed),
    skipped: Number(skipped),
  }));
  const counted = blocks[0] ?? { total: 0, passed: 0, skipped: 0 };
  const notPassed = counted.total - counted.passed;
  const complaint = late
    ? `over its limit of ${limitMs} ms`
    : complaintOf({ code, signal, blocks: blocks.length, ...counted });
  return {
    passed: counted.passed,
    skipped: counted.skipped,
    failed: complaint === null ? 0 : Math.max(1, notPassed),
    complaint,
    output,
    seconds: (performance.now() - start) / 1000,
  };
}

/** T1 */
function complaintOf(end: FileEnd): string | null {
  if (end.signal !== null) return `ended by ${end.signal}`;
  if (end.passed !== end.total) return `${end.total - end.passed} of ${end.total} tests did not pass`;
  if (end.code !== 0) return `exit code ${end.code}`;
  if (end.total + end.skipped === 0) return 'ran no test';
  if (end.blocks > 1) return 'a suite began when the others had ended';
  return null;
}

/** T6: what another commit's run takes. */
function leftOut(asked: readonly string[]): ReadonlySet<string> {
  const named = patterns.length > 0 && values.hash === undefined;
  const hash = values.hash ?? spawnSync('git', ['rev-parse', 'HEAD'], { cwd: root, encoding: 'utf8' }).stdout;
  if (named || values.all || !/^[0-9a-f]{8}/.test(hash)) return new Set();
  const share = Number.parseInt(hash.slice(0, 8), 16) % SHARES;
  const shared = asked.filter(file => SHARED.test(readFileSync(path.join(root, file), 'utf8')));
  return new Set(shared.filter((_, i) => i % SHARES !== share));
}

function isSerial(file: string): boolean {
  return readFileSync(path.join(root, file), 'utf8').startsWith('// serial');
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
