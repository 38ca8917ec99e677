/** A job against a node that answers as a test wants it to. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Job, runJob, summary } from '../../src/cli/job.ts';
import { NodeLink } from '../../src/cli/node-link.ts';
import { predictionLine } from '../../src/domain/prediction.ts';
import type { ScenarioView } from '../../src/domain/scenario.ts';
import { toSpec } from '../../src/domain/scenario-spec.ts';
import { scenarioView } from '../api/fake-cluster.ts';
import { REQUEST } from '../api/served-api.ts';

const test = suite('job');
const folder = mkdtempSync(path.join(tmpdir(), 'troupe-job-'));
test.after(() => rmSync(folder, { recursive: true, force: true }));

const detection = { class: 'cir\u001bcle', classId: 0, score: 0.5, box: [1, 2, 3, 4] };
const LINES = [
  { frame: 0, ptsMs: 0, detections: [detection, { ...detection, class: 'square' }] },
  { frame: 1, ptsMs: 40, error: { code: 'decode_failed', message: 'torn' } },
  { frame: 2, ptsMs: 80, detections: [detection] },
].map(p => `${predictionLine(p)}\n`);

const sha256 = createHash('sha256').update(LINES.join('')).digest('hex');
const MANIFEST = { scenario: 'j', run: 1, complete: true, spec: toSpec(REQUEST), frames: 3, sha256 };

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Runs the job `j` on a server that answers `create` with `scenario` and everything else by `answer`. */
async function jobOn(scenario: ScenarioView, answer: Answer) {
  const server = createServer((request, response) => {
    if (request.url === '/healthz') response.end('{"status":"ok"}');
    else if (request.url?.includes('/manifest')) response.end(JSON.stringify(MANIFEST));
    else if (request.method === 'POST') response.end(JSON.stringify(scenario));
    else answer(request, response);
  }).listen(0, '127.0.0.1');
  await new Promise(resolve => server.once('listening', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const job: Job = { request: { id: 'j', ...REQUEST }, out: path.join(folder, 'out.jsonl') };
  const display = { show: () => {}, note: () => {}, [Symbol.dispose]: () => {} };
  try {
    await using link = await NodeLink.open({ url }, [], () => {});
    return await runJob(link, job, display, new AbortController().signal);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const ended: ScenarioView = { ...scenarioView('j', REQUEST), state: 'inactive', outcome: 'completed' };

test('J2: an export that breaks off leaves no file, and is asked for again', async () => {
  const seen: string[][] = [];
  const result = await jobOn(ended, (_, response) => {
    seen.push(readdirSync(folder).filter(name => name === 'out.jsonl'));
    if (seen.length > 1) return response.end(LINES.join(''));
    response.write(LINES[0], () => response.destroy());
  });
  assert.equal(seen, [[], []]);
  assert.equal(readdirSync(folder).sort(), ['out.jsonl', 'out.jsonl.manifest.json']);
  assert.equal(JSON.parse(readFileSync(path.join(folder, 'out.jsonl.manifest.json'), 'utf8')), MANIFEST); // J4
  assert.is(readFileSync(path.join(folder, 'out.jsonl'), 'utf8'), LINES.join(''));
  assert.is(result.frames, 3);
});

test('the summary counts frames and, class by class, detections', async () => {
  const result = await jobOn(ended, (_, response) => response.end(LINES.join('')));
  const [first, ...rest] = summary({ ...result, elapsedMs: 1500 }).split('\n');
  assert.is(first, 'j: 3 frames in 1.5 s (2 frames/s)');
  assert.equal(rest, [
    '  circle  2 detections',
    '  square  1 detections',
    `results: ${path.join(folder, 'out.jsonl')}`,
  ]);
});

test('a failed scenario fails the job with its error and its frame', async () => {
  const error = { code: 'decode_failed', message: 'the packet is torn', frame: 7 };
  try {
    await jobOn({ ...ended, outcome: 'failed', error }, () => assert.unreachable('no export is asked for'));
  } catch (failure) {
    assert.match(String(failure), 'j failed: the packet is torn (at frame 7)');
    return;
  }
  assert.unreachable();
});

test.run();
