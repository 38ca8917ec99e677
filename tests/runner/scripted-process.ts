import type { ProcessExit, ProcessHandle } from '../../src/actors/ports/process-launcher.ts';

/** A runner's process that ends when and as the test says. */
export class ScriptedProcess implements ProcessHandle {
  readonly pid: number;
  readonly #gone = Promise.withResolvers<ProcessExit>();
  readonly exited = this.#gone.promise;
  readonly heard: unknown[] = [];
  readonly killed: string[] = [];
  say: (message: unknown) => void = () => {};

  constructor(pid: number) {
    this.pid = pid;
  }

  onMessage(receive: (message: unknown) => void): void {
    this.say = receive;
  }

  send(message: unknown): void {
    this.heard.push(message);
  }

  kill(signal: 'SIGTERM' | 'SIGKILL'): void {
    this.killed.push(signal);
    if (signal === 'SIGKILL') this.exit(null, signal);
  }

  exit(code: number | null, signal: string | null = null): void {
    this.#gone.resolve({ code, signal });
  }
}
