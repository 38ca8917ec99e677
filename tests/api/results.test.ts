import { createHash } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Manifest, Manifest as ManifestSchema } from '../../src/api/schemas.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { problemsOf } from '../../src/domain/parse.ts';
import { atThreshold, Prediction, predictionLine } from '../../src/domain/prediction.ts';
import { ENGINE, IDENTITY, LogWriter, prediction } from '../projection/log-entries.ts';
import { scenarioView } from './fake-cluster.ts';
import { problemOf, REQUEST, type ServedApi, serveApi } from './served-api.ts';

const test = suite('result routes');

interface Page {
  complete: boolean;
  items: Prediction[];
  nextCursor?: string;
}
const CAM = '/api/v1/scenarios/cam';
const FRAMES = 1200;
const expected = Array.from({ length: FRAMES }, (_, i) => atThreshold(prediction(i), 0.25));
const jsonl = (predictions: readonly Prediction[]) => predictions.map(p => `${predictionLine(p)}\n`).join('');

/** `cam` with a finished run 1 of 1200 frames and a run 2 that goes on. */
async function served(): Promise<ServedApi> {
  const api = await serveApi();
  const { entries } = new LogWriter().run('cam', 1, FRAMES).run('cam', 2, 64, null);
  api.projection.apply(IDENTITY, entries);
  const end = entries.find(e => e.record.kind === 'end');
  api.cluster.ends.set('cam/1', end?.seq ?? 0);
  api.cluster.put({ ...scenarioView('cam', REQUEST), run: 2, runs: [1, 2], complete: true });
  return api;
}

async function read(api: ServedApi, query: string): Promise<Page> {
  const response = await api.fetch(`${CAM}/predictions?${query}`);
  const text = await response.text();
  assert.is(response.status, 200, text);
  const page = JSON.parse(text) as Page;
  for (const item of page.items) assert.equal(problemsOf(Prediction, item), []);
  return page;
}

async function readAll(api: ServedApi, query: string): Promise<Prediction[]> {
  const items: Prediction[] = [];
  for (let cursor: string | undefined = ''; cursor !== undefined; ) {
    const page: Page = await read(api, query + (cursor === '' ? '' : `&cursor=${cursor}`));
    items.push(...page.items);
    cursor = page.nextCursor;
  }
  return items;
}

test('predictions are answered as the log has them, page by page, in frame order', async () => {
  await using api = await served();
  const first = await read(api, 'run=1');
  assert.is(first.complete, true);
  assert.equal(first.items, expected.slice(0, 100));
  for (const limit of [7, 400, 1000]) assert.equal(await readAll(api, `run=1&limit=${limit}`), expected);
  assert.equal(await readAll(api, 'run=1&fromFrame=10&toFrame=30&limit=5'), expected.slice(10, 31));
  const raw = await (await api.fetch(`${CAM}/predictions?run=1&limit=20`)).text();
  assert.ok(raw.includes(expected.slice(0, 20).map(predictionLine).join(',')), 'in the very bytes of an export');
});

test('a filter omits the frames it leaves empty, over all pages', async () => {
  await using api = await served();
  const wanted = expected.flatMap(p => {
    if (!('detections' in p)) return [];
    const detections = p.detections.filter(d => d.class === 'car' && d.score >= 0.8);
    return detections.length === 0 ? [] : [{ ...p, detections }];
  });
  assert.ok(wanted.length > 20);
  for (const limit of [3, 1000])
    assert.equal(await readAll(api, `run=1&class=car&minScore=0.8&limit=${limit}`), wanted);
  assert.equal(await readAll(api, 'run=1&class=lorry'), []);
});

test('a filter looks through a run of many windows and finds each frame once', async () => {
  await using api = await serveApi();
  const frames = 2 * LIMITS.scanFrames + 100;
  api.projection.apply(IDENTITY, new LogWriter().run('cam', 1, frames, null, 1000).entries);
  api.cluster.put(scenarioView('cam', REQUEST));
  const wanted = Array.from({ length: frames }, (_, i) => prediction(i))
    .filter(p => 'detections' in p && p.detections.some(d => d.score >= 0.99))
    .map(p => p.frame);
  assert.ok(wanted.length > 100 && (wanted.at(-1) ?? 0) > 2 * LIMITS.scanFrames);
  for (const limit of [50, 1000]) {
    const found = await readAll(api, `minScore=0.99&limit=${limit}`);
    assert.equal(
      found.map(p => p.frame),
      wanted,
    );
  }
});

