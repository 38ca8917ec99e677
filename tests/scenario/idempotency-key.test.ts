/** The idempotency key's invariants K1–K3, and the contract they keep on a whole node. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { idempotencyKey } from '../../src/actors/idempotency/idempotency-key.ts';
import { startTestNode } from '../support/node.ts';
import { Actor } from './play.ts';

const test = suite('idempotency key');
const claim = (scenario: string, request: unknown) => ({ scenario, request });

test('K1, K2: the first claim wins; the same again is let through, another request is refused and changes nothing', () => {
  const key = new Actor(idempotencyKey, 'k');
  key.deliver('sys', 'claim', claim('a', { model: 'm', source: { uri: 'v' } }));
  const first = key.state;
  key.deliver('sys', 'claim', claim('a', { source: { uri: 'v' }, model: 'm' }));
  key.deliver('sys', 'claim', claim('b', { model: 'm', source: { uri: 'v' } }));
  key.deliver('sys', 'claim', claim('a', { model: 'other', source: { uri: 'v' } }));
  assert.equal(key.state, first);
  assert.is(key.facts.length, 2, 'both others are refused in public');
});

test('K3: after a day nothing is left of a key', () => {
  const key = new Actor(idempotencyKey, 'k');
  key.deliver('sys', 'claim', claim('a', {}));
  key.fire('expire');
  assert.is(key.state, null);
});

test('one key with two explicit ids makes one scenario: the second request is another one', async () => {
  await using node = await startTestNode();
  const body = { source: { uri: 'test_videos/test_video.mp4' }, model: 'shapes', start: false };
  const post = (request: object) => node.call('POST', '/api/v1/scenarios', request, { 'idempotency-key': 'once' });
  assert.is((await post({ id: 'named', ...body })).status, 201);
  assert.is((await post({ id: 'named', ...body })).status, 201);
  const other = await post({ id: 'named2', ...body });
  assert.equal([other.status, other.body['code']], [409, 'idempotency_conflict']);
  assert.is((await node.call('GET', '/api/v1/scenarios/named2')).status, 404);
});

test.run();
