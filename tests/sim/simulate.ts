/**
 * One run of a plan: the storm, then calm until everything that was wanted is done, then whatever the checkers say of it.
 *
 * SI1 A run is a function of its plan: no real time, no chance but the seed's, nothing left over from the run before.
 */
import type { ScenarioVerb } from '../../src/actors/ports/gateway.ts';
import { type ScenarioDoc, transitions } from '../../src/domain/scenario-doc.ts';
import { CHECKERS, type PromiseName } from './checkers.ts';
import type { Decision } from './faults.ts';
import { type Ending, type Evidence } from './history.ts';
import { type Deed, type Plan, requestOf, type ScenarioPlan } from './storm.ts';
import { Trace } from './trace.ts';
import { FRAME_MS, World } from './world.ts';

/**
 * The most that everything may take when nothing goes wrong any more, beside the videos themselves: what is late arrives (6 s), a
 * dead owner is told and its partitions are claimed (10 s), a stalled runner is told (15 s), is put off once (10 s), its longest
 * back-off (2 s), and a shutdown that nobody answers (5 s).
 */
const CALM_MS = 50_000;
const LOOK_MS = 1_000;
/** For what is still on its way when faults end, and when everything is done. */
const END_MS = 6_000;
/** For a runner that was left: its node is told again and again. */
const LEFT_MS = 20_000;

export interface Violation {
  readonly promise: PromiseName;
  readonly what: string;
}

export interface Outcome {
  readonly plan: Plan;
  readonly violations: readonly Violation[];
  /** Faults met, and strikes that hit something. */
  readonly met: readonly Decision[];
  readonly trace: Trace;
  readonly evidence: Evidence;
}

export async function simulate(plan: Plan): Promise<Outcome> {
  const trace = new Trace();
  const world = new World(plan, trace);
  try {
    world.startAll();
    for (const { atMs, deed } of plan.strikes) {
      await world.clock.advanceTo(atMs);
      strike(world, deed);
    }
    await world.clock.advanceTo(plan.stormMs);
    world.calm();
    const ending = await settle(world);
    const evidence = { plan, history: world.history, ending };
    const violations = Object.entries(CHECKERS).flatMap(([promise, check]) =>
      check(evidence).map(what => ({ promise: promise as PromiseName, what })),
    );
    return { plan, violations, met: world.weather.met, trace, evidence };
  } finally {
    world.close();
    await world.clock.settle();
  }
}

function strike(world: World, deed: Deed): void {
  const { clock } = world;
  const later = (forMs: number, work: () => void): void => void clock.timer(forMs, work);
  switch (deed.kind) {
    case 'kill runner':
      for (const runner of world.runners(deed.scenario)) runner.kill();
      break;
    case 'freeze runner':
      for (const { process } of world.runners(deed.scenario)) {
        world.note(process.name, 'is frozen');
        process.freeze();
        later(deed.forMs, () => process.thaw());
      }
      break;
    case 'cut runner':
      for (const { process } of world.runners(deed.scenario)) world.cut(process, deed.forMs);
      break;
    case 'kill node':
      world.killNode(deed.node, deed.forMs);
      break;
    case 'freeze node': {
      const process = world.node(deed.node)?.process;
      if (process === undefined) break;
      world.note(process.name, 'is frozen');
      process.freeze();
      later(deed.forMs, () => process.thaw());
      break;
    }
    case 'cut node': {
      const process = world.node(deed.node)?.process;
      if (process !== undefined) world.cut(process, deed.forMs);
      if (deed.runners)
        for (const runner of world.runners())
          if (runner.process.machine === deed.node) world.cut(runner.process, deed.forMs);
      break;
    }
    case 'sever':
      if (deed.a !== deed.b) world.sever(deed.a, deed.b, deed.forMs);
      break;
    case 'stop node':
      void world.stopNode(deed.node, deed.forMs).catch(error => world.defects.push(`stop: ${String(error)}`));
      break;
    case 'drain node': {
      const node = world.node(deed.node);
      world.note(deed.node, 'is drained');
      void node?.drain(true);
      later(deed.forMs, () => void node?.drain(false));
      break;
    }
    case 'crash server':
      world.crashServer(deed.forMs);
      break;
    case 'kill everything':
      world.crashServer(deed.forMs);
      for (const { plan } of world.nodes) world.killNode(plan.name, deed.forMs);
      break;
    case 'copy store':
      world.copyStore();
      break;
    case 'restore store':
      world.crashServer(deed.forMs);
      if (deed.everything) for (const { plan } of world.nodes) world.killNode(plan.name, deed.forMs);
      world.restoreStore();
      break;
    case 'slow disk':
      world.slow(deed.ms, deed.forMs);
      break;
    case 'jump clock':
      world.jump(deed.node, deed.byMs);
      break;
    case 'command':
      command(world, deed);
      break;
    case 'stray':
      world.publish(deed.subject, deed.body);
      break;
  }
}

