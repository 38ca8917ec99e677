/**
 * Records the golden transcripts: runs the scripts of some seeds on Erlang's own supervisor.
 *
 *   npm run otp:record                    writes golden.txt anew
 *   npm run otp:record -- --check         records again and compares, writes nothing
 *   npm run otp:record -- --seeds 1-200   of these seeds alone (with --check), or these instead of all
 *
 * R1 Nothing is dropped: a script that does not come to an end, or whose steps took so long that a tick may mean something else, is
 *    recorded again, at most ATTEMPTS times; then the recording fails and names it.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { GOLDEN_FILE, type Golden, goldenText, readGolden } from './golden.ts';
import { type Script, STEPS_MS, scriptTerm } from './script.ts';
import { generateScript } from './script-generator.ts';
import { type Fact, type Row, type StepRecord, transcript } from './transcript.ts';

const SEEDS = '1-1800';
const ATTEMPTS = 5;
const USAGE = 'usage: npm run otp:record -- [--check] [--seeds FIRST-LAST,…]';

interface Recording {
  readonly steps: readonly StepRecord[];
  readonly tookMs: number;
  readonly stuck: boolean;
}

const { values } = parseArgs({
  options: {
    check: { type: 'boolean', default: false },
    seeds: { type: 'string', default: SEEDS },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
const seeds = values.seeds.split(',').flatMap(range => {
  const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(range) ?? [];
  return Array.from({ length: Number(last) - Number(first) + 1 || 0 }, (_, i) => Number(first) + i);
});
if (values.help || seeds.length === 0) {
  console.log(`${USAGE}\nRuns random trees and scripts on Erlang's own supervisor: tests/otp/README.md says more.`);
  process.exit(values.help ? 0 : 2);
}
const otp = release();
const recorded = record(seeds.map(generateScript));
if (values.check) {
  const golden = new Map(readGolden().map(({ seed, lines }) => [seed, lines.join('\n')]));
  const different = recorded.filter(({ seed, lines }) => golden.get(seed) !== lines.join('\n'));
  for (const { seed, lines } of different)
    console.log(
      `seed ${seed} differs; golden.txt has\n${golden.get(seed) ?? 'nothing'}\nOTP ${otp} says\n${lines.join('\n')}\n`,
    );
  console.log(`OTP ${otp}: ${recorded.length - different.length} of ${recorded.length} scripts as in golden.txt`);
  process.exitCode = different.length === 0 ? 0 : 1;
} else {
  writeFileSync(GOLDEN_FILE, goldenText(recorded));
  console.log(`OTP ${otp}: ${recorded.length} scripts recorded in ${path.relative(process.cwd(), GOLDEN_FILE)}`);
}

/** What Erlang calls itself; ends the program where there is none. */
function release(): string {
  const told = spawnSync('erl', ['-noshell', '-eval', 'io:put_chars(erlang:system_info(otp_release)), halt().'], {
    encoding: 'utf8',
  });
  if (told.status === 0 && spawnSync('escript', []).error === undefined) return told.stdout;
  console.error("otp:record needs Erlang's erl and escript: on Debian and Ubuntu `apt-get install erlang-base`");
  process.exit(2);
}

function record(scripts: readonly Script[]): Golden[] {
  const found = new Map<number, Golden>();
  let left = scripts;
  for (let attempt = 0; attempt < ATTEMPTS && left.length > 0; attempt++) {
    const recordings = run(left);
    left = left.filter(script => {
      const recording = recordings.get(script.seed);
      const ticks = script.steps.some(({ kind }) => kind === 'tick');
      if (recording === undefined || recording.stuck || (ticks && recording.tookMs >= STEPS_MS)) return true; // R1
      found.set(script.seed, { seed: script.seed, lines: transcript(script, recording.steps) });
      return false;
    });
  }
  if (left.length > 0) {
    console.error(
      `the machine is too busy, or these do not come to an end: ${left.map(({ seed }) => seed).join(', ')}`,
    );
    process.exit(1);
  }
  return scripts.flatMap(({ seed }) => found.get(seed) ?? []);
}

function run(scripts: readonly Script[]): ReadonlyMap<number, Recording> {
  const folder = mkdtempSync(path.join(tmpdir(), 'troupe-otp-'));
  try {
    const [terms, out] = [path.join(folder, 'scripts'), path.join(folder, 'out')];
    writeFileSync(terms, `${scripts.map(scriptTerm).join('\n')}\n`);
    const oracle = path.join(import.meta.dirname, 'oracle.escript');
    const { status, error } = spawnSync('escript', [oracle, terms, out], { stdio: ['ignore', 'inherit', 'inherit'] });
    if (status !== 0) throw new Error('the oracle failed', { cause: error });
    return parse(readFileSync(out, 'utf8'));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface Open {
  facts: Fact[];
  tables: { id: string; rows: Row[] }[];
  answers: { step: number; result: string }[];
  none: boolean;
}

/** The lines that the head of oracle.escript lists. */
function parse(text: string): ReadonlyMap<number, Recording> {
  const recordings = new Map<number, Recording>();
  let seed = 0;
  let steps: Open[] = [];
  let stuck = false;
  for (const line of text.trimEnd().split('\n')) {
    const [mark = '', one = '', two = '', three = ''] = line.split(' ');
    const step = steps.at(-1) ?? { facts: [], tables: [], answers: [], none: false };
    switch (mark) {
      case 'script':
        [seed, steps, stuck] = [Number(one), [], false];
        break;
      case 'step':
        steps.push({ facts: [], tables: [], answers: [], none: false });
        break;
      case '+':
        step.facts.push({ kind: '+', id: one, key: two, parent: three === '-' ? null : three });
        break;
      case '!':
        step.facts.push({ kind: '!', id: one });
        break;
      case '?':
        step.facts.push({ kind: '?', key: one });
        break;
      case '-':
        step.facts.push({ kind: '-', key: one, reason: two });
        break;
      case 'table': {
        const rows: Row[] = [];
        const words = line.split(' ').slice(2);
        for (let i = 0; i < words.length; i += 2) rows.push({ id: words[i] ?? '', state: stateOf(words[i + 1]) });
        step.tables.push({ id: one, rows });
        break;
      }
      case 'answer':
        step.answers.push({ step: Number(one), result: two });
        break;
      case 'none':
        step.none = true;
        break;
      case 'stuck':
        stuck = true;
        break;
      case 'took':
        recordings.set(seed, { steps, tookMs: Number(one), stuck });
        break;
      default:
        throw new Error(`the oracle wrote '${line}'`);
    }
  }
  return recordings;
}

function stateOf(word: string | undefined): Row['state'] {
  if (word === 'running' || word === 'restarting' || word === 'terminated') return word;
  throw new Error(`the oracle wrote the state '${word}'`);
}
