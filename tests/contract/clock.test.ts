import { setTimeout as delay } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';
import { systemClock, systemRandom } from '../../src/infra/process/system-clock.ts';
import { clockContract } from './clock.ts';

const virtual = new VirtualClock();
clockContract('system', systemClock, ms => delay(ms));
clockContract('virtual', virtual, ms => virtual.advance(ms));

const test = suite('virtual clock and chance');

test('VC1: equal due times fire in the order they were set, whatever was cancelled between', async () => {
  const clock = new VirtualClock();
  const random = new SeededRandom(7);
  const fired: number[] = [];
  const wanted: { due: number; i: number }[] = [];
  for (let i = 0; i < 2000; i++) {
    const due = Math.floor(random.float() * 50);
    const timer = clock.timer(due, () => fired.push(i));
    if (random.float() < 0.3) timer.cancel();
    else wanted.push({ due, i });
  }
  assert.ok(await clock.runUntilIdle(1000));
  assert.equal(
    fired,
    wanted.sort((a, b) => a.due - b.due || a.i - b.i).map(({ i }) => i),
  );
  assert.is(clock.pending, 0);
});

test('VC2: what follows from a timer is done before the next one fires', async () => {
  const clock = new VirtualClock();
  const order: string[] = [];
  const chain = async (name: string): Promise<void> => {
    for (let i = 0; i < 100; i++) await Promise.resolve();
    order.push(`${name} at ${clock.monotonic()}`);
  };
  clock.timer(10, () => void chain('first'));
  clock.timer(11, () => void chain('second'));
  await clock.advanceTo(100);
  assert.equal(order, ['first at 10', 'second at 11']);
  assert.is(clock.monotonic(), 100);
});

test('VC3: a timer cancelled by another one of the same instant does not fire', async () => {
  const clock = new VirtualClock();
  clock.timer(10, () => second.cancel());
  const second = clock.timer(10, () => assert.unreachable('was cancelled'));
  assert.ok(await clock.runUntilIdle(1000));
});

test('VC4: who sets timers for ever without letting time pass is told so', async () => {
  const clock = new VirtualClock();
  const again = (): void => void clock.timer(0, again);
  clock.timer(10, again);
  let told: unknown = null;
  await clock.advanceTo(100).catch(error => {
    told = error;
  });
  assert.match(String(told), /time stands still at 10 ms/);
});

test('runUntil stops where its condition holds, and at its limit', async () => {
  const clock = new VirtualClock();
  let beats = 0;
  const beat = (): void => {
    beats += 1;
    clock.timer(10, beat);
  };
  beat();
  assert.ok(await clock.runUntil(() => beats === 5, 1000));
  assert.is(clock.monotonic(), 40);
  assert.not(await clock.runUntilIdle(1000));
  assert.is(clock.monotonic(), 1000);
  assert.is(beats, 101);
});

test('equal seeds give equal chance; tokens are alphanumeric', () => {
  const [a, b] = [new SeededRandom(42), new SeededRandom(42)];
  for (let i = 0; i < 100; i++) assert.is(a.float(), b.float());
  assert.is(a.token(12), b.token(12));
  for (const random of [a, systemRandom]) {
    assert.match(random.token(200), /^[A-Za-z0-9]{200}$/);
    for (let i = 0; i < 1000; i++) {
      const x = random.float();
      assert.ok(x >= 0 && x < 1);
    }
  }
});

test.run();