function command(world: World, { scenario, verb, body, way }: Extract<Deed, { kind: 'command' }>): void {
  if (way.kind === 'api') {
    world.ask(way.node, scenario, verb as ScenarioVerb, body, way.key);
    return;
  }
  for (let time = 0; time < way.times; time++)
    world.publish(`troupe.cmd.scenario.${scenario}.${verb}`, JSON.stringify(body));
}

/** Until everything is done, and through the night. */
async function settle(world: World): Promise<Ending> {
  const { clock, plan } = world;
  const calmAt = clock.monotonic();
  await clock.advance(END_MS);
  const boundMs = CALM_MS + plan.scenarios.reduce((sum, { frames }) => sum + frames * FRAME_MS, 0);
  const seen = new Map<string, string>();
  let done = false;
  while (!done && clock.monotonic() < calmAt + boundMs) {
    await wish(world, seen);
    await clock.advance(LOOK_MS);
    done = await isDone(world);
  }
  const tookMs = clock.monotonic() - calmAt;
  if (done && plan.nightMs > 0) {
    world.weather.rise();
    await clock.advance(plan.nightMs);
    world.weather.calm();
    await clock.advance(30_000);
    done = await isDone(world);
  }
  await clock.advance(END_MS);
  if (world.runners().length > 0) await clock.advance(LEFT_MS);
  return { ...endingOf(world), converged: done, tookMs };
}

/** Somebody asks for what he wants, once, and again only where it has come to rest anew and is not that. */
async function wish(world: World, seen: Map<string, string>): Promise<void> {
  const docs = await docsOf(world);
  for (const scenario of world.plan.scenarios) {
    const { id, wanted } = scenario;
    const doc = docs.get(id) ?? null;
    const rest =
      doc === null ? 'not there' : doc.state === 'inactive' ? `${transitions(doc).at(-1)?.n}` : 'not at rest';
    if (rest === seen.get(id)) continue;
    seen.set(id, rest);
    if (isAsWanted(scenario, doc)) continue;
    const order = (verb: string, body: unknown): void =>
      world.publish(`troupe.cmd.scenario.${id}.${verb}`, JSON.stringify(body));
    if (wanted === 'completed') order('start', doc === null ? requestOf(scenario) : {});
    else if (doc?.state !== 'inactive') order('stop', {});
    else order('delete', {});
  }
}

async function isDone(world: World): Promise<boolean> {
  const docs = await docsOf(world);
  return (
    world.plan.scenarios.every(scenario => isAsWanted(scenario, docs.get(scenario.id) ?? null)) &&
    world.nodes.length === world.plan.nodes.length
  );
}

function isAsWanted({ wanted, poison }: ScenarioPlan, doc: ScenarioDoc | null): boolean {
  if (doc === null) return wanted !== 'completed';
  if (wanted === 'deleted' || doc.state !== 'inactive' || doc.deleting !== null) return false;
  if (doc.segments.some(segment => segment.reaping.length > 0)) return false;
  return wanted === 'stopped' || doc.outcome === 'completed' || (poison !== null && doc.outcome === 'failed');
}

async function docsOf(world: World): Promise<ReadonlyMap<string, ScenarioDoc | null>> {
  const docs = new Map<string, ScenarioDoc | null>();
  for (const { id } of world.plan.scenarios) docs.set(id, await world.doc(id));
  return docs;
}

function endingOf(world: World): Omit<Ending, 'converged' | 'tookMs'> {
  return {
    shown: world.nodes.flatMap(({ plan: { name } }) => {
      const projection = world.projection(name);
      if (projection === null) return [];
      return world.plan.scenarios.flatMap(({ id }) =>
        projection.runs(id).map(run => ({
          node: name,
          scenario: id,
          run,
          predictions: [...projection.pages(id, run, 0)].flat(),
          ended: projection.heads(id, run).some(({ ended }) => ended),
        })),
      );
    }),
    mirrored: world.nodes.flatMap(({ plan: { name }, mirror }) =>
      [...(mirror?.list() ?? [])].map(({ id, state, run }) => ({ node: name, id, state, run })),
    ),
    defects: world.defects,
  };
}
