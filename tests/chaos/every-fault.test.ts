// serial
// shared
/** Pauses, cuts and half-open links, each on everybody whom it can meet, and everybody killed at once, over a cluster that works meanwhile. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cellsOf } from './plan.ts';
import { type Tally, unmet } from './report.ts';
import { weatheredInTest } from './storm.ts';

const SIZE = { volleys: 60, most: 9, longestMs: 2_000, again: () => 1, alone: 0.1 };
const cells = cellsOf('one').filter(({ fault, victim }) => fault !== 'kill' || victim === 'everything');
const test = suite('chaos, every fault');

test('ST2, ST3, ST4, CP2: every fault meets every victim: everything goes on by itself, every promise holds', async () => {
  const isEnough = (soFar: Tally): boolean => unmet(cells, soFar).length === 0;
  const tally = await weatheredInTest({ shape: 'one', cells, size: SIZE, isEnough });
  assert.equal(tally.findings, []);
  assert.equal(unmet(cells, tally), []);
});

test.run();
