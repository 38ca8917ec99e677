// shared
/** What `/metrics` of a real node tells, and what operators read of it. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { asset } from '../../src/infra/process/assets.ts';
import { startTestNode, type TestNode } from '../support/node.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Family, readExposition, type Sample } from './exposition.ts';

const test = suite('metrics');
const execute = promisify(execFile);
const request = { source: { uri: 'test_videos/test_video.mp4' }, model: 'shapes' };

async function read(node: TestNode, query = ''): Promise<Map<string, Family>> {
  const answer = await node.call('GET', `/metrics${query}`);
  assert.is(answer.status, 200, answer.text);
  assert.is(answer.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  return readExposition(answer.text);
}

const valueOf = (families: Map<string, Family>, name: string, labels: Record<string, string> = {}): number => {
  const family = families.get(name) ?? families.get(name.replace(/_(count|sum|bucket)$/, ''));
  const isIt = (sample: Sample): boolean =>
    sample.name === name && Object.entries(labels).every(([label, value]) => sample.labels[label] === value);
  return family?.samples.filter(isIt).reduce((sum, { value }) => sum + value, 0) ?? Number.NaN;
};

const STAGES = ['decode', 'infer', 'post_process', 'append', 'project'];
const countsOf = (families: Map<string, Family>): number[] =>
  STAGES.map(stage => valueOf(families, 'troupe_stage_duration_seconds_count', { stage }));

test('MT3: a process that measures and rests is not woken', async () => {
  const module = new URL('../../src/infra/telemetry/metrics.ts', import.meta.url);
  const code = `
    import { performance } from 'node:perf_hooks';
    import { setTimeout as rest } from 'node:timers/promises';
    const { Metrics } = await import(${JSON.stringify(module.href)});
    const none = () => null;
    const metrics = new Metrics({ version: '0', runners: none, partitions: none, leaseAgeMs: none, lag: async () => null });
    await rest(100);
    const turns = () => performance.nodeTiming.uvMetricsInfo.loopCount;
    const before = turns();
    await rest(1_500);
    const woken = turns() - before;
    const names = (await metrics.families()).map(({ name }) => name).filter(name => name.includes('eventloop'));
    console.log(JSON.stringify({ woken, names }));`;
  const { stdout } = await execute(process.execPath, ['--input-type=module', '-e', code]);
  const { woken, names } = JSON.parse(stdout) as { woken: number; names: string[] };
  assert.ok(woken < 30, `${woken} times in 1.5 s`);
  assert.equal(names, ['nodejs_eventloop_lag_seconds'], 'what counts the interval of its measuring is none');
});

test('MT2: every stage of every frame is counted, by runners that end too, and nothing falls', async () => {
  await using node = await startTestNode();
  await node.create({ id: 'whole', ...request, sampling: { to: 40 } });
  assert.is((await node.ended('whole')).outcome, 'completed');
  const first = await read(node);
  const [decoded = 0, inferred, processed, appended = 0, projected = 0] = countsOf(first);
  assert.is(valueOf(first, 'troupe_frames_committed_total'), 41);
  assert.equal([inferred, processed], [41, 41], 'the tail of an ended runner is not lost');
  assert.ok(decoded >= 41 && appended >= 2 && projected >= 1, countsOf(first).join());
  assert.ok(valueOf(first, 'troupe_stage_duration_seconds_sum', { stage: 'infer' }) > 0);

  // One that is killed half way is replaced, and both are counted.
  await node.create({ id: 'killed', ...request });
  let pid = 0;
  await waitUntil('it has results', async () => {
    const { runners, progress } = await node.get('killed');
    pid = runners[0]?.pid ?? 0;
    return pid > 0 && progress.framesDone > 0;
  });
  process.kill(pid, 'SIGKILL');
  const view = await node.ended('killed');
  assert.is(view.outcome, 'completed');
  const second = await read(node);
  for (const [i, count] of countsOf(second).entries()) assert.ok(count >= (countsOf(first)[i] ?? 0));
  assert.ok(valueOf(second, 'troupe_frames_committed_total') > 41);
  assert.is(valueOf(second, 'troupe_runner_exits_total', { reason: 'normal' }), 2);
  const lost = view.runners[0]?.restarts ?? 0;
  assert.is(valueOf(second, 'troupe_runner_exits_total', { reason: 'runner_lost' }), lost);
  assert.is(valueOf(second, 'troupe_runner_restarts_total', { cause: 'runner_lost' }), lost);

  assert.equal(
    [
      valueOf(second, 'troupe_node_up', { node: 'test' }),
      valueOf(second, 'troupe_runners_slots'),
      valueOf(second, 'troupe_partitions_owned'),
      valueOf(second, 'troupe_scenarios', { state: 'inactive' }),
      valueOf(second, 'troupe_projection_lag_records'),
      valueOf(second, 'troupe_mailbox_waiting'),
    ],
    [1, 4, 16, 2, 0, 0],
  );
  // MT1: what strangers name is no label.
  await node.call('GET', '/api/v1/scenarios/stranger-7');
  await node.call('GET', '/stranger-8');
  await node.call('POST', '/api/v1/scenarios/stranger-9/stop');
  await waitUntil('the refusal is counted', async () => {
    const now = await read(node);
    return valueOf(now, 'troupe_commands_rejected_total', { kind: 'scenario', code: 'scenario_not_found' }) === 1;
  });
  const { text } = await node.call('GET', '/metrics');
  assert.not.match(text, /stranger|whole|killed"/);
  const http = readExposition(text);
  const duration = 'troupe_http_request_duration_seconds_count';
  assert.is(valueOf(http, duration, { route: '/api/v1/scenarios', method: 'POST', status: '201' }), 2);
  assert.is(valueOf(http, duration, { route: 'none', status: '404' }), 1);
  assert.ok(valueOf(http, 'process_cpu_user_seconds_total') > 0);

  const documented = [
    ...readFileSync(asset('docs', 'OPERATIONS.md'), 'utf8').matchAll(/^\| `(troupe_\w+)`[^|]*\| (\w+)/gm),
  ].map(([, name, type]) => `${name} ${type}`);
  const registered = [...http].filter(([name]) => name.startsWith('troupe_')).map(([name, f]) => `${name} ${f.type}`);
  assert.equal(documented.sort(), registered.sort(), 'the table of OPERATIONS.md and the registry agree');
});

test.run();
