// serial
// shared
/** Three nats-servers of which any dies, hangs or is cut off, the leader of the log among them, while nodes and runners die too. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Cell } from './plan.ts';
import { type Tally, unmet } from './report.ts';
import { weatheredInTest } from './storm.ts';

const CELLS: readonly Cell[] = [
  { fault: 'kill', victim: 'leader' },
  { fault: 'freeze', victim: 'leader' },
  { fault: 'cut', victim: 'leader' },
  { fault: 'hold', victim: 'leader' },
  { fault: 'kill', victim: 'server' },
  { fault: 'hold', victim: 'keeper' },
  { fault: 'deaf', victim: 'runner' },
  { fault: 'kill', victim: 'owner' },
  { fault: 'kill', victim: 'runner' },
];
const SIZE = { volleys: 30, most: 3, longestMs: 4_000, again: () => 1, alone: 0.3 };
const test = suite('chaos over three servers');

test('ST2, ST3, ST4: leaders that die, hang or are cut off, with nodes and runners: everything goes on by itself, every promise holds', async () => {
  const isEnough = (soFar: Tally): boolean => unmet(CELLS, soFar).length === 0;
  const tally = await weatheredInTest({ shape: 'three', cells: CELLS, size: SIZE, isEnough });
  assert.equal(tally.findings, []);
  assert.equal(unmet(CELLS, tally), []);
});

test.run();
