/** What every Bus promises. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type BusMessage, NoResponder } from '../../src/actors/ports/bus.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Backend, bytes, refusal, text } from './backends.ts';

export function busContract(name: string, open: () => Promise<Backend>): void {
  let backend: Backend;
  const test = suite(`Bus of ${name}`);
  test.before(async () => {
    backend = await open();
  });
  test.after(() => backend.close());

  test('subscribers get what is published on their subject, in order, with headers; wildcards match whole tokens', async () => {
    const { a, b } = backend;
    const [star, rest, literal]: BusMessage[][] = [[], [], []];
    const subscriptions = [
      b.bus.subscribe('t1.*.beat', message => star?.push(message)),
      b.bus.subscribe('t1.>', message => rest?.push(message)),
      a.bus.subscribe('t1.x.beat', message => literal?.push(message)),
    ];
    await backend.subscribed();
    for (let i = 0; i < 50; i++) a.bus.publish('t1.x.beat', bytes(`${i}`), { n: `${i}` });
    a.bus.publish('t1.x.y.beat', bytes('deep'));
    a.bus.publish('t1', bytes('shallow'));
    await waitUntil('all have arrived', () => rest?.length === 51 && star?.length === 50 && literal?.length === 50);
    assert.equal(
      star?.map(message => text(message.body)),
      Array.from({ length: 50 }, (_, i) => `${i}`),
    );
    assert.is(star?.[7]?.headers['n'], '7');
    assert.is(star?.[7]?.reply, null);
    for (const subscription of subscriptions) subscription.close();
  });

  test('a closed subscription receives nothing more', async () => {
    const { a } = backend;
    let [closed, open_] = [0, 0];
    const subscription = a.bus.subscribe('t2', () => {
      closed += 1;
      subscription.close();
    });
    const other = a.bus.subscribe('t2', () => {
      open_ += 1;
    });
    for (let i = 0; i < 3; i++) a.bus.publish('t2', bytes(''));
    await waitUntil('the other has all', () => open_ === 3);
    assert.is(closed, 1);
    other.close();
  });

  test('members of a queue group share the messages', async () => {
    const { a, b } = backend;
    let received = 0;
    const count = (): void => {
      received += 1;
    };
    const members = [a, b].map(client => client.bus.subscribe('t3', count, 'group'));
    let outside = 0;
    members.push(
      a.bus.subscribe('t3', () => {
        outside += 1;
      }),
    );
    await backend.subscribed();
    for (let i = 0; i < 20; i++) a.bus.publish('t3', bytes(''));
    await waitUntil('the outsider has all', () => outside === 20);
    await waitUntil('the group has all', () => received >= 20);
    await Promise.all([a.bus.flush(), b.bus.flush()]);
    assert.is(received, 20);
    for (const member of members) member.close();
  });

  test('a request is answered through its inbox', async () => {
    const { a, b } = backend;
    const server = b.bus.subscribe('t4', message => {
      if (message.reply !== null) b.bus.publish(message.reply, bytes(`${text(message.body)}!`), { by: 'b' });
    });
    await backend.subscribed();
    const answer = await a.bus.request('t4', bytes('hello'), 30_000, { h: '1' });
    assert.equal([text(answer.body), answer.headers['by']], ['hello!', 'b']);
    server.close();
  });

  test('a request that nobody listens to fails at once as NoResponder, one that nobody answers as TimeoutError', async () => {
    const { a, b } = backend;
    assert.instance(await refusal(a.bus.request('t5', bytes(''), 30_000)), NoResponder);
    const deaf = b.bus.subscribe('t5', () => {});
    await backend.subscribed();
    assert.is((await refusal(a.bus.request('t5', bytes(''), 20))).name, 'TimeoutError');
    deaf.close();
  });

  test.run();
}
