import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ErrandAnswer, ErrandExecutor } from '../../src/actors/runtime/errand-desk.ts';
import { Bank } from './bank.ts';

const test = suite('ErrandDesk');

interface Run {
  readonly key: string;
  readonly signal: AbortSignal;
  readonly answer: (answer: ErrandAnswer) => void;
}

function office(): { readonly runs: Run[]; readonly executors: { work: ErrandExecutor } } {
  const runs: Run[] = [];
  const work: ErrandExecutor = (_owner, { key }, signal) => {
    const { promise, resolve } = Promise.withResolvers<ErrandAnswer>();
    runs.push({ key, signal, answer: resolve });
    return promise;
  };
  return { runs, executors: { work } };
}

const done = (key: string): ErrandAnswer => ({ verb: 'done', body: { key } });

test('E1: an errand runs once, however often the state that names it is committed', async () => {
  const bank = new Bank();
  const { runs, executors } = office();
  await bank.claim({ executors });
  await bank.command('a', 'work', { key: 'w' });
  for (let i = 0; i < 3; i++) await bank.command('a', 'deposit', { amount: 1 });
  assert.equal(
    runs.map(run => run.key),
    ['w'],
  );
  runs[0]?.answer(done('w'));
  await bank.clock.settle();
  assert.equal((await bank.account('a'))?.results, ['w']);
});

test('E2: an errand that is no longer named is abandoned, and its late answer is dropped', async () => {
  const bank = new Bank();
  const { runs, executors } = office();
  await bank.claim({ executors });
  await bank.command('a', 'work', { key: 'w' });
  await bank.command('a', 'forgo', { key: 'w' });
  assert.is(runs[0]?.signal.aborted, true);
  await bank.command('a', 'work', { key: 'w' });
  runs[0]?.answer(done('w'));
  await bank.clock.settle();
  assert.equal((await bank.account('a'))?.results, []);
  assert.is(runs.length, 2);
});

test('E3: an answered errand that stays named is not run again here, but by the next owner', async () => {
  const bank = new Bank();
  const { runs, executors } = office();
  const owner = await bank.claim({ executors });
  await bank.command('a', 'work', { key: 'w' });
  runs[0]?.answer({ verb: 'done', body: { key: 'another' } });
  await bank.clock.settle();
  await bank.command('a', 'deposit', { amount: 1 });
  assert.is(runs.length, 1);
  await owner.crash();
  assert.is(runs[0]?.signal.aborted, true);
  await bank.claim({ executors });
  assert.is(runs.length, 2);
  runs[1]?.answer(done('w'));
  await bank.clock.settle();
  assert.equal((await bank.account('a'))?.results, ['w']);
});

for (const how of ['rejects', 'throws'] as const)
  test(`E4: an executor that ${how} is reported and started again, later each time; nothing else is disturbed`, async () => {
    const bank = new Bank();
    let runs = 0;
    const work: ErrandExecutor = (_owner, { key }) => {
      runs++;
      if (runs > 3) return Promise.resolve(done(key));
      if (how === 'throws') throw new Error('a defect');
      return Promise.reject(new Error('a defect'));
    };
    const owner = await bank.claim({ executors: { work } });
    await bank.command('a', 'work', { key: 'w' });
    await bank.command('a', 'deposit', { amount: 1 });
    assert.is(runs, 1);
    await bank.clock.advance(60_000);
    assert.is(runs, 4);
    assert.equal(owner.reports, Array(3).fill('errand w: a defect'));
    const state = await bank.account('a');
    assert.equal([state?.results, state?.balance, owner.ended()], [['w'], 1, null]);
  });

test('E4: an errand without an executor is reported, and its actor goes on', async () => {
  const bank = new Bank();
  const owner = await bank.claim({ executors: {} });
  await bank.command('a', 'work', { key: 'w' });
  await bank.command('a', 'deposit', { amount: 1 });
  assert.is((await bank.account('a'))?.balance, 1);
  assert.ok(owner.reports[0]?.includes("no executor for errand 'work'"));
});

test('E4: an errand that waits to be started again is abandoned like a running one', async () => {
  const bank = new Bank();
  let runs = 0;
  const work: ErrandExecutor = () => {
    runs++;
    return Promise.reject(new Error('a defect'));
  };
  const owner = await bank.claim({ executors: { work } });
  await bank.command('a', 'work', { key: 'w' });
  await bank.command('a', 'forgo', { key: 'w' });
  await bank.clock.advance(60_000);
  assert.is(runs, 1);
  await bank.command('a', 'work', { key: 'w' });
  await owner.crash();
  await bank.clock.advance(60_000);
  assert.equal([runs, bank.clock.pending], [2, 0]);
});

test.run();
