/**
 * `troupe run VIDEO`: a job on a running or an embedded node.
 *
 * R1 Ctrl-C stops the scenario, ends an embedded node and names the command that goes on; a second one ends at once.
 */
import { randomBytes } from 'node:crypto';
import { realpathSync } from 'node:fs';
import path from 'node:path';
import { type Flags, type Options, settings } from '../infra/config.ts';
import { type Job, type JobResult, runJob, summary } from './job.ts';
import { NodeLink } from './node-link.ts';
import { progressDisplay } from './progress.ts';
import { refuseUnwritable } from './save-export.ts';
import { json, plain, quoted } from './terminal.ts';
import { given } from './verb.ts';

/** @returns the exit code */
export async function run(video: string, flags: Flags, interrupted: AbortSignal): Promise<number> {
  const options = settings(flags);
  const job = jobOf(video, options);
  try {
    const result = await onSomeNode(job, flags, interrupted);
    const { scenario, out } = result;
    process.stdout.write(`${options.json === true ? json({ ...scenario, out }) : summary(result)}\n`);
    return 0;
  } catch (error) {
    if (error !== interrupted.reason) throw error;
    const { id } = job.request;
    const again = `troupe run ${quoted(video)}${given({ ...flags, id })}`;
    process.stderr.write(`${plain(`${id} is stopped; go on with: ${again}`)}\n`);
    return Number(error);
  }
}

async function onSomeNode(job: Job, flags: Flags, interrupted: AbortSignal): Promise<JobResult> {
  const files = [job.request.source.uri, job.request.model].filter(file => path.isAbsolute(file));
  using progress = progressDisplay();
  await using link = await NodeLink.open(flags, files.map(realFolder), line => progress.note(line));
  return await runJob(link, job, progress, interrupted);
}

/** @throws TroupeError invalid_request: the results can't be written */
function jobOf(video: string, options: Options): Job {
  const { every, fps, from, to, threshold, iou, classes, segments, model = 'shapes' } = options;
  const name = path.basename(video);
  const out = path.resolve(options.out ?? `${name}.predictions.jsonl`);
  refuseUnwritable(out);
  const sampling = defined({ every, fps, from, to });
  return {
    out,
    request: {
      id: options.id ?? `${name.replaceAll(/[^A-Za-z0-9_-]+/g, '-').slice(0, 57)}-${randomBytes(3).toString('hex')}`,
      source: { uri: isUrl(video) ? video : path.resolve(video) },
      model: model.endsWith('.onnx') ? path.resolve(model) : model,
      ...(Object.keys(sampling).length === 0 ? {} : { sampling }),
      ...defined({ threshold, iou, classes, segments }),
    },
  };
}

const isUrl = (text: string): boolean => /^[a-z][a-z0-9+.-]*:\/\//i.test(text);

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

const defined = <T extends object>(fields: T): Defined<T> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<T>;

/** The folder that a file, links resolved, lies in; of a missing file, the one it would lie in. */
function realFolder(file: string): string {
  try {
    return path.dirname(realpathSync(file));
  } catch {
    return path.dirname(file);
  }
}
