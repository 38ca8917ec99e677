/**
 * What a verb of the command is, and how it becomes a command of commander: its options, examples, exit code.
 *
 * V1 Each verb has examples in its `--help`, and is ended by Ctrl-C with a word on how to go on.
 * V2 What a verb prints reaches stdout whole: never half a line.
 * V3 A name that no scenario or node can have is refused here: as part of an address `..` or nothing at all would name something else.
 */
import { Command, Option } from 'commander';
import { TroupeError } from '../domain/errors.ts';
import { isId } from '../domain/ids.ts';
import { LIMITS } from '../domain/limits.ts';
import { clientConfig, type Flags, type Options, SECRET, settings } from '../infra/config.ts';
import { Client } from './client.ts';
import { json, plain, quoted } from './terminal.ts';

export interface Verb {
  /** Its name and its arguments. */
  readonly usage: string;
  readonly says: string;
  readonly options: readonly Option[];
  /** Without `troupe `. */
  readonly examples: readonly string[];
  /** Names of its options that are its own: no settings, so neither variables nor keys of `troupe.toml`. */
  readonly own?: readonly string[];
  /** Not shown in help: for programs. */
  readonly hidden?: true;
  /** @returns the exit code, or what is printed before 0 */
  act(call: Call): Promise<number | string>;
  /** What holds after Ctrl-C, and what to do then; by default the same command again. @param reaching options that reach the node */
  readonly goesOn?: (id: string, reaching: string) => string;
}

/** One call of a verb. */
export class Call {
  readonly #verb: Verb;
  readonly args: readonly string[];
  /** The options that were given, by long name: nothing is defaulted here. */
  readonly flags: Flags & Readonly<Record<string, Flags[keyof Flags]>>;
  /** Aborted by SIGINT or SIGTERM, with the exit code as its reason. */
  readonly signal: AbortSignal;

  constructor(verb: Verb, command: Command, signal: AbortSignal) {
    this.#verb = verb;
    this.args = command.args;
    this.signal = signal;
    const given = command.opts<Record<string, Flags[keyof Flags]>>();
    this.flags = Object.fromEntries(command.options.map(option => [option.name(), given[option.attributeName()]]));
  }

  /** The first argument. */
  get id(): string {
    return this.args[0] ?? '';
  }

  /** Flags, variables and `troupe.toml`. @throws TroupeError invalid_request */
  get given(): Options {
    return settings(this.#settable());
  }

  /** To the node that is meant; ended by the signal. */
  client(): Client {
    return new Client({ ...clientConfig(this.#settable()), signal: this.signal });
  }

  /** What a reading verb prints. */
  answer(data: unknown, text: string): string {
    return this.given.json === true ? json(data) : text;
  }

  #settable(): Flags {
    return Object.fromEntries(Object.entries(this.flags).filter(([name]) => this.#verb.own?.includes(name) !== true));
  }
}

export const option = (flags: string, text: string, choices?: readonly string[]): Option => {
  const made = new Option(flags, text);
  return choices === undefined ? made : made.choices(choices);
};

export const DATA = option(
  '--data <dir>',
  'folder of the store, the models, endpoint.json ($XDG_DATA_HOME/troupe, else ~/.local/share/troupe)',
);

/** Of every verb that runs a node, or says what one would have here. */
export const DECODING: readonly Option[] = [
  option(
    '--decoder <which>',
    'native (ffmpeg), wasm (ffmpeg.wasm, brought along, slower), or auto: the first there is (auto)',
    ['auto', 'native', 'wasm'],
  ),
  option(
    '--sandbox <level>',
    "round what reads strangers' files: auto, the best there is; require, full or no node; docs/SECURITY.md (auto)",
    ['auto', 'require', 'full', 'limits', 'none'],
  ),
];

/** Of every verb that calls a node. */
export const REACHING: readonly Option[] = [
  option('--url <url>', "the node, or several with commas between (DATA's, else http://127.0.0.1:8080)"),
  option('--token <token>', "the node's token"),
  DATA,
];

export const JSON_OPTION = option('--json', 'print the answer of the API as JSON');

/** @param end hears how it ended */
export function toCommand(verb: Verb, signal: AbortSignal, end: (outcome: number | string) => void): Command {
  const command = new Command(verb.usage.split(' ')[0])
    .description(verb.says)
    .addHelpText('after', `\nExamples:\n${verb.examples.map(line => `  $ troupe ${line}`).join('\n')}`);
  for (const argument of verb.usage.split(' ').slice(1)) command.argument(argument);
  for (const each of verb.options) command.addOption(each);
  return command.action(async () => {
    const call = new Call(verb, command, signal);
    refuseNamesOfNothing(verb, call.id);
    try {
      end(await verb.act(call));
    } catch (error) {
      if (!signal.aborted || error !== signal.reason) throw error;
      const again = `Again: ${['troupe', command.name(), ...call.args.map(quoted)].join(' ')}${given(call.flags)}`;
      const told = verb.goesOn?.(quoted(call.id), given(call.flags, REACHING)) ?? again;
      process.stderr.write(`troupe: interrupted. ${plain(told)}\n`);
      end(Number(error));
    }
  });
}

/** V3 */
function refuseNamesOfNothing({ usage }: Verb, name: string): void {
  const listed = usage.endsWith(' <id>') ? 'ls' : usage.endsWith(' <node>') ? 'nodes' : null;
  if (listed === null || isId(name)) return;
  const what = listed === 'ls' ? 'id of a scenario' : 'name of a node';
  const form = 'those are letters, digits, _ and -, 64 at most';
  const text = `'${name.slice(0, LIMITS.placeChars)}' is no ${what}: ${form}. 'troupe ${listed}' lists them.`;
  throw new TroupeError('invalid_request', text);
}

/** Options as they were given, so that a command can be given again; without the token. @param options those that are meant; all */
export function given(flags: Readonly<Record<string, Flags[keyof Flags]>>, options?: readonly Option[]): string {
  return Object.entries(flags)
    .filter(([name]) => !SECRET.has(name) && options?.some(one => one.name() === name) !== false)
    .flatMap(([name, value]) =>
      Array.isArray(value) ? value.map(one => [name, one] as const) : [[name, value] as const],
    )
    .flatMap(([name, value]) => {
      if (value === undefined || value === false) return [];
      return value === true ? [` --${name}`] : [` --${name} ${quoted(String(value))}`];
    })
    .join('');
}
