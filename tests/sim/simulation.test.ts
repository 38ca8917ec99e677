/**
 * A small simulation: three scenarios on two nodes and two orchestrator processes, with lost, late and repeated messages,
 * time-outs whose write landed, killed and frozen processes. One seed, one run: `TROUPE_SIM_SEED=N` replays it.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { LogEntry } from '../../src/actors/ports/prediction-log.ts';
import type { ScenarioState } from '../../src/domain/scenario.ts';
import { FRAMES, World } from './world.ts';

const SEEDS = process.env['TROUPE_SIM_SEED'] === undefined ? 50 : 1;
const FIRST_SEED = Number(process.env['TROUPE_SIM_SEED'] ?? 1);
const SCENARIOS = ['a', 'b', 'c'];
/** Virtual time with faults, and the most that convergence may take afterwards. */
const STORM_MS = 40_000;
const CALM_MS = 600_000;

const LEGAL: Readonly<Record<ScenarioState, readonly ScenarioState[]>> = {
  init_startup: ['in_startup_processing', 'active', 'init_shutdown', 'in_shutdown_processing'],
  in_startup_processing: ['active', 'init_shutdown', 'in_shutdown_processing'],
  active: ['init_shutdown', 'in_shutdown_processing'],
  init_shutdown: ['in_shutdown_processing'],
  in_shutdown_processing: ['inactive'],
  inactive: ['init_startup'],
};

async function simulate(seed: number): Promise<World> {
  const world = new World(seed, 0.05);
  const { random, clock } = world;
  world.startOwner('o1');
  world.startOwner('o2');
  await world.startNode('n1');
  await world.startNode('n2');
  const request = { source: { uri: 'v' }, model: 'm', restart: { intensity: 1000, periodMs: 1000 } };
  for (const id of SCENARIOS) world.command(id, 'start', request);
  const pick = <T>(items: readonly T[]): T | undefined => items[Math.floor(random.float() * items.length)];
  const strikes = Array.from({ length: 30 }, () => random.float() * STORM_MS).sort((a, b) => a - b);
  for (const atMs of strikes) {
    await clock.advanceTo(atMs);
    const roll = random.float();
    if (roll < 0.35) pick([...world.runners.values()].filter(runner => !runner.dead))?.kill();
    else if (roll < 0.5) {
      const runner = pick([...world.runners.values()].filter(other => !other.dead));
      runner?.freeze();
      clock.timer(8_000 * random.float(), () => runner?.thaw());
    } else if (roll < 0.6) {
      const owner = pick(world.owners.filter(other => !other.dead));
      owner?.kill();
      clock.timer(1_000, () => world.startOwner(owner?.name ?? 'o1'));
    } else if (roll < 0.7) {
      const owner = pick(world.owners.filter(other => !other.dead));
      owner?.freeze();
      clock.timer(12_000 * random.float(), () => owner?.thaw());
    } else if (roll < 0.8) {
      const id = pick(['n1', 'n2']) ?? 'n1';
      if (world.killNode(id)) clock.timer(1_500, () => void world.startNode(id));
    } else {
      world.command(pick(SCENARIOS) ?? 'a', pick(['stop', 'start', 'start']) ?? 'start');
    }
  }
  await clock.advanceTo(STORM_MS);
  world.weather.rate = 0;
  for (const owner of world.owners) owner.thaw();
  for (const runner of world.runners.values()) runner.thaw();
  // Whatever was stopped goes on, so that every scenario can be held to completeness.
  for (const calmAt = clock.monotonic(); clock.monotonic() < calmAt + CALM_MS && !(await isDone(world)); ) {
    for (const id of SCENARIOS) world.command(id, 'start');
    await clock.advance(5_000);
  }
  await clock.advance(1_000);
  return world;
}

async function isDone(world: World): Promise<boolean> {
  const docs = await Promise.all(SCENARIOS.map(id => world.doc(id)));
  const left = [...world.runners.values()].some(runner => !runner.dead);
  return !left && docs.every(doc => doc?.state === 'inactive' && doc.outcome === 'completed');
}

/** Every record of every log, in order. */
async function logs(world: World): Promise<Map<string, LogEntry[]>> {
  const log = world.server.predictionLog();
  const { lastSeq } = await log.identity();
  const found = new Map<string, LogEntry[]>();
  const reading = new AbortController();
  if (lastSeq === 0) return found;
  for await (const entry of log.read(1, reading.signal)) {
    found.set(entry.key.scenario, [...(found.get(entry.key.scenario) ?? []), entry]);
    if (entry.seq === lastSeq) break;
  }
  return found;
}

async function check(world: World): Promise<void> {
  assert.equal(world.defects, [], 'no actor met a defect');
  const written = await logs(world);
  for (const id of SCENARIOS) {
    const doc = await world.doc(id);
    assert.is(doc?.state, 'inactive', `${id} converges: ${JSON.stringify(doc)}`);
    assert.is(doc?.outcome, 'completed', JSON.stringify(doc?.error));

    const entries = written.get(id) ?? [];
    const attempts = entries.map(({ record }) => record.attempt);
    assert.equal(
      attempts,
      attempts.toSorted((a, b) => a - b),
      `${id}: no record of an attempt after a newer one's`,
    );
    assert.is(entries.at(-1)?.record.kind, 'end', `${id}: inactive only after the end is in the log`);
    const predictions = entries.flatMap(({ record }) => (record.kind === 'frames' ? record.predictions : []));
    assert.equal(
      predictions.map(p => p.frame),
      Array.from({ length: FRAMES }, (_, frame) => frame),
      `${id}: every frame once and in order`,
    );
    for (const p of predictions) assert.is('detections' in p ? p.detections[0]?.box[0] : null, p.frame);

    for (const { from, to } of doc?.history ?? []) {
      if (from !== null) assert.ok(LEGAL[from].includes(to), `${id}: ${from} → ${to}`);
    }
  }
  const orphans = [...world.runners].filter(([, process]) => !process.dead).map(([name]) => name);
  assert.equal(orphans, [], 'no runner outlives its scenario');
}

const test = suite('simulation');
const met = new Map<string, number>();

for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
  test(`seed ${seed}: every frame once and in order, whatever is lost, late, repeated, frozen or killed`, async () => {
    const world = await simulate(seed);
    await check(world);
    for (const [fault, count] of world.weather.met) met.set(fault, (met.get(fault) ?? 0) + count);
  });
}

test('every kind of fault was met', () => {
  if (SEEDS === 1) return;
  const writes = ['store.put', 'mailbox.send', 'log.append', 'journal.append'];
  const expected = [
    ...writes.flatMap(write => ['refused', 'lost', 'landed', 'late'].map(fault => `${write} ${fault}`)),
    ...['lost', 'late', 'twice'].map(fault => `bus.publish ${fault}`),
    'bus.request lost',
  ];
  const missed = expected.filter(fault => !met.has(fault));
  assert.equal(missed, []);
});

test.run();
