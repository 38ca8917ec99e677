/**
 * `--watch`: looks again and again, until Ctrl-C.
 *
 * FO1 On a terminal the view is drawn over the one before, cut to what fits. Elsewhere a line is written for each thing that is
 *     new, different or gone, without escape codes; with `--json` a line for each answer that differs.
 * FO2 A node that does not answer is asked again for `clientPatienceMs`.
 */
import { clearScreenDown, cursorTo, moveCursor } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { TroupeError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import { cut, jsonLine, plain, unwrapped } from './terminal.ts';
import type { Call } from './verb.ts';

const LOOK_MS = 500;

export interface View {
  readonly data: unknown;
  /** The whole, for a terminal. */
  readonly text: string;
  /** The same thing by thing. */
  readonly lines: ReadonlyMap<string, string>;
}

/** Never returns: ends by the signal, with its reason, or with an error. */
export async function follow(look: () => Promise<View>, call: Call): Promise<never> {
  const show = call.given.json === true ? jsonLines() : process.stdout.isTTY ? screen(process.stdout) : changes();
  for (let answeredAt = performance.now(); ; ) {
    try {
      show(await look());
      answeredAt = performance.now();
    } catch (error) {
      const again = error instanceof TroupeError && error.retryable;
      if (!again || performance.now() - answeredAt > LIMITS.clientPatienceMs) throw error;
    }
    await delay(LOOK_MS, undefined, { signal: call.signal }).catch(() => call.signal.throwIfAborted());
  }
}

function jsonLines(): (view: View) => void {
  let before = '';
  return ({ data }) => {
    const line = jsonLine(data);
    if (line !== before) process.stdout.write(`${line}\n`);
    before = line;
  };
}

function changes(): (view: View) => void {
  let before: ReadonlyMap<string, string> = new Map();
  return ({ lines }) => {
    const different = [...lines].filter(([id, line]) => before.get(id) !== line).map(([, line]) => line);
    const gone = [...before.keys()].filter(id => !lines.has(id)).map(id => `${plain(id)}  gone`);
    process.stdout.write([...different, ...gone].map(line => `${line}\n`).join(''));
    before = lines;
  };
}

function screen(out: NodeJS.WriteStream): (view: View) => void {
  let drawn = 0;
  return ({ text }) => {
    const lines = text.split('\n');
    const room = Math.max(1, out.rows - 2);
    const shown = lines.length > room ? [...lines.slice(0, room - 1), `… ${lines.length - room + 1} more`] : lines;
    moveCursor(out, 0, -drawn);
    cursorTo(out, 0);
    clearScreenDown(out);
    out.write(unwrapped(shown.map(line => `${cut(line, out.columns)}\n`).join('')));
    drawn = shown.length;
  };
}
