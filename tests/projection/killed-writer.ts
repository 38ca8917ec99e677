/** A process that applies a run to the projection and is killed, without any warning, in the middle of one transaction. */
import type { LogEntry } from '../../src/actors/ports/prediction-log.ts';
import { openProjection } from '../../src/infra/sqlite/projection-store.ts';
import { IDENTITY, LogWriter } from './log-entries.ts';

const [file = '', killAt = '0'] = process.argv.slice(2);
const store = openProjection(file);
const { entries } = new LogWriter().run('cam', 1, 640);
const deadly = entries.map((entry): LogEntry => {
  if (entry.seq !== Number(killAt)) return entry;
  return {
    ...entry,
    get record() {
      process.kill(process.pid, 'SIGKILL');
      return entry.record;
    },
  };
});
for (let i = 0; i < deadly.length; i += 4) store.apply(IDENTITY, deadly.slice(i, i + 4));
