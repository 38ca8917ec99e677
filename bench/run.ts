/**
 * What Troupe costs: the same clip, model and number of inference workers through the bare loop (bench/bare-loop.ts: no
 * NATS, nothing stored) and through all of Troupe (NATS with fsync, results projected into SQLite), in turns, in one run.
 *
 *   npm run bench                       both worker counts, five rounds each
 *   npm run bench -- --rounds 9 --workers 1 --video FILE --model NAME|FILE
 *
 * Wall time: of the bare loop from the start of its process to its end; of Troupe from the POST to `inactive`, which
 * includes starting the runner's process. Each side loads its model. CPU time: everything that each side's processes
 * used; of Troupe the node, its nats-server, the runner and its decoder.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import type { ScenarioView } from '../src/domain/scenario.ts';
import type { TreeNode } from '../src/domain/tree.ts';
import { asset } from '../src/infra/process/assets.ts';

interface Sample {
  readonly frames: number;
  readonly wallMs: number;
  readonly cpuMs: number;
}

interface Node {
  readonly url: string;
  readonly pid: number;
  readonly natsPid: number;
  stop(): Promise<void>;
}

const shared = asset('..', 'shared', 'assets');
const clip = path.join(shared, 'videos', 'people-one-by-one.mp4');
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    workers: { type: 'string', default: '1,2' },
    video: { type: 'string', default: existsSync(clip) ? clip : asset('test_videos', 'test_video.mp4') },
    model: { type: 'string', default: existsSync(clip) ? path.join(shared, 'models', 'yolox_nano.onnx') : 'shapes' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) {
  console.log('npm run bench -- [--rounds N] [--workers 1,2] [--video FILE] [--model NAME|FILE]');
  process.exit(0);
}

/** CPU time of a process and of its ended children so far, in ms (proc(5): fields 14 to 17, ticks of 10 ms). */
function cpuMs(pid: number | 'self'): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ');
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * 10, 0);
}

async function bare(workers: number): Promise<Sample> {
  const before = cpuMs('self');
  const began = performance.now();
  const args = ['--video', values.video, '--model', values.model, '--workers', String(workers)];
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

/** A node in a process of its own, as a user starts it. */
async function startNode(workers: number): Promise<Node> {
  const data = await mkdtemp(path.join(tmpdir(), 'troupe-bench-'));
  const roots = [asset(), path.dirname(values.video), path.dirname(path.resolve(values.model))];
  const args = ['up', '--port', '0', '--data', data, ...roots.flatMap(root => ['--root', root])];
  const child = spawn(process.execPath, [asset('src', 'main.ts'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TROUPE_WORKERS: String(workers) },
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /^troupe ready (\S+)/.exec(line)?.[1];
    if (url === undefined) continue;
    const tree = (await (await fetch(`${url}/api/v1/tree`)).json()) as TreeNode;
    const natsPid = tree.children[0]?.children.find(c => c.kind === 'nats-server')?.pid;
    if (child.pid === undefined || typeof natsPid !== 'number') throw new Error('the node does not show its processes');
    return {
      url,
      pid: child.pid,
      natsPid,
      stop: async () => {
        child.kill('SIGTERM');
        await new Promise(resolve => child.once('exit', resolve));
        await rm(data, { recursive: true, force: true });
      },
    };
  }
  throw new Error('the node did not start');
}

async function throughTroupe(node: Node): Promise<Sample> {
  const used = (): number => cpuMs(node.pid) + cpuMs(node.natsPid);
  const before = used();
  const began = performance.now();
  const body = JSON.stringify({ source: { uri: values.video }, model: values.model });
  const headers = { 'content-type': 'application/json' };
  const created = await fetch(`${node.url}/api/v1/scenarios`, { method: 'POST', body, headers });
  let scenario = (await created.json()) as ScenarioView;
  if (created.status !== 201) throw new Error(JSON.stringify(scenario));
  while (scenario.state !== 'inactive') {
    scenario = (await (await fetch(`${node.url}/api/v1/scenarios/${scenario.id}?wait=60`)).json()) as ScenarioView;
  }
  const wallMs = performance.now() - began;
  if (scenario.outcome !== 'completed') throw new Error(JSON.stringify(scenario.error));
  return { frames: scenario.progress.framesDone, wallMs, cpuMs: used() - before };
}

const median = (numbers: readonly number[]): number => {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
};

const spread = (numbers: readonly number[]): string =>
  `${Math.min(...numbers).toFixed(1)}–${Math.max(...numbers).toFixed(1)}`;

console.log(
  `${cpus()[0]?.model ?? 'unknown CPU'}, ${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`,
);
console.log(`${path.basename(values.video)}, ${path.basename(values.model)}; wall and CPU: bare loop ÷ Troupe\n`);
console.log(
  '| workers | frames | bare fps (spread) | Troupe fps (spread) | wall ratio | CPU ms/frame bare → Troupe | CPU ratio |',
);
console.log('|---|---|---|---|---|---|---|');
for (const workers of values.workers.split(',').map(Number)) {
  const samples: { bare: Sample; troupe: Sample }[] = [];
  const node = await startNode(workers);
  try {
    await bare(workers); // both sides once unmeasured: the file cache is warm for both
    await throughTroupe(node);
    for (let round = 0; round < Number(values.rounds); round++) {
      // In turns, and each goes first as often as the other.
      const first = round % 2 === 0 ? await bare(workers) : null;
      const troupe = await throughTroupe(node);
      samples.push({ bare: first ?? (await bare(workers)), troupe });
    }
  } finally {
    await node.stop();
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
