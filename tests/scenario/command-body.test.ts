import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { commandBody, quoted } from '../../src/domain/command-body.ts';
import { LIMITS } from '../../src/domain/limits.ts';

const test = suite('the body of a command');
const of = (text: string) => commandBody(Buffer.from(text));
const nested = (depth: number): string => `${'{"a":['.repeat(depth / 2)}1${']}'.repeat(depth / 2)}`;

test('CB1: nothing, or space alone, is an empty object', () => {
  assert.equal([of(''), of(' \r\n')], [{ body: {} }, { body: {} }]);
});

test('CB2: JSON is its value, whatever stands in its strings, behind a byte order mark too', () => {
  const text = JSON.stringify({ a: ['}]"\\', '['.repeat(100)] });
  assert.equal(of(text), { body: JSON.parse(text) });
  assert.equal(of(`\ufeff${text}`), { body: JSON.parse(text) });
  assert.equal(of('null'), { body: null });
});

test('CB2: one level too many is refused, side by side there may be any number', () => {
  assert.is(of(nested(LIMITS.bodyDepth)).unreadable, undefined);
  assert.match(of(`[${nested(LIMITS.bodyDepth)}]`).unreadable ?? '', /deeper than 32/);
  assert.is(of(`[${'[],'.repeat(1000)}{}]`).unreadable, undefined);
});

test('CB2: what is quoted is bounded, and cut between characters', () => {
  assert.is(quoted(Buffer.from('ä')), 'ä');
  const long = quoted(Buffer.from('aä'.repeat(LIMITS.quotedBytes)));
  assert.ok(typeof long === 'string' && /^(aä)+a?…$/.test(long));
  assert.ok(Buffer.byteLength(long) <= LIMITS.quotedBytes + 3);
  assert.equal(quoted(Buffer.from([0xff, 0xfe])), { base64: '//4=' });
  const over = commandBody(Buffer.alloc(LIMITS.messageBytes + 1, 'x'));
  assert.match(over.unreadable ?? '', /more than 262144 bytes/);
});

test.run();
