// shared
/** What the NATS adapters do when the server goes away and comes back: only the real one can show it. */
import { cpSync, renameSync, rmSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { WriteConflict, WriteRetry, WriteUnknown } from '../../src/actors/ports/write-outcome.ts';
import { TroupeError } from '../../src/domain/errors.ts';
import { STREAMS } from '../../src/domain/subjects.ts';
import { ConnectionLost, type Nats } from '../../src/infra/nats/connection.ts';
import { StreamReplaced } from '../../src/infra/nats/ordered-read.ts';
import { ask } from '../../src/infra/nats/outcome.ts';
import { natsStateStore, putUpon, storedRevision } from '../../src/infra/nats/state-store.ts';
import { bytes, collect, type NatsBackend, natsBackend, refusal, text } from '../contract/backends.ts';
import { framesRecord, openRecord } from '../support/log-records.ts';
import { freeze } from '../support/processes.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('recovery');
let backend: NatsBackend;
test.before.each(async () => {
  backend = await natsBackend();
});
test.after.each(() => backend.close());

test('OR1: readers go on after the server was killed, without a gap or a repeat', async () => {
  const { a, b, server } = backend;
  const key = { scenario: 'video', run: 1, segment: 0 };
  const to = { kind: 'scenario', id: 'video' };
  const bucket = await a.bucket('recovery');
  const log = collect(signal => b.log.read(1, signal));
  const mail = collect(signal => b.mailbox.read(b.mailbox.partitionOf(to), signal));
  const watch = collect(signal => bucket.watch(signal));
  const [logSeqs, mailSeqs, revisions]: number[][] = [[], [], []];
  /** Writes one of each, as a writer must: after anything but a plain yes it reads back. */
  const writeOne = async (n: number): Promise<void> => {
    const last = await retried(() => a.log.last(key));
    const record = last.seq === 0 ? openRecord(1) : framesRecord(1, n, n - 1, 1);
    logSeqs?.push(
      await landed(
        () => a.log.append(key, record, last.seq),
        async () => (await a.log.last(key)).seq,
        last.seq,
      ),
    );
    const entry = await retried(() => bucket.get('actor.x'));
    const expected = entry?.revision ?? 0;
    const revisionNow = async () => (await bucket.get('actor.x'))?.revision ?? 0;
    revisions?.push(await landed(() => bucket.put('actor.x', bytes(`${n}`), expected), revisionNow, expected));
    const message = { to, class: 'sys', verb: 'note', headers: {}, body: bytes(`${n}`) } as const;
    mailSeqs?.push(await retried(async () => (await a.mailbox.send(message)).seq));
  };
  for (let n = 0; n < 60; n++) {
    const writing = writeOne(n);
    if (n % 20 === 10) await server.restart();
    await writing;
  }
  await waitUntil('the log was read', () => log.items.at(-1)?.seq === logSeqs?.at(-1));
  await waitUntil('the mailbox was read', () => mail.items.at(-1)?.seq === mailSeqs?.at(-1));
  await waitUntil('the watch is there', () => {
    const change = watch.items.at(-1);
    return change?.kind === 'entry' && change.entry.revision === revisions?.at(-1);
  });
  for (const reader of [log, mail, watch]) await reader.stop();
  assert.equal(
    log.items.map(entry => entry.seq),
    logSeqs,
  );
  assert.is(log.items.length, 60);
  const mailed = mail.items.map(message => message.seq);
  assert.equal(
    mailed,
    [...new Set(mailed)].sort((m, n) => m - n),
  );
  // A send whose end was unknown is sent again and may be stored twice: the receiver drops it by its number.
  assert.equal(
    [...new Set(mail.items.map(message => text(message.body)))],
    Array.from({ length: 60 }, (_, n) => `${n}`),
  );
});

/** Who reads the log, by the server's names. */
async function consumersOf(nats: Nats): Promise<string[]> {
  const names: string[] = [];
  for await (const info of nats.jsm.consumers.list(STREAMS.log)) names.push(info.name);
  return names;
}

/** OR2: a message that the server had already delivered into a broken connection must not wait for the next one. */
test('OR2: after a broken connection a reader starts a new server-side consumer', async () => {
  const { a, b, natsA, natsB } = backend;
  const key = { scenario: 'video', run: 1, segment: 0 };
  const reader = collect(signal => b.log.read(1, signal));
  const opened = await a.log.append(key, openRecord(1), 0);
  await waitUntil('the first record is read', () => reader.items.length === 1);
  const before = await consumersOf(natsA);
  await natsB.connection.reconnect();
  await waitUntil('another consumer reads', async () =>
    (await consumersOf(natsA)).some(name => !before.includes(name)),
  );
  await a.log.append(key, framesRecord(1, 1, 0, 1), opened);
  await waitUntil('the second record is read', () => reader.items.length === 2);
  await reader.stop();
});

test('OR3: a read of a stream that was made anew fails instead of skipping', async () => {
  const { a, b, natsA, natsB } = backend;
  const key = { scenario: 'video', run: 1, segment: 0 };
  /** Records of the stream that is there now. @returns the last one's sequence */
  const write = async (count: number): Promise<number> => {
    let last = await a.log.append(key, openRecord(1), 0);
    for (let n = 1; n < count; n++) last = await a.log.append(key, framesRecord(1, n, n - 1, 1), last);
    return last;
  };
  const end = await write(2);
  let isAnew = false;
  const reading = (async () => {
    for await (const entry of b.log.read(1, new AbortController().signal)) {
      assert.not.ok(isAnew, `record ${entry.seq} of the new stream was read as if it followed the old one's`);
      if (entry.seq !== end) continue;
      const { config } = await natsA.jsm.streams.info(STREAMS.log);
      await natsA.jsm.streams.delete(STREAMS.log);
      await natsA.jsm.streams.add(config);
      await write(3);
      await natsA.jsm.streams.deleteMessage(STREAMS.log, end, false); // nor is another record in its place
      isAnew = true;
      await natsB.connection.reconnect();
    }
  })();
  assert.instance(await refusal(reading), StreamReplaced);
});

for (const [what, grown] of [
  ['what was read', false],
  ['what was read, and has grown past it since,', true],
] as const)
  test(`OR3: a read of a stream that was restored to before ${what} fails instead of skipping`, async () => {
    const { a, b, natsA, server } = backend;
    const key = { scenario: 'video', run: 1, segment: 0 };
    const backup = `${server.dataDir}-backup`;
    const grow = async (end: number): Promise<void> => {
      for (let tail = await retried(() => a.log.last(key)); tail.seq < end; tail = await a.log.last(key)) {
        const record = tail.seq === 0 ? openRecord(1) : framesRecord(1, tail.seq, tail.seq - 1, 1);
        await a.log.append(key, record, tail.seq);
      }
    };
    await grow(1);
    await server.kill();
    cpSync(server.dataDir, backup, { recursive: true });
    await server.start();
    await grow(3);
    const [read, restored] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const reading = (async () => {
      for await (const { seq } of b.log.read(2, new AbortController().signal)) {
        assert.ok(seq <= 3, `record ${seq} of the restored stream was read as if it followed the old one's`);
        if (seq < 3) continue;
        read.resolve();
        await restored.promise; // only then it looks for more
      }
    })();
    await read.promise;
    await server.kill();
    rmSync(server.dataDir, { recursive: true });
    renameSync(backup, server.dataDir);
    await server.start();
    await grow(grown ? 4 : 1);
    restored.resolve();
    const failure = refusal(reading);
    await waitUntil('it has looked for more', async () => (await consumersOf(natsA)).length > 0);
    await grow(4);
    assert.instance(await failure, StreamReplaced);
  });

test('NC4: after a reconnect nothing is asked before the store is recognised, however long that takes; of a strange one nothing at all', async () => {
  const { a, natsA, server } = backend;
  const bucket = await a.bucket('recognised');
  const revision = await bucket.put('node.x', bytes('1'), 0);
  const asked: number[] = [];
  let answer = Promise.withResolvers<boolean>();
  natsA.guard(async () => {
    asked.push(await storedRevision(natsA, 'recognised', 'node.x'));
    return answer.promise;
  });
  let isRead = false;
  const reading = bucket.get('node.x').finally(() => {
    isRead = true;
  });
  await waitUntil('the store is looked at', () => asked.length > 0);
  assert.not(isRead || natsA.connected);
  answer.resolve(true);
  assert.is((await reading)?.revision, revision);
  assert.ok(natsA.connected);

  answer = Promise.withResolvers();
  await server.restart();
  await waitUntil('it is looked at again', () => asked.length > 1);
  const [first] = [answer];
  answer = Promise.withResolvers();
  first.reject(new Error('nobody can tell now'));
  await waitUntil('and again, as long as that fails', () => asked.length > 2);
  const writing = bucket.put('node.x', bytes('2'), revision);
  answer.resolve(false);
  assert.instance(await refusal(writing), WriteRetry);
  assert.ok(natsA.closed);
  assert.equal(asked, [revision, revision, revision]);
  const { natsB } = backend;
  assert.is(await storedRevision(natsB, 'recognised', 'nobody'), 0);
  assert.instance(await refusal(storedRevision(natsB, 'no_such_bucket', 'node.x')), Error);
  assert.instance(await refusal(putUpon(natsB, 'recognised', 'node.x', revision - 1, bytes('3'))), Error);
  await putUpon(natsB, 'recognised', 'node.x', revision, bytes('3'));
  assert.is(await storedRevision(natsB, 'recognised', 'node.x'), revision + 1);
});

test('SS3: a watch is not current before the leader’s newest message, whatever the copy it reads says of its own end', async () => {
  const { a, natsB } = backend;
  const bucket = await a.bucket('lagging');
  for (let n = 0; n < 5; n++) await bucket.put(`actor.k${n}`, bytes(`${n}`), 0);
  saysNothingFollows(natsB);
  const watch = collect(signal => natsStateStore(natsB, 'lagging').watch(signal));
  await waitUntil('the watch is current', () => watch.items.some(change => change.kind === 'current'));
  await watch.stop();
  assert.is(
    watch.items.findIndex(change => change.kind === 'current'),
    5,
  );
});

test('NC2: a write under way when the server dies ends at once, as unknown', async () => {
  const { a, server } = backend;
  const bucket = await a.bucket('unknown');
  await freeze(server.pid());
  const writing = refusal(bucket.put('actor.x', bytes('1'), 0));
  await server.kill();
  const end = await writing;
  assert.instance(end, WriteUnknown);
  assert.instance(end.cause, ConnectionLost);
  await server.start();
});

test('a server that stays silent makes a write unknown and a read unavailable', async () => {
  const { a, server } = backend;
  const bucket = await a.bucket('silent');
  await freeze(server.pid());
  const [written, read] = await Promise.all([
    refusal(bucket.put('actor.x', bytes('1'), 0)),
    refusal(bucket.get('actor.x')),
  ]);
  process.kill(server.pid(), 'SIGCONT');
  assert.instance(written, WriteUnknown);
  assert.ok(read instanceof TroupeError && read.code === 'unavailable' && read.retryable);
});

test('a question that nobody answers is asked again while its time lasts; an error is an answer', async () => {
  const { natsA } = backend;
  let asked = 0;
  const deaf = (answer: () => Promise<string>) => {
    asked = 0;
    return () => (++asked < 3 ? new Promise<string>(() => {}) : answer());
  };
  assert.is(
    await ask(
      natsA,
      deaf(async () => 'heard'),
    ),
    'heard',
  );
  assert.is(asked, 3);
  const defect = new Error('defect');
  assert.is(
    await refusal(
      ask(
        natsA,
        deaf(() => Promise.reject(defect)),
      ),
    ),
    defect,
  );
  assert.is(asked, 3);
});

test('a client that closes while its server dies is closed', async () => {
  const { natsA, server } = backend;
  await freeze(server.pid());
  const closing = natsA.close();
  await server.kill();
  await closing;
  assert.ok(natsA.closed);
});

test('NC1: a write while disconnected waits for the connection', async () => {
  const { a, natsA, server } = backend;
  const bucket = await a.bucket('waits');
  await server.kill();
  await waitUntil('the loss is noticed', () => !natsA.connected);
  const writing = bucket.put('actor.x', bytes('1'), 0);
  await server.start();
  assert.ok((await writing) > 0);
});

test('NC1: a write that could not be sent may be sent again', async () => {
  const { a, natsA, server } = backend;
  const bucket = await a.bucket('gone');
  await server.kill();
  await waitUntil('the loss is noticed', () => !natsA.connected);
  assert.instance(await refusal(bucket.put('actor.x', bytes('1'), 0)), WriteRetry);
  await server.start();
});

test('BU1: what is published while disconnected never arrives', async () => {
  const { a, server } = backend;
  const received: string[] = [];
  a.bus.subscribe('beat', message => received.push(text(message.body)));
  await a.bus.flush();
  await server.kill();
  await waitUntil('the loss is noticed', () => !a.bus.connected);
  const starting = server.start();
  while (!a.bus.connected) {
    a.bus.publish('beat', bytes('stale'));
    await new Promise(setImmediate);
  }
  await starting;
  a.bus.publish('beat', bytes('fresh'));
  await waitUntil('a beat arrives', () => received.length > 0);
  assert.equal(received, ['fresh']);
});

test('L6: a log that is full refuses appends as retryable, and loses nothing', async () => {
  const { a, natsA } = backend;
  const key = { scenario: 'video', run: 1, segment: 0 };
  await natsA.jsm.streams.update(STREAMS.log, { max_bytes: 4096 });
  let last = await a.log.append(key, openRecord(1), 0);
  const full = await refusal(
    (async () => {
      for (let n = 1; n < 100; n++) last = await a.log.append(key, framesRecord(1, n, n - 1, 1), last);
    })(),
  );
  assert.instance(full, WriteRetry);
  assert.is((await a.log.last(key)).seq, last);
  assert.is((await a.log.identity()).firstSeq, 1);
});

/** What a copy that had hung for a second did on a real cluster: each message that it delivered was the last it knew of. */
function saysNothingFollows(nats: Nats): void {
  const { consumers } = nats.js;
  const get = consumers.get.bind(consumers);
  consumers.get = async (...of: Parameters<typeof get>) => {
    const consumer = await get(...of);
    const consume = consumer.consume.bind(consumer);
    consumer.consume = async options => {
      const messages = await consume(options);
      const iterate = messages[Symbol.asyncIterator].bind(messages);
      messages[Symbol.asyncIterator] = async function* () {
        for await (const message of { [Symbol.asyncIterator]: iterate }) {
          const info = { ...message.info, pending: 0 };
          yield Object.defineProperty(message, 'info', { value: info });
        }
      };
      return messages;
    };
    return consumer;
  };
}

/** A question, asked until it is answered. */
async function retried<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (error instanceof WriteConflict) throw error;
    }
  }
}

/** A conditional write, repeated until it is stored; an unknown end is read back. */
async function landed(send: () => Promise<number>, readBack: () => Promise<number>, expected: number): Promise<number> {
  for (;;) {
    try {
      return await send();
    } catch (error) {
      if (error instanceof WriteRetry) continue;
      const now = await retried(readBack);
      if (now !== expected) return now;
    }
  }
}

test.run();
