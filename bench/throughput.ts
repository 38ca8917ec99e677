/**
 * What Troupe costs: the same clip, model and number of inference workers through the bare loop (bench/bare-loop.ts: no
 * NATS, nothing stored) and through all of Troupe (NATS with fsync, results projected into SQLite), in turns, in one run.
 *
 * Wall time: of the bare loop from the start of its process to its end; of Troupe from the POST to `inactive`, which
 * includes starting the runner's process. Each side loads its model. CPU time: everything that each side's processes
 * used; of Troupe the node, its nats-server, the runner and its decoder.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { asset } from '../src/infra/process/assets.ts';
import type { Bench } from './bench.ts';
import { type BenchNode, startBenchNode } from './bench-node.ts';
import { median, spread } from './statistics.ts';

interface Sample {
  readonly frames: number;
  readonly wallMs: number;
  readonly cpuMs: number;
}

interface Work {
  readonly video: string;
  readonly model: string;
}

export const throughput: Bench = {
  summary: 'the same video through a bare loop and through all of Troupe',
  usage: '[--rounds N] [--workers 1,2] [--video FILE] [--model NAME|FILE]',
  run,
};

/** CPU time of a process and of its ended children so far, in ms (proc(5): fields 14 to 17, ticks of 10 ms). */
function cpuMs(pid: number | 'self'): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ');
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * 10, 0);
}

async function bare({ video, model }: Work, workers: number): Promise<Sample> {
  const before = cpuMs('self');
  const began = performance.now();
  const args = ['--video', video, '--model', model, '--workers', String(workers)];
  const child = spawn(process.execPath, [asset('bench', 'bare-loop.ts'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', chunk => {
    text += chunk;
  });
  const code = await new Promise<number | null>(resolve => child.once('close', resolve));
  const wallMs = performance.now() - began;
  if (code !== 0) throw new Error(`the bare loop exited with ${code}`);
  // Our own share of it, waiting, is a few ms.
  return { frames: (JSON.parse(text) as { frames: number }).frames, wallMs, cpuMs: cpuMs('self') - before };
}

async function throughTroupe(node: BenchNode, { video, model }: Work): Promise<Sample> {
  const used = (): number => cpuMs(node.pid) + cpuMs(node.natsPid);
  const before = used();
  const began = performance.now();
  const { id } = await node.create({ source: { uri: video }, model });
  const scenario = await node.ended(id);
  const wallMs = performance.now() - began;
  if (scenario.outcome !== 'completed') throw new Error(JSON.stringify(scenario.error));
  return { frames: scenario.progress.framesDone, wallMs, cpuMs: used() - before };
}

async function run(args: readonly string[]): Promise<void> {
  const shared = asset('..', 'shared', 'assets');
  const clip = path.join(shared, 'videos', 'people-one-by-one.mp4');
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string', default: '5' },
      workers: { type: 'string', default: '1,2' },
      video: { type: 'string', default: existsSync(clip) ? clip : asset('test_videos', 'test_video.mp4') },
      model: { type: 'string', default: existsSync(clip) ? path.join(shared, 'models', 'yolox_nano.onnx') : 'shapes' },
    },
  });
  const { video, model } = values;
  console.log(`${path.basename(video)}, ${path.basename(model)}; wall and CPU: bare loop ÷ Troupe\n`);
  console.log(
    '| workers | frames | bare fps (spread) | Troupe fps (spread) | wall ratio | CPU ms/frame bare → Troupe | CPU ratio |',
  );
  console.log('|---|---|---|---|---|---|---|');
  for (const workers of values.workers.split(',').map(Number)) {
    const samples: { bare: Sample; troupe: Sample }[] = [];
    const roots = [asset(), path.dirname(video), path.dirname(path.resolve(model))];
    await using node = await startBenchNode({ roots, env: { TROUPE_WORKERS: String(workers) } });
    await bare(values, workers); // both sides once unmeasured: the file cache is warm for both
    await throughTroupe(node, values);
    for (let round = 0; round < Number(values.rounds); round++) {
      // In turns, and each goes first as often as the other.
      const first = round % 2 === 0 ? await bare(values, workers) : null;
      const troupe = await throughTroupe(node, values);
      samples.push({ bare: first ?? (await bare(values, workers)), troupe });
    }
    const fps = (side: 'bare' | 'troupe') => samples.map(s => (s[side].frames * 1000) / s[side].wallMs);
    const cpu = (side: 'bare' | 'troupe') => median(samples.map(s => s[side].cpuMs / s[side].frames));
    const wallRatio = median(fps('troupe')) / median(fps('bare'));
    console.log(
      `| ${workers} | ${samples[0]?.bare.frames} | ${median(fps('bare')).toFixed(1)} (${spread(fps('bare'))}) ` +
        `| ${median(fps('troupe')).toFixed(1)} (${spread(fps('troupe'))}) | **${wallRatio.toFixed(3)}** ` +
        `| ${cpu('bare').toFixed(2)} → ${cpu('troupe').toFixed(2)} | ${(cpu('bare') / cpu('troupe')).toFixed(3)} |`,
    );
  }
}
