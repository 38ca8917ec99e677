/** From what a scenario supervisor commits to what its timeline says; and the table of its facts. */
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Timeline } from '../../src/api/schemas.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { problemsOf } from '../../src/domain/parse.ts';
import { RUNNER_FACTS, SCENARIO_FACTS, TimelineItem } from '../../src/domain/scenario-facts.ts';
import { root } from '../../src/infra/process/assets.ts';
import { crash, Play } from '../scenario/play.ts';
import { problemOf, type ServedApi, serveApi } from './served-api.ts';

const test = suite('timeline');
let api: ServedApi;
test.before(async () => {
  api = await serveApi();
});
test.after(async () => {
  await api[Symbol.asyncDispose]();
});

const read = async (id: string, query = ''): Promise<Timeline> => {
  const answer = await api.fetch(`/api/v1/scenarios/${id}/timeline${query}`);
  const text = await answer.text();
  assert.is(answer.status, 200, text);
  const timeline = JSON.parse(text) as Timeline;
  for (const item of timeline.items) assert.equal(problemsOf(TimelineItem, item), []);
  return timeline;
};
/** As the outbox sends them. */
const publish = async ({ facts }: Play): Promise<void> => {
  for (const { subject, body } of facts) await api.journal.append(subject, Buffer.from(JSON.stringify(body)));
};

test('a life is told from start to end: placement, death, fence, where it went on, restart, stop', async () => {
  const play = new Play('life');
  play.create();
  play.placing();
  play.unplaced({ node: 'n1', code: 'unavailable', message: 'all 4 slots are in use' });
  play.placed('n2');
  play.deliver('sys', 'progressed', { ...play.ref, seq: 2, frame: 0 });
  const first = play.ref;
  play.lost('silent');
  play.placed('n1');
  play.deliver('sys', 'progressed', { ...play.ref, seq: 7, frame: 301 });
  play.exited('fenced', { seq: 2 }, first);
  play.exited({ error: { code: 'inference_failed', message: 'boom', frame: 320 } }, { seq: 9 });
  play.placed('n1');
  play.exited(crash('again'), {});
  play.again();
  play.command('stop');
  play.settle();
  play.fire('overdue-0');
  play.settle();
  await publish(play);
  const { items, omitted } = await read('life');
  assert.is(omitted, 0);
  assert.equal(
    items.map(({ text }) => text.replace(/\d+ ms: attempt/, 'N ms: attempt')),
    [
      'accepted → init_startup: start requested',
      'init_startup → in_startup_processing: an orchestrator looks for a node',
      'no node takes attempt 1: n1: all 4 slots are in use',
      'attempt 1 was placed on node n2, pid 7',
      'attempt 1 committed its first results',
      'in_startup_processing → active: first results committed',
      'attempt 1 on node n2 counts as dead: its heartbeat stayed away (5000 ms)',
      'attempt 2 follows at once',
      'attempt 2 was placed on node n1, pid 7',
      'attempt 2 went on at frame 301 and committed its first results',
      'attempt 1, replaced before, was fenced: the log has a newer one',
      'the runner of attempt 2 on node n1 at frame 320 ended: inference_failed: boom',
      'attempt 3 follows at once',
      'attempt 3 was placed on node n1, pid 7',
      'the runner of attempt 3 on node n1 ended: inference_failed: again',
      'attempt 4 follows after N ms: attempt 3 committed no new frame',
      'attempt 4 was placed on node n1, pid 7',
      'active → init_shutdown: stop requested',
      'init_shutdown → in_shutdown_processing: the runner was told',
      'the runner of attempt 4 did not end when told to: its log is closed over it',
      'the log of segment 0 was closed',
      'in_shutdown_processing → inactive: stopped',
    ],
  );
  const { at: _, ...failure } = items[11] ?? {};
  assert.equal(failure, {
    type: 'exited',
    text: 'the runner of attempt 2 on node n1 at frame 320 ended: inference_failed: boom',
    run: 1,
    segment: 0,
    attempt: 2,
    node: 'n1',
    frame: 320,
    code: 'inference_failed',
  });
});

test("a runner's failure is published for those who want nothing else, with attempt, frame and code", () => {
  const play = new Play('cam').toActive();
  play.exited({ error: { code: 'decode_failed', message: 'damaged', frame: 12 } }, { seq: 5 });
  const failures = play.facts.filter(({ subject }) => subject === 'troupe.event.runner.cam.1.0.failed');
  assert.is(failures.length, 1);
  assert.equal(problemsOf(RUNNER_FACTS.failed, failures[0]?.body), []);
  const { attempt, frame, code, message } = failures[0]?.body ?? {};
  assert.equal([attempt, frame, code, message], [1, 12, 'decode_failed', 'damaged']);
});

