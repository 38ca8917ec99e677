/** Processes of a test, with what they said. */
import { type ChildProcess, spawn } from 'node:child_process';

export interface Launched {
  readonly child: ChildProcess;
  output(): string;
  readonly exit: Promise<number | null>;
}

const started: ChildProcess[] = [];

/** `exit` is 127 when there is no such program. */
export function launch(program: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv): Launched {
  const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  started.push(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
    });
  const exit = new Promise<number | null>(resolve => {
    child.once('close', resolve);
    child.once('error', error => {
      output += String(error);
      resolve(127);
    });
  });
  return { child, output: () => output, exit };
}

/** Ends what still runs. */
export function killLaunched(): void {
  for (const child of started) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
}
