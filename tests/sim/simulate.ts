/**
 * One run of a plan: the storm, then calm until everything that was wanted is done, then whatever the checkers say of it.
 *
 * SI1 A run is a function of its plan: no real time, no chance but the seed's, nothing left over from the run before.
 */
import type { ScenarioVerb } from '../../src/actors/ports/gateway.ts';
import { TroupeError } from '../../src/domain/errors.ts';
import { type ScenarioDoc, transitions } from '../../src/domain/scenario-doc.ts';
import { CHECKERS, type PromiseName } from './checkers.ts';
import type { Decision } from './faults.ts';
import { type Ending, type Evidence } from './history.ts';
import type { SimProcess } from './process.ts';
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
  readonly met: readonly Decision[];
  /** The strikes that met somebody. */
  readonly struck: readonly Deed['kind'][];
  readonly trace: Trace;
  readonly evidence: Evidence;
}

export async function simulate(plan: Plan): Promise<Outcome> {
  const trace = new Trace();
  const world = new World(plan, trace);
  const struck: Deed['kind'][] = [];
  try {
    world.startAll();
    for (const { atMs, deed } of plan.strikes) {
      await world.clock.advanceTo(atMs);
      if (strike(world, deed)) struck.push(deed.kind);
    }
    await world.clock.advanceTo(plan.stormMs);
    world.calm();
    const ending = await settle(world);
    const evidence = { plan, history: world.history, ending };
    const violations = Object.entries(CHECKERS).flatMap(([promise, check]) =>
      check(evidence).map(what => ({ promise: promise as PromiseName, what })),
    );
    return { plan, violations, met: world.weather.met, struck, trace, evidence };
  } finally {
    world.close();
    await world.clock.settle();
  }
}

/** @returns whether it met somebody */
function strike(world: World, deed: Deed): boolean {
  const { clock } = world;
  const later = (forMs: number, work: () => void): void => void clock.timer(forMs, work);
  const freeze = (process: SimProcess, forMs: number): void => {
    world.note(process.name, 'is frozen');
    process.freeze();
    later(forMs, () => process.thaw());
  };
  switch (deed.kind) {
    case 'kill runner': {
      const runners = world.runners(deed.scenario);
      for (const runner of runners) runner.kill();
      return runners.length > 0;
    }
    case 'freeze runner': {
      const runners = world.runners(deed.scenario);
      for (const { process } of runners) freeze(process, deed.forMs);
      return runners.length > 0;
    }
    case 'cut runner': {
      const runners = world.runners(deed.scenario);
      for (const { process } of runners) world.cut(process, deed.forMs);
      return runners.length > 0;
    }
    case 'kill node':
      return world.killNode(deed.node, deed.forMs);
    case 'freeze node': {
      const process = world.node(deed.node)?.process;
      if (process === undefined) return false;
      freeze(process, deed.forMs);
      return true;
    }
    case 'cut node': {
      const process = world.node(deed.node)?.process;
      if (process !== undefined) world.cut(process, deed.forMs);
      if (deed.runners)
        for (const runner of world.runners())
          if (runner.process.machine === deed.node) world.cut(runner.process, deed.forMs);
      return process !== undefined;
    }
    case 'sever':
      if (deed.a !== deed.b) world.sever(deed.a, deed.b, deed.forMs);
      return deed.a !== deed.b;
    case 'stop node': {
      const isThere = world.node(deed.node) !== null;
      void world.stopNode(deed.node, deed.forMs).catch(error => {
        // One that finds its name taken, or no server, has said so.
        if (!(error instanceof TroupeError)) world.defects.push(`stop: ${String(error)}`);
      });
      return isThere;
    }
    case 'drain node': {
      const node = world.node(deed.node);
      world.note(deed.node, 'is drained');
      void node?.drain(true);
      later(deed.forMs, () => void node?.drain(false));
      return node !== null;
    }
    case 'crash server':
      return world.crashServer(deed.forMs);
    case 'kill everything':
      for (const { plan } of world.nodes) world.killNode(plan.name, deed.forMs);
      return world.crashServer(deed.forMs);
    case 'copy store':
      world.copyStore();
      return true;
    case 'restore store':
      if (!world.hasCopy) return false;
      world.crashServer(deed.forMs);
      if (deed.everything) for (const { plan } of world.nodes) world.killNode(plan.name, deed.forMs);
      world.restoreStore();
      return true;
    case 'slow disk':
      world.slow(deed.ms, deed.forMs);
      return true;
    case 'jump clock':
      world.jump(deed.node, deed.byMs);
      return true;
    case 'command':
      return command(world, deed);
    case 'stray':
      return world.publish(deed.subject, deed.body);
  }
}

function command(world: World, { scenario, verb, body, way }: Extract<Deed, { kind: 'command' }>): boolean {
  if (way.kind === 'api') return world.ask(way.node, scenario, verb as ScenarioVerb, body, way.key);
  let isHeard = false;
  for (let time = 0; time < way.times; time++)
    isHeard = world.publish(`troupe.cmd.scenario.${scenario}.${verb}`, JSON.stringify(body)) || isHeard;
  return isHeard;
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
    const order = (verb: string, body: unknown): boolean =>
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
