// serial
// shared
/** Pauses, cuts and half-open links, each on everybody whom it can meet, over a cluster that works meanwhile. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Harness } from './harness.ts';
import { cellsOf, planOf } from './plan.ts';
import { tallyOf, unmet, written } from './report.ts';
import { Storm } from './storm.ts';

const SIZE = { volleys: 60, most: 9, longestMs: 2_000, again: () => 1, alone: 0.1 };
const cells = cellsOf('one').filter(({ fault }) => fault !== 'kill');
const test = suite('chaos, every fault');

test('ST2, ST3, ST4, CP2: every fault meets every victim: everything goes on by itself, every promise holds', async () => {
  const seed = Number(process.env['TROUPE_TEST_SEED'] ?? Math.floor(Math.random() * 1e9));
  console.log(`seed ${seed}`);
  const said: string[] = [];
  await using harness = await Harness.start('one', line => said.push(line));
  const storm = new Storm(harness, line => said.push(line));
  try {
    await storm.undisturbed();
    await storm.run(planOf(seed, cells, SIZE), () => unmet(cells, tallyOf(storm, [])).length === 0);
    const tally = tallyOf(storm, await storm.finish());
    console.log(written(tally));
    assert.equal(tally.findings, []);
    assert.equal(unmet(cells, tally), []);
  } catch (error) {
    console.log(said.join('\n'));
    throw error;
  }
});

test.run();
