/**
 * Work under way, and a plan of strikes carried out against it. In the end everything that was left behind is looked through.
 *
 * ST1 While strikes come there is always work: who is done is followed by another of the next kind.
 * ST2 After each volley everything goes on by itself: every scenario commits new frames or ends, every node serves. Nothing
 *     helps it but what a user's surroundings do: who was killed from outside is started again.
 * ST3 What is read meanwhile, from any node, is the beginning of the undisturbed result.
 * ST4 In the end: every export of every API node is byte-identical to the undisturbed one and has the digest of its manifest,
 *     every promise holds (promises.ts), readers lost and repeated nothing, nothing was refused, nobody runs who should not,
 *     every node stops in good order and leaves no process.
 * ST5 What ends a storm early is a finding, and its cluster is ended all the same.
 */
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { ScenarioDoc } from '../../src/domain/scenario-doc.ts';
import { isRunning } from '../support/processes.ts';
import type { SmallDisk } from '../support/small-disk.ts';
import { waitUntil } from '../support/wait-until.ts';
import { Harness, LOOK_MS, type MarkedProcess, PATIENCE_MS } from './harness.ts';
import { type Cell, cellName, type PlanSize, planOf, type Shape, type Strike, type Volley } from './plan.ts';
import { attemptsOf, broken, GAVE_UP, movesOf } from './promises.ts';
import { type Tally, tallyOf, written } from './report.ts';

/** Short ones: recorded video with B-frames and without, every frame and some, from the start and from within. */
const KINDS: readonly { readonly name: string; readonly request: Readonly<Record<string, unknown>> }[] = [
  { name: 'all', request: { source: { uri: 'test_videos/test_video.mp4' }, model: 'shapes', sampling: { to: 399 } } },
  {
    name: 'some',
    request: { source: { uri: 'test_videos/test_video_2.webm' }, model: 'shapes', sampling: { every: 2 } },
  },
  {
    name: 'within',
    request: { source: { uri: 'test_videos/test_video.mp4' }, model: 'colorblob', sampling: { from: 150 } },
  },
];
const AT_ONCE = 2;
/** How long a strike waits for somebody to be there. */
const SOMEBODY_MS = 3_000;
/** How long servers may take to elect another leader: they wait for the old one for up to 9 s. */
const ELECTED_MS = 20_000;

/** Any number of restarts: what ends a scenario here is only that none of them got anywhere (X6): that is looked for in the log (PR8). */
const RESTARTS = { intensity: 1000, periodMs: 60_000 };

interface Job {
  readonly id: string;
  readonly kind: string;
  /** Its user stops it and will start it again. */
  stopping: boolean;
  done: boolean;
}

/** A strike that met somebody. */
export interface Met extends Strike {
  /** Who it was, for people. */
  readonly target: string;
  /** Wall clock, ms. */
  readonly at: number;
  readonly endedAt: number;
  /** Nobody else was struck in its volley. */
  readonly alone: boolean;
}

export interface Course {
  readonly shape: Shape;
  readonly cells: readonly Cell[];
  readonly size: PlanSize;
  readonly seed: number;
  readonly say: (line: string) => void;
  readonly disk?: SmallDisk | null;
  /** It may end before its plan does. */
  readonly isEnough: (soFar: Tally) => boolean;
  /** Called with its cluster, for whoever has to end it at once. */
  readonly began?: (harness: Harness) => void;
}

/** A storm from the start of its cluster to the end of it. ST5. */
export async function weathered({
  shape,
  cells,
  size,
  seed,
  say,
  disk = null,
  isEnough,
  began,
}: Course): Promise<Tally> {
  await using harness = await Harness.start(shape, say, { disk });
  began?.(harness);
  const storm = new Storm(harness, say);
  try {
    await storm.undisturbed();
    await storm.run(planOf(seed, cells, size), () => isEnough(tallyOf(storm, [])));
    return tallyOf(storm, await storm.finish());
  } catch (error) {
    return tallyOf(storm, [`ST2 ${error instanceof Error ? error.message : String(error)}`]);
  }
}

