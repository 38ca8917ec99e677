/** Whatever comes in, a parser takes it or refuses it as it says: the corpus, and the same cases on every commit. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fuzz, missing, told } from './edge.ts';
import { PARSERS } from './edges.ts';

const test = suite('parsers');
/** One and the same: what is red is this commit's doing. A long run (`npm run fuzz`) takes another each time. */
const SEED = 1;

for (const edge of PARSERS) {
  test(`${edge.name}: ${edge.promise} (${edge.cases} cases from seed ${SEED}, and the corpus)`, async () => {
    const report = await fuzz(edge, { cases: edge.cases, seed: SEED });
    console.log(`\n  ${told(report)}`);
    assert.equal(
      report.failures.map(({ of }) => of),
      [],
    );
    assert.equal(missing(edge, report), []);
  });
}

test.run();
