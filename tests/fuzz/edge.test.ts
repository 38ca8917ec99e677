/** The fuzzer itself, on an edge that breaks its promise for a zero in the middle of what it is given. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Edge, fuzz, missing, told } from './edge.ts';
import { mutateBytes, mutateJson, mutateLines } from './mutations.ts';

const test = suite('fuzzer');
const folder = mkdtempSync(path.join(tmpdir(), 'troupe-fuzzer-'));
test.after(() => rmSync(folder, { recursive: true, force: true }));

const SEED = Buffer.from('{"a":[1,"two",null],"b":{"c":true}}');
const isBad = (input: Buffer): boolean => input.includes(0);

function edge(tried: string[] = []): Edge {
  return {
    name: 'test',
    promise: 'holds no zero',
    cases: 300,
    outcomes: ['good', 'never seen'],
    async open() {
      return {
        seeds: [SEED],
        mutate: (seed, chance) => mutateBytes(seed, chance),
        judge(input) {
          tried.push(input.toString('latin1'));
          if (isBad(input)) throw new Error('a zero');
          return 'good';
        },
        async [Symbol.asyncDispose]() {},
      };
    },
  };
}

test('FZ1: the same seed makes the same inputs, and each case alone is what it was among the others', async () => {
  const [all, again, third]: [string[], string[], string[]] = [[], [], []];
  await fuzz(edge(all), { cases: 5, seed: 7, folder });
  await fuzz(edge(again), { cases: 5, seed: 7, folder });
  await fuzz(edge(third), { cases: 1, seed: 9, folder });
  assert.equal(again, all);
  assert.equal(third, all.slice(2, 3));
});

test('FZ3: an input that breaks a promise is written down, with how to try it again and how to keep it', async () => {
  const { failures, ...rest } = await fuzz(edge(), { cases: 300, seed: 1, folder });
  const [first] = failures;
  assert.ok(first !== undefined && isBad(readFileSync(first.file)));
  const text = told({ failures, ...rest });
  const number = /^seed (\d+)$/.exec(first.of)?.[1];
  assert.match(text, `npm run fuzz -- --edge test --seed ${number} --cases 1`);
  assert.match(text, 'tests/fuzz/corpus/test/');
  const alone = await fuzz(edge(), { cases: 1, seed: Number(number), folder });
  assert.is(alone.failures.length, 1);
});

test('FZ5: an outcome that never comes is told', async () => {
  const all = edge();
  assert.equal(missing(all, await fuzz(all, { cases: 300, seed: 1, folder })), ['never seen']);
});

test('each way to change an input changes it, the same for the same chance', () => {
  for (const change of [
    mutateBytes,
    mutateJson,
    (...[seed, chance, all]: Parameters<typeof mutateJson>) => mutateLines(seed, chance, all, ['word']),
  ]) {
    const results = new Set<string>();
    for (let i = 0; i < 50; i++) {
      const chance = () => ({ float: sequence(i) });
      const one = (change as typeof mutateJson)(SEED, chance(), [SEED]);
      assert.equal((change as typeof mutateJson)(SEED, chance(), [SEED]), one);
      results.add(one.toString('latin1'));
    }
    assert.ok(results.size > 25, `${results.size} of 50`);
  }
});

/** Some numbers between 0 and 1, others for each i. */
function sequence(i: number): () => number {
  let at = i + 1;
  return () => (at = (at * 16_807) % 2_147_483_647) / 2_147_483_647;
}

test.run();
