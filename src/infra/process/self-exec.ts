/** Starts this same program in another role: the one way processes and threads of ours begin. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { Worker } from 'node:worker_threads';
import { childEnvironment } from '../config.ts';
import { entry } from './entry.ts';
import { type Confinement, confined, NO_SANDBOX, type Sandbox } from './sandbox.ts';

/** Roles of the program besides the command line. */
export type Role = 'runner' | 'inference-worker' | 'decoder-thread' | 'model-trial';

/**
 * A runner's garbage is short-lived and small: with V8's default of 16 MiB and more per semi-space its resident size
 * climbs in steps for no gain in speed.
 */
const HEAP = ['--max-semi-space-size=4'];

/** A child process in `role`; what it is to do comes through its IPC channel, not its arguments. */
export function selfExec(
  role: Role,
  options: SpawnOptions,
  sandbox: Sandbox = NO_SANDBOX,
  confinement: Confinement = { bounds: {}, readable: [] },
): ChildProcess {
  const { program, args } = confined(sandbox, process.execPath, [...HEAP, entry(), '--role', role], confinement);
  return spawn(program, args, {
    env: childEnvironment(),
    ...options,
    shell: false,
  });
}

/** A worker thread in `role`; what it is to do is `workerData`, or comes as a message. */
export function selfThread(role: Role, workerData?: unknown): Worker {
  return new Worker(entry(), { argv: ['--role', role], workerData });
}