/** For a test: of `TROUPE_TEST_SEED` or any seed, which is printed, as is all else of a storm that found something. */
export async function weatheredInTest(course: Omit<Course, 'seed' | 'say'>): Promise<Tally> {
  const seed = Number(process.env['TROUPE_TEST_SEED'] ?? Math.floor(Math.random() * 1e9));
  console.log(`seed ${seed}`);
  const began = performance.now();
  const said: string[] = [];
  const say = (line: string) =>
    void said.push(`${((performance.now() - began) / 1000).toFixed(1).padStart(8)}  ${line}`);
  const tally = await weathered({ ...course, seed, say });
  if (tally.findings.length > 0) console.log(said.join('\n'));
  console.log(written(tally));
  return tally;
}

export class Storm {
  readonly harness: Harness;
  readonly jobs: Job[] = [];
  readonly met: Met[] = [];
  /** Strikes for which there was nobody when their time came: they come again with the next volley. */
  missed = 0;
  /** Scenarios that gave up and were started again. */
  gaveUp = 0;
  /** Wall clock when each volley was recovered from. */
  readonly settledAt: number[] = [];
  readonly findings: string[] = [];
  readonly #say: (line: string) => void;
  readonly #expected = new Map<string, string>();
  readonly #starting = new Set<Promise<void>>();
  readonly #owed: Strike[] = [];
  /** By pid, whom a strike has killed: nobody dies twice. */
  readonly #killed = new Set<number>();
  #looked: { readonly at: number; readonly found: readonly MarkedProcess[] } = { at: -LOOK_MS, found: [] };
  #busy = true;

  constructor(harness: Harness, say: (line: string) => void) {
    this.harness = harness;
    this.#say = say;
  }

  /** The results that nothing disturbs. */
  async undisturbed(): Promise<void> {
    const jobs = await Promise.all(KINDS.map(({ name }) => this.#create(name)));
    for (const { id, kind } of jobs) {
      await this.#patiently(`${id} has ended, undisturbed`, async () => this.#doc(id)?.state === 'inactive');
      const { text } = await this.harness.insist('GET', `/api/v1/scenarios/${id}/export`);
      this.#expected.set(kind, text);
    }
  }

  /** Carries a plan out. @param until ends it early */
  async run(plan: readonly Volley[], until: () => boolean): Promise<void> {
    for (const volley of plan) {
      if (until()) return;
      await this.#keepBusy();
      await this.#volley([...volley, ...this.#owed.splice(0)]);
    }
  }

  /** ST4. @returns what does not hold, as sentences */
  async finish(): Promise<string[]> {
    this.#busy = false;
    await this.harness.heal();
    await this.#patiently('every scenario ends', async () => {
      this.#look();
      return this.jobs.every(job => job.done);
    });
    await Promise.all(this.#starting);
    await this.#patiently('everything serves', () => this.#serves());
    const found = [...this.findings, ...this.harness.findings, ...(await this.#exports()), ...this.#promises()];
    const { harness } = this;
    const again = (await harness.readLog()).map(({ seq }) => seq);
    const read = harness.log.map(({ seq }) => seq);
    if (again.join() !== read.join())
      found.push(`ST4 a reader of the log got ${read.length} records of ${again.length}, or others`);
    const rejected = await harness.rejected();
    if (rejected > 0) found.push(`ST4 ${rejected} commands or messages were refused`);
    await this.#patiently('nobody runs', async () => {
      const { items } = JSON.parse((await harness.insist('GET', '/api/v1/nodes')).text) as {
        items: { running: number }[];
      };
      return items.every(({ running }) => running === 0);
    }).catch((error: unknown) => found.push(`ST4 ${String(error)}`));
    for (const { id } of harness.nodes.toReversed()) {
      const code = await harness.stop(id);
      if (code !== 0) found.push(`ST4 node ${id} ended with ${code} when told to: ${harness.output(id).slice(-500)}`);
    }
    await waitUntil('no process is left', () => harness.processes().length === 0).catch(() => {
      for (const { pid, role } of harness.processes()) found.push(`ST4 process ${pid} (${role}) is left`);
    });
    return found;
  }

  // ── work ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #doc(id: string): ScenarioDoc | undefined {
    return this.harness.scenarios.get(id);
  }

