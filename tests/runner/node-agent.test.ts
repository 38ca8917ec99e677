/** The node: A1–A8, with runner processes that end when and as the test says. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NodeAgent } from '../../src/actors/node/node-agent.ts';
import { WriteRetry } from '../../src/actors/ports/write-outcome.ts';
import { emptyRecord } from '../../src/actors/runtime/committed.ts';
import { encodeRecord } from '../../src/actors/runtime/record-codec.ts';
import { Supervisor } from '../../src/actors/runtime/supervisor.ts';
import { TroupeError } from '../../src/domain/errors.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { Assignment, Exited, StartAnswer, StopAnswer } from '../../src/domain/messages.ts';
import { toSpec } from '../../src/domain/scenario-spec.ts';
import { BUCKETS, SUBJECTS } from '../../src/domain/subjects.ts';
import { MemoryServer } from '../../src/infra/memory/memory-server.ts';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';
import { collect } from '../contract/backends.ts';
import { ENGINE, MODEL, SOURCE } from './scripted.ts';
import { ScriptedProcess } from './scripted-process.ts';

async function start(slots = 4) {
  const clock = new VirtualClock();
  const server = new MemoryServer({ clock, partitions: LIMITS.partitions });
  const processes: ScriptedProcess[] = [];
  const world = {
    refused: [] as string[],
    readable: true,
    /** Whether states can be read. */
    answers: true,
    source: SOURCE,
    probes: 0,
    /** What a file is read behind. */
    gate: null as Promise<void> | null,
    /** What a model is tried behind. */
    trial: null as Promise<void> | null,
    views: [] as ReturnType<NodeAgent['view']>[],
  };
  const mailbox = server.mailbox();
  const store = server.stateStore(BUCKETS.state);
  /** What a scenario has committed; null: it is deleted. */
  const commit = async (scenario: string, state: unknown): Promise<void> => {
    const key = `scenario.${scenario}`;
    const value = encodeRecord({ ...emptyRecord(1), state });
    await store.put(key, value, (await store.get(key))?.revision ?? 0);
  };
  const runners = await Supervisor.start({
    id: 'runners',
    node: 'n1',
    flags: { strategy: 'simple_one_for_one', intensity: 0, periodMs: 1 },
    clock,
    event: () => {},
  });
  const agent: NodeAgent = new NodeAgent(
    {
      bus: server.bus(),
      clock,
      random: new SeededRandom(1),
      leaseRevision: () => 1,
      mailbox: {
        ...mailbox,
        send: async message => {
          if (world.refused.includes(message.verb)) throw new WriteRetry('no leader');
          return mailbox.send(message);
        },
      },
      store: {
        ...store,
        get: async key => {
          if (!world.answers) throw new TroupeError('unavailable', 'no leader', { retryable: true });
          return store.get(key);
        },
      },
      launcher: {
        launch: async () => {
          const process = new ScriptedProcess(processes.length + 1);
          processes.push(process);
          return process;
        },
      },
      models: {
        list: () => [MODEL],
        resolve: async () => {
          await world.trial;
          return MODEL;
        },
      },
      decoder: {
        engine: ENGINE.decoder,
        probe: async () => {
          world.probes += 1;
          return world.source;
        },
        identify: async () => world.source.identity,
        decode: async () => ({ frames: 0, warnings: [] }),
      },
      runners,
      resolveSource: async uri => {
        await world.gate;
        if (!world.readable) throw new TroupeError('source_unreadable', `${uri} is not there`);
        return uri;
      },
      announce: () => world.views.push(agent.view()),
      report: (what, error) => {
        throw new Error(what, { cause: error });
      },
    },
    {
      id: 'n1',
      slots,
      engine: ENGINE,
      workers: 1,
      heartbeatMs: 1_000,
      probeMs: 3_000,
      shutdownMs: 5_000,
      runnerSettings: null,
    },
  );
  const bus = server.bus();
  const ask = async <T>(verb: string, body: unknown, waitMs = 1_000): Promise<T> => {
    const bytes = Buffer.from(JSON.stringify(body));
    const { body: answer } = await bus.request(SUBJECTS.control('n1', verb), bytes, waitMs);
    return JSON.parse(Buffer.from(answer).toString());
  };
  const told = collect(signal => mailbox.read(mailbox.partitionOf({ kind: 'scenario', id: 'cam' }), signal));
  /** What the scenario was told, as `verb attempt`. */
  const reports = async () => {
    await clock.settle();
    return told.items.map(({ verb, body }) => ({ verb, ...(JSON.parse(Buffer.from(body).toString()) as Exited) }));
  };
  return {
    agent,
    bus,
    clock,
    world,
    processes,
    reports,
    store,
    commit,
    place: async (assignment: Assignment) => {
      await commit(assignment.scenario, stateOf(assignment));
      return ask<StartAnswer>('start', assignment);
    },
    probe: () => ask<unknown>('probe', attempt(1).spec, 10_000),
    stop: (of: Assignment, mode: string) =>
      ask<StopAnswer>('stop', { scenario: 'cam', run: of.run, segment: 0, attempt: of.attempt, mode }),
  };
}

