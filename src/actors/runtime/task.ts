/** Turns a loop that ends by its signal into a supervised child; one that does not end can only be abandoned. */
import { toProblem } from '../../domain/errors.ts';
import type { TreeNode } from '../../domain/tree.ts';
import type { ExitReason } from './exit-reason.ts';
import type { ChildHandle } from './supervisor.ts';

/**
 * @param run resolves when its signal aborts; resolving or rejecting before is its exit
 * @param tree what it contains, for `/tree`
 */
export function task(run: (signal: AbortSignal) => Promise<void>, tree?: () => readonly TreeNode[]): ChildHandle {
  const stop = new AbortController();
  const killed = Promise.withResolvers<ExitReason>();
  const end = (): void => stop.abort(new Error('told to stop'));
  const ended = run(stop.signal).then(
    (): ExitReason => (stop.signal.aborted ? 'shutdown' : 'normal'),
    (error): ExitReason => (stop.signal.aborted ? 'shutdown' : { error: toProblem(error) }),
  );
  const kill = (): void => {
    end();
    killed.resolve('killed');
  };
  return { exited: Promise.race([ended, killed.promise]), stop: end, kill, ...(tree === undefined ? {} : { tree }) };
}
