/** Supervisors that run, over random trees and blows: against a small model of OTP's prose, and against what must never be. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ExitReason } from '../../src/actors/runtime/exit-reason.ts';
import { type Branch, blows, type Deed, Grove, nodesOf, type TreeSpec, trees } from './supervision-tree.ts';

const test = suite('Supervision trees');
const RUNS = 1_000;

interface Row {
  readonly node: TreeSpec;
  /** null: down. */
  up: Team | 'worker' | null;
}

interface Team {
  readonly branch: Branch;
  readonly table: Row[];
  readonly restarts: number[];
}

/** OTP's prose as plain recursion: no turns, no promises, one blow at a time, everybody ends at once when asked. */
class Model {
  readonly diary: string[] = [];
  readonly failing = new Map<string, number>();
  readonly root: Row;
  now = 0;

  constructor(branch: Branch) {
    this.root = { node: branch, up: null };
    this.#start(this.root);
  }

  /** The row of a node that is up, and the teams above it, the nearest first. */
  find(id: string, row = this.root, above: readonly Row[] = []): { row: Row; above: readonly Row[] } | null {
    if (row.node.id === id) return row.up === null ? null : { row, above };
    if (row.up === null || row.up === 'worker') return null;
    for (const child of row.up.table) {
      const found = this.find(id, child, [row, ...above]);
      if (found !== null) return found;
    }
    return null;
  }

  strike(id: string, reason: ExitReason): void {
    const found = this.find(id);
    if (found === null) return;
    const { row, above } = found;
    if (row.up !== 'worker') this.#end(row, reason === 'shutdown' ? 'ask' : 'kill');
    row.up = null;
    let [ended, why]: [Row, ExitReason] = [
      row,
      row.node.kind === 'worker' || reason === 'shutdown' ? reason : 'killed',
    ];
    for (const parent of above) {
      if (parent.up === null || parent.up === 'worker' || this.#copes(parent.up, ended, why)) return;
      parent.up = null; // gave up
      [ended, why] = [parent, 'shutdown'];
    }
  }

  /** @returns false when the team gave up */
  #copes(team: Team, ended: Row, reason: ExitReason): boolean {
    const { strategy, intensity, periodMs } = team.branch.flags;
    const abnormal = reason !== 'normal' && reason !== 'shutdown';
    const { restart } = ended.node;
    if (restart === 'temporary' || (restart === 'transient' && !abnormal)) {
      if (restart === 'temporary' || strategy === 'simple_one_for_one') team.table.splice(team.table.indexOf(ended), 1);
      return true;
    }
    for (let cause: Row | undefined = ended; cause !== undefined; ) {
      team.restarts.push(this.now);
      if (team.restarts.filter(at => at >= this.now - periodMs).length > intensity) {
        this.#endAll(team.table);
        return false;
      }
      const { table } = team;
      const at = table.indexOf(cause);
      const hit: Row[] =
        strategy === 'one_for_all'
          ? [...table]
          : strategy === 'rest_for_one'
            ? table.slice(at)
            : table.slice(at, at + 1);
      this.#endAll(hit);
      const back = hit.filter(row => row.node.restart !== 'temporary');
      for (const row of hit) if (!back.includes(row)) table.splice(table.indexOf(row), 1);
      cause = back.find(row => !this.#start(row));
    }
    return true;
  }

  #start(row: Row): boolean {
    const { node } = row;
    if (node.kind === 'worker') {
      const failures = this.failing.get(node.id) ?? 0;
      this.failing.set(node.id, Math.max(0, failures - 1));
      this.diary.push(`${failures > 0 ? 'fail' : 'start'} ${node.id}`);
      if (failures > 0) return false;
      row.up = 'worker';
      return true;
    }
    const table = node.children.map((child): Row => ({ node: child, up: null }));
    const done = table.every(child => this.#start(child));
    if (!done) this.#endAll(table);
    row.up = done ? { branch: node, table, restarts: [] } : null;
    return done;
  }

  #endAll(rows: readonly Row[]): void {
    for (const row of rows.toReversed()) this.#end(row, row.node.shutdown === 'brutal_kill' ? 'kill' : 'ask');
  }

  #end(row: Row, how: 'ask' | 'kill'): void {
    if (row.up === 'worker') this.diary.push(`${how} ${row.node.id}`);
    else if (how === 'kill') for (const child of row.up?.table.toReversed() ?? []) this.#end(child, 'kill');
    else this.#endAll(row.up?.table ?? []);
    row.up = null;
  }
}

