/**
 * What a supervisor does when a child ends: pure, with the semantics of OTP's `supervisor`
 * (https://www.erlang.org/doc/apps/stdlib/supervisor.html).
 *
 * S1 permanent children are always restarted, transient ones after an abnormal exit, temporary ones never — not even
 *    when a sibling's death took them down. A child that is not restarted leaves the table when it is temporary or of a
 *    simple_one_for_one; another stays, and is started again when a sibling's death restarts it.
 * S2 one_for_one and simple_one_for_one restart the child that ended; one_for_all all; rest_for_one it and those
 *    started after it. Siblings stop in reverse order of start and start in order.
 * S3 More than `intensity` restarts within `period`: the supervisor stops every child and gives up.
 */
import { type ExitReason, isAbnormal } from './exit-reason.ts';

export type Strategy = 'one_for_one' | 'one_for_all' | 'rest_for_one' | 'simple_one_for_one';
export type RestartType = 'permanent' | 'transient' | 'temporary';

export interface SupervisorFlags {
  readonly strategy: Strategy;
  readonly intensity: number;
  readonly periodMs: number;
}

export interface PlannedChild {
  readonly id: string;
  readonly restart: RestartType;
}

export type RestartPlan =
  | { readonly kind: 'leave'; readonly forget: boolean }
  | {
      readonly kind: 'restart';
      readonly stop: readonly string[];
      readonly start: readonly string[];
      readonly forget: readonly string[];
      readonly restarts: readonly number[];
    }
  | { readonly kind: 'give_up'; readonly stop: readonly string[] };

/** S3: the restart times to keep when one more is allowed at `now`, or null when it is one too many. */
export function admitRestart(
  restarts: readonly number[],
  limits: { readonly intensity: number; readonly periodMs: number },
  now: number,
): readonly number[] | null {
  const recent = [...restarts.filter(at => now - at <= limits.periodMs), now];
  return recent.length > limits.intensity ? null : recent;
}

/** S1 for one child. */
export const isRestarted = (restart: RestartType, reason: ExitReason): boolean =>
  restart === 'permanent' || (restart === 'transient' && isAbnormal(reason));

/** S1: whether a child that ended for good leaves the table. */
export const isForgotten = ({ strategy }: SupervisorFlags, { restart }: PlannedChild): boolean =>
  restart === 'temporary' || strategy === 'simple_one_for_one';

/**
 * @param children in order of start, the ended one included
 * @param restarts times of earlier restarts, in ms on the clock of `now`
 */
export function planRestart(
  flags: SupervisorFlags,
  children: readonly PlannedChild[],
  ended: string,
  reason: ExitReason,
  restarts: readonly number[],
  now: number,
): RestartPlan {
  const index = children.findIndex(child => child.id === ended);
  const child = children[index];
  if (child === undefined) return { kind: 'leave', forget: false };
  if (!isRestarted(child.restart, reason)) return { kind: 'leave', forget: isForgotten(flags, child) };

  const others = children.filter(c => c.id !== ended).map(c => c.id);
  const admitted = admitRestart(restarts, flags, now);
  if (admitted === null) return { kind: 'give_up', stop: others.toReversed() };

  const affected =
    flags.strategy === 'one_for_all'
      ? children
      : flags.strategy === 'rest_for_one'
        ? children.slice(index)
        : children.slice(index, index + 1);
  return {
    kind: 'restart',
    stop: affected
      .filter(c => c.id !== ended)
      .map(c => c.id)
      .toReversed(),
    start: affected.filter(c => c.restart !== 'temporary').map(c => c.id),
    forget: affected.filter(c => c.restart === 'temporary').map(c => c.id),
    restarts: admitted,
  };
}
