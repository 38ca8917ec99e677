/** Runs seeds in several processes and gathers what they say. */
import { type ChildProcess, fork } from 'node:child_process';
import { addReport, emptyReport, type Report } from './report.ts';

/** What a worker runs, one after the other: `from`, `from + 1`, … below `end`. */
export interface Job {
  readonly from: number;
  readonly end: number;
}

/** Seeds that a worker runs between two reports. */
export const CHUNK = 20;

/**
 * Short-lived objects by the million: a larger nursery halves what the collector takes. There are as many workers as processors, so
 * that V8's own threads only get into their way (a sixth less processor time without them).
 */
const FLAGS = ['--max-semi-space-size=32', '--single-threaded'];

/** Seeds after which a worker gives way to a new one: what its killed processes were waiting for stays in its memory. */
const SEEDS_A_WORKER = 250;

export interface CrewSettings {
  readonly from: number;
  readonly seeds: number;
  readonly jobs: number;
  /** Told of every part. */
  progress?(report: Report): void;
}

/** @throws when a worker dies, or ends before its seeds do */
export async function runSeeds({ from, seeds, jobs, progress }: CrewSettings): Promise<Report> {
  const all = emptyReport();
  const workers = new Set<ChildProcess>();
  const work = (job: Job): Promise<void> =>
    new Promise((resolve, reject) => {
      let left = job.end - job.from;
      const worker = fork(new URL('worker.ts', import.meta.url), { execArgv: FLAGS });
      workers.add(worker);
      worker.on('message', message => {
        const report = message as Report;
        left -= report.seeds;
        addReport(all, report);
        progress?.(all);
      });
      worker.on('exit', code => {
        workers.delete(worker);
        if (code === 0 && left === 0) resolve();
        else
          reject(
            new Error(`a worker of seeds ${job.from} to ${job.end - 1} ended with ${code}, ${left} of them not run`),
          );
      });
      worker.send(job);
    });
  let next = from;
  const end = from + seeds;
  const share = Math.min(SEEDS_A_WORKER, Math.ceil(seeds / jobs));
  const one = async (): Promise<void> => {
    while (next < end) {
      const first = next;
      next = Math.min(end, first + share);
      await work({ from: first, end: next });
    }
  };
  try {
    await Promise.all(Array.from({ length: jobs }, one));
  } finally {
    for (const worker of workers) worker.kill();
  }
  return all;
}
