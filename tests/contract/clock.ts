/** What every Clock promises. Times are only compared with each other: a slow machine is late, never early. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Clock } from '../../src/actors/ports/clock.ts';
import { refusal } from './backends.ts';

/** @param pass lets at least `ms` of this clock's time pass */
export function clockContract(name: string, clock: Clock, pass: (ms: number) => Promise<void>): void {
  const test = suite(`Clock of ${name}`);

  test('timers fire once, in the order of their due times, not before them', async () => {
    const fired: string[] = [];
    const start = clock.monotonic();
    let at = 0;
    clock.timer(30, () => fired.push('late'));
    clock.timer(10, () => {
      at = clock.monotonic();
      fired.push('early');
    });
    await pass(60);
    assert.equal(fired, ['early', 'late']);
    // A timer of whole milliseconds may fire a fraction of one early.
    assert.ok(at - start >= 9);
  });

  test('a cancelled timer does not fire; cancelling twice or late is harmless', async () => {
    let fired = 0;
    const cancelled = clock.timer(5, () => {
      fired += 10;
    });
    const kept = clock.timer(5, () => {
      fired += 1;
    });
    cancelled.cancel();
    cancelled.cancel();
    await pass(20);
    kept.cancel();
    assert.is(fired, 1);
  });

  test('a sleep ends after its time, or with the reason of its signal', async () => {
    let woke = false;
    void clock.sleep(5).then(() => {
      woke = true;
    });
    const reason = new Error('enough');
    const abort = new AbortController();
    const slept = refusal(clock.sleep(1_000_000, abort.signal));
    abort.abort(reason);
    assert.is(await slept, reason);
    assert.is(await refusal(clock.sleep(1, AbortSignal.abort(reason))), reason);
    await pass(20);
    assert.ok(woke);
  });

  test('both times advance', async () => {
    const [now, monotonic] = [clock.now(), clock.monotonic()];
    await pass(10);
    assert.ok(clock.now() > now && clock.monotonic() > monotonic);
  });

  test.run();
}
