/** What the kernel says of processes. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { waitUntil } from './wait-until.ts';

/** A zombie that waits for its parent is gone as far as anybody can tell. */
export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Pids of the processes whose command line contains a text. */
export function processesWith(text: string): number[] {
  return readdirSync('/proc')
    .filter(entry => /^\d+$/.test(entry))
    .map(Number)
    .filter(pid => {
      try {
        return isRunning(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text);
      } catch {
        return false; // it ended while we looked
      }
    });
}

/** Every process below one, however deep. */
export function descendants(of: number): number[] {
  const children = new Map<number, number[]>();
  for (const entry of readdirSync('/proc').filter(name => /^\d+$/.test(name))) {
    try {
      const parent = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${entry}/status`, 'utf8'))?.[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(entry)]);
    } catch {
      // It ended while we looked.
    }
  }
  const below = (pid: number): number[] => (children.get(pid) ?? []).flatMap(child => [child, ...below(child)]);
  return below(of);
}

/** SIGSTOP; resolves when every thread stands still: one that runs on another core answers for a moment yet. */
export async function freeze(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  const tasks = `/proc/${pid}/task`;
  if (!existsSync(tasks)) return;
  await waitUntil(`process ${pid} stands still`, () =>
    readdirSync(tasks).every(task => /^State:\s+T/m.test(readFileSync(`${tasks}/${task}/status`, 'utf8'))),
  );
}
