/** A child process with what it says; in the test file's own group, so that it never outlives it. */
import { spawn } from 'node:child_process';

export interface Child {
  readonly pid: number;
  readonly exited: Promise<number | null>;
  /** undefined while it runs. */
  code(): number | null | undefined;
  stdout(): string;
  stderr(): string;
  signal(name: NodeJS.Signals): void;
}

/** @param options.env in place of this process' TROUPE_ settings: only PATH, HOME and where the programs are is handed down */
export function startChild(
  program: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly env: Readonly<Record<string, string>> },
): Child {
  const { PATH, HOME, TROUPE_FFMPEG, TROUPE_NATS_SERVER } = process.env;
  const child = spawn(program, args, {
    cwd: options.cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH, HOME, TROUPE_FFMPEG, TROUPE_NATS_SERVER, ...options.env },
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${program} does not start`);
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      text[name] += chunk;
    });
  let code: number | null | undefined;
  const exited = new Promise<number | null>(resolve => {
    child.on('exit', ended => {
      code = ended;
      resolve(ended);
    });
  });
  return {
    pid,
    exited,
    code: () => code,
    stdout: () => text.stdout,
    stderr: () => text.stderr,
    signal: name => void child.kill(name),
  };
}
