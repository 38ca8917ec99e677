/** A watch of a bucket on a real server, where it could wait for what does not come. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Nats } from '../../src/infra/nats/connection.ts';
import { natsStateStore } from '../../src/infra/nats/state-store.ts';
import { bytes, natsBackend } from '../contract/backends.ts';

const test = suite('watch');

test('SS4: a watch is current although the newest message, a marker, went before it was read', async () => {
  const backend = await natsBackend();
  try {
    const { natsA: nats } = backend;
    const store = await backend.a.bucket('watched');
    await store.put('kept', bytes('1'), 0);
    const gone = await store.put('gone', bytes('1'), 0);
    await store.delete('gone', gone);
    const { streams } = nats.jsm;
    /** Removes the marker between the question which message is the newest and the first read. */
    const meddling = {
      js: nats.js,
      request: <T>(send: () => Promise<T>) => nats.request(send),
      onStatus: () => () => {},
      closed: false,
      jsm: {
        streams: {
          info: (name: string) => streams.info(name),
          getMessage: async (name: string, query: { readonly last_by_subj: string }) => {
            const found = await streams.getMessage(name, query);
            if (found !== null && found.seq > gone) await streams.deleteMessage(name, found.seq, false);
            return found;
          },
        },
      },
    } as unknown as Nats;
    const seen: string[] = [];
    for await (const change of natsStateStore(meddling, 'watched').watch(new AbortController().signal)) {
      if (change.kind === 'current') break;
      seen.push(change.kind === 'entry' ? change.entry.key : change.kind);
    }
    assert.equal(seen, ['kept']);
  } finally {
    await backend.close();
  }
});

test.run();
