/** What a connection does to calls that are under way: see link.ts. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { WriteRetry, WriteUnknown } from '../../src/actors/ports/write-outcome.ts';
import { BUCKETS } from '../../src/domain/subjects.ts';
import type { Fault } from './faults.ts';
import { SimProcess } from './process.ts';
import { quietPlan } from './storm.ts';
import { World } from './world.ts';

const test = suite('simulated connections');
const bytes = Buffer.from('{}');

/** A process whose writes meet this. */
class Struck extends SimProcess {
  next: Fault | null = null;
  override fault(): Fault | null {
    const { next } = this;
    this.next = null;
    return next;
  }
  override share(): number {
    return 1;
  }
}

test('LK3: what was stored while a process was cut off comes to it when it is connected again, and not before', async () => {
  const world = new World(quietPlan(1, []));
  const [reader, writer] = [new SimProcess('r', 'r', world), new SimProcess('w', 'w', world)];
  const heard: string[] = [];
  const stop = new AbortController();
  void (async () => {
    for await (const change of reader.store(BUCKETS.state).watch(stop.signal))
      if (change.kind === 'entry') heard.push(change.entry.key);
  })();
  await world.clock.advance(10);
  world.cut(reader, 5_000);
  await writer.store(BUCKETS.state).put('scenario.a', bytes, 0);
  await world.clock.advance(4_000);
  assert.equal(heard, []);
  await world.clock.advance(2_000);
  assert.equal(heard, ['scenario.a']);
  stop.abort();
  world.close();
});

for (const latencyMs of [0, 40])
  test(`LK4: a pending write is pending where the server takes ${latencyMs} ms: until it is applied another one is refused`, async () => {
    const world = new World({ ...quietPlan(1, []), latencyMs });
    const [first, second] = [new Struck('p', 'p', world), new SimProcess('q', 'q', world)];
    first.next = 'pending';
    const told = first
      .store(BUCKETS.state)
      .put('scenario.a', bytes, 0)
      .catch(error => error);
    await world.clock.advance(latencyMs + 1);
    const refused = second
      .store(BUCKETS.state)
      .put('scenario.a', bytes, 0)
      .catch(error => error);
    await world.clock.advance(10_000);
    assert.instance(await told, WriteUnknown);
    assert.instance(await refused, WriteRetry);
    assert.is((await world.server.stateStore(BUCKETS.state).get('scenario.a'))?.value.length, bytes.length);
    world.close();
  });

test.run();