/** The tables of a running tree, as text. */
const shown = (rows: readonly { id: string; state: string; children: readonly unknown[] }[]): string =>
  rows
    .map(({ id, state, children }) => `${id} ${state} (${shown(children as Parameters<typeof shown>[0])})`)
    .join(', ');
const modelled = (row: Row): string =>
  row.up === null || row.up === 'worker'
    ? ''
    : row.up.table.map(c => `${c.node.id} ${c.up === null ? 'terminated' : 'running'} (${modelled(c)})`).join(', ');

test('S1–S3, V1–V5: blow by blow, supervisors do to their children what OTP’s prose says, and no more', async () => {
  await fc.assert(
    fc.asyncProperty(trees(3, false), blows, async (tree, script) => {
      const grove = new Grove();
      const root = await grove.start(tree);
      const model = new Model(tree);
      const nodes = nodesOf(tree).slice(1);
      for (const { target, reason, failing, waitMs } of script) {
        const node = nodes[target % nodes.length];
        const other = nodes[failing.target % nodes.length];
        if (node === undefined) break;
        if (other?.kind === 'worker')
          for (const { failing: of } of [grove, model]) of.set(other.id, (of.get(other.id) ?? 0) + failing.times);
        grove.strike(node, reason);
        model.strike(node.id, reason);
        await grove.clock.settle();
        assert.equal(grove.diary.splice(0), model.diary.splice(0));
        if (model.root.up === null) {
          assert.is(await root.exited, 'shutdown');
          assert.is(grove.alive.size, 0);
        } else assert.is(shown(root.tree()), modelled(model.root));
        assert.is(grove.clock.pending, 0);
        await grove.clock.advance(waitMs);
        model.now += waitMs;
      }
    }),
    { numRuns: RUNS, includeErrorInReport: true },
  );
});

/** What has happened to one incarnation of a supervisor. */
interface Watched {
  killed: boolean;
  readonly since: number;
  /** Starts begun, by child. */
  readonly begun: Map<string, number>;
  /** Children in the order of their first start. */
  readonly order: string[];
}

/** Sees every deed in a tree and objects to what must never be. */
class Witness {
  readonly #parents = new Map<string, Branch>();
  readonly #watched = new Map<string, Watched>();
  /** When each was asked to end. */
  readonly #asked = new Map<string, number>();
  readonly #root: Branch;
  grove: Grove | null = null;
  /** First objection: what is thrown inside a supervisor's turn would be taken for a failed start. */
  objection: string | null = null;

  constructor(root: Branch) {
    this.#root = root;
    for (const node of nodesOf(root)) {
      if (node.kind === 'supervisor') for (const child of node.children) this.#parents.set(child.id, node);
    }
    this.#renew(root);
  }

  see(deed: Deed, node: TreeSpec): void {
    if (deed === 'fail') return;
    if (node === this.#root) {
      this.#kill(node);
      return;
    }
    const parent = this.#parents.get(node.id) ?? this.#root;
    const watched = this.#watched.get(parent.id);
    if (watched === undefined) return;
    if (deed === 'start') this.#started(node, parent, watched);
    else this.#ended(deed, node, parent, watched);
  }

  #started(node: TreeSpec, { id, flags, children }: Branch, { since, killed, begun, order }: Watched): void {
    this.#demand(!killed, `${node.id} is started by ${id}, which was killed`);
    this.#demand(!this.#runs(node), `${node.id} runs twice`);
    this.#asked.delete(node.id);
    const now = this.grove?.clock.monotonic() ?? 0;
    const starts = begun.get(node.id) ?? 0;
    const index = children.indexOf(node);
    if (starts === 0) {
      order.push(node.id);
      this.#demand(children[order.length - 1] === node, `${node.id} is not started in order`);
    } else {
      this.#demand(node.restart !== 'temporary', `${node.id} is temporary and is restarted`);
      // Its supervisor decides earlier than it starts, so only the whole of its time can be counted up.
      const periods = Math.floor((now - since) / flags.periodMs) + 1;
      this.#demand(starts <= flags.intensity * periods, `${id} restarts ${node.id} more often than it may`);
    }
    if (flags.strategy === 'one_for_all' || flags.strategy === 'rest_for_one') {
      const later = children.slice(index + 1).find(sibling => this.#runs(sibling));
      this.#demand(later === undefined, `${node.id} is started while ${later?.id} runs`);
    }
    begun.set(node.id, starts + 1);
    if (node.kind === 'supervisor') this.#renew(node);
  }

