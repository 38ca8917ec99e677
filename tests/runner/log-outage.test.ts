// serial
// shared
/** A nats-server that is gone for longer than a request waits: nobody gives up, nothing is lost or written twice. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type NatsBackend, natsBackend } from '../contract/backends.ts';
import { waitUntil } from '../support/wait-until.ts';
import { assertWhole, batch, close, opening, records, story, writerOf } from './log-rules.ts';

const test = suite('the log over an outage');
let backend: NatsBackend;
test.before(async () => {
  backend = await natsBackend();
});
test.after(() => backend.close());

test('a writer, an attempt that opens and a supervisor that closes all wait for the server and then go on', async () => {
  const key = (scenario: string) => ({ scenario, run: 1, segment: 0 });
  const { log } = backend.a;
  const writer = await writerOf(log, key('writes'), 1);
  await batch(writer, 0);
  await batch(await writerOf(log, key('opens'), 1), 0);
  await batch(await writerOf(log, key('closes'), 1), 0);
  await backend.server.kill();
  let reads = 0;
  const counted = {
    ...log,
    last: (of: Parameters<typeof log.last>[0]) => {
      reads += 1;
      return log.last(of);
    },
  };
  const written = batch(writer, 1);
  const opened = opening(counted, key('opens'), 2);
  const closed = close(counted, key('closes'), 2);
  const all = Promise.all([written, opened, closed]);
  all.catch(() => false);
  await waitUntil('the first reads were given up and tried again', () => reads >= 4, 60_000);
  await backend.server.start();
  await all;
  const stories = await Promise.all(['writes', 'opens', 'closes'].map(async id => records(log, key(id))));
  stories.forEach(assertWhole);
  assert.equal(stories.map(story), ['open 1, 0–0, 1–1', 'open 1, 0–0, open 2', 'open 1, 0–0, closed 2']);
});

test.run();
