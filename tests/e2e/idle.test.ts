// serial
// shared
/** W1 with a whole node: what rests writes nothing, whatever there is of it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type SimulatedRunnerPorts, simulatedRunners } from '../../bench/simulated-runner.ts';
import type { ProcessLauncher } from '../../src/actors/ports/process-launcher.ts';
import { BUCKETS, kvStream, STREAMS } from '../../src/domain/subjects.ts';
import { LIVENESS } from '../../src/infra/config.ts';
import { natsBus } from '../../src/infra/nats/bus.ts';
import { connect, type Nats } from '../../src/infra/nats/connection.ts';
import { natsPredictionLog } from '../../src/infra/nats/prediction-log.ts';
import { asset } from '../../src/infra/process/assets.ts';
import { systemClock, systemRandom } from '../../src/infra/process/system-clock.ts';
import { startTestNode } from '../support/node.ts';
import { waitUntil } from '../support/wait-until.ts';

const RENEWALS = 4;
const INACTIVE = 40;
const ACTIVE = 10;
/** Of these nobody can take one: they wait for a slot. */
const WAITING = 5;

/** Everything that is repeated by time is repeated several times while the test looks. */
const liveness = { ...LIVENESS, heartbeatMs: 200, placementRetryMs: 1_000 };

const test = suite('idle');

test('W1: with inactive, active and waiting scenarios the leases are all that is written', async () => {
  await using closing = new AsyncDisposableStack();
  let nats: Nats | null = null;
  let runners: ProcessLauncher | null = null;
  const launcher: ProcessLauncher = {
    launch: async (role, orders) => {
      if (runners === null || nats === null) throw new Error('too early');
      return runners.launch(role, orders);
    },
  };
  // The model and the decoder are the real ones: the file is probed. Only the processes are not.
  const node = closing.use(await startTestNode({ slots: ACTIVE, spares: 0, liveness }, { launcher }));
  nats = closing.use(await connect(node.node.natsUrl, { name: 'test' }));
  const ports: SimulatedRunnerPorts = {
    bus: natsBus(nats),
    clock: systemClock,
    random: systemRandom,
    log: natsPredictionLog(nats, () => {}),
  };
  runners = simulatedRunners(ports);
  const { jsm } = nats;
  const lease = kvStream(BUCKETS.lease);
  const others = [...Object.values(STREAMS), kvStream(BUCKETS.state)];
  const lastOf = async (stream: string): Promise<number> => (await jsm.streams.info(stream)).state.last_seq;
  const lasts = (): Promise<number[]> => Promise.all(others.map(lastOf));

  const source = { uri: asset('test_videos', 'test_video.mp4') };
  const create = (kind: string, count: number, start: boolean) =>
    Promise.all(
      Array.from({ length: count }, (_, i) => node.create({ id: `${kind}${i}`, source, model: 'shapes', start })),
    );
  await create('inactive', INACTIVE, false);
  await create('active', ACTIVE, true);
  await waitUntil('all runners have committed', async () =>
    (await Promise.all(Array.from({ length: ACTIVE }, (_, i) => node.get(`active${i}`)))).every(
      ({ state, runners: [runner] }) => state === 'active' && runner?.state === 'running',
    ),
  );
  await create('waiting', WAITING, true);
  await waitUntil('the others are told why they wait', async () =>
    (await Promise.all(Array.from({ length: WAITING }, (_, i) => node.get(`waiting${i}`)))).every(
      ({ reason }) => reason === `test: all ${ACTIVE} slots are taken`,
    ),
  );
  const renewed = async (times: number): Promise<void> => {
    const first = await lastOf(lease);
    await waitUntil(`the lease was renewed ${times} times`, async () => (await lastOf(lease)) >= first + times);
  };
  await renewed(2); // what was under way has been written
  const settled = await lasts();
  const first = await lastOf(lease);
  const began = performance.now();
  await renewed(RENEWALS);
  assert.equal(await lasts(), settled);
  const written = (await lastOf(lease)) - first;
  assert.ok(written <= (performance.now() - began) / LIVENESS.leaseMs + 1, 'one write an interval');
  const still = await node.get('active0');
  assert.equal([still.state, still.runners[0]?.restarts], ['active', 0]);
});

test.run();
