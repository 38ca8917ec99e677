/** The mirror lists scenarios in order of id, whatever comes and goes. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ScenarioMirror } from '../../src/actors/gateway/scenario-mirror.ts';
import type { ScenarioDoc } from '../../src/domain/scenario-doc.ts';
import { BUCKETS } from '../../src/domain/subjects.ts';
import { MemoryServer } from '../../src/infra/memory/memory-server.ts';
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';
import { Play } from '../scenario/play.ts';

const test = suite('scenario order');

const docOf = (id: string): ScenarioDoc => {
  const play = new Play(id);
  play.create();
  return play.doc;
};

test('what exists is listed in order of id, each as last learnt', () => {
  const docs = new Map(['a', 'B', 'c1', 'c10', 'c2'].map(id => [id, docOf(id)]));
  const change = fc.tuple(fc.constantFrom(...docs.keys()), fc.boolean(), fc.boolean());
  fc.assert(
    fc.property(fc.array(change, { maxLength: 20 }), changes => {
      const clock = new VirtualClock();
      const server = new MemoryServer({ clock, partitions: 16 });
      const mirror = new ScenarioMirror(
        server.stateStore(BUCKETS.state),
        clock,
        { scenarios: () => [], forget: () => {} },
        () => {},
      );
      const expected = new Set<string>();
      changes.forEach(([id, exists, look], i) => {
        mirror.learn(id, exists ? (docs.get(id) ?? null) : null, i + 1);
        if (exists) expected.add(id);
        else expected.delete(id);
        if (look)
          assert.equal(
            Array.from(mirror.list(), doc => doc.id),
            [...expected].toSorted(),
          );
      });
    }),
    { seed: 3 },
  );
});

test.run();
