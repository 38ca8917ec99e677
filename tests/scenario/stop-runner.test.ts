/** The errand `stop-runner`, asked of nodes that answer as scripted. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { stopRunner } from '../../src/actors/scenario/stop-runner.ts';
import { toJson } from '../../src/domain/json.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { ANY_NODE } from '../../src/domain/scenario-doc.ts';
import { SUBJECTS } from '../../src/domain/subjects.ts';
import { MemoryServer } from '../../src/infra/memory/memory-server.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';
import { nodeView } from './node-view.ts';

const test = suite('stop-runner');

test('an attempt that any node may have taken is killed until no live runner node has it', async () => {
  const clock = new VirtualClock();
  const bus = new MemoryServer({ clock, partitions: LIMITS.partitions }).bus();
  const asked: string[] = [];
  const script: Record<string, string[]> = { a: ['unknown'], b: ['running', 'running', 'gone'], c: [] };
  for (const id of ['a', 'b', 'c'])
    bus.subscribe(SUBJECTS.control(id, 'stop'), ({ reply }) => {
      asked.push(id);
      const words = script[id] ?? [];
      if (reply !== null) bus.publish(reply, toJson({ kind: words.length > 1 ? words.shift() : words[0] }));
    });
  const nodes = [nodeView('a'), nodeView('b'), nodeView('c', { roles: ['api'] })];
  const directory = { alive: () => nodes, isGone: () => false, onCapacity: () => ({ close: () => {} }) };
  const attempt = { scenario: 'cam', run: 1, segment: 0, attempt: 1 };
  const errand = { key: 'reap', kind: 'stop-runner', body: { ...attempt, node: ANY_NODE, mode: 'kill' } };
  const { signal } = new AbortController();
  let answer: unknown = null;
  void stopRunner({ bus, clock, directory })({ kind: 'scenario', id: 'cam' }, errand, signal).then(said => {
    answer = said;
  });
  await clock.advance(300);
  assert.is(answer, null, 'one still has it');
  await clock.advance(1_000);
  assert.equal(answer, { verb: 'reaped', body: { key: 'cam.1.0.1', known: true } });
  assert.equal([asked.filter(id => id === 'b').length, asked.includes('c')], [3, false]);
});

test.run();
