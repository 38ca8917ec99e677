/** M1: what each verb ends with, on a node that knows a scenario, on none, called wrongly, and interrupted. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { VERBS } from '../../src/cli/commands.ts';
import { toSpec } from '../../src/domain/scenario-spec.ts';
import { scenarioView } from '../api/fake-cluster.ts';
import { REQUEST, type ServedApi, serveApi } from '../api/served-api.ts';
import { inProcess } from '../support/in-process.ts';
import { scriptedNode } from '../support/scripted-node.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('exit codes');
const folder = mkdtempSync(path.join(tmpdir(), 'troupe-exit-'));
const results = path.join(folder, 'cam1.jsonl');
let api: ServedApi;
test.before(async () => {
  api = await serveApi();
  const sha256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'; // of nothing
  const manifest = { scenario: 'cam1', run: 1, complete: true, spec: toSpec(REQUEST), frames: 0, sha256 };
  writeFileSync(results, '');
  writeFileSync(`${results}.manifest.json`, JSON.stringify(manifest));
});
test.before.each(() => {
  const ended = { ...scenarioView('cam1', REQUEST), state: 'inactive', outcome: 'completed', complete: true } as const;
  api.cluster.put(ended);
  api.cluster.ends.set('cam1/1', 0);
  const change = {
    at: ended.createdAt,
    from: null,
    to: 'inactive',
    reason: null,
    run: 1,
    outcome: 'completed',
  } as const;
  api.cluster.told = [
    { kind: 'state', position: { life: 0, transition: 1, run: 1, frame: 0 }, change },
    { kind: 'progress', run: 1, progress: ended.progress },
  ];
});
test.after(async () => {
  await api[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

interface Row {
  /** Whether it reaches a node, and so wants its --url. */
  readonly node: boolean;
  /** null: a test of its own has it. */
  readonly done: readonly string[] | null;
  readonly fails: readonly string[] | null;
  readonly wrong: readonly string[];
  /** Of one that may wait: what it is interrupted in. */
  readonly waits: readonly string[] | null;
}

const reading = (...args: readonly string[]): Row => ({
  node: true,
  done: args,
  fails: null,
  wrong: ['--colour'],
  waits: args,
});
const ofOne = (...more: readonly string[]): Row => ({
  node: true,
  done: ['cam1', ...more],
  fails: ['nobody', ...more],
  wrong: [],
  waits: ['cam1', ...more],
});

const ROWS: Readonly<Record<string, Row>> = {
  // its 0 is in tests/e2e/cli.test.ts
  run: { node: true, done: null, fails: ['a.mp4'], wrong: ['a.mp4', '--every', '0'], waits: null },
  up: { node: false, done: null, fails: ['--port', '0', '--data', '/dev/null/x'], wrong: ['--port', 'x'], waits: null },
  ls: reading(),
  show: ofOne(),
  start: ofOne(),
  stop: ofOne(),
  rm: ofOne(),
  watch: ofOne(),
  explain: ofOne(),
  rejected: reading(),
  export: ofOne(),
  verify: {
    node: false,
    done: [results],
    fails: [results, '--manifest', path.join(folder, 'other.json')],
    wrong: [path.join(folder, 'no.jsonl')],
    waits: [results, '--id', 'cam1'],
  },
  nodes: reading(),
  tree: reading(),
  models: reading(),
  drain: { ...ofOne(), done: ['node1', '--no-wait'], waits: ['node1'] },
  doctor: { node: false, done: null, fails: null, wrong: ['--port', 'x'], waits: null },
  completion: { node: false, done: ['bash'], fails: null, wrong: ['tcsh'], waits: null },
  complete: { node: false, done: ['--', 'l'], fails: null, wrong: ['--colour'], waits: null },
};

test('every verb has its row', () => {
  assert.equal(
    Object.keys(ROWS),
    VERBS.map(({ usage }) => usage.split(' ')[0]),
  );
});

const NOBODY = 'http://127.0.0.1:1';
for (const [verb, { node, done, fails, wrong, waits }] of Object.entries(ROWS)) {
  test(`M1: ${verb} ends with 0 when it is done, 1 when it failed, 2 when it was called wrongly`, async () => {
    const at = (url: string): string[] => (node ? ['--url', url] : []);
    if (done !== null) {
      const { code, stderr } = await inProcess([verb, ...at(api.url), ...done]);
      assert.equal([code, stderr], [0, '']);
    }
    if (verb === 'verify') writeFileSync(path.join(folder, 'other.json'), otherManifest());
    if (fails !== null) {
      const { code, stdout, stderr } = await inProcess([verb, ...at(verb === 'run' ? NOBODY : api.url), ...fails]);
      assert.equal([code, stdout], [1, ''], stderr);
      assert.match(stderr, /^troupe: \S.*\n$/);
    }
    // watch waits for its node: it may be being restarted
    if (node && verb !== 'watch') assert.is((await inProcess([verb, ...at(NOBODY), ...(done ?? fails ?? [])])).code, 1);
    const { code, stdout, stderr } = await inProcess([verb, ...wrong]);
    assert.equal([code, stdout], [2, ''], stderr);
    assert.match(stderr, /^troupe: \S/);
  });

  if (waits === null) continue;
  test(`M1: ${verb} that is interrupted while it waits ends with 130 and says how to go on`, async () => {
    await using silent = await scriptedNode(() => {});
    const interrupted = new AbortController();
    const ended = inProcess([verb, ...waits, '--url', silent.url], interrupted.signal);
    await waitUntil('the node is asked', () => silent.asked.length > 0);
    interrupted.abort(130);
    const { code, stdout, stderr } = await ended;
    assert.equal([code, stdout], [130, '']);
    assert.match(stderr, /^troupe: interrupted\. .*troupe \w+.*\n$/);
    assert.ok(stderr.includes(`--url ${silent.url}`), stderr);
  });
}

const otherManifest = (): string => {
  const manifest = { scenario: 'cam1', run: 1, complete: true, spec: toSpec(REQUEST), frames: 3 };
  return JSON.stringify({ ...manifest, sha256: '0'.repeat(64) });
};

test('V1: the way to go on names the scenario and the node, wherever the options stand, and no token', async () => {
  await using silent = await scriptedNode(() => {});
  const interrupted = new AbortController();
  const ended = inProcess(
    ['watch', '--from', 'now', '--token', 'secret', '--url', silent.url, 'cam1'],
    interrupted.signal,
  );
  await waitUntil('the node is asked', () => silent.asked.length > 0);
  interrupted.abort(130);
  const { stderr } = await ended;
  const at = ` --url ${silent.url}`;
  const how = `Follow it again: troupe watch cam1${at}. Stop it: troupe stop cam1${at}`;
  assert.is(stderr, `troupe: interrupted. cam1 goes on. ${how}\n`);
});

test.run();
