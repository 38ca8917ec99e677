/**
 * Whom Linux kills when memory runs out: a runner before its node, a NATS server or a stranger.
 *
 * OV1 A model may ask for memory without bound. Its runner is replaced after the last frame that is stored; of what else the
 *     machine or its container runs, nothing should have to die for it. What the runner starts from here on, its decoder, inherits this.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const OWN = '/proc/self/oom_score_adj';
/** Of 1000 (proc_pid_oom_score_adj(5)): as if half of all memory were its own beside what is; the largest runner goes first. */
export const RUNNER_SCORE_ADJ = 500;

/** Nothing where there is no such file. What this process was given stays where it is higher: lowering it takes a privilege. */
export function preferAsOomVictim(): void {
  try {
    if (Number(readFileSync(OWN, 'utf8')) < RUNNER_SCORE_ADJ) writeFileSync(OWN, String(RUNNER_SCORE_ADJ));
  } catch (error) {
    // No Linux, or a /proc that nobody writes to: the kernel chooses as it always did.
    if (!['ENOENT', 'EACCES', 'EPERM', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}