  #ended(deed: 'ask' | 'kill', node: TreeSpec, { flags, children }: Branch, { killed }: Watched): void {
    const now = this.grove?.clock.monotonic() ?? 0;
    const { shutdown } = node;
    if (deed === 'ask') {
      this.#demand(!killed, `${node.id} is asked by a supervisor that was killed`);
      this.#demand(shutdown !== 'brutal_kill', `${node.id} is asked`);
      this.#asked.set(node.id, now);
    } else if (!killed && !this.#struck) {
      this.#demand(shutdown !== 'infinity', `${node.id} is killed`);
      const asked = this.#asked.get(node.id);
      if (typeof shutdown === 'number')
        this.#demand(asked !== undefined && now - asked >= shutdown, `${node.id} is killed within its grace`);
    }
    if (deed === 'kill' && node.kind === 'supervisor') this.#kill(node);
    if (killed || this.#struck || flags.strategy === 'simple_one_for_one') return;
    const later = children.slice(children.indexOf(node) + 1).find(sibling => this.#runs(sibling));
    this.#demand(later === undefined, `${node.id} is to end while ${later?.id} runs`);
  }

  /** True while a blow from outside falls: not its supervisor's doing. */
  #struck = false;
  strike(node: TreeSpec, reason: ExitReason): void {
    this.#struck = true;
    this.grove?.strike(node, reason);
    this.#struck = false;
  }

  #kill(branch: Branch): void {
    const watched = this.#watched.get(branch.id);
    if (watched !== undefined) watched.killed = true;
  }

  #renew({ id }: Branch): void {
    const since = this.grove?.clock.monotonic() ?? 0;
    this.#watched.set(id, { since, killed: false, begun: new Map(), order: [] });
  }

  /** Whether anything of it runs. */
  #runs(node: TreeSpec): boolean {
    return nodesOf(node).some(
      ({ id }) => this.grove?.alive.has(id) === true || this.grove?.supervisors.has(id) === true,
    );
  }

  #demand(holds: boolean, otherwise: string): void {
    if (!holds) this.objection ??= otherwise;
  }
}

const ends = fc.constantFrom<ExitReason | null>('shutdown', 'killed', null);

test('V1–V4: whatever overlaps — slow starts and ends, blows in the middle of plans, a kill at any moment — nobody runs twice or out of order, and the end is the end of all', async () => {
  await fc.assert(
    fc.asyncProperty(trees(3, true), blows, ends, async (tree, script, end) => {
      const witness = new Witness(tree);
      const grove = new Grove((deed, node) => witness.see(deed, node));
      witness.grove = grove;
      const { clock } = grove;
      const starting = grove.start(tree);
      await clock.runUntilIdle(clock.monotonic() + 10_000);
      const root = await starting;
      let exit: ExitReason | null = null;
      void root.exited.then(reason => {
        exit = reason;
      });
      const nodes = nodesOf(tree).slice(1);
      for (const { target, reason, failing, waitMs } of script) {
        const node = nodes[target % nodes.length];
        const other = nodes[failing.target % nodes.length];
        if (node === undefined) break;
        if (other !== undefined) grove.failing.set(other.id, (grove.failing.get(other.id) ?? 0) + failing.times);
        witness.strike(node, reason);
        await clock.advance(waitMs);
      }
      if (end !== null) witness.strike(tree, end);
      assert.ok(await clock.runUntilIdle(clock.monotonic() + 100_000), 'everything comes to rest');
      assert.ok(witness.objection === null, witness.objection ?? '');
      if (end !== null) assert.ok(exit !== null);
      if (exit !== null) {
        assert.ok(exit === 'shutdown' || (exit === 'killed' && end === 'killed'), `it exited ${String(exit)}`);
        assert.equal([grove.alive.size, grove.supervisors.size, clock.pending], [0, 0, 0]);
        return;
      }
      // At rest every supervisor that runs has its permanent children.
      for (const node of nodesOf(tree)) {
        if (node.kind !== 'supervisor' || !grove.supervisors.has(node.id)) continue;
        for (const child of node.children) {
          const runs = child.kind === 'worker' ? grove.alive.has(child.id) : grove.supervisors.has(child.id);
          if (child.restart === 'permanent') assert.ok(runs, `${child.id} runs`);
        }
      }
      root.stop();
      await clock.runUntilIdle(clock.monotonic() + 100_000);
      assert.equal([exit, witness.objection, grove.alive.size, clock.pending], ['shutdown', null, 0, 0]);
    }),
    { numRuns: RUNS, includeErrorInReport: true },
  );
});

test.run();
