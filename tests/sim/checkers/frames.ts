/**
 * Each log, read by itself: its records follow each other without a gap, each selected frame has one result, its own, and `end`
 * comes when the last one is there, and nothing after it. A scenario that is called completed has such an end.
 */
import { type Evidence, type LogLife, scenarioCommits } from '../history.ts';

export function framesOnce({ plan, history }: Evidence): readonly string[] {
  const found: string[] = [];
  const lives = history.logs();
  const framesOf = new Map(plan.scenarios.map(({ id, frames }) => [id, frames]));
  for (const life of lives) found.push(...logOf(life, framesOf.get(life.scenario) ?? 0));
  for (const { id, index, doc } of scenarioCommits(history.commits())) {
    if (doc?.state !== 'inactive' || doc.outcome !== 'completed') continue;
    for (const { segment } of doc.segments) {
      const life = lives.findLast(
        other =>
          other.scenario === id &&
          other.run === doc.run &&
          other.segment === segment &&
          (other.lines[0]?.index ?? Number.POSITIVE_INFINITY) < index,
      );
      if (life?.lines.some(line => line.record.kind === 'end' && line.index < index)) continue;
      found.push(`${id} run ${doc.run} is completed, and the log of segment ${segment} has no end`);
    }
  }
  return [...new Set(found)];
}

function logOf({ scenario, run, segment, lines }: LogLife, frames: number): readonly string[] {
  const found: string[] = [];
  const name = `${scenario}.${run}.${segment}`;
  let next = 0;
  let count = 0;
  let ended = false;
  for (const { seq, record } of lines) {
    const at = `${name}, record ${seq}`;
    if (ended) found.push(`${at}: ${record.kind} after the end`);
    if (record.kind !== 'frames') {
      const to = record.position?.to ?? -1;
      if (to !== next - 1) found.push(`${at}: ${record.kind} stands at frame ${to}, the log at ${next - 1}`);
    } else {
      if (record.from !== next) found.push(`${at}: begins at frame ${record.from} instead of ${next}`);
      for (const prediction of record.predictions) {
        if (prediction.frame !== next) found.push(`${at}: frame ${prediction.frame} instead of ${next}`);
        if ('detections' in prediction && prediction.detections[0]?.box[0] !== prediction.frame)
          found.push(`${at}: frame ${prediction.frame} has the result of ${prediction.detections[0]?.box[0]}`);
        next = prediction.frame + 1;
        count += 1;
      }
      if (record.position.to !== next - 1) found.push(`${at}: says that it goes to ${record.position.to}`);
      if (record.position.frames !== count) found.push(`${at}: counts ${record.position.frames} results of ${count}`);
    }
    if (record.kind === 'end') {
      ended = true;
      if (next !== frames) found.push(`${at}: the end after ${next} of ${frames} frames`);
    }
  }
  return found;
}
