// serial
/** Sixty random kills over a cluster that works meanwhile. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Harness } from './harness.ts';
import { type Cell, cellsOf, planOf, type Victim } from './plan.ts';
import { type Tally, tallyOf, unmet, written } from './report.ts';
import { Storm } from './storm.ts';

const KILLS = 60;
/** A process that takes seconds of a processor to start again is killed as well, but not as often. */
const OFTEN: Partial<Record<Victim, number>> = { runner: 8, decoder: 8, spare: 3, server: 3, everything: 0 };
const again = ({ victim }: Cell): number => OFTEN[victim] ?? 1;
/** Far more volleys than are needed: the storm ends with the last kill. */
const SIZE = { volleys: 200, most: 9, longestMs: 2_000, again, alone: 0.1 };
/** A machine that is too slow for all of it strikes for as long as this, and says how far it came. */
const MOST_MS = 90_000;
const cells = cellsOf('one').filter(({ fault }) => fault === 'kill');
const test = suite('chaos');
let tally: Tally | null = null;
let isCutShort = false;

test(`ST2, ST3, ST4: ${KILLS} random kills: everything goes on by itself, every export is that of an undisturbed run, every promise holds`, async () => {
  const seed = Number(process.env['TROUPE_TEST_SEED'] ?? Math.floor(Math.random() * 1e9));
  console.log(`seed ${seed}`);
  const said: string[] = [];
  await using harness = await Harness.start('one', line => said.push(line));
  const storm = new Storm(harness, line => said.push(line));
  try {
    await storm.undisturbed();
    const isEnough = (): boolean => {
      const soFar = tallyOf(storm, []);
      const isDone = soFar.kills >= KILLS && unmet(cells, soFar).length === 0;
      isCutShort = !isDone && performance.now() > MOST_MS;
      return isDone || isCutShort;
    };
    await storm.run(planOf(seed, cells, SIZE), isEnough);
    tally = tallyOf(storm, await storm.finish());
  } catch (error) {
    console.log(said.join('\n'));
    throw error;
  }
  console.log(written(tally));
  assert.equal(tally.findings, [], said.join('\n'));
});

test('CP2: everybody was killed, sixty times in all', () => {
  assert.ok(tally !== null && tally.kills > 0);
  const missing = unmet(cells, tally);
  if (isCutShort) {
    console.log(`too slow a machine for all of it: ${tally.kills} kills of ${KILLS}; unmet: ${missing.join(', ')}`);
    return;
  }
  assert.equal(missing, []);
  assert.ok(tally.kills >= KILLS, `${tally.kills}`);
});

test.run();
