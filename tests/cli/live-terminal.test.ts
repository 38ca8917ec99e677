/* oxlint-disable no-control-regex -- escape codes are what is looked at */
/** T2, T3: what a live view does to a real terminal, and what it leaves behind. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { scenarioView } from '../api/fake-cluster.ts';
import { REQUEST, serveApi } from '../api/served-api.ts';
import { hasPseudoTerminals, inTerminal, type Picture } from '../support/pseudo-terminal.ts';
import { type ScriptedNode, scriptedNode } from '../support/scripted-node.ts';
import { Workplace } from '../support/troupe-command.ts';
import { waitUntil } from '../support/wait-until.ts';

const suiteOf = suite('live terminal');
const place = new Workplace();
suiteOf.after(() => place[Symbol.dispose]());
// Counted as skipped where there is no pseudo-terminal to be had.
const test = hasPseudoTerminals() ? suiteOf : suiteOf.skip;

const COLUMNS = 46;
const CTRL_C = '\u0003';
const at = (columns = COLUMNS, env: Readonly<Record<string, string>> = {}) => ({
  columns,
  cwd: place.folder,
  env: { HOME: place.folder, TROUPE_DATA: place.data, ...env },
});

const view = { ...scenarioView('cam1', REQUEST), state: 'active' as const };
const progress = { framesDone: 3, framesTotal: 10, fps: 25, etaMs: 7000, lastFrame: 2 };
const event = (name: string, id: string, data: object): string =>
  `id: ${id}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
const state = (id: string, to: string, outcome: string | null): string =>
  event('state', id, {
    at: '2026-01-01T00:00:00.000Z',
    to,
    reason: to === 'active' ? 'a reason that is far longer than this narrow terminal is wide' : null,
    run: 1,
    outcome,
    scenario: { ...view, state: to, outcome, progress },
  });
const found = { class: 'a class with a name that is rather long', classId: 0, score: 0.5, box: [1, 2, 3, 4] };
const frame = event('prediction', 'p0', { run: 1, frame: 0, ptsMs: 0, detections: [found, found] });

/** It follows, and ends when it is told to. */
async function telling(): Promise<ScriptedNode & { end(): void }> {
  let end = (): void => {};
  const node = await scriptedNode(response => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(state('s1', 'active', null) + frame);
    end = () => void response.write(state('s2', 'inactive', 'completed'));
  });
  return Object.assign(node, { end: () => end() });
}

function assertLeftAsFound({ raw, cursorShown, wraps }: Picture): void {
  assert.ok(cursorShown, 'the cursor is shown');
  assert.ok(wraps, 'lines wrap');
  assert.ok(raw.endsWith('\n'), 'the prompt gets a line of its own');
}

/** Every drawn line that began where wrapping is off, or all of them. */
const widest = (raw: string): number =>
  Math.max(
    ...raw.split('\u001b[?7h').flatMap(part => {
      const unwrapped = part.split('\u001b[?7l')[1] ?? '';
      return unwrapped
        .split(/\r?\n|\r|\u001b\[\d*G|\u001b\[\d+D/)
        .map(line => line.replaceAll(/\u001b\[[?\d;]*[A-Za-z]/g, '').length);
    }),
  );

test('T3: watch draws a bar no wider than the terminal, shows the last state, and restores the cursor at its end', async () => {
  await using node = await telling();
  const shown = inTerminal(['watch', 'cam1', '--url', node.url], at());
  await waitUntil('the bar is drawn', () => /█.* 3\/10 frames/.test(shown.text()));
  assert.match(shown.raw(), '\u001b[?25l', 'the cursor is hidden meanwhile');
  node.end();
  const picture = await shown.ended;
  assert.is(picture.code, 0, picture.raw);
  assertLeftAsFound(picture);
  assert.ok(widest(picture.raw) <= COLUMNS, JSON.stringify(picture.raw));
  assert.match(picture.rows.join('\n'), /^2026-01-01T00:00:00\.000Z inactive completed$/m);
  assert.match(picture.rows.join(''), /a reason that is far longer than this narrow terminal is wide/);
});

test('T3: Ctrl-C in watch ends with 130 and restores the cursor; NO_COLOR leaves no colour', async () => {
  await using node = await telling();
  const shown = inTerminal(['watch', 'cam1', '--url', node.url], at(COLUMNS, { NO_COLOR: '1' }));
  await waitUntil('the bar is drawn', () => /█.* 3\/10 frames/.test(shown.text()));
  shown.type(CTRL_C);
  const picture = await shown.ended;
  assert.is(picture.code, 130, picture.raw);
  assertLeftAsFound(picture);
  assert.match(picture.rows.join(''), /troupe: interrupted\. cam1 goes on\./);
  assert.not.match(picture.raw, /\u001b\[[\d;]*m/);
});

test('T2, T3: ls --watch draws over what it drew, within the terminal, in bold only where colour is wanted', async () => {
  await using api = await serveApi();
  api.have('cam1');
  api.cluster.put({ ...scenarioView('wide', REQUEST), spec: { ...view.spec, source: { uri: '映像'.repeat(20) } } });
  const look = async (env: Readonly<Record<string, string>>): Promise<Picture> => {
    const shown = inTerminal(['ls', '--watch', '--url', api.url], at(COLUMNS, env));
    await waitUntil('both are there', () => shown.text().includes('wide'));
    const drawn = shown.raw().length;
    await waitUntil('it is drawn again', () => shown.raw().slice(drawn).includes('wide'));
    shown.type(CTRL_C);
    return shown.ended;
  };
  const [coloured, plain] = await Promise.all([look({}), look({ NO_COLOR: '1' })]);
  for (const picture of [coloured, plain]) {
    assert.is(picture.code, 130, picture.raw);
    assertLeftAsFound(picture);
    assert.ok(widest(picture.raw) <= COLUMNS, JSON.stringify(picture.raw));
    assert.is(picture.rows.filter(row => row.startsWith('cam1')).length, 1, picture.rows.join('\n'));
    assert.is(picture.rows.filter(row => row.startsWith('ID')).length, 1, picture.rows.join('\n'));
  }
  assert.match(coloured.raw, '\u001b[1m');
  assert.not.match(plain.raw, /\u001b\[[\d;]*m/);
});

/** A job that is at work until it is stopped. */
async function working(): Promise<ScriptedNode> {
  let stopped = false;
  return scriptedNode((response, request) => {
    if (request.url === '/healthz') return response.end('{"status":"ok"}');
    if (request.url?.endsWith('/stop') === true) stopped = true;
    const ended = { ...view, progress, state: 'inactive', outcome: 'stopped' };
    return response.end(JSON.stringify(stopped ? ended : { ...view, progress }));
  });
}

test('T3: the bar of run fits, and Ctrl-C leaves the cursor and the command that goes on', async () => {
  await using node = await working();
  const shown = inTerminal(['run', 'a.mp4', '--id', 'cam1', '--url', node.url], at());
  await waitUntil('the bar is drawn', () => /█.* 3\/10 frames/.test(shown.text()));
  shown.type(CTRL_C);
  const picture = await shown.ended;
  assert.is(picture.code, 130, picture.raw);
  assertLeftAsFound(picture);
  assert.ok(widest(picture.raw) <= COLUMNS, JSON.stringify(picture.raw));
  assert.match(picture.rows.join(''), `cam1 is stopped; go on with: troupe run a.mp4 --id cam1 --url ${node.url}`);
  assert.ok(node.asked.some(line => line === 'POST /api/v1/scenarios/cam1/stop'));
});

suiteOf.run();