test('a failure and a deletion are told, and after it the timeline is still there', async () => {
  const play = new Play('gone').toActive();
  play.exited(crash('it is another file', 'source_changed'), { seq: 5 });
  play.settle();
  play.command('delete');
  play.settle();
  await publish(play);
  const texts = (await read('gone')).items.map(({ text }) => text);
  assert.equal(texts.slice(-5), [
    'given up: it is another file',
    'active → in_shutdown_processing: it is another file',
    'the log of segment 0 was closed',
    'in_shutdown_processing → inactive: failed',
    'deleted with its results',
  ]);
});

test('one run of several can be asked for', async () => {
  const play = new Play('runs').toActive().toStopped();
  play.command('start', { from: 'start' });
  await publish(play);
  const all = (await read('runs')).items;
  const [first, second] = [(await read('runs', '?run=1')).items, (await read('runs', '?run=2')).items];
  assert.equal([...first, ...second], all);
  assert.ok(first.length > 5 && second.length > 0);
});

test('of very many facts the newest are answered, and how many came before', async () => {
  const more = 5;
  for (let i = 0; i < LIMITS.timelineItems + more; i++) {
    const fact = { v: 1, id: `scenario.many.${i}.0`, at: '2030-01-01T00:00:00.000Z', run: 1, segment: 0, attempt: i };
    await api.journal.append('troupe.event.scenario.many.fenced', Buffer.from(JSON.stringify(fact)));
  }
  const { items, omitted } = await read('many');
  assert.equal([items.length, omitted, items[0]?.attempt], [LIMITS.timelineItems, more, more]);
});

test('what is no fact of a scenario is left out, and one that was stored twice is told once', async () => {
  const play = new Play('odd');
  play.create();
  await publish(play);
  await publish(play);
  for (const bytes of [Buffer.alloc(1_000_000, 0xff), Buffer.from('{"id":"x","at":"now"}'), Buffer.from('[]')])
    await api.journal.append('troupe.event.scenario.odd.state', bytes);
  const strange = { id: 'x', at: '2030-01-01T00:00:00.000Z', run: 1 };
  for (const type of ['unheard', 'constructor'])
    await api.journal.append(`troupe.event.scenario.odd.${type}`, Buffer.from(JSON.stringify(strange)));
  assert.is((await read('odd')).items.length, 1);
});

test('a scenario that never was is 404, and so is a run of it', async () => {
  await problemOf(await api.fetch('/api/v1/scenarios/nobody/timeline'), 404, 'scenario_not_found');
  api.have('quiet');
  assert.equal(await read('quiet'), { items: [], omitted: 0 });
  await problemOf(await api.fetch('/api/v1/scenarios/quiet/timeline?run=9'), 404, 'run_not_found');
});

test('docs/EVENTS.md has every fact that is published, with what it carries, and no other', () => {
  const shown = (type: string, fields: readonly string[]): string => `${type}: ${fields.toSorted().join()}`;
  const rows = readFileSync(path.join(root, 'docs/EVENTS.md'), 'utf8')
    .split('\n')
    .flatMap(line => {
      const [, type, fields] = /^\| `(\w+)` \| `([^|]+)` \|/.exec(line) ?? [];
      if (type === undefined || fields === undefined) return [];
      return [shown(type, fields.replace(/: \[.*?\]|\?/g, '').split(', '))];
    });
  const schemas = [
    ...Object.entries(SCENARIO_FACTS).map(([type, { schema }]): [string, object] => [type, schema.properties]),
    ...Object.entries(RUNNER_FACTS).map(([type, { properties }]): [string, object] => [type, properties]),
  ];
  assert.equal(
    rows,
    schemas.map(([type, properties]) => shown(type, Object.keys(properties))),
  );
  const published = globSync('src/actors/**/*.ts', { cwd: root }).flatMap(file =>
    [...readFileSync(path.join(root, file), 'utf8').matchAll(/publish\((?:context, )?'(\w+)'/g)].map(
      ([, type]) => type,
    ),
  );
  assert.ok(published.length >= 10);
  assert.equal(
    published.filter(type => !schemas.some(([known]) => known === type)),
    [],
  );
});

test.run();
