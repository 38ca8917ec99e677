/**
 * One node, a user's process, tried at all its edges at once while it works: what it was doing comes out as if nothing had been.
 */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import { asset } from '../../src/infra/process/assets.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Edge, fuzz, missing, told } from './edge.ts';
import { httpEdge } from './edges/http.ts';
import { natsEdge } from './edges/nats.ts';
import { type FuzzedNode, startFuzzedNode } from './fuzzed-node.ts';
import { mutateBytes } from './mutations.ts';

const test = suite('a whole node');
const SEED = 1;
const CASES = 120;
const MUTANTS = 1;

interface View {
  readonly state: string;
  readonly outcome: string | null;
  readonly run: number;
  readonly error: unknown;
}

async function create(node: FuzzedNode, body: object): Promise<number> {
  return (await node.call('POST', '/api/v1/scenarios', body)).status;
}

async function ended(node: FuzzedNode, id: string): Promise<View> {
  let view: View | null = null;
  await waitUntil(
    `${id} has ended`,
    async () => {
      view = JSON.parse((await node.call('GET', `/api/v1/scenarios/${id}?wait=5`)).text) as View;
      return view.state === 'inactive';
    },
    150_000,
  );
  assert.ok(view !== null);
  return view;
}

const exported = async (node: FuzzedNode, id: string): Promise<string> =>
  (await node.call('GET', `/api/v1/scenarios/${id}/export`)).text;

/** Videos and models that are damaged, as scenarios: each ends, however it may. */
async function damaged(node: FuzzedNode): Promise<string[]> {
  const video = readFileSync(path.join(node.folder, 'test_videos/test_video_2.webm'));
  const model = readFileSync(asset('models', 'colorblob.onnx'));
  const ids: string[] = [];
  for (let i = 0; i < MUTANTS; i++) {
    writeFileSync(path.join(node.folder, `bad-${i}.webm`), mutateBytes(video, new SeededRandom(SEED + i)));
    writeFileSync(path.join(node.folder, `bad-${i}.onnx`), mutateBytes(model, new SeededRandom(SEED + i), true));
    for (const [id, source, of] of [
      [`bad-video-${i}`, `bad-${i}.webm`, 'shapes'],
      [`bad-model-${i}`, 'good.mp4', `bad-${i}.onnx`],
    ] as const) {
      const status = await create(node, { id, source: { uri: source }, model: of, sampling: { to: 20 } });
      assert.ok([201, 422, 503].includes(status), `${id}: ${status}`);
      if (status === 201) ids.push(id);
    }
  }
  return ids;
}

test(`it is the same process, and its scenarios' exports are the same bytes, after ${CASES} cases over HTTP and NATS each, and damaged videos and models`, async () => {
  await using node = await startFuzzedNode(['--node', 'fuzzed']);
  copyFileSync(path.join(node.folder, 'test_videos/test_video.mp4'), path.join(node.folder, 'good.mp4'));
  const work = { source: { uri: 'good.mp4' }, model: 'shapes', sampling: { to: 120 } };
  assert.is(await create(node, { id: 'calm', ...work }), 201);
  assert.is((await ended(node, 'calm')).outcome, 'completed');
  const truth = await exported(node, 'calm');
  assert.is(truth.trim().split('\n').length, 121);

  // One after the other, for as long as it is tried: there is always one that runs.
  let over = false;
  const steady: string[] = [];
  const working = (async () => {
    while (!over) {
      const id = `steady-${steady.length + 1}`;
      assert.is(await create(node, { id, ...work }), 201);
      steady.push(id);
      const { outcome, error, run } = await ended(node, id);
      assert.equal([outcome, error, run], ['completed', null, 1], id);
    }
  })();
  const shared: FuzzedNode = { ...node, async [Symbol.asyncDispose]() {} };
  const edges: Edge[] = [httpEdge(async () => shared), natsEdge(async () => shared)];
  const trying = edges.map(edge => fuzz(edge, { cases: CASES, seed: SEED }));
  try {
    const strange = await damaged(node);
    for (const [i, report] of (await Promise.all(trying)).entries()) {
      console.log(`\n  ${told(report)}`);
      assert.is(report.failures.length, 0);
      const [edge] = edges.slice(i);
      if (edge !== undefined) assert.equal(missing(edge, report), []);
    }
    for (const id of strange) await ended(node, id);
  } finally {
    over = true;
    await Promise.allSettled([...trying, working]);
  }
  await working;
  console.log(`\n  ${steady.length} scenarios ran meanwhile`);
  for (const id of steady) assert.is(await exported(node, id), truth, `${id} is not what it is undisturbed`);
  await node.isWell();
});

test.run();
