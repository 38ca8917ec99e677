// shared
/** W1: `troupe watch` while its node is killed and started again at the same port, over the same DATA. */
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { asset } from '../../src/infra/process/assets.ts';
import { Workplace } from '../support/troupe-command.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('watch across a restart');
const VIDEO = asset('test_videos', 'test_video.mp4');

test('W1: each prediction comes once and in order, and the end is 0', async () => {
  using place = new Workplace();
  const up = async (port: string) => {
    const node = place.start(['up', '--port', port, '--root', path.dirname(VIDEO)]);
    await waitUntil('the node is ready', () => node.stdout().includes('\n'), 60_000);
    return node;
  };
  const first = await up('0');
  const url = /http:\S+/.exec(first.stdout())?.[0] ?? '';
  const body = JSON.stringify({ id: 'cam1', source: { uri: VIDEO }, model: 'shapes', sampling: { every: 2 } });
  const created = await fetch(`${url}/api/v1/scenarios`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  assert.is(created.status, 201, await created.text());
  const watch = place.start(['watch', 'cam1', '--json', '--url', url]);
  await waitUntil('predictions are told', () => watch.stdout().includes('"event":"prediction"'), 60_000);

  first.signal('SIGKILL'); // its runners with it
  await first.ended;
  const before = events(watch.stdout()).filter(({ event }) => event === 'prediction').length;
  const second = await up(new URL(url).port);
  const { code, stdout, stderr } = await watch.ended;

  assert.is(code, 0, stderr);
  assert.match(stderr, /^troupe: http:\S+ does not answer; trying again$/m);
  assert.ok(before < 300, 'it was killed in the midst of it');
  const frames = events(stdout).flatMap(({ event, data }) => (event === 'prediction' ? [data.frame] : []));
  assert.equal(
    frames,
    Array.from({ length: 300 }, (_, i) => 2 * i),
  );
  assert.is(events(stdout).at(-1)?.data.outcome, 'completed');
  const states = events(stdout).flatMap(({ event, id }) => (event === 'state' ? [id] : []));
  assert.equal(states, [...new Set(states)], 'each state once');
  second.child.kill('SIGTERM');
  assert.is((await second.ended).code, 0);
});

interface Told {
  readonly id: string;
  readonly event: string;
  readonly data: { readonly frame?: number; readonly outcome?: string };
}

/** The lines that are whole. */
const events = (text: string): Told[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line) as Told);

test.run();