const attempt = (number: number, extra: Partial<Assignment> = {}): Assignment => ({
  scenario: 'cam',
  run: 1,
  segment: 0,
  attempt: number,
  spec: toSpec({ source: { uri: 'video.mp4' }, model: 'shapes' }),
  lastSeq: 0,
  source: null,
  engine: null,
  modelSha256: null,
  ...extra,
});

/** As a scenario has it that has just numbered the attempt, or has come further. */
const stateOf = ({ run, attempt }: Pick<Assignment, 'run' | 'attempt'>, more = {}) => ({
  run,
  segments: [{ segment: 0, attempt, phase: 'placing', node: null, ...more }],
});

const STARTUP = { claimedMs: 1, loadedMs: 2, decodedMs: 3, committedMs: 4 };

const codeOf = (answer: StartAnswer): string => (answer.kind === 'refused' ? answer.problem.code : answer.kind);

const test = suite('node');

test('A1: a repeated start is answered as the first was, and starts nothing, also when it has ended', async () => {
  const node = await start();
  const first = await node.place(attempt(1));
  assert.equal([first.kind, first.kind === 'accepted' && first.pid], ['accepted', 1]);
  assert.equal(await node.place(attempt(1)), first);
  node.processes[0]?.exit(1);
  await node.reports();
  assert.equal(await node.place(attempt(1)), first);
  assert.is(node.processes.length, 1);
});

test('A1: a newer attempt or run replaces an older one here, never the other way round', async () => {
  const node = await start();
  await node.place(attempt(7));
  await node.place(attempt(8));
  await node.place(attempt(1, { run: 2 }));
  assert.equal(
    node.processes.map(process => process.killed),
    [['SIGKILL'], ['SIGKILL'], []],
  );
  await node.place(attempt(9));
  await node.place(attempt(1, { scenario: 'other' }));
  assert.equal(node.processes[2]?.killed, [], 'the newest stays');
});

test('A6: a runner is vouched for until it beats by itself, and never with progress', async () => {
  const node = await start();
  const beats: number[] = [];
  const subject = SUBJECTS.heartbeat('n1', 'runner', 'cam');
  node.bus.subscribe(subject, ({ body }) => beats.push(JSON.parse(Buffer.from(body).toString()).progress));
  await node.place(attempt(1));
  await node.clock.advance(3_500);
  assert.equal(beats, [-1, -1, -1]);
  node.bus.publish(SUBJECTS.heartbeat('n1', 'runner', 'other'), Buffer.from('no beat'));
  node.bus.publish(subject, Buffer.from(JSON.stringify({ key: 'cam.1.0.1', progress: 0, fps: 0 })));
  await node.clock.advance(3_000);
  assert.equal(beats, [-1, -1, -1, 0]);
  await node.place(attempt(2));
  node.processes[1]?.exit(1);
  await node.reports();
  await node.clock.advance(3_000);
  assert.equal(beats, [-1, -1, -1, 0], 'nobody vouches for the dead');
});

test('A2: what a node refuses it refuses with why', async () => {
  const node = await start(1);
  assert.is(codeOf(await node.place(attempt(1, { engine: { ...ENGINE, cpu: 'other' } }))), 'unavailable');
  assert.is(codeOf(await node.place(attempt(1, { modelSha256: 'other' }))), 'model_not_found');
  assert.is(
    codeOf(await node.place(attempt(1, { source: { ...SOURCE, identity: { size: 1, sha256: 'x' } } }))),
    'source_changed',
  );
  const spec = toSpec({ source: { uri: 'video.mp4' }, model: 'shapes', classes: ['zebra'] });
  assert.is(codeOf(await node.place(attempt(1, { spec }))), 'class_unknown');
  node.world.readable = false;
  assert.is(codeOf(await node.place(attempt(1))), 'source_unreadable');
  node.world.readable = true;
  assert.is(
    codeOf(await node.place(attempt(1, { source: SOURCE, engine: ENGINE, modelSha256: MODEL.info.sha256 }))),
    'accepted',
  );
  assert.is(codeOf(await node.place(attempt(1, { scenario: 'other' }))), 'unavailable');
  assert.is(node.processes.length, 1);
});

