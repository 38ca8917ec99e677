/**
 * Child processes of this program, over an IPC channel. They die with us: the channel closes.
 *
 * PL1 Each leads a process group of its own, which ends with it: a decoder that hangs would outlive its killed runner. And a
 *     Ctrl-C in our terminal reaches us alone.
 */
import { once } from 'node:events';
import type { ProcessExit, ProcessHandle, ProcessLauncher } from '../../actors/ports/process-launcher.ts';
import { selfExec } from './self-exec.ts';
import { machineMs } from './system-clock.ts';

export function processLauncher(): ProcessLauncher {
  return {
    async launch(role, assignment) {
      // Its output goes to our standard error: our standard output is an interface.
      const child = selfExec(role, { stdio: ['ignore', 2, 2, 'ipc'], detached: true });
      const exited = new Promise<ProcessExit>(resolve => {
        child.once('exit', (code, signal) => {
          killGroup(child.pid); // PL1
          resolve({ code, signal });
        });
        child.once('error', () => resolve({ code: null, signal: null }));
      });
      await Promise.race([once(child, 'spawn'), exited]);
      const { pid } = child;
      if (pid === undefined) throw new Error(`the ${role} process could not be started`);
      child.on('error', () => {}); // a send to a process that has just died: its exit says it
      const send = (message: unknown): void => {
        if (child.connected) child.send({ ...(message as object), sentAtMs: machineMs() }, () => {});
      };
      send(assignment);
      const handle: ProcessHandle = {
        pid,
        exited,
        onMessage: receive => child.on('message', receive),
        send,
        kill: signal => child.kill(signal),
      };
      return handle;
    },
  };
}

function killGroup(leader: number | undefined): void {
  try {
    if (leader !== undefined) process.kill(-leader, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // nobody is left: the usual end
  }
}
