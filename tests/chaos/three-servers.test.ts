// serial
// shared
/** Three nats-servers of which any dies or hangs, the leader of the log among them, while nodes and runners die too. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Harness } from './harness.ts';
import { type Cell, planOf } from './plan.ts';
import { tallyOf, unmet, written } from './report.ts';
import { Storm } from './storm.ts';

const CELLS: readonly Cell[] = [
  { fault: 'kill', victim: 'leader' },
  { fault: 'freeze', victim: 'leader' },
  { fault: 'kill', victim: 'server' },
  { fault: 'hold', victim: 'keeper' },
  { fault: 'deaf', victim: 'runner' },
  { fault: 'kill', victim: 'owner' },
  { fault: 'kill', victim: 'runner' },
];
const SIZE = { volleys: 30, most: 3, longestMs: 4_000, again: () => 1, alone: 0.3 };
const test = suite('chaos over three servers');

test('ST2, ST3, ST4: leaders that die or hang, with nodes and runners: everything goes on by itself, every promise holds', async () => {
  const seed = Number(process.env['TROUPE_TEST_SEED'] ?? Math.floor(Math.random() * 1e9));
  console.log(`seed ${seed}`);
  const said: string[] = [];
  await using harness = await Harness.start('three', line => said.push(line));
  const storm = new Storm(harness, line => said.push(line));
  try {
    await storm.undisturbed();
    await storm.run(planOf(seed, CELLS, SIZE), () => unmet(CELLS, tallyOf(storm, [])).length === 0);
    const tally = tallyOf(storm, await storm.finish());
    console.log(written(tally));
    assert.equal(tally.findings, []);
    assert.equal(unmet(CELLS, tally), []);
  } catch (error) {
    console.log(said.join('\n'));
    throw error;
  }
});

test.run();
