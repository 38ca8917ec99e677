/**
 * The `troupe` command: exit codes and ends.
 *
 * M1 0: done. 1: it failed, and stderr says `troupe: ` what and what to do. 2: it was called wrongly. 130: Ctrl-C, and stderr says
 *    how to go on.
 * M2 An expected failure shows no stack; a defect does.
 * M3 The process ends when all that it wrote has left it: writes to a pipe are asynchronous.
 */
import { CommanderError } from 'commander';
import { TroupeError, toProblem } from '../domain/errors.ts';
import { program, VERBS } from './commands.ts';
import { interruptions } from './signals.ts';
import { plain } from './terminal.ts';

export async function main(argv: readonly string[]): Promise<void> {
  const interrupted = interruptions();
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // `troupe export ID | head`: the reader has seen enough.
    if (error.code === 'EPIPE') process.exit(interrupted.aborted ? Number(interrupted.reason) : 0);
    process.stderr.write(`troupe: stdout: ${error.message}\n`);
    process.exit(1);
  });
  const code = await outcome(argv, interrupted);
  // M3
  process.stdout.write('', error => {
    if (!error) process.exit(code);
  });
}

/** M1, M2. @param verbs those there are @returns the exit code */
export async function outcome(argv: readonly string[], interrupted: AbortSignal, verbs = VERBS): Promise<number> {
  let code = 0;
  const end = (result: number | string): void => {
    if (typeof result === 'number') code = result;
    else process.stdout.write(`${result}\n`);
  };
  try {
    if (argv.length === 0) end(await (await import('./welcome.ts')).welcome(interrupted));
    else await program(interrupted, end, verbs).parseAsync(argv, { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0;
      // Only the list of verbs was shown.
      if (error.code === 'commander.help') {
        const what = argv[0] === 'help' ? `there is no verb '${plain(argv[1] ?? '')}'` : 'no verb was given';
        process.stderr.write(`\ntroupe: ${what}.\n`);
      }
      return 2;
    }
    if (interrupted.aborted && error === interrupted.reason) {
      process.stderr.write(`troupe: interrupted. Again: troupe\n`);
      return Number(error);
    }
    const known = error instanceof TroupeError;
    const text = known || !(error instanceof Error) ? toProblem(error).message : (error.stack ?? error.message);
    process.stderr.write(`troupe: ${text.split('\n').map(plain).join('\n')}\n`);
    return known && error.code === 'invalid_request' ? 2 : 1;
  }
}
