import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { letterbox } from '../../src/domain/letterbox.ts';

const test = suite('letterbox');
const side = fc.integer({ min: 1, max: 8192 });
const size = fc.record({ width: side, height: side });

test('LB1: the scaled picture lies inside the input and touches two opposite edges', () => {
  fc.assert(
    fc.property(size, size, (picture, input) => {
      const box = letterbox(picture, input);
      assert.ok(box.width >= 1 && box.height >= 1 && box.left >= 0 && box.top >= 0);
      assert.ok(box.left + box.width <= input.width && box.top + box.height <= input.height);
      assert.ok(box.width === input.width || box.height === input.height);
    }),
  );
});

test('LB1: padding is centred, the odd pixel right or below', () => {
  const { width, height, left, top } = letterbox({ width: 640, height: 361 }, { width: 320, height: 320 });
  assert.equal({ width, height, left, top }, { width: 320, height: 181, left: 0, top: 69 });
});

test('LB2: the far corner of the picture is the far corner of the scaled area', () => {
  fc.assert(
    fc.property(size, size, (picture, input) => {
      const box = letterbox(picture, input);
      assert.ok(Math.abs(picture.width * box.scaleX - box.width) < 1e-9 * box.width);
      assert.ok(Math.abs(picture.height * box.scaleY - box.height) < 1e-9 * box.height);
    }),
  );
});

test('lengths are rounded to the nearest pixel, but never to nothing', () => {
  assert.is(letterbox({ width: 3, height: 2 }, { width: 320, height: 320 }).height, 213);
  assert.is(letterbox({ width: 10_000, height: 1 }, { width: 320, height: 320 }).height, 1);
});

test.run();
