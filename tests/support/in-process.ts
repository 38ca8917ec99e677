/** The `troupe` command in this process, where a process is not the point: starting one takes longer than most verbs. */
import { VERBS } from '../../src/cli/commands.ts';
import { outcome } from '../../src/cli/main.ts';
import type { Ended } from './troupe-command.ts';

// Each export leaves listeners there; a process has one.
for (const stream of [process.stdout, process.stderr]) stream.setMaxListeners(0);

/**
 * One at a time: what is written meanwhile is the command's.
 * @param signal as Ctrl-C would abort it: with the exit code
 */
export async function inProcess(
  args: readonly string[],
  signal = new AbortController().signal,
  verbs = VERBS,
): Promise<Ended> {
  const text = { stdout: '', stderr: '' };
  const streams = ['stdout', 'stderr'] as const;
  const before = streams.map(name => process[name].write);
  for (const name of streams) {
    process[name].write = (chunk: Uint8Array | string): boolean => {
      text[name] += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString();
      return true;
    };
  }
  try {
    return { code: await outcome(args, signal, verbs), ...text };
  } finally {
    for (const [i, name] of streams.entries()) process[name].write = before[i] ?? process[name].write;
  }
}
