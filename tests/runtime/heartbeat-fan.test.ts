/** Beats come in once for everybody. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Bus, BusMessage } from '../../src/actors/ports/bus.ts';
import { HeartbeatFan } from '../../src/actors/runtime/heartbeat-fan.ts';

/** A bus that counts who listens. */
function countingBus() {
  const receivers = new Set<(message: BusMessage) => void>();
  const bus: Pick<Bus, 'subscribe'> = {
    subscribe: (_subject, receive) => {
      receivers.add(receive);
      return { close: () => receivers.delete(receive) };
    },
  };
  const beat = (body: string): void => {
    for (const receive of receivers) receive({ subject: 's', headers: {}, body: Buffer.from(body), reply: null });
  };
  return { bus: bus as Bus, receivers, beat };
}

const test = suite('heartbeat fan');

test('however many listen, the bus is subscribed to once, and no more when nobody does', () => {
  const { bus, receivers, beat } = countingBus();
  const fan = new HeartbeatFan(bus, 's');
  assert.is(receivers.size, 0);
  const heard: string[] = [];
  const listen = (name: string) => fan.subscribe((key, progress) => heard.push(`${name} ${key} ${progress}`));
  const [a, b] = [listen('a'), listen('b')];
  assert.is(receivers.size, 1);
  beat('{"key":"cam.1.0.1","progress":7}');
  assert.equal(heard, ['a cam.1.0.1 7', 'b cam.1.0.1 7']);
  a.close();
  a.close();
  beat('{"key":"cam.1.0.1","progress":8}');
  assert.equal(heard.slice(2), ['b cam.1.0.1 8']);
  b.close();
  assert.is(receivers.size, 0);
  listen('c');
  assert.is(receivers.size, 1, 'and again when somebody comes');
});

test('what is no beat is ignored', () => {
  const { bus, beat } = countingBus();
  const fan = new HeartbeatFan(bus, 's');
  let heard = 0;
  fan.subscribe(() => heard++);
  for (const body of ['', 'beat', 'null', '7', '{}', '{"key":1,"progress":1}', '{"key":"a","progress":"1"}'])
    beat(body);
  assert.is(heard, 0);
});

test.run();