test('a node’s view follows what it takes at once: before its answer, when one ends, and when it drains', async () => {
  const node = await start();
  const { views } = node.world;
  const last = () => [views.at(-1)?.running, views.at(-1)?.load, views.at(-1)?.draining];
  await node.place(attempt(1));
  assert.equal(last(), [1, 0.25, false]);
  await node.place(attempt(1, { scenario: 'other' }));
  assert.equal(last(), [2, 0.5, false]);
  const heard = views.length;
  await node.place(attempt(1, { scenario: 'third', modelSha256: 'other' }));
  assert.equal([views.length, node.agent.view().running], [heard, 2], 'what is refused takes no slot');
  node.processes[0]?.exit(1);
  await node.reports();
  assert.equal(last(), [1, 0.25, false]);
  const drained = node.agent.end();
  assert.is(node.agent.view().draining, true);
  node.processes[1]?.exit(0);
  await drained;
});

test('a node names the models that run there or ran lately as warm, the latest of them only', async () => {
  const node = await start(1_000);
  assert.equal(node.agent.view().warm, []);
  const spec = (model: string) => toSpec({ source: { uri: 'video.mp4' }, model });
  const all = Array.from({ length: LIMITS.warmModels }, (_, i) => `m${i}`);
  for (const [i, model] of [...all, 'm0', 'new'].entries())
    await node.place(attempt(1, { scenario: `s${i}`, spec: spec(model) }));
  node.processes.at(-1)?.exit(0);
  await node.reports();
  const names = [...all.slice(2), 'm0', 'new'];
  assert.equal(node.agent.view().warm, names, 'the oldest are forgotten, what is used again is not');
  await node.place(attempt(1, { spec: spec('unused'), modelSha256: 'other' }));
  assert.equal(node.agent.view().warm, names, 'nor is what was refused');
});

test('A2: a source that an equal engine has probed is not probed again, but must be the same file', async () => {
  const node = await start();
  await node.place(attempt(1, { source: SOURCE, engine: ENGINE }));
  assert.is(node.world.probes, 0);
  await node.place(attempt(2, { source: SOURCE }));
  assert.is(node.world.probes, 1, 'another engine may have found it');
  node.world.source = { ...SOURCE, identity: { size: 1, sha256: 'x' } };
  assert.is(codeOf(await node.place(attempt(3, { source: SOURCE, engine: ENGINE }))), 'source_changed');
});

test('A2: a file system that does not answer is refused in time, and takes no slot', async () => {
  const node = await start(1);
  const gate = Promise.withResolvers<void>();
  node.world.gate = gate.promise;
  const asked = node.place(attempt(1)).catch(error => error.name);
  await node.clock.advance(3_000);
  assert.is(await asked, 'TimeoutError', 'who asked waits a second');
  node.world.gate = null;
  assert.is(codeOf(await node.place(attempt(2))), 'accepted');
  gate.resolve();
  await node.clock.settle();
  assert.is(node.processes.length, 1);
});

