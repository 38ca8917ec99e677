/** What hangs while nobody can reach its node: too rare in storms to count on a seed that meets it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { decisionId } from './faults.ts';
import { simulate } from './simulate.ts';
import { type NodePlan, type Plan, quietPlan, requestOf, type ScenarioPlan } from './storm.ts';

const test = suite('runners that hang');

const node = (name: string, roles: NodePlan['roles']): NodePlan => ({
  name,
  roles,
  slots: 1,
  wallOffsetMs: 0,
  rate: 1,
});
const NODES = [node('n1', ['runner']), node('n2', ['orchestrator', 'runner', 'api'])];

const scenario: ScenarioPlan = {
  id: 'a',
  frames: 40,
  poison: null,
  onFrameError: 'fail',
  wanted: 'completed',
  restart: { intensity: 1000, periodMs: 1000 },
};

/** A call that hangs at this seed, some two seconds after the start, at a rate at which every call of its kind meets a fault. */
const HANGS = [
  { operation: 'decoder.decode', turn: 14, rate: 2 },
  { operation: 'inference.infer', turn: 14, rate: 10 },
] as const;

for (const { operation, turn, rate } of HANGS)
  test(`A8: a runner whose ${operation} hangs while its node is cut off for longer than the silence is ended when the node is back`, async () => {
    const runner = 'a.1.0.1@n1#1';
    const plan: Plan = {
      ...quietPlan(1, NODES),
      scenarios: [scenario],
      rate,
      operations: [operation],
      only: [decisionId(runner, operation, turn)],
      strikes: [
        {
          atMs: 0,
          deed: {
            kind: 'command',
            scenario: 'a',
            verb: 'start',
            body: requestOf(scenario),
            way: { kind: 'bare', times: 1 },
          },
        },
        { atMs: 4_000, deed: { kind: 'cut node', node: 'n1', forMs: 8_000, runners: true } },
      ],
      stormMs: 14_000,
    };
    const { violations, met, evidence } = await simulate(plan);
    const { all } = evidence.history;
    assert.equal(
      met.map(({ fault }) => fault),
      ['stuck'],
    );
    assert.equal(
      all.flatMap(event => (event.kind === 'launched' ? event.process : [])),
      [runner, 'a.1.0.2@n2#1'],
    );
    const died = all.find(event => event.kind === 'died' && event.process === runner);
    assert.ok(died !== undefined && died.atMs >= 12_000, `it ended at ${died?.atMs} ms; its node was back at 12,000`);
    assert.equal(violations, []);
  });

test.run();