  async #create(kind: string): Promise<Job> {
    const job: Job = { id: `${kind}${this.jobs.length}`, kind, stopping: false, done: false };
    this.jobs.push(job);
    const { request } = KINDS.find(({ name }) => name === kind) ?? { request: {} };
    const body = { id: job.id, ...request, restart: RESTARTS };
    await this.harness.insist('POST', '/api/v1/scenarios', body, { 'idempotency-key': job.id });
    return job;
  }

  /** ST1 */
  async #keepBusy(): Promise<void> {
    this.#look();
    while (this.#busy && this.jobs.filter(job => !job.done).length < AT_ONCE)
      await this.#create(KINDS[this.jobs.length % KINDS.length]?.name ?? '');
  }

  /** Who has ended, and how. */
  #look(): void {
    for (const job of this.jobs) {
      const doc = this.#doc(job.id);
      if (job.done || job.stopping || doc?.state !== 'inactive') continue;
      if (doc.outcome === 'completed') job.done = true;
      else if (doc.outcome === 'failed' && GAVE_UP.test(doc.error?.message ?? '')) {
        this.gaveUp += 1;
        job.stopping = true;
        this.#say(`${job.id} gave up and is started again: ${doc.error?.message}`);
        const again = this.#startAgain(job).catch((error: unknown) => void this.findings.push(`ST2 ${String(error)}`));
        this.#starting.add(again);
      } else {
        job.done = true;
        this.findings.push(`ST2 ${job.id} is ${doc.outcome}: ${JSON.stringify(doc.error)} ${doc.reason}`);
      }
    }
  }

  async #startAgain(job: Job): Promise<void> {
    await this.harness.insist('POST', `/api/v1/scenarios/${job.id}/start`);
    await this.#patiently(
      `${job.id} is started`,
      async () => this.#doc(job.id)?.state !== 'inactive' || this.#doc(job.id)?.outcome === 'completed',
    );
    job.stopping = false;
  }

  // ── strikes ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** ST2, ST3 */
  async #volley(volley: Volley): Promise<void> {
    const alone = volley.length === 1;
    await Promise.all(
      volley.map(async strike => {
        await delay(strike.afterMs);
        const at = Date.now();
        const target = await this.#strike(strike);
        if (target === null) this.#miss(strike);
        else this.met.push({ ...strike, target, at, endedAt: Date.now(), alone });
        this.#say(
          `${strike.n} ${cellName(strike)}: ${target ?? 'nobody'}${target === null ? '' : ` (${strike.forMs} ms)`}`,
        );
      }),
    );
    const over = Date.now();
    const open = this.jobs.filter(job => !job.done).map(job => job.id);
    const since = this.harness.log.length;
    await this.#patiently('everything goes on', async () => {
      this.#look();
      const went = new Set(
        this.harness.log
          .slice(since)
          .flatMap(({ key, record }) => (record.kind === 'frames' || record.kind === 'end' ? [key.scenario] : [])),
      );
      const all = open.every(id => went.has(id) || this.jobs.find(job => job.id === id)?.done === true);
      return all && this.#serves();
    });
    this.settledAt.push(Date.now());
    this.#say(`   settled after ${Date.now() - over} ms`);
    await this.#prefix();
  }

  #miss(strike: Strike): void {
    this.missed += 1;
    this.#owed.push(strike);
  }

  async #serves(): Promise<boolean> {
    const { harness } = this;
    if (!harness.serving) return false;
    const ready = await Promise.all(
      harness.apis.map(({ url }) =>
        harness.ask(url, 'GET', '/readyz').then(
          ({ status }) => status === 200,
          () => false,
        ),
      ),
    );
    return ready.length > 0 && ready.every(Boolean);
  }

  /** @throws with everything that is known, when it waits in vain */
  async #patiently(sentence: string, predicate: () => Promise<boolean>): Promise<void> {
    try {
      await waitUntil(sentence, predicate, PATIENCE_MS, LOOK_MS);
    } catch (error) {
      const { harness } = this;
      const open = this.jobs.filter(job => !job.done).map(job => JSON.stringify({ ...job, doc: this.#doc(job.id) }));
      const nodes = harness.nodes.map(
        ({ id, down, ready }) =>
          `${id}${down ? ' is down' : ''}${ready ? '' : ' is not ready'}: ${harness.output(id).slice(-1500)}`,
      );
      throw new Error([String(error), ...this.findings, ...harness.findings, ...open, ...nodes].join('\n'), {
        cause: error,
      });
    }
  }

  /** @returns whom it met */
  async #strike(strike: Strike): Promise<string | null> {
    const { harness } = this;
    const { fault, victim, pick, forMs } = strike;
    if (victim === 'everything') return this.#everything(forMs);
    if (victim === 'scenario') return this.#stopAndStart(pick, forMs);
    if (victim === 'disk') return this.#fill(forMs);
    if (victim === 'server' || victim === 'leader') return this.#server(strike);
    const found = await this.#victim(strike);
    if (found === null) return null;
    const { pids, node, name } = found;
    if (fault === 'kill') {
      this.#kill(...pids);
      const isThere = (): boolean => harness.nodes.some(({ child }) => child !== null && pids.includes(child.pid));
      if (isThere() && node !== null) {
        await delay(forMs);
        await waitUntil('it is gone', () => !isThere()); // another strike may have started the node again
        harness.start(node);
      }
    } else if (fault === 'freeze') {
      harness.freeze(...pids);
      await delay(forMs);
      harness.thaw(...pids);
    } else if (fault !== 'stop' && fault !== 'fill' && node !== null) {
      const runner = victim === 'runner' ? pids[0] : undefined;
      harness.cutLink(node, fault, runner);
      await delay(forMs);
      harness.restore(node, runner);
    }
    return name;
  }

  #kill(...pids: readonly number[]): void {
    for (const pid of pids) this.#killed.add(pid);
    this.harness.kill(...pids);
  }

  /** Who was there a moment ago, looked up once for all who wait for somebody. */
  #processes(): MarkedProcess[] {
    const now = performance.now();
    if (now - this.#looked.at >= LOOK_MS) this.#looked = { at: now, found: this.harness.processes() };
    return this.#looked.found.filter(({ pid }) => !this.#killed.has(pid));
  }

  /** Whom a strike meets among processes; waits a little for one to be there. */
  async #victim({ victim, pick }: Strike): Promise<{ pids: number[]; node: string | null; name: string } | null> {
    const { harness } = this;
    const chosen = <T>(of: readonly T[]): T | undefined => of[Math.floor(pick * of.length)];
    const look = (): { pids: number[]; node: string | null; name: string } | null => {
      const processes = this.#processes();
      const alive = new Set(processes.map(({ pid }) => pid));
      const running = this.jobs.flatMap(({ id, done }) => {
        const segment = this.#doc(id)?.segments[0];
        const { pid = null, node = null } = segment ?? {};
        return done || pid === null || node === null || !alive.has(pid) ? [] : [{ id, pid, node }];
      });
      const ofNode = (id: string | null, name: string) => {
        const pid = harness.pidOf(id);
        return pid === null ? null : { pids: [pid], node: id, name };
      };
      const runner = chosen(running);
      switch (victim) {
        case 'runner':
          return runner === undefined
            ? null
            : { pids: [runner.pid], node: runner.node, name: `runner ${runner.pid} of ${runner.id} on ${runner.node}` };
        case 'decoder': {
          const below = (pid: number): number[] =>
            processes.filter(p => p.parent === pid).flatMap(p => [p.pid, ...below(p.pid)]);
          const decoders = running.flatMap(r =>
            below(r.pid).flatMap(pid =>
              processes.find(p => p.pid === pid)?.role === 'decoder' ? [{ ...r, pid }] : [],
            ),
          );
          const decoder = chosen(decoders);
          return decoder === undefined
            ? null
            : { pids: [decoder.pid], node: null, name: `decoder ${decoder.pid} of ${decoder.id}` };
        }
        case 'spare': {
          const spare = chosen(processes.filter(p => p.role === 'runner' && !running.some(r => r.pid === p.pid)));
          return spare === undefined ? null : { pids: [spare.pid], node: null, name: `spare ${spare.pid}` };
        }
        case 'keeper':
          return runner === undefined ? null : ofNode(runner.node, `node ${runner.node} with ${runner.id}`);
        case 'machine': {
          const node = runner === undefined ? null : ofNode(runner.node, `node ${runner.node} and all below`);
          const below = processes.filter(p => p.role === 'runner' && p.parent === node?.pids[0]).map(p => p.pid);
          return node === null ? null : { ...node, pids: [...node.pids, ...below] };
        }
        case 'owner':
          return runner === undefined
            ? null
            : ofNode(harness.ownerOf(runner.id), `node ${harness.ownerOf(runner.id)}, owner of ${runner.id}`);
        default: {
          const api = chosen(harness.apis);
          return api === undefined ? null : ofNode(api.id, `API node ${api.id}`);
        }
      }
    };
    const found: { pids: number[]; node: string | null; name: string }[] = [];
    await waitUntil(
      'there is somebody to strike',
      () => {
        const now = look();
        if (now === null || !now.pids.every(isRunning)) return false;
        found.push(now);
        return true;
      },
      SOMEBODY_MS,
      LOOK_MS,
    ).catch(() => {});
    return found[0] ?? null;
  }

  async #server({ fault, victim, pick, forMs }: Strike): Promise<string | null> {
    const { harness } = this;
    if (harness.shape === 'embedded') {
      const server = this.#processes().find(({ role, pid }) => role === 'server' && isRunning(pid));
      if (server === undefined) return null;
      if (fault === 'kill') this.#kill(server.pid);
      else {
        harness.freeze(server.pid);
        await delay(forMs);
        harness.thaw(server.pid);
      }
      return `nats-server ${server.pid}`;
    }
    const { servers } = harness;
    const server =
      victim === 'leader' ? await harness.leader().catch(() => undefined) : servers[Math.floor(pick * servers.length)];
    if (server === undefined || !harness.servers.includes(server)) return null;
    if (fault === 'kill') {
      await harness.killServer(server);
      await delay(forMs);
      await harness.startServer(server);
    } else if (fault === 'freeze') {
      harness.freezeServer(server);
      await delay(forMs);
      harness.thawServer(server);
    } else if (fault !== 'stop' && fault !== 'fill') {
      harness.cutRoutes(server, fault);
      const another = victim === 'leader' ? await this.#anotherThan(server) : server;
      await delay(forMs);
      harness.restoreRoutes(server);
      if (another === null) return null;
      return `nats-server ${server}, from the others${another === server ? '' : `, who elected ${another}`}`;
    }
    return `nats-server ${server}`;
  }

  /** When the others have elected one: from then on there are two who take themselves for the leader. null: they cannot now. */
  async #anotherThan(server: number): Promise<number | null> {
    const found: number[] = [];
    await waitUntil(
      `the others have another leader than ${server}`,
      async () => {
        const leader = await this.harness.leader(server);
        if (leader !== server) found.push(leader);
        return leader !== server;
      },
      ELECTED_MS,
      LOOK_MS,
    ).catch(() => {}); // another strike may have met one of them: this one comes again
    return found[0] ?? null;
  }

  async #everything(forMs: number): Promise<string> {
    const { harness } = this;
    const { servers } = harness;
    const pids = harness.processes().map(({ pid }) => pid);
    this.#kill(...pids);
    await Promise.all(servers.map(server => harness.killServer(server)));
    await delay(forMs);
    await Promise.all(servers.map(server => harness.startServer(server)));
    // Another strike may have started one of them again already.
    await waitUntil('all are gone', () =>
      harness.nodes.every(({ child }) => child === null || !pids.includes(child.pid)),
    );
    for (const { id } of harness.nodes) harness.start(id);
    return `${pids.length} processes and ${servers.length} servers`;
  }

  /** Full for a while, down to the last page, whatever is written meanwhile. */
  async #fill(forMs: number): Promise<string | null> {
    const { disk } = this.harness;
    if (disk === null) return null;
    disk.fill();
    await delay(forMs);
    disk.makeRoom();
    return `the disk of DATA`;
  }

  async #stopAndStart(pick: number, forMs: number): Promise<string | null> {
    const open = this.jobs.filter(({ done, stopping, id }) => !done && !stopping && this.#doc(id) !== undefined);
    const job = open[Math.floor(pick * open.length)];
    if (job === undefined) return null;
    job.stopping = true;
    await this.harness.insist('POST', `/api/v1/scenarios/${job.id}/stop`);
    await this.#patiently(`${job.id} is stopped`, async () => this.#doc(job.id)?.state === 'inactive');
    const { outcome } = this.#doc(job.id) ?? {};
    await delay(forMs);
    if (outcome === 'completed') job.stopping = false;
    else await this.#startAgain(job);
    return `${job.id}, which was ${outcome}`;
  }

  // ── what is looked through ──────────────────────────────────────────────────────────────────────────────────────

  /** ST3 */
  async #prefix(): Promise<void> {
    const job = this.jobs.find(({ done }) => !done);
    if (job === undefined) return;
    const expected = this.#expected.get(job.kind) ?? '';
    for (const { id, url } of this.harness.apis) {
      const answer = await this.harness.ask(url, 'GET', `/api/v1/scenarios/${job.id}/export`).catch(() => null);
      if (answer?.status === 200 && !expected.startsWith(answer.text))
        this.findings.push(`ST3 what node ${id} gave of ${job.id} meanwhile is not the beginning of its result`);
    }
  }

  async #exports(): Promise<string[]> {
    const found: string[] = [];
    for (const { id, kind } of this.jobs) {
      for (const { id: node, url } of this.harness.apis) {
        const where = `of ${id} on node ${node}`;
        const exported = await this.harness.ask(url, 'GET', `/api/v1/scenarios/${id}/export`);
        if (exported.status !== 200) found.push(`ST4 the export ${where}: ${exported.status} ${exported.text}`);
        else if (exported.text !== this.#expected.get(kind))
          found.push(`ST4 the export ${where} is not that of an undisturbed run`);
        else if (exported.headers.get('troupe-complete') !== 'true')
          found.push(`ST4 the export ${where} is not called complete`);
        const { text } = await this.harness.ask(url, 'GET', `/api/v1/scenarios/${id}/manifest`);
        const sha256 = createHash('sha256').update(exported.text).digest('hex');
        if (!text.includes(sha256)) found.push(`ST4 the manifest ${where} has another digest than its export`);
      }
    }
    return found;
  }

  #promises(): string[] {
    const { harness } = this;
    return this.jobs.flatMap(({ id, kind }) => {
      const doc = this.#doc(id);
      return broken({
        id,
        log: harness.log.filter(({ key }) => key.scenario === id),
        moves: movesOf(harness, id),
        ...attemptsOf(harness, id),
        history: doc?.history ?? [],
        outcome: doc?.outcome ?? null,
        threshold: doc?.spec.threshold ?? 0,
        expected: this.#expected.get(kind) ?? '',
      });
    });
  }
}
