/**
 * Records README's first commands: each is really run, in a pseudo-terminal, in a copy of the checkout and on a bare
 * account, and what it prints becomes docs/images/first-run.svg.
 *
 * RT1 Times are the real ones, but a pause is cut to PAUSE_MS, and the commands are typed by a steady hand.
 * RT2 The one thing replaced is the name of the temporary folder, by `~`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { root } from '../src/infra/process/assets.ts';
import { type Output, terminalSvg } from './terminal-svg.ts';

const COMMANDS = ['npx troupe run test_videos/test_video.mp4', 'head -n 1 test_video.mp4.predictions.jsonl'];
const SCREEN = { columns: 92, rows: 24 };
const PAUSE_MS = 800;
const KEY_MS = 90;
const KEYS_AT_ONCE = 3;
/** A command that takes as long hangs. */
const COMMAND_MS = 300_000;

/** What the copy reads where it is, or does not need. */
const LINKED = ['node_modules', '.troupe'];
const LEFT_OUT = ['.git', 'dist'];

/** @returns the picture. @throws Error: a command failed, with what it printed */
export async function recordFirstRun(): Promise<string> {
  const home = mkdtempSync(path.join(tmpdir(), 'troupe-record-'));
  try {
    const checkout = copyInto(home);
    const outputs: Output[] = [];
    let now = 0;
    const shows = (afterMs: number, text: string): void => {
      now += Math.min(afterMs, PAUSE_MS); // RT1
      outputs.push({ atMs: Math.round(now), text: text.replaceAll(home, '~') }); // RT2
    };
    for (const command of COMMANDS) {
      shows(0, '\x1b[1;32m$\x1b[0m ');
      for (let i = 0; i < command.length; i += KEYS_AT_ONCE) shows(KEY_MS, command.slice(i, i + KEYS_AT_ONCE));
      shows(PAUSE_MS, '\r\n');
      await runInTerminal(command, checkout, home, shows);
      shows(PAUSE_MS, '');
    }
    shows(0, '\x1b[1;32m$\x1b[0m ');
    return await terminalSvg(outputs, SCREEN, `A terminal: ${COMMANDS.join(', then ')}`);
  } finally {
    rmSync(home, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
}

function copyInto(home: string): string {
  const checkout = path.join(home, 'troupe');
  mkdirSync(checkout);
  for (const name of readdirSync(root).filter(
    name => !LEFT_OUT.includes(name) && !name.endsWith('.predictions.jsonl'),
  )) {
    const [from, to] = [path.join(root, name), path.join(checkout, name)];
    if (LINKED.includes(name)) symlinkSync(from, to);
    else cpSync(from, to, { recursive: true });
  }
  return checkout;
}

/** util-linux's `script` is a pseudo-terminal without a native package. */
async function runInTerminal(
  command: string,
  cwd: string,
  home: string,
  shows: (afterMs: number, text: string) => void,
): Promise<void> {
  const sized = `stty cols ${SCREEN.columns} rows ${SCREEN.rows}; ${command}`;
  const { PATH, TROUPE_FFMPEG, TROUPE_NATS_SERVER } = process.env;
  const child = spawn('script', ['--quiet', '--return', '--flush', '--command', sized, '/dev/null'], {
    cwd,
    env: {
      PATH,
      TROUPE_FFMPEG,
      TROUPE_NATS_SERVER,
      HOME: home,
      SHELL: '/bin/sh',
      TERM: 'xterm-256color',
      LANG: 'C.UTF-8',
      npm_config_progress: 'false', // npx's own, which flickers
    },
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: COMMAND_MS,
  });
  let last = performance.now();
  let all = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const now = performance.now();
    shows(now - last, text);
    last = now;
    all += text;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${command} ended with ${String(code)}:\n${all}`);
}
