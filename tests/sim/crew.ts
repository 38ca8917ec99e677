/** Runs seeds in several processes and gathers what they say. */
import { type ChildProcess, fork } from 'node:child_process';
import { addReport, emptyReport, type Report } from './report.ts';

/** A worker's job: `from`, `from + step`, … below `end`. */
export interface Job {
  readonly from: number;
  readonly step: number;
  readonly end: number;
}

/** Seeds that a worker runs between two reports. */
export const CHUNK = 20;

export interface CrewSettings {
  readonly from: number;
  readonly seeds: number;
  readonly jobs: number;
  /** Told of every part. */
  progress?(report: Report): void;
}

/** @throws when a worker dies */
export async function runSeeds({ from, seeds, jobs, progress }: CrewSettings): Promise<Report> {
  const all = emptyReport();
  const workers: ChildProcess[] = [];
  const one = (first: number): Promise<void> =>
    new Promise((resolve, reject) => {
      // Short-lived objects by the million: a larger nursery halves what the collector takes.
      const worker = fork(new URL('worker.ts', import.meta.url), { execArgv: ['--max-semi-space-size=32'] });
      workers.push(worker);
      worker.on('message', message => {
        addReport(all, message as Report);
        progress?.(all);
      });
      worker.on('exit', code => (code === 0 ? resolve() : reject(new Error(`a worker ended with ${code}`))));
      const job: Job = { from: first, step: jobs, end: from + seeds };
      worker.send(job);
    });
  try {
    await Promise.all(Array.from({ length: Math.min(jobs, seeds) }, (_, i) => one(from + i)));
  } finally {
    for (const worker of workers) worker.kill();
  }
  return all;
}
