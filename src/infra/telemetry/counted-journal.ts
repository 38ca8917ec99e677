/** A journal that counts: attempts that were restarted and commands that were refused, when their fact is stored. */
import Type from 'typebox';
import type { Journal } from '../../actors/ports/journal.ts';
import { parseJson } from '../../domain/parse.ts';

const Restart = Type.Object({ code: Type.String() });
const Rejection = Type.Object({ problem: Type.Object({ code: Type.String() }) });

export interface FactCounts {
  /** @param code of the error that ended the attempt */
  restarted(code: string): void;
  /** @param kind of the actor as the sender named it: anything */
  rejected(kind: string, code: string): void;
}

export function countedJournal(journal: Journal, counts: FactCounts): Journal {
  return {
    ...journal,
    async append(subject, body) {
      await journal.append(subject, body);
      const [, stream, kind = '', , type] = subject.split('.');
      if (stream === 'event' && type === 'restart') counts.restarted(parseJson(Restart, body)?.code ?? 'other');
      if (stream === 'rejected') counts.rejected(kind, parseJson(Rejection, body)?.problem.code ?? 'other');
    },
  };
}