test('A7: a trial is not waited for to its end, is what the refusal speaks of, and makes its model warm', async () => {
  const node = await start(1);
  const trial = Promise.withResolvers<void>();
  node.world.trial = trial.promise;
  const probed = node.probe();
  await node.clock.advance(LIMITS.trialWaitMs);
  assert.match(JSON.stringify(await probed), /"unavailable","message":"model shapes is being tried on this node/);
  assert.equal(node.agent.view().warm, []);
  const before = node.world.views.length;
  trial.resolve();
  await node.clock.settle();
  assert.equal(node.world.views[before]?.warm, ['shapes'], 'announced');
  assert.is(codeOf(await node.place(attempt(2))), 'accepted');
});

test('A5: what was asked for before the node began to drain is not started then', async () => {
  const node = await start();
  const gate = Promise.withResolvers<void>();
  node.world.gate = gate.promise;
  const asked = node.place(attempt(1));
  await node.clock.settle();
  const ended = node.agent.end();
  gate.resolve();
  assert.is(codeOf(await asked), 'unavailable');
  await ended;
  assert.is(node.processes.length, 0);
});

test('A3: an exit is reported until it is stored, after what was committed before it', async () => {
  const node = await start();
  await node.place(attempt(1));
  node.world.refused = ['progressed'];
  node.processes[0]?.say({ kind: 'committed', seq: 5, frame: 0, startup: STARTUP });
  node.processes[0]?.exit(null, 'SIGSEGV');
  await node.clock.advance(10_000);
  node.world.refused = ['exited'];
  await node.clock.advance(10_000);
  assert.equal(
    (await node.reports()).map(report => report.verb),
    ['progressed'],
  );
  assert.is((await node.stop(attempt(1), 'close')).kind, 'running', 'not yet known to be gone');
  node.world.refused = [];
  await node.clock.advance(1_000);
  const [progressed, exited, ...more] = await node.reports();
  assert.equal([progressed?.verb, progressed?.seq, more], ['progressed', 5, []]);
  assert.equal(
    [exited?.verb, exited?.attempt, exited?.result, exited?.seq, exited?.fruitful],
    ['exited', 1, null, 5, true],
  );
  assert.match(JSON.stringify(exited?.reason), /runner_lost.*SIGSEGV/);
  assert.is((await node.stop(attempt(1), 'close')).kind, 'gone');
  assert.is((await node.stop(attempt(2), 'close')).kind, 'unknown');
});

test('A3, A4: a runner’s own word on its end is what is reported, and it is not started again', async () => {
  const node = await start();
  await node.place(attempt(1));
  node.processes[0]?.say({ kind: 'outcome', reason: 'fenced', result: null, seq: 9, fruitful: true });
  node.processes[0]?.exit(3);
  const [exited] = await node.reports();
  assert.equal([exited?.verb, exited?.reason, exited?.seq], ['exited', 'fenced', 9]);
  await node.clock.advance(60_000);
  assert.is(node.processes.length, 1);
});

test('a stop is handed on as it is asked: close in good order, kill at once', async () => {
  const node = await start();
  await node.place(attempt(1));
  await node.stop(attempt(1), 'close');
  assert.equal([node.processes[0]?.heard, node.processes[0]?.killed], [[{ kind: 'close' }], []]);
  await node.stop(attempt(1), 'kill');
  assert.equal(node.processes[0]?.killed, ['SIGKILL']);
});

test('A5: draining releases every runner, kills what does not go, reports `shutdown`, and takes nothing more', async () => {
  const node = await start();
  await node.place(attempt(1));
  await node.place(attempt(1, { scenario: 'other' }));
  const drained = node.agent.end();
  assert.equal(
    node.processes.map(process => process.heard),
    [[{ kind: 'release' }], [{ kind: 'release' }]],
  );
  assert.is(codeOf(await node.place(attempt(1, { scenario: 'third' }))), 'unavailable');
  node.processes[1]?.exit(0);
  await node.clock.advance(6_000);
  assert.equal(
    node.processes.map(process => process.killed),
    [['SIGKILL'], []],
  );
  await drained;
  const [exited] = await node.reports();
  assert.equal([exited?.verb, exited?.reason], ['exited', 'shutdown']);
});

test('A5: draining ends although nobody takes the reports', async () => {
  const node = await start();
  await node.place(attempt(1));
  node.world.refused = ['exited'];
  let over = false;
  const drained = node.agent.end().then(() => {
    over = true;
  });
  await node.clock.runUntil(() => over, 60_000);
  assert.ok(over);
  await drained;
});

for (const [what, state] of [
  ['is being placed', stateOf({ run: 1, attempt: 3 })],
  ['runs here', stateOf({ run: 1, attempt: 3 }, { phase: 'running', node: 'n1' })],
  ['is being stopped here', stateOf({ run: 1, attempt: 3 }, { phase: 'stopping', node: 'n1' })],
  ['an older reading has not numbered', stateOf({ run: 1, attempt: 2 })],
  ['an older reading has in no run', stateOf({ run: 0, attempt: 9 })],
] as const)
  test(`A8: an attempt that ${what} as its scenario has it is left alone`, async () => {
    const node = await start(1);
    await node.place(attempt(3));
    await node.commit('cam', state);
    await node.clock.advance(60_000);
    assert.equal([node.processes[0]?.killed, node.agent.view().running], [[], 1]);
  });

for (const [what, state] of [
  ['another has followed', stateOf({ run: 1, attempt: 4 })],
  ['was given up', stateOf({ run: 1, attempt: 3 }, { phase: 'backoff' })],
  ['runs elsewhere', stateOf({ run: 1, attempt: 3 }, { phase: 'running', node: 'n2' })],
  ['belongs to an earlier run', stateOf({ run: 2, attempt: 3 })],
  ['has no scenario any more', null],
] as const)
  test(`A8: an attempt that ${what} is ended, its slot is free, and nobody is told`, async () => {
    const node = await start(1);
    await node.place(attempt(3));
    await node.commit('cam', state);
    await node.clock.advance(LIMITS.wantedMs);
    assert.equal(node.processes[0]?.killed, ['SIGKILL']);
    assert.equal(await node.reports(), []);
    assert.equal([node.agent.view().running, node.world.views.at(-1)?.running], [0, 0]);
    assert.is((await node.stop(attempt(3), 'kill')).kind, 'gone', 'to whoever still wants it ended');
  });

test('A8: an attempt whose scenario has left nothing is ended; while that cannot be read it is left alone', async () => {
  const node = await start();
  await node.place(attempt(1));
  await node.store.delete('scenario.cam', (await node.store.get('scenario.cam'))?.revision ?? 0);
  node.world.answers = false;
  await node.clock.advance(60_000);
  assert.equal(node.processes[0]?.killed, []);
  node.world.answers = true;
  await node.clock.advance(LIMITS.wantedMs);
  assert.equal(node.processes[0]?.killed, ['SIGKILL']);
});

test.run();
