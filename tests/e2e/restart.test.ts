// serial
// shared
/** The whole tree dies, at any moment, and goes on by itself when it is started again. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ScenarioView } from '../../src/domain/scenario.ts';
import { root } from '../../src/infra/process/assets.ts';
import { descendants, isRunning } from '../support/processes.ts';
import { type Running, Workplace } from '../support/troupe-command.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('whole-tree restart');

/** Silence takes a minute to tell: whatever goes on sooner did not wait for it. */
const DEAF = { TROUPE_MISSES: '60', TROUPE_WORKERS: '1' };
const REQUEST = { source: { uri: 'test_videos/test_video.mp4' }, model: 'shapes' };

async function up(place: Workplace, env: Readonly<Record<string, string>> = {}): Promise<Running> {
  const node = place.start(['up', '--port', '0', '--root', root], { ...DEAF, ...env });
  await waitUntil('the node is ready', () => node.stdout().includes('troupe ready'), 60_000);
  return node;
}

async function post(place: Workplace, at: string, body: unknown): Promise<void> {
  const { url } = JSON.parse(place.read('data/endpoint.json')) as { url: string };
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch(url + at, { method: 'POST', headers, body: JSON.stringify(body) });
  assert.ok(answer.ok, `${answer.status}`);
}

const get = async (place: Workplace, id: string): Promise<ScenarioView> =>
  (await place.api(`/api/v1/scenarios/${id}`)) as ScenarioView;

for (const victims of ['the node', 'every process at once'] as const)
  test(`SIGKILL of ${victims}: nothing is left running, and after the next start every scenario goes on by itself`, async () => {
    using place = new Workplace();
    const first = await up(place);
    const ids = ['a', 'b', 'c'];
    await post(place, '/api/v1/scenarios', {
      id: 'reference',
      ...REQUEST,
      source: { uri: `${root}/${REQUEST.source.uri}` },
    });
    await waitUntil(
      'the undisturbed run has ended',
      async () => (await get(place, 'reference')).state === 'inactive',
      60_000,
    );
    for (const id of ids)
      await post(place, '/api/v1/scenarios', { id, ...REQUEST, source: { uri: `${root}/${REQUEST.source.uri}` } });
    for (const id of ids) await place.midway(id);
    const done = new Map<string, number>();
    for (const id of ids) done.set(id, (await get(place, id)).progress.framesDone);
    const pid = first.child.pid ?? 0;
    const all = descendants(pid);
    assert.ok(all.length >= 1 + 3 * 2, `nats-server, and a runner and a decoder for each: ${all.length}`);
    for (const victim of victims === 'the node' ? [pid] : [pid, ...all]) process.kill(victim, 'SIGKILL');
    await first.ended;
    await waitUntil('no process is left', () => !all.some(isRunning));

    await up(place);
    const readyAt = performance.now();
    const wentOn = await Promise.all(
      ids.map(async id => {
        await waitUntil(`${id} goes on`, async () => (await get(place, id)).progress.framesDone > (done.get(id) ?? 0));
        return Math.round(performance.now() - readyAt);
      }),
    );
    console.log(`ms from ready to new results: ${wentOn.sort((a, b) => a - b).join(', ')}`);
    for (const id of ids) {
      await waitUntil(`${id} has ended`, async () => (await get(place, id)).state === 'inactive', 60_000);
      assert.is((await get(place, id)).outcome, 'completed');
      const [expected, actual] = await Promise.all(['reference', id].map(of => exported(place, of)));
      assert.ok(actual === expected, `${id} is byte-identical to an undisturbed run`);
    }
  });

async function exported(place: Workplace, id: string): Promise<string> {
  const { url } = JSON.parse(place.read('data/endpoint.json')) as { url: string };
  return (await fetch(`${url}/api/v1/scenarios/${id}/export`)).text();
}

test('a second node over the same DATA is refused, and says whose it is', async () => {
  using place = new Workplace();
  const first = await up(place);
  const { code, stderr } = await place.run(['up', '--port', '0']);
  assert.is(code, 1);
  assert.match(stderr, new RegExp(`${place.data} is in use by process ${first.child.pid}`));
});

test.run();
