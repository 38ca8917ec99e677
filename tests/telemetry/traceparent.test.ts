import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { nextTraceparent, parseTraceparent } from '../../src/domain/traceparent.ts';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';

const test = suite('traceparent');

/** The example of the recommendation. */
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';
const GIVEN = `00-${TRACE}-${PARENT}-01`;

const MALFORMED: readonly string[] = [
  '',
  'nonsense',
  `00-${TRACE}-${PARENT}`,
  `00-${TRACE}-${PARENT}-01-more`,
  `00-${TRACE}-${PARENT}-1`,
  `00-${TRACE.toUpperCase()}-${PARENT}-01`,
  `00-${'0'.repeat(32)}-${PARENT}-01`,
  `00-${TRACE}-${'0'.repeat(16)}-01`,
  `ff-${TRACE}-${PARENT}-01`,
  `0-${TRACE}-${PARENT}-01`,
  `01-${TRACE}-${PARENT}-01x`,
  ` ${GIVEN}`,
  `${GIVEN}\n`,
  `01-${TRACE}-${PARENT}-01-${'x'.repeat(1000)}`,
];

test('TP1: what is malformed is ignored and begins a new trace', () => {
  const random = new SeededRandom(1);
  for (const text of MALFORMED) {
    assert.is(parseTraceparent(text), null, JSON.stringify(text));
    const begun = parseTraceparent(nextTraceparent(text, random));
    assert.ok(begun !== null && begun.traceId !== TRACE, JSON.stringify(text));
  }
  assert.is.not(nextTraceparent(undefined, random), nextTraceparent(undefined, random));
});

test('TP2: the trace id and its flags stay, the parent is another', () => {
  const next = nextTraceparent(GIVEN, new SeededRandom(1));
  assert.match(next, new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`));
  assert.not.match(next, PARENT);
});

test('TP3: a later version is read as far as it is known, and passed on as 00', () => {
  const later = `cc-${TRACE}-${PARENT}-03-what-comes-after`;
  assert.equal(parseTraceparent(later), { traceId: TRACE, parentId: PARENT, flags: '03' });
  assert.match(nextTraceparent(later, new SeededRandom(1)), new RegExp(`^00-${TRACE}-[0-9a-f]{16}-03$`));
});

test('no id is all zeros, however chance falls', () => {
  assert.ok(parseTraceparent(nextTraceparent(undefined, { float: () => 0 })) !== null);
});

test.run();
