import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { RejectedPage } from '../../src/api/schemas.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { problemsOf } from '../../src/domain/parse.ts';
import { Rejection } from '../../src/domain/rejection.ts';
import { problemOf, type ServedApi, serveApi } from './served-api.ts';

const test = suite('refused commands');

const read = async (api: ServedApi, query = ''): Promise<RejectedPage> => {
  const answer = await api.fetch(`/api/v1/rejected${query}`);
  const text = await answer.text();
  assert.is(answer.status, 200, text);
  const page = JSON.parse(text) as RejectedPage;
  for (const item of page.items) assert.equal(problemsOf(Rejection, item), []);
  return page;
};
const refuse = (api: ServedApi, id: string, more: object = {}, subject = `troupe.rejected.scenario.${id}`) =>
  api.journal.append(subject, Buffer.from(JSON.stringify({ ...refusal(id), ...more })));
const refusal = (id: string) => ({
  v: 1,
  id: `scenario.${id}.1.0`,
  at: '2026-01-01T00:00:00.000Z',
  causationId: 'mailbox.7',
  verb: 'stop',
  body: { now: true },
  problem: { code: 'invalid_request', message: 'now is not a known field', errors: [{ path: 'now', message: 'is' }] },
});
const ids = (page: RejectedPage): string[] => page.items.map(item => item.id);

test('R1: refusals are listed newest first, page by page, and new ones disturb no page', async () => {
  await using api = await serveApi();
  assert.equal(await read(api), { items: [] });
  for (let i = 0; i < 10; i++) await refuse(api, `s${i}`);
  const first = await read(api, '?limit=4');
  assert.equal(ids(first), ['s9', 's8', 's7', 's6']);
  await refuse(api, 'newer');
  const second = await read(api, `?limit=4&cursor=${first.nextCursor}`);
  assert.equal(ids(second), ['s5', 's4', 's3', 's2']);
  const last = await read(api, `?limit=4&cursor=${second.nextCursor}`);
  assert.equal([ids(last), last.nextCursor], [['s1', 's0'], undefined]);
  assert.equal(ids(await read(api))[0], 'newer');
});

test('a refusal says what was refused, why, and which request it was', async () => {
  await using api = await serveApi();
  const before = Date.now();
  await refuse(api, 'cam', { requestId: 'abc' });
  const [item] = (await read(api)).items;
  assert.ok(item !== undefined && Date.parse(item.at) >= before - 1_000, 'the time that it was stored at');
  const { at: _, ...rest } = item;
  assert.equal(rest, {
    kind: 'scenario',
    id: 'cam',
    verb: 'stop',
    problem: { code: 'invalid_request', message: 'now is not a known field', errors: [{ path: 'now', message: 'is' }] },
    body: '{"now":true}',
    requestId: 'abc',
  });
});

test('R2: whatever strangers publish there is cut or left out', async () => {
  await using api = await serveApi();
  await refuse(api, 'long', { body: 'x'.repeat(1_000_000), verb: 'v'.repeat(9_000) });
  await refuse(api, 'deep', { body: [{ a: 'y'.repeat(100_000) }] });
  await refuse(api, 'odd', {}, 'troupe.rejected.what.ever.this.is');
  for (const bytes of [Buffer.alloc(1_000_000, 0xff), Buffer.from('null'), Buffer.from('{"verb":1}')])
    await api.journal.append('troupe.rejected.scenario.binary', bytes);
  const { items } = await read(api);
  assert.equal(
    items.map(item => [item.kind, item.id]),
    [
      ['what', 'ever.this.is'],
      ['scenario', 'deep'],
      ['scenario', 'long'],
    ],
  );
  for (const { body, verb } of items)
    assert.ok(body.length <= LIMITS.rejectedBodyChars + 1 && verb.length <= LIMITS.rejectedWordChars + 1);
});

test('a refusal that was stored twice is listed once', async () => {
  await using api = await serveApi();
  for (const id of ['a', 'a', 'b']) await refuse(api, id);
  await refuse(api, 'a', { causationId: 'mailbox.8' });
  assert.equal(ids(await read(api)), ['a', 'b', 'a'], 'and two that only have their number in common, twice');
});

test('another cursor or limit is refused', async () => {
  await using api = await serveApi();
  for (const query of ['?cursor=nonsense', '?cursor=WyJhIl0', '?limit=0', '?limit=1001', '?since=1'])
    await problemOf(await api.fetch(`/api/v1/rejected${query}`), 400, 'invalid_request');
});

test.run();
