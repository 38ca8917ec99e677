/** Operating-system processes of this program's own roles. Used by supervisors only. */

export interface ProcessExit {
  readonly code: number | null;
  readonly signal: string | null;
}

export interface ProcessHandle {
  readonly pid: number;
  /** Resolves once, when the process is gone. */
  readonly exited: Promise<ProcessExit>;
  /** JSON values, in order, as the process sent them. */
  onMessage(receive: (message: unknown) => void): void;
  /** Sends a JSON value; nothing when the process is gone. */
  send(message: unknown): void;
  kill(signal: 'SIGTERM' | 'SIGKILL'): void;
}

export interface ProcessLauncher {
  /** Gives a process of this program in another role; it dies with us. `assignment` is its next message: JSON, never a command line. */
  launch(role: 'runner', assignment: unknown): Promise<ProcessHandle>;
}
