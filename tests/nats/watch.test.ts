/** A watch of a bucket on a real server, where it could wait for what does not come. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { kvStream } from '../../src/domain/subjects.ts';
import type { Nats } from '../../src/infra/nats/connection.ts';
import { natsStateStore } from '../../src/infra/nats/state-store.ts';
import { bytes, natsBackend } from '../contract/backends.ts';

const test = suite('watch');

/** The client's connection, with something done before the question which message is the newest, or after its answer. */
function meddled(
  nats: Nats,
  after: (newest: number) => Promise<unknown>,
  before: () => Promise<unknown> = async () => {},
): Nats {
  const { streams } = nats.jsm;
  return {
    js: nats.js,
    request: <T>(send: () => Promise<T>) => nats.request(send),
    onStatus: () => () => {},
    closed: false,
    jsm: {
      streams: {
        info: (name: string) => streams.info(name),
        getMessage: async (name: string, query: { readonly last_by_subj: string }) => {
          await before();
          const found = await streams.getMessage(name, query);
          if (found !== null) await after(found.seq);
          return found;
        },
      },
    },
  } as unknown as Nats;
}

test('SS4: a watch is current although the newest message, a marker, went before it was read', async () => {
  const backend = await natsBackend();
  try {
    const store = await backend.a.bucket('watched');
    await store.put('kept', bytes('1'), 0);
    const gone = await store.put('gone', bytes('1'), 0);
    await store.delete('gone', gone);
    const { streams } = backend.natsA.jsm;
    const meddling = meddled(backend.natsA, async newest => {
      if (newest > gone) await streams.deleteMessage(kvStream('watched'), newest, false);
    });
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

test('SS5: a watch is not current before it has brought every key, also those that were written anew while it began', async () => {
  const backend = await natsBackend();
  try {
    const store = await backend.a.bucket('watched');
    const keys = ['a', 'b', 'c', 'd'];
    const revisions = new Map<string, number>();
    const renew = async (key: string): Promise<void> => {
      revisions.set(key, await store.put(key, bytes('1'), revisions.get(key) ?? 0));
    };
    for (const key of keys) await renew(key);
    // Once the newest is known, others become newer, as leases do: before the first read, and again before the second.
    let rounds = 0;
    const meddling = meddled(backend.natsA, async () => {
      rounds += 1;
      if (rounds > 2) return;
      for (const key of rounds === 1 ? ['d', 'a', 'c'] : ['a', 'd']) await renew(key);
    });
    const seen = new Map<string, number>();
    for await (const change of natsStateStore(meddling, 'watched').watch(new AbortController().signal)) {
      if (change.kind === 'current') break;
      if (change.kind === 'entry') seen.set(change.entry.key, change.entry.revision);
    }
    assert.equal(seen, revisions);
  } finally {
    await backend.close();
  }
});

test('SS5: a watch becomes current although somebody never stops writing', async () => {
  const backend = await natsBackend();
  try {
    const store = await backend.a.bucket('watched');
    let revision = await store.put('busy', bytes('1'), 0);
    const write = async (): Promise<void> => {
      revision = await store.put('busy', bytes('1'), revision);
    };
    const meddling = meddled(backend.natsA, async () => {}, write);
    const kinds = new Set<string>();
    for await (const { kind } of natsStateStore(meddling, 'watched').watch(new AbortController().signal)) {
      kinds.add(kind);
      if (kind === 'current') break;
    }
    assert.equal([...kinds], ['entry', 'current']);
  } finally {
    await backend.close();
  }
});

test.run();
