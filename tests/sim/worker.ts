/** One process of the crew: runs its seeds one after the other and reports in parts. */
import { CHUNK, type Job } from './crew.ts';
import { addOutcome, emptyReport, type Report } from './report.ts';
import { simulate } from './simulate.ts';
import { planOf } from './storm.ts';

process.once('message', job => {
  work(job as Job).then(
    () => process.disconnect(),
    error => {
      console.error(error);
      process.exit(1);
    },
  );
});

async function work({ from, end }: Job): Promise<void> {
  let report: Report = emptyReport();
  for (let seed = from; seed < end; seed++) {
    addOutcome(report, await simulate(planOf(seed)));
    if (report.seeds < CHUNK && seed + 1 < end) continue;
    await say(report);
    report = emptyReport();
  }
}

const say = (report: Report): Promise<void> =>
  new Promise((resolve, reject) => {
    process.send?.(report, (error: Error | null) => (error === null ? resolve() : reject(error)));
  });
