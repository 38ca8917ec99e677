/** The gateway when NATS is not there. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HeartbeatDirectory } from '../../src/actors/directory/node-directory.ts';
import { Gateway } from '../../src/actors/gateway/gateway.ts';
import { ScenarioMirror } from '../../src/actors/gateway/scenario-mirror.ts';
import { TroupeError } from '../../src/domain/errors.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { BUCKETS } from '../../src/domain/subjects.ts';
import { MemoryServer } from '../../src/infra/memory/memory-server.ts';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';
import { openProjection } from '../../src/infra/sqlite/projection-store.ts';

const test = suite('gateway');

test('a command that finds the connection broken is refused as retryable, and not sent', async () => {
  const clock = new VirtualClock();
  const server = new MemoryServer({ clock, partitions: LIMITS.partitions });
  const store = server.stateStore(BUCKETS.state);
  const bus = server.bus();
  const sent: string[] = [];
  const projection = openProjection(':memory:');
  const gateway = new Gateway({
    bus: { ...bus, flush: () => Promise.reject(new Error('connection disconnected')) },
    clock,
    random: new SeededRandom(1),
    mailbox: {
      ...server.mailbox(),
      send: async ({ verb }) => {
        sent.push(verb);
        return { seq: 1 };
      },
    },
    store,
    mirror: new ScenarioMirror(store, clock, { scenarios: () => [], forget: () => {} }, () => {}),
    projection,
    directory: new HeartbeatDirectory({ clock, bus }, 1_000),
    models: { list: () => [], resolve: () => Promise.reject(new Error('no models')) },
    digest: text => text,
    inbox: '_INBOX.test',
    unready: () => [],
    stalled: async () => [],
  });
  const error = await gateway.command('cam', 'start', {}, { requestId: 'r' }).then(
    () => null,
    reason => reason,
  );
  assert.instance(error, TroupeError);
  assert.equal([error.code, error.retryable, sent], ['unavailable', true, []]);
  assert.match(error.message, /was not sent/);
  gateway.close();
  projection.close();
});

test.run();
