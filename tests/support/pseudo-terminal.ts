/** The `troupe` command in a pseudo-terminal, as a user sees it: util-linux's `script`, read by a terminal without a screen. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { stripVTControlCharacters } from 'node:util';
import xterm from '@xterm/headless';
import { quoted } from '../../src/cli/terminal.ts';
import { entry } from '../../src/infra/process/entry.ts';

/** util-linux's; another `script` knows other options. */
export const hasPseudoTerminals = (): boolean =>
  String(spawnSync('script', ['--version']).stdout).includes('util-linux');

export interface Shown {
  /** What the command wrote so far, escape codes among it. */
  raw(): string;
  /** The same as text. */
  text(): string;
  /** A key, such as `\u0003` for Ctrl-C. */
  type(key: string): void;
  readonly ended: Promise<Picture>;
  readonly child: ChildProcess;
}

/** How a terminal looks in the end. */
export interface Picture {
  readonly code: number | null;
  readonly raw: string;
  readonly rows: readonly string[];
  readonly cursorShown: boolean;
  readonly wraps: boolean;
}

export function inTerminal(
  args: readonly string[],
  {
    columns,
    cwd,
    env,
  }: { readonly columns: number; readonly cwd: string; readonly env: Readonly<Record<string, string>> },
): Shown {
  const command = `stty cols ${columns} rows 24 -echoctl; exec ${[process.execPath, entry(), ...args].map(quoted).join(' ')}`;
  const { PATH, TROUPE_FFMPEG, TROUPE_NATS_SERVER } = process.env;
  const child = spawn('script', ['--quiet', '--return', '--flush', '--command', command, '/dev/null'], {
    cwd,
    env: { PATH, TROUPE_FFMPEG, TROUPE_NATS_SERVER, SHELL: '/bin/sh', TERM: 'xterm-256color', LANG: 'C.UTF-8', ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let raw = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    raw += chunk;
  });
  return {
    child,
    raw: () => raw,
    text: () => stripVTControlCharacters(raw),
    type: key => void child.stdin.write(key),
    ended: new Promise((resolve, reject) =>
      child.on('close', code => pictureOf(code, raw, columns).then(resolve, reject)),
    ),
  };
}

async function pictureOf(code: number | null, raw: string, columns: number): Promise<Picture> {
  const terminal = new xterm.Terminal({ cols: columns, rows: 24, allowProposedApi: true, scrollback: 1000 });
  await new Promise<void>(resolve => terminal.write(raw, resolve));
  const buffer = terminal.buffer.active;
  const rows = Array.from({ length: buffer.length }, (_, y) => buffer.getLine(y)?.translateToString(true) ?? '');
  return {
    code,
    raw,
    rows: rows.slice(0, rows.findLastIndex(row => row !== '') + 1),
    cursorShown: raw.lastIndexOf('\u001b[?25l') <= raw.lastIndexOf('\u001b[?25h'),
    wraps: raw.lastIndexOf('\u001b[?7l') <= raw.lastIndexOf('\u001b[?7h'),
  };
}
