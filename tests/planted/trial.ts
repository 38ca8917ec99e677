/**
 * One planted bug, tried: is the test that was named in advance the one that fails?
 *
 * PT1 It has failed when it began, alone, and did not pass: also when the bug took its process along, or left it waiting for what
 *     can never come. Not when its file could not be loaded, and not when its time was over: that may be a busy machine.
 * PT2 Without the bug the same test, alone, passes; and the source with the bug was met by it.
 * PT3 A failure over a name that the planted code does not have is a mistake of the entry.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Orders } from './loader.ts';
import type { PlantedBug } from './planted-bug.ts';

export type Verdict =
  | { readonly kind: 'caught' }
  /** The test passes with the bug: nobody would notice. */
  | { readonly kind: 'survived' }
  /** Nothing follows from it: the entry or its test is not what it should be. */
  | { readonly kind: 'void'; readonly why: string; readonly output: string };

interface Run {
  /** What uvu counted; null when the process ended before that. */
  readonly counted: { readonly total: number; readonly passed: number } | null;
  readonly late: boolean;
  /** Whether the named test began, and whether the source with the bug was loaded. */
  readonly begun: boolean;
  readonly met: boolean;
  readonly output: string;
}

const CLOSING_BLOCK = /^ {2}Total: +(\d+)\n {2}Passed: +(\d+)$/m;
const MISTAKE = /\b(?:ReferenceError|SyntaxError): |^ +\S+ is not defined$/m;
const root = path.resolve(import.meta.dirname, '../..');
const running = new Set<number>();

/** Of each test how it ended without a bug (PT2): once is enough. */
export type Controls = Map<string, Promise<Run>>;

/** @param controls those known so far; this one's is added */
export async function trial(bug: PlantedBug, limitMs: number, controls: Controls): Promise<Verdict> {
  const { caughtBy } = bug;
  const key = JSON.stringify([caughtBy.file, caughtBy.suite, caughtBy.name]);
  const control = controls.get(key) ?? run({ bug: null, only: caughtBy }, limitMs);
  controls.set(key, control);
  const { counted, begun, output } = await control;
  const none = (why: string): Verdict => ({ kind: 'void', why, output });
  if (!begun) return none(`no test '${caughtBy.name}' begins in ${caughtBy.file}`);
  if (counted === null || counted.passed < counted.total) return none('without the bug the test, alone, fails too');
  return verdictOf(bug, await run({ bug, only: caughtBy }, limitMs));
}

function verdictOf({ file }: PlantedBug, { counted, late, begun, met, output }: Run): Verdict {
  const none = (why: string): Verdict => ({ kind: 'void', why, output });
  if (!met) return none(`the test does not load ${file}, or the bug does not fit into it`); // PT2
  if (!begun) return none('with the bug the test does not begin');
  if (late) return none('its time was over');
  if (counted !== null && counted.passed === counted.total) return { kind: 'survived' };
  return MISTAKE.test(output) ? none('it meets a name that is not there') : { kind: 'caught' }; // PT1, PT3
}

async function run(orders: Orders, limitMs: number): Promise<Run> {
  const folder = mkdtempSync(path.join(tmpdir(), 'troupe-planted-'));
  try {
    writeFileSync(path.join(folder, 'trial.json'), JSON.stringify(orders));
    const loader = new URL('loader.ts', import.meta.url);
    loader.searchParams.set('trial', folder);
    const child = spawn(process.execPath, [path.join(root, orders.only.file)], {
      cwd: root,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      // What a test leaves behind that the bug took along goes with the folder.
      env: {
        ...process.env,
        ...seedsOf(orders),
        FORCE_COLOR: undefined,
        TMPDIR: folder,
        NODE_OPTIONS: `--import=${loader.href}`,
      },
    });
    const { pid } = child;
    if (pid === undefined) throw new Error(`${process.execPath} does not start`);
    running.add(pid);
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    let late = false;
    const limit = setTimeout(() => {
      late = true;
      killGroup(pid);
    }, limitMs);
    child.once('exit', () => killGroup(pid)); // what it left behind would keep the pipes open
    await once(child, 'close');
    clearTimeout(limit);
    running.delete(pid);
    const [, total, passed] = CLOSING_BLOCK.exec(output) ?? [];
    return {
      counted: total === undefined ? null : { total: Number(total), passed: Number(passed) },
      late,
      begun: existsSync(path.join(folder, 'begun')),
      met: existsSync(path.join(folder, 'met')),
      output,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
  }
}

const seedsOf = ({ only: { seeds } }: Orders): NodeJS.ProcessEnv =>
  seeds === undefined ? {} : { TROUPE_SIM_SEEDS: String(seeds) };

/** Ends every trial that is under way. */
export function abandon(): void {
  for (const pid of running) killGroup(pid);
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
