/**
 * The command line: an argument a line, `\n` and `\e` in it being those characters; among them `NAME=value` for a variable and
 * `troupe.toml: …` for a line of that file. The verbs are the real ones and their node is the real HTTP API, over a fake cluster; only
 * what would start a node, or write elsewhere than below the edge's own folder, ends where its options are read.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import * as assert from 'uvu/assert';
import { VERBS } from '../../../src/cli/commands.ts';
import type { Call, Verb } from '../../../src/cli/verb.ts';
import { clientConfig, nodeConfig, Options } from '../../../src/infra/config.ts';
import { type ServedApi, serveApi } from '../../api/served-api.ts';
import { inProcess } from '../../support/in-process.ts';
import type { Edge, OpenEdge } from '../edge.ts';
import { below, type Chance, mutateLines, pick } from '../mutations.ts';
import { temporary } from './temporary.ts';

/** What waits for ever, or asks a node again and again, is ended as a user would. */
const PATIENCE_MS = 50;
const CTRL_C = 130;
const CODES = [0, 1, 2, CTRL_C];
const UNSAFE = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;
const STACK = /\n\s+at .*[:(]|\b(Type|Range|Reference|Syntax)Error\b|\[native code\]|\[object /;
const VARIABLE = /^(TROUPE_[A-Z_]+|HOME|XDG_DATA_HOME|NO_COLOR)=(.*)$/s;
const TOML = 'troupe.toml: ';

const names = VERBS.map(({ usage }) => usage.split(' ')[0] ?? '');
const options = VERBS.flatMap(verb => verb.options.flatMap(({ long }) => (long == null ? [] : [long])));
const WORDS = [
  ...names,
  ...options,
  ...Object.keys(Options.properties).map(name => `TROUPE_${name.toUpperCase().replaceAll('-', '_')}=`),
  ...[
    'cam1',
    'nobody',
    'node1',
    '.',
    '..',
    '../..',
    '-',
    '--',
    '@URL@',
    'file',
    'folder',
    'http://[',
    'http://127.0.0.1:1',
  ],
  ...[
    '\\e[2J',
    '\\e]0;x\\a',
    '\\n',
    '\u009b2J',
    '\u2028',
    'HOME=',
    TOML,
    'help',
    '-h',
    '-V',
    'bash',
    'toString',
    'constructor',
  ],
];

const VALUES = [
  ...['1', '0', '100', '0.5', 'cam1', 'node1', 'active', 'csv', 'start', 'now', 'person,car', 'shapes', 'out', 'file'],
  ...[
    'folder',
    'folder/out',
    'file/out',
    '@URL@',
    'http://127.0.0.1:1,@URL@',
    'text',
    'auto',
    'round_robin',
    'api,runner',
  ],
];

export const command: Edge = {
  name: 'command',
  promise:
    'a command ends with a documented exit code, without a stack; what it refuses it names, and nothing moves the cursor',
  cases: 250,
  outcomes: CODES.map(String),
  open: async () => openCommand(await serveApi()),
};

function openCommand(api: ServedApi): OpenEdge {
  const folder = temporary();
  // Deep enough for any `../..` of a mutation to stay within.
  const cwd = folder.at('a/b/c/d/e/f/g/h/here');
  const was = { cwd: process.cwd(), env: { ...process.env }, fetch: globalThis.fetch };
  const defects: unknown[] = [];
  const onDefect = (error: unknown): void => void defects.push(error);
  mkdirSync(path.join(cwd, 'folder'), { recursive: true });
  writeFileSync(path.join(cwd, 'file'), 'x');
  process.chdir(cwd);
  process.on('unhandledRejection', onDefect);
  let strayed: string[] = [];
  globalThis.fetch = async (input, init) => {
    const asked = input instanceof Request ? input.url : String(input);
    const url = URL.parse(asked);
    // No other host is asked anything: it is as if none answered.
    if (url !== null && url.origin !== api.url)
      throw new TypeError('fetch failed', { cause: { code: 'ECONNREFUSED' } });
    const { pathname = '', href } = url ?? {};
    if (asked.startsWith(`${api.url}/api/v1/`) && (href !== asked || /\/\/|\/$/.test(pathname))) strayed.push(asked);
    return was.fetch(input, init);
  };
  const verbs = VERBS.map(verb => harmless(verb, folder.at('')));
  return {
    seeds: [],
    mutate,
    async judge(input) {
      const { argv, env, toml } = read(input.toString().replaceAll('@URL@', api.url));
      for (const name of Object.keys(process.env)) if (VARIABLE.test(`${name}=`)) delete process.env[name];
      Object.assign(process.env, { HOME: cwd, TROUPE_URL: api.url, ...env });
      writeFileSync(path.join(cwd, 'troupe.toml'), toml);
      api.cluster.scenarios.clear();
      api.have('cam1');
      strayed = [];
      const user = new AbortController();
      const patience = setTimeout(() => {
        user.abort(CTRL_C);
        for (const view of api.cluster.scenarios.values())
          api.cluster.put({ ...view, state: 'inactive', outcome: 'stopped' });
      }, PATIENCE_MS);
      const { code, stdout, stderr } = await inProcess(argv, user.signal, verbs).finally(() => clearTimeout(patience));
      const told = JSON.stringify({ argv, env, toml, code, stdout, stderr }, null, 1).slice(0, 4_000);
      assert.ok(CODES.includes(code ?? -1), told);
      assert.not(STACK.test(stderr) || STACK.test(stdout), `a stack: ${told}`);
      assert.not(UNSAFE.test(stdout + stderr), `a control character: ${told}`);
      assert.ok(code === 0 || /^troupe: \S/m.test(stderr) || code === CTRL_C, `why it failed: ${told}`);
      if (code === 2) assert.ok(isNamed(stderr, argv), `what is refused: ${told}`);
      if (!input.includes('manifest')) assert.equal(strayed, [], `an argument is a part of the path: ${told}`);
      assert.equal([...defects.splice(0), ...api.defects.splice(0)], [], told);
      return String(code);
    },
    async [Symbol.asyncDispose]() {
      process.off('unhandledRejection', onDefect);
      globalThis.fetch = was.fetch;
      for (const name of Object.keys(process.env)) delete process.env[name];
      Object.assign(process.env, was.env);
      process.chdir(was.cwd);
      await api[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

function read(text: string): { argv: string[]; env: Record<string, string>; toml: string } {
  const env: Record<string, string> = {};
  const argv: string[] = [];
  const toml: string[] = [];
  // The last line has an end; NUL ends a string for the system, so that nobody can pass one on.
  for (const line of text.replace(/\n$/, '').replaceAll('\0', '').split('\n')) {
    if (line.startsWith(TOML)) {
      toml.push(line.slice(TOML.length));
      continue;
    }
    const plain = line.replaceAll('\\n', '\n').replaceAll('\\e', '\u001b').replaceAll('\\a', '\u0007');
    const [, name, value = ''] = VARIABLE.exec(plain) ?? [];
    if (name === undefined) argv.push(plain);
    else env[name] = value;
  }
  return { argv: text.trim() === '' ? [] : argv, env, toml: toml.join('\n') };
}

/** As it is, unless that starts a node or looks at the whole machine, or writes outside. */
function harmless(verb: Verb, folder: string): Verb {
  const [name] = verb.usage.split(' ');
  const starts = (call: Call): boolean =>
    name === 'up' || name === 'doctor' || (name === 'run' && clientConfig(call.flags).from !== 'option');
  return {
    ...verb,
    async act(call) {
      if (starts(call)) {
        nodeConfig(call.flags);
        return 0;
      }
      const { out } = name === 'run' || name === 'export' ? call.given : {};
      return out === undefined || path.resolve(out).startsWith(folder) ? verb.act(call) : 0;
    },
  };
}

/** By a word of the command line, an option, a variable or a file. */
function isNamed(stderr: string, argv: readonly string[]): boolean {
  if (/''|--[a-z]|TROUPE_[A-Z]|troupe\.toml|endpoint\.json|argument '\w+'/.test(stderr)) return true;
  return argv.some(
    word => word !== '' && stderr.includes(word.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '').slice(0, 60)),
  );
}

/** Another verb, or up to three options of it more, mostly with what some option takes; now and then lines changed at random. */
function mutate(seed: Buffer, chance: Chance, all: readonly Buffer[]): Buffer {
  let lines = seed.toString().trimEnd().split('\n');
  if (chance.float() < 0.2) lines = [pick(chance, names), ...(chance.float() < 0.7 ? [pick(chance, VALUES)] : [])];
  const own = VERBS.find(({ usage }) => usage.split(' ')[0] === lines[0])?.options ?? [];
  for (let more = below(chance, 4); more > 0 && own.length > 0; more--) {
    const { long, required, argChoices } = pick(chance, own);
    const values = chance.float() < 0.6 ? (argChoices ?? VALUES) : chance.float() < 0.5 ? VALUES : WORDS;
    lines.push(long ?? '', ...(required ? [pick(chance, values)] : []));
  }
  const more = Buffer.from(lines.join('\n'));
  return chance.float() < 0.7 ? more : mutateLines(more, chance, all, WORDS);
}
