/**
 * A model is a program by a stranger: 151 bytes of it can ask for 25 GB. Before a node uses one, it is loaded and run once in a
 * process of its own.
 *
 * TR1 That process has a bound on its memory (SB2) and on its time; what exceeds one harms nobody else.
 * TR2 One model is tried at a time, so that many at once get no more than one.
 * TR3 A model that worked is not tried again by this version of onnxruntime, also not after a restart: its hash is kept in DATA.
 *     Those that ship are known from the start.
 * TR4 A refusal holds for a while, so that asking again costs nothing; then it is tried again. What is known waits for no trial.
 * TR5 Only what the model did is `model_unsupported`, and for good: onnxruntime refuses it, it takes too much memory, it crashes
 *     the process, its time is over twice in a row, or it is killed from outside three times in a row, over minutes: so
 *     ends, where nothing bounds its memory, one that takes all there is; others fill a machine for a shorter time. What the machine may be to blame for is `unavailable` and passes.
 */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import Type, { type Static } from 'typebox';
import { TroupeError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { LocalModel } from '../../domain/model.ts';
import { parseJson } from '../../domain/parse.ts';
import { programFiles } from '../process/assets.ts';
import { type Sandbox, TRIAL_BOUNDS } from '../process/sandbox.ts';
import { selfExec } from '../process/self-exec.ts';
import { ENGINE } from './onnxruntime.ts';

/** What the process says: `ready` once, then, told of a model, how it went. */
export type TrialWord =
  | { readonly kind: 'ready' }
  | { readonly kind: 'works' }
  | { readonly kind: 'fails'; readonly message: string }
  /** It was not even read. */
  | { readonly kind: 'unread'; readonly message: string };
type TrialOutcome =
  | { readonly kind: 'works' }
  /** TR5: it is the model, or may be the machine; `late` when its time was over, `killed` while it was tried. */
  | { readonly kind: 'fails' | 'passing' | 'late' | 'killed'; readonly message: string };

/** TR5: how often in a row says that it is the model. */
const TELLING = { late: 2, killed: 3 } as const;

interface Doubt {
  readonly kind: string;
  readonly times: number;
  readonly sinceMs: number;
}

/** Versions of onnxruntime that models worked with, by the models' hashes. */
const Tried = Type.Record(Type.String(), Type.String());

export interface TrialOptions {
  readonly sandbox: Sandbox;
  /** Files of what was tried; what works is added to the last one. One that is not there, or is no such file, holds nothing. */
  readonly known: readonly string[];
  readonly timeMs?: number;
  /** TR5: from the first kill in a row to the one that tells. */
  readonly killedForMs?: number;
  /** What does not keep a model from being used. */
  readonly report?: (error: unknown) => void;
}

/** @returns a function that resolves when a model may be used. It throws TroupeError model_unsupported | unavailable (TR5) */
export async function modelTrial({
  sandbox,
  known,
  timeMs = LIMITS.trialMs,
  killedForMs = LIMITS.trialKilledMs,
  report = () => {},
}: TrialOptions): Promise<(model: LocalModel) => Promise<void>> {
  const tried = new Map<string, string>();
  for (const file of known) for (const [hash, version] of Object.entries(await read(file))) tried.set(hash, version);
  const own = known.at(-1);
  const refused = new Map<string, { readonly error: TroupeError; readonly untilMs: number }>();
  /** How models ended that were late or killed when they were tried last: how often in a row, and since when. */
  const doubts = new Map<string, Doubt>();
  const trying = new Map<string, Promise<void>>();
  let last: Promise<unknown> = Promise.resolve();
  let unkept = false;

  const keep = async (sha256: string): Promise<void> => {
    tried.set(sha256, ENGINE.onnxruntime);
    if (own === undefined) return;
    try {
      await write(own, { ...(await read(own)), [sha256]: ENGINE.onnxruntime });
      unkept = false;
    } catch (error) {
      if (!unkept) report(error); // it is tried again after a restart, no worse
      unkept = true;
    }
  };
  const attempt = async (model: LocalModel): Promise<void> => {
    const { sha256 } = model.info;
    const outcome = await runOnce(model, sandbox, timeMs);
    const before = doubts.get(sha256);
    doubts.delete(sha256);
    if (outcome.kind === 'works') return keep(sha256);
    const { kind, message } = outcome;
    const now = performance.now();
    const goesOn = before?.kind === kind;
    const doubt = { kind, times: goesOn ? before.times + 1 : 1, sinceMs: goesOn ? before.sinceMs : now };
    const tells =
      kind === 'fails' ||
      (kind === 'late' && doubt.times >= TELLING.late) ||
      (kind === 'killed' && doubt.times >= TELLING.killed && now - doubt.sinceMs >= killedForMs);
    if (!tells) {
      if (doubts.size >= LIMITS.trialRefusals) doubts.clear();
      if (kind !== 'passing') doubts.set(sha256, doubt);
      const text = `${model.file} could not be tried to the end, and is tried again: ${message}`;
      throw new TroupeError('unavailable', text, { retryable: true });
    }
    const text = `${model.file} was tried and cannot be used: ${message}`;
    const error = new TroupeError('model_unsupported', text);
    if (refused.size >= LIMITS.trialRefusals) refused.clear();
    refused.set(sha256, { error, untilMs: performance.now() + LIMITS.trialAgainMs });
    throw error;
  };
  return async model => {
    const { sha256 } = model.info;
    if (tried.get(sha256) === ENGINE.onnxruntime) return; // TR3
    const refusal = refused.get(sha256);
    if (refusal !== undefined && performance.now() < refusal.untilMs) throw refusal.error; // TR4
    refused.delete(sha256);
    let mine = trying.get(sha256);
    if (mine === undefined) {
      mine = last.then(() => attempt(model)).finally(() => trying.delete(sha256)); // TR2
      trying.set(sha256, mine);
      last = mine.catch(() => {});
    }
    await mine;
  };
}

/** TR1 */
async function runOnce(model: LocalModel, sandbox: Sandbox, timeMs: number): Promise<TrialOutcome> {
  const bytes = TRIAL_BOUNDS.data;
  const readable = [...programFiles(), model.file];
  const child = selfExec('model-trial', { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] }, sandbox, {
    bounds: TRIAL_BOUNDS,
    readable,
  });
  const { promise, resolve } = Promise.withResolvers<TrialOutcome>();
  const passing = (message: string): void => resolve({ kind: 'passing', message });
  // Our own start is not the model's fault.
  let late = setTimeout(() => passing('the process to try it in did not start in time'), LIMITS.trialStartMs);
  let isTried = false;
  const exited = new Promise<void>(gone => {
    child.once('exit', (code, signal) => {
      const name = signal ?? signalOf(code) ?? `exit code ${code}`;
      if (isTried && CRASHES.has(name)) {
        const message = `onnxruntime died of it (${name}); it may need more than ${megabytes(bytes)}`;
        resolve({ kind: 'fails', message });
      } else {
        const message = `the process to try it in was ended (${name}). Is the machine short of memory?`;
        resolve({ kind: isTried && name === 'SIGKILL' ? 'killed' : 'passing', message });
      }
      gone();
    });
    child.once('error', error => {
      passing(`no process for it could be started: ${error.message}`);
      gone();
    });
  });
  child.on('message', (word: TrialWord) => {
    if (word.kind === 'unread') return passing(word.message);
    if (word.kind !== 'ready') return resolve(explained(word, bytes));
    isTried = true;
    clearTimeout(late);
    const message = `it did not load and run once within ${timeMs / 1000} s. Use a smaller one, or try again when the machine is less busy`;
    late = setTimeout(() => resolve({ kind: 'late', message }), timeMs);
    child.send(model, () => {}); // its exit tells when it could not be told
  });
  try {
    return await promise;
  } finally {
    clearTimeout(late);
    child.kill('SIGKILL');
    await exited;
  }
}