test('before its end a run answers its prefix with complete:false; a cursor stays with its run', async () => {
  await using api = await served();
  const page = await read(api, 'limit=40');
  assert.is(page.complete, false);
  assert.equal(page.items, expected.slice(0, 40));
  const before = await read(api, 'run=1&limit=40');
  assert.is((await read(api, `cursor=${before.nextCursor}`)).complete, true);
  const mixed = await api.fetch(`${CAM}/predictions?run=2&cursor=${before.nextCursor}`);
  await problemOf(mixed, 400, 'invalid_request');
});

test('X3: a CSV export has a row a detection, with class names quoted as RFC 4180 has it and otherwise as they are', async () => {
  await using api = await served();
  const response = await api.fetch(`${CAM}/export?run=1&format=csv`);
  assert.is(response.headers.get('content-type'), 'text/csv; charset=utf-8');
  assert.is(response.headers.get('troupe-complete'), 'true');
  assert.match(String(response.headers.get('content-disposition')), /filename="cam\.1\.predictions\.csv"$/);
  const [header, ...rows] = (await response.text()).split('\n');
  assert.is(header, 'frame,pts_ms,class,class_id,score,x,y,w,h');
  assert.is(rows.pop(), '', 'the last line has its end');
  const wanted = expected.flatMap(p =>
    ('detections' in p ? p.detections : []).map(d => {
      const name = d.class === 'a "quoted", class' ? '"a ""quoted"", class"' : d.class;
      return `${p.frame},${p.ptsMs},${name},${d.classId},${d.score},${d.box.join()}`;
    }),
  );
  assert.ok(wanted.length > 1000 && wanted.some(row => row.includes('""quoted""')));
  assert.equal(rows, wanted);
});

test('X3: line breaks in a class name are quoted, a formula is not altered, and a frame without a time has none', async () => {
  await using api = await serveApi();
  const writer = new LogWriter().run('cam', 1, 0, null);
  const names = ['=1+1', 'two\nlines', 'plain'];
  const detections = names.map((name, classId) => ({ class: name, classId, score: 0.5, box: [0, 1.25, 2, 3] }));
  const position = { to: 0, prevPts: null, lastPts: null, startPts: null, frames: 1 };
  const head = { v: 1, attempt: 1, at: '2026-01-01T00:00:00Z', nonce: 'n', n: 1 } as const;
  const predictions = [{ frame: 0, ptsMs: null, detections }];
  writer.append('cam', 1, { ...head, kind: 'frames', from: 0, position, predictions });
  api.projection.apply(IDENTITY, writer.entries);
  api.have('cam');
  const text = await (await api.fetch(`${CAM}/export?format=csv`)).text();
  assert.equal(text.split('\n').slice(1), [
    '0,,=1+1,0,0.5,0,1.25,2,3',
    '0,,"two',
    'lines",1,0.5,0,1.25,2,3',
    '0,,plain,2,0.5,0,1.25,2,3',
    '',
  ]);
});

test('the export of an ended run is every line, and its manifest has the digest of just these bytes', async () => {
  await using api = await served();
  const response = await api.fetch(`${CAM}/export?run=1`);
  assert.is(response.headers.get('content-type'), 'application/x-ndjson');
  assert.is(response.headers.get('troupe-complete'), 'true');
  const text = await response.text();
  assert.ok(text === jsonl(expected), 'byte for byte');

  const manifestUrl = String(response.headers.get('troupe-manifest'));
  const manifest = (await (await api.fetch(manifestUrl)).json()) as Manifest;
  assert.equal(problemsOf(ManifestSchema, manifest), []);
  const scenario = api.cluster.scenarios.get('cam');
  assert.equal(manifest, {
    scenario: 'cam',
    run: 1,
    complete: true,
    spec: scenario?.spec,
    source: scenario?.source,
    model: scenario?.model,
    engine: ENGINE,
    frames: FRAMES,
    segments: [{ segment: 0, frames: FRAMES, lastFrame: FRAMES - 1, engine: ENGINE, warnings: ['late'] }],
    sha256: createHash('sha256').update(text).digest('hex'),
    troupe: '0.1.0',
  });
  assert.equal(await (await api.fetch(manifestUrl)).json(), manifest, 'and again from the cache');
});

test('a running run exports its prefix with Troupe-Complete: false', async () => {
  await using api = await served();
  const response = await api.fetch(`${CAM}/export`);
  assert.is(response.headers.get('troupe-complete'), 'false');
  const text = await response.text();
  assert.ok(text === jsonl(expected.slice(0, 64)));
  const manifest = (await (await api.fetch(`${CAM}/manifest`)).json()) as Manifest;
  assert.is(manifest.complete, false);
  assert.is(manifest.sha256, createHash('sha256').update(text).digest('hex'));
});

