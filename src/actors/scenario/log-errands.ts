/**
 * What a scenario supervisor owes to the log: its end (L4), and its removal after a DELETE.
 */
import { invariant } from '../../domain/errors.ts';
import type { ClosedRecord } from '../../domain/log-record.ts';
import type { AttemptBody } from '../../domain/messages.ts';
import type { Clock } from '../ports/clock.ts';
import type { PredictionLog } from '../ports/prediction-log.ts';
import { isPassing, WriteConflict } from '../ports/write-outcome.ts';
import type { ErrandExecutor } from '../runtime/errand-desk.ts';

export interface LogErrandPorts {
  readonly log: PredictionLog;
  readonly clock: Clock;
}

const AGAIN_MS = 50;

/**
 * L4: appends `closed` with the supervisor's own attempt number, over whatever an older attempt still writes, until it
 * lands. A log that has ended by itself meanwhile is left as it is.
 */
export function closeLog({ log, clock }: LogErrandPorts): ErrandExecutor {
  return async (_owner, errand, signal) => {
    const ref = errand.body as AttemptBody;
    for (;;) {
      signal.throwIfAborted();
      try {
        const tail = await log.last(ref);
        const last = tail.entry?.record;
        const answer = (result: 'end' | 'closed', seq: number) => ({
          verb: 'closed',
          body: { run: ref.run, segment: ref.segment, result, seq },
        });
        if (last?.kind === 'end') return answer('end', tail.entry?.seq ?? tail.seq);
        if (last?.kind === 'closed' && last.attempt >= ref.attempt)
          return answer('closed', tail.entry?.seq ?? tail.seq);
        invariant(
          (last?.attempt ?? 0) < ref.attempt,
          `attempt ${last?.attempt} wrote after ${ref.attempt} was to close`,
        );
        const record: ClosedRecord = {
          v: 1,
          kind: 'closed',
          attempt: ref.attempt,
          at: new Date(clock.now()).toISOString(),
          position: last?.position ?? null,
        };
        return answer('closed', await log.append(ref, record, tail.seq));
      } catch (error) {
        // A conflict means that the writer was faster: read and try again at once.
        if (error instanceof WriteConflict) continue;
        if (!isPassing(error)) throw error;
        await clock.sleep(AGAIN_MS, signal);
      }
    }
  };
}

export function purgeLog({ log, clock }: LogErrandPorts): ErrandExecutor {
  return async (_owner, errand, signal) => {
    const { scenario } = errand.body as { scenario: string };
    for (;;) {
      signal.throwIfAborted();
      try {
        await log.purge(scenario);
        return { verb: 'purged', body: {} };
      } catch (error) {
        if (!isPassing(error)) throw error;
        await clock.sleep(AGAIN_MS, signal);
      }
    }
  };
}