/** What a process does to itself. Not SIGKILL: that comes from outside, also from a system that is out of memory. */
const CRASHES: ReadonlySet<string> = new Set(['SIGSEGV', 'SIGABRT', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGTRAP']);

/** SB5: of a program that died of a signal in a sandbox. */
const signalOf = (code: number | null): string | undefined =>
  Object.entries(constants.signals).find(([, number]) => number + 128 === code)?.[0];

const megabytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB of memory`;

/** In onnxruntime's words a refused allocation is many lines of C++, without the bound. */
function explained(outcome: Extract<TrialWord, { kind: 'works' | 'fails' }>, bytes: number): TrialOutcome {
  if (outcome.kind === 'works' || !/alloc|out of memory/i.test(outcome.message)) return outcome;
  const asked = /requested buffer of size (\d+)/.exec(outcome.message)?.[1];
  const what = asked === undefined ? '' : `, and asks for ${Math.round(Number(asked) / 2 ** 20)} MiB at once`;
  return { kind: 'fails', message: `it needs more than ${megabytes(bytes)}${what}. Use a smaller one` };
}

async function read(file: string): Promise<Static<typeof Tried>> {
  return parseJson(Tried, await readFile(file).catch(() => new Uint8Array())) ?? {};
}

/** Whole or not at all. */
async function write(file: string, tried: Static<typeof Tried>): Promise<void> {
  const text = JSON.stringify(Object.fromEntries(Object.entries(tried).slice(-LIMITS.trialsKept)), null, 2);
  await writeFile(`${file}.new`, `${text}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
}