test('a scenario that never ran has empty results', async () => {
  await using api = await serveApi();
  api.have('cam');
  api.cluster.ends.set('cam/1', 0);
  assert.equal(await read(api, ''), { complete: false, items: [] });
  assert.equal(await read(api, 'class=car'), { complete: false, items: [] });
  assert.is(await (await api.fetch(`${CAM}/export`)).text(), '');
  const manifest = (await (await api.fetch(`${CAM}/manifest`)).json()) as Manifest;
  assert.is(manifest.sha256, createHash('sha256').digest('hex'));
  assert.is(manifest.frames, 0);
});

test('C1: results of an ended run wait for the projection, and are not_ready when it does not come', async () => {
  await using api = await serveApi();
  const { entries } = new LogWriter().run('cam', 1, FRAMES);
  api.cluster.put({ ...scenarioView('cam', REQUEST), complete: true });
  api.cluster.ends.set('cam/1', entries.length);
  api.projection.apply(IDENTITY, entries.slice(0, 10));
  const caughtUpWith = api.projection.caughtUpWith.bind(api.projection);
  const waits: number[] = [];
  api.projection.caughtUpWith = (seq, timeoutMs) => {
    waits.push(timeoutMs);
    return caughtUpWith(seq, 0);
  };
  for (const rest of ['predictions', 'export', 'manifest']) {
    await problemOf(await api.fetch(`${CAM}/${rest}`), 503, 'not_ready');
  }
  assert.equal(waits, [5000, 5000, 5000]);

  api.projection.caughtUpWith = (seq, timeoutMs) => {
    setImmediate(() => api.projection.apply(IDENTITY, entries));
    return caughtUpWith(seq, timeoutMs);
  };
  assert.ok((await (await api.fetch(`${CAM}/export`)).text()) === jsonl(expected));
});

for (const format of ['jsonl', 'csv']) {
  test(`X1: a ${format} export whose run is deleted meanwhile breaks off instead of looking whole`, async () => {
    await using api = await served();
    const pages = api.projection.pages.bind(api.projection);
    api.projection.pages = function* (scenario, run, threshold) {
      for (const page of pages(scenario, run, threshold)) {
        yield page;
        api.projection.forget('cam', 2, 0);
      }
    };
    const outcome = await api
      .fetch(`${CAM}/export?run=1&format=${format}`)
      .then(r => r.text())
      .then(
        () => 'whole',
        () => 'broken off',
      );
    assert.is(outcome, 'broken off');
  });
}

test('X1: a stopped run that goes on has another digest', async () => {
  await using api = await serveApi();
  const log = new LogWriter().run('cam', 1, 64, 'closed');
  api.cluster.put(scenarioView('cam', REQUEST));
  api.projection.apply(IDENTITY, log.entries);
  api.cluster.ends.set('cam/1', 4);
  const before = (await (await api.fetch(`${CAM}/manifest`)).json()) as Manifest;
  assert.is(before.frames, 64);
  const position = { to: 95, prevPts: null, lastPts: 0, startPts: 0, frames: 96 };
  const predictions = Array.from({ length: 32 }, (_, i) => prediction(64 + i));
  const record = {
    v: 1,
    attempt: 3,
    at: '',
    nonce: 'm',
    n: 1,
    kind: 'frames',
    from: 64,
    position,
    predictions,
  } as const;
  log.append('cam', 1, record);
  api.projection.apply(IDENTITY, log.entries);
  api.cluster.ends.set('cam/1', 5);
  const after = (await (await api.fetch(`${CAM}/manifest`)).json()) as Manifest;
  assert.is(after.frames, 96);
  assert.is.not(after.sha256, before.sha256);
});

test('an export is read no faster than its client takes it', async () => {
  await using api = await serveApi();
  const page = Array.from({ length: 500 }, (_, i) => ({
    frame: i,
    ptsMs: 0,
    error: { code: 'x', message: 'y'.repeat(2000) },
  }));
  api.cluster.put(scenarioView('cam', REQUEST));
  let given = 0;
  api.projection.pages = function* () {
    for (; given < 100; given++) yield page;
  };
  const client = new AbortController();
  const response = await api.fetch(`${CAM}/export`, { signal: client.signal });
  const reader = response.body?.getReader();
  await reader?.read();
  // The unread rest fills the sockets and then stops the reading; nothing more comes however often the loop turns.
  let before = -1;
  for (let still = 0; still < 200; still = given === before ? still + 1 : 0) {
    before = given;
    await new Promise(resolve => setTimeout(resolve, 1));
  }
  assert.ok(given < 60, `${given} MB of 100 were read ahead`);
  client.abort();
});

test.run();
