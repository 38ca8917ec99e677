// serial
/** Sixty random kills over a cluster that works meanwhile. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Cell, cellsOf, type Victim } from './plan.ts';
import { type Tally, unmet } from './report.ts';
import { weatheredInTest } from './storm.ts';

const KILLS = 60;
/**
 * How often again. A node takes seconds of a processor to start, and without the server nobody works who could be killed: of those
 * it is enough that each was met. All at once: every-fault.test.ts.
 */
const OFTEN: Partial<Record<Victim, number>> = { runner: 8, decoder: 8, spare: 4, server: 1 };
const again = ({ victim }: Cell): number => OFTEN[victim] ?? 0;
/** Far more volleys than are needed: the storm ends with the last kill. */
const SIZE = { volleys: 200, most: 9, longestMs: 2_000, again, alone: 0.1 };
const cells = cellsOf('one').filter(({ fault, victim }) => fault === 'kill' && victim !== 'everything');
const test = suite('chaos');

test(`ST2, ST3, ST4, CP2: ${KILLS} random kills, of everybody: everything goes on by itself, every export is that of an undisturbed run, every promise holds`, async () => {
  const isEnough = (soFar: Tally): boolean => soFar.kills >= KILLS && unmet(cells, soFar).length === 0;
  const tally = await weatheredInTest({ shape: 'one', cells, size: SIZE, isEnough });
  assert.equal(tally.findings, []);
  assert.equal(unmet(cells, tally), []);
  assert.ok(tally.kills >= KILLS, `${tally.kills}`);
});

test.run();
