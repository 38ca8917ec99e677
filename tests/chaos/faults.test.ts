// serial
// shared
/** One fault at a time, and what must come of it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isRunning } from '../support/processes.ts';
import { waitUntil } from '../support/wait-until.ts';
import { Harness, PATIENCE_MS } from './harness.ts';
import { attemptsOf, broken, movesOf } from './promises.ts';

const REQUEST = { source: { uri: 'test_videos/test_video.mp4' }, model: 'shapes', sampling: { to: 299 } };
/** Two sockets were seen to hold 4.2 MB of what nobody reads. */
const [LARGE_TO, LARGE_BYTES] = [399, 6_000_000];
const test = suite('single faults');
const said: string[] = [];
let harness: Harness;
let undisturbed: string;

test.before(async () => {
  harness = await Harness.start('one', line => said.push(line));
  await create('undisturbed');
  await ended('undisturbed');
  undisturbed = await exported('undisturbed');
});
test.after(() => harness[Symbol.asyncDispose]());

const create = (id: string) =>
  harness.insist('POST', '/api/v1/scenarios', { id, ...REQUEST }, { 'idempotency-key': id });
const exported = async (id: string): Promise<string> =>
  (await harness.insist('GET', `/api/v1/scenarios/${id}/export`)).text;
const ended = (id: string) =>
  waitUntil(`${id} has ended`, () => harness.scenarios.get(id)?.state === 'inactive', PATIENCE_MS);
const runnerOf = (id: string) => harness.scenarios.get(id)?.segments[0];
const facts = (id: string, type: string) => harness.facts.filter(fact => fact.scenario === id && fact.type === type);
const batches = (id: string) =>
  harness.log.filter(({ key, record }) => key.scenario === id && record.kind === 'frames');

/** A scenario in the middle of its work. */
async function midway(id: string): Promise<{ readonly pid: number; readonly node: string; readonly attempt: number }> {
  await create(id);
  await waitUntil(`${id} has results`, () => batches(id).length > 1 && runnerOf(id)?.pid != null, PATIENCE_MS);
  const { pid, node, attempt } = runnerOf(id) ?? {};
  if (pid == null || node == null || attempt === undefined) throw new Error(`${id} runs nowhere`);
  return { pid, node, attempt };
}

/** Undisturbed in the end, with every promise kept. */
async function assertWhole(id: string): Promise<void> {
  await ended(id);
  const doc = harness.scenarios.get(id);
  assert.ok(doc !== undefined);
  assert.is(doc.outcome, 'completed', JSON.stringify(doc.error));
  assert.ok((await exported(id)) === undisturbed, `${id} is byte-identical to an undisturbed run`);
  const log = harness.log.filter(({ key }) => key.scenario === id);
  const moves = () => movesOf(harness, id);
  await waitUntil('its end is stated', () => moves().at(-1)?.to === 'inactive');
  const left = { id, log, moves: moves(), history: doc.history, outcome: doc.outcome, threshold: doc.spec.threshold };
  assert.equal(broken({ ...left, ...attemptsOf(harness, id), expected: undisturbed }), []);
  assert.equal(harness.findings, []);
}

const replaced = (id: string, attempt: number) =>
  waitUntil(
    `${id} is replaced and goes on`,
    () => batches(id).some(({ record }) => record.attempt > attempt),
    PATIENCE_MS,
  );

test('half open: a runner whose link carries nothing is lost as silent, and what it sent late counts for nothing', async () => {
  const { pid, node, attempt } = await midway('mute');
  harness.cutLink(node, 'hold', pid);
  await replaced('mute', attempt);
  harness.restore(node, pid);
  await waitUntil('the old one is gone', () => !isRunning(pid));
  assert.is(facts('mute', 'lost')[0]?.body['cause'], 'silent');
  await assertWhole('mute');
});

test('half open: a node whose link carries nothing is lost with its runners; they go on elsewhere, and it takes part again', async () => {
  const { pid, node, attempt } = await midway('cut-off');
  harness.cutLink(node, 'hold');
  await replaced('cut-off', attempt);
  assert.is(facts('cut-off', 'lost')[0]?.body['cause'], 'node');
  assert.is.not(facts('cut-off', 'placed').at(-1)?.body['node'], node);
  harness.restore(node);
  await waitUntil('its runner is gone', () => !isRunning(pid), PATIENCE_MS);
  await assertWhole('cut-off');
  await waitUntil('it takes part again', async () => {
    const { items } = JSON.parse((await harness.insist('GET', '/api/v1/nodes')).text) as { items: { id: string }[] };
    return items.some(({ id }) => id === node);
  });
});

test('a source that stalls: the runner beats and gets nowhere, is lost as stalled, and the next goes on', async () => {
  const { pid, attempt } = await midway('stalled');
  const decoder = (): number | undefined => {
    const processes = harness.processes();
    const below = (parent: number): number[] =>
      processes.filter(p => p.parent === parent).flatMap(p => [p.pid, ...below(p.pid)]);
    const mine = new Set(below(pid));
    return processes.find(p => p.role === 'decoder' && mine.has(p.pid))?.pid;
  };
  await waitUntil('it decodes', () => decoder() !== undefined);
  const stalled = decoder() ?? 0;
  harness.freeze(stalled);
  await replaced('stalled', attempt);
  assert.is(facts('stalled', 'lost')[0]?.body['cause'], 'stalled');
  await waitUntil('runner and decoder are gone', () => !isRunning(pid) && !isRunning(stalled));
  await assertWhole('stalled');
});

test('an API node that dies with an export under way: its client learns it, and another node gives the whole', async () => {
  // At no threshold a frame has hundreds of boxes: far more than what is on its way between two sockets.
  const everything = { threshold: 0, recordThreshold: 0, sampling: { to: LARGE_TO } };
  await harness.insist('POST', '/api/v1/scenarios', { id: 'large', ...REQUEST, ...everything });
  await ended('large');
  const whole = await exported('large');
  assert.ok(whole.length > LARGE_BYTES, `${whole.length} bytes`);
  const givenBy = async (node: string): Promise<string> =>
    (await harness.ask(node, 'GET', '/api/v1/scenarios/large/export')).text;
  const { url } = harness.apis.find(({ id }) => id === 'a') ?? { url: '' };
  await waitUntil('it has it all', async () => (await givenBy(url)) === whole);
  const pid = harness.pidOf('a') ?? 0;
  const answer = await fetch(`${url}/api/v1/scenarios/large/export`);
  assert.is(answer.headers.get('troupe-complete'), 'true');
  const reader = answer.body?.getReader();
  const first = await reader?.read();
  assert.ok(first?.value !== undefined && whole.startsWith(Buffer.from(first.value).toString().slice(0, 1000)));
  harness.kill(pid);
  await waitUntil('it is gone', () => harness.nodes.find(({ id }) => id === 'a')?.child === null);
  let bytes = first.value.length;
  let error: unknown = null;
  try {
    for (let next = await reader?.read(); next?.value !== undefined; next = await reader?.read())
      bytes += next.value.length;
  } catch (caught) {
    error = caught;
  }
  assert.ok(bytes < Buffer.byteLength(whole), 'it was under way');
  assert.instance(error, Error, `the client took ${bytes} bytes of ${whole.length} for all of it`);
  assert.ok((await exported('large')) === whole);
  harness.start('a');
  await waitUntil('it serves again', () => harness.serving, PATIENCE_MS);
  const again = harness.apis.find(({ id }) => id === 'a')?.url ?? '';
  await waitUntil('it gives the whole', async () => (await givenBy(again)) === whole);
});

test.run();
