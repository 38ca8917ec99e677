/**
 * A model is a program by a stranger: 151 bytes of it can ask for 25 GB. Before a node uses one, it is loaded and run once in a
 * process of its own.
 *
 * TR1 That process has a bound on its memory (SB2) and on its time; what exceeds one is `model_unsupported` and harms nobody else.
 * TR2 One model is tried at a time, so that many at once get no more than one.
 * TR3 A model that worked is not tried again by this version of onnxruntime, also not after a restart: its hash is kept in DATA.
 *     Those that ship are known from the start.
 * TR4 A refusal holds for a while, so that asking again costs nothing; then it is tried again, since a busy machine can be why.
 */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { totalmem } from 'node:os';
import Type, { type Static } from 'typebox';
import { TroupeError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { LocalModel } from '../../domain/model.ts';
import { parseJson } from '../../domain/parse.ts';
import { programFiles } from '../process/assets.ts';
import type { Sandbox } from '../process/sandbox.ts';
import { selfExec } from '../process/self-exec.ts';
import { ENGINE } from './onnxruntime.ts';

/** What the process says: `ready` once, then, told of a model, how it went. */
export type TrialWord =
  | { readonly kind: 'ready' }
  | { readonly kind: 'works' }
  | { readonly kind: 'fails'; readonly message: string };
type TrialOutcome = Exclude<TrialWord, { kind: 'ready' }>;

/** Versions of onnxruntime that models worked with, by the models' hashes. */
const Tried = Type.Record(Type.String(), Type.String());

export interface TrialOptions {
  readonly sandbox: Sandbox;
  /** Files of what was tried; what works is added to the last one. One that is not there, or is no such file, holds nothing. */
  readonly known: readonly string[];
  readonly timeMs?: number;
}

/** @returns a function that resolves when a model may be used. It throws TroupeError model_unsupported */
export async function modelTrial({
  sandbox,
  known,
  timeMs = LIMITS.trialMs,
}: TrialOptions): Promise<(model: LocalModel) => Promise<void>> {
  const tried = new Map<string, string>();
  for (const file of known) for (const [hash, version] of Object.entries(await read(file))) tried.set(hash, version);
  const own = known.at(-1);
  const refused = new Map<string, { readonly error: TroupeError; readonly untilMs: number }>();
  let last: Promise<unknown> = Promise.resolve();

  const isKnown = ({ info }: LocalModel): boolean => tried.get(info.sha256) === ENGINE.onnxruntime; // TR3
  const attempt = async (model: LocalModel): Promise<void> => {
    if (isKnown(model)) return; // it was tried while this one waited
    const { sha256 } = model.info;
    const refusal = refused.get(sha256);
    if (refusal !== undefined && performance.now() < refusal.untilMs) throw refusal.error; // TR4
    const outcome = await runOnce(model, sandbox, timeMs);
    if (outcome.kind === 'fails') {
      const error = new TroupeError(
        'model_unsupported',
        `${model.file} was tried and cannot be used: ${outcome.message}`,
      );
      if (refused.size >= LIMITS.trialRefusals) refused.clear();
      refused.set(sha256, { error, untilMs: performance.now() + LIMITS.trialAgainMs });
      throw error;
    }
    refused.delete(sha256);
    tried.set(sha256, ENGINE.onnxruntime);
    if (own !== undefined) await write(own, { ...(await read(own)), [sha256]: ENGINE.onnxruntime });
  };
  return async model => {
    if (isKnown(model)) return;
    const mine = last.then(() => attempt(model)); // TR2
    last = mine.catch(() => {});
    await mine;
  };
}

/** TR1 */
async function runOnce(model: LocalModel, sandbox: Sandbox, timeMs: number): Promise<TrialOutcome> {
  const bytes = Math.floor(Math.min(LIMITS.trialBytes, totalmem() / 2));
  const readable = [...programFiles(), model.file];
  const child = selfExec('model-trial', { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] }, sandbox, {
    bounds: { data: bytes },
    readable,
  });
  const { promise, resolve } = Promise.withResolvers<TrialOutcome>();
  const fails = (message: string): void => resolve({ kind: 'fails', message });
  // Our own start is not the model's fault.
  let late = setTimeout(() => fails('the process to try it in did not start'), LIMITS.trialStartMs);
  const exited = new Promise<void>(gone => {
    child.once('exit', (code, signal) => {
      fails(`onnxruntime died of it (${signal ?? `exit code ${code}`}); it may need more than ${megabytes(bytes)}`);
      gone();
    });
    child.once('error', error => {
      fails(`no process for it could be started: ${error.message}`);
      gone();
    });
  });
  child.on('message', (word: TrialWord) => {
    if (word.kind !== 'ready') return resolve(explained(word, bytes));
    clearTimeout(late);
    const why = `it did not load and run once within ${timeMs / 1000} s. Use a smaller one, or try again when the machine is less busy`;
    late = setTimeout(() => fails(why), timeMs);
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

const megabytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB of memory`;

/** In onnxruntime's words a refused allocation is many lines of C++, without the bound. */
function explained(outcome: TrialOutcome, bytes: number): TrialOutcome {
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
