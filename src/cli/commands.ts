/** Every verb of the `troupe` command. */
import { Command } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import { completing, completion } from './completion-verbs.ts';
import { doctor } from './doctor.ts';
import { drainNode, models, nodes, tree, up } from './node-verbs.ts';
import { exportResults, verify } from './result-verbs.ts';
import { ls, rm, run, show, start, stop } from './scenario-verbs.ts';
import { explain, rejected } from './story-verbs.ts';
import { plain } from './terminal.ts';
import { toCommand, type Verb } from './verb.ts';
import { watch } from './watch.ts';

export const VERBS: readonly Verb[] = [
  run,
  up,
  ...[ls, show, start, stop, rm],
  ...[watch, explain, rejected],
  ...[exportResults, verify],
  ...[nodes, tree, models, drainNode],
  ...[doctor, completion, completing(() => VERBS)],
];

const ENVIRONMENT = `
Every option is also TROUPE_<OPTION> (--relaxed-sync: TROUPE_RELAXED_SYNC) and a key of troupe.toml in the current
folder. Order: option, environment, troupe.toml, default. Workers per runner and the times of supervision have no option:
TROUPE_WORKERS, TROUPE_HEARTBEAT_MS, TROUPE_LEASE_MS, TROUPE_MISSES, TROUPE_STALL_MS, TROUPE_BACKOFF_FIRST_MS, TROUPE_BACKOFF_MOST_MS,
TROUPE_SHUTDOWN_MS, TROUPE_PLACEMENT_RETRY_MS.

Exit codes: 0 done, 1 failed, 2 called wrongly, 130 interrupted.

Examples:
  $ troupe
  $ troupe run video.mp4
  $ troupe VERB --help`;

/**
 * @param signal aborted when the command is to end
 * @param end hears what a verb came to: its exit code, or what is printed before 0
 * @param verbs those there are
 */
export function program(signal: AbortSignal, end: (outcome: number | string) => void, verbs = VERBS): Command {
  const troupe = new Command('troupe')
    .description('Runs ONNX models over video on any number of machines; never loses, repeats or reorders a result.')
    .version(packageJson.version)
    .configureOutput({
      // T1: it repeats what was given
      outputError: (text, write) =>
        write(
          text
            .replace(/^error: /, 'troupe: ')
            .split('\n')
            .map(plain)
            .join('\n'),
        ),
    })
    .exitOverride()
    .showHelpAfterError("'troupe --help' and 'troupe VERB --help' say more.")
    .addHelpText('after', ENVIRONMENT);
  for (const verb of verbs) {
    const command = toCommand(verb, signal, end).copyInheritedSettings(troupe);
    troupe.addCommand(command, { hidden: verb.hidden === true });
  }
  return troupe;
}
