/**
 * One run of a plan: the storm, then calm until everything that was wanted is done, then whatever the checkers say of it.
 *
 * SI1 A run is a function of its plan: no real time, no chance but the seed's, nothing left over from the run before.
 */
import type { ScenarioVerb } from '../../src/actors/ports/gateway.ts';
import type { ScenarioDoc } from '../../src/domain/scenario-doc.ts';
import { CHECKERS, type Promise_ } from './checkers.ts';
import type { Decision } from './faults.ts';
import { type Ending, type Evidence } from './history.ts';
import { type Deed, type Plan, requestOf } from './storm.ts';
import { Trace } from './trace.ts';
import { World } from './world.ts';

/** The most that everything may take when nothing goes wrong any more. */
export const CALM_MS = 240_000;
const LOOK_MS = 1_000;
/** For what is still on its way when everything is done. */
const END_MS = 6_000;
/** Somebody asks again for what he wants at each such look. */
const ASK_LOOKS = 5;

export interface Violation {
  readonly promise: Promise_;
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
      check(evidence).map(what => ({ promise: promise as Promise_, what })),
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
  let done = false;
  for (let look = 0; !done && clock.monotonic() < calmAt + CALM_MS; look++) {
    if (look % ASK_LOOKS === 0) await wish(world);
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
  return { ...endingOf(world), converged: done, tookMs };
}

/** Whatever is not completed is to go on; what is not there any more is to begin anew. */
async function wish(world: World): Promise<void> {
  const docs = await docsOf(world);
  for (const scenario of world.plan.scenarios) {
    const { id, poison } = scenario;
    const doc = docs.get(id) ?? null;
    if (doc?.outcome === 'completed' && doc.state === 'inactive' && doc.deleting === null) continue;
    if (poison !== null && doc?.outcome === 'failed') continue;
    const body = doc === null ? requestOf(scenario) : {};
    world.publish(`troupe.cmd.scenario.${id}.start`, JSON.stringify(body));
  }
}

async function isDone(world: World): Promise<boolean> {
  if (world.runners().length > 0) return false;
  const docs = await docsOf(world);
  for (const { id, poison } of world.plan.scenarios) {
    const doc = docs.get(id) ?? null;
    if (doc?.state !== 'inactive' || doc.deleting !== null) return false;
    if (doc.segments.some(segment => segment.reaping.length > 0)) return false;
    if (doc.outcome !== 'completed' && !(poison !== null && doc.outcome === 'failed')) return false;
  }
  return world.nodes.length === world.plan.nodes.length;
}

async function docsOf(world: World): Promise<ReadonlyMap<string, ScenarioDoc | null>> {
  const docs = new Map<string, ScenarioDoc | null>();
  for (const { id } of world.plan.scenarios) docs.set(id, await world.doc(id));
  return docs;
}

function endingOf(world: World): Omit<Ending, 'converged' | 'tookMs'> {
  const lives = world.history.logs().filter(life => !life.purged);
  return {
    alive: world.runners().map(({ process }) => process.name),
    shown: world.nodes.flatMap(({ plan: { name } }) => {
      const projection = world.projection(name);
      if (projection === null) return [];
      return lives.map(({ scenario, run }) => ({
        node: name,
        scenario,
        run,
        frames: [...projection.pages(scenario, run, 0)].flatMap(page => page.map(({ frame }) => frame)),
        ended: projection.heads(scenario, run).some(({ ended }) => ended),
      }));
    }),
    mirrored: world.nodes.flatMap(({ plan: { name }, mirror }) =>
      [...(mirror?.list() ?? [])].map(({ id, state, run }) => ({ node: name, id, state, run })),
    ),
    defects: world.defects,
  };
}
