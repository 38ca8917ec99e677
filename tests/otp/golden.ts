/** The golden transcripts as they lie in golden.txt: a paragraph for each script, its first line `seed N`, then its transcript. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseStep, parseTree, type Script } from './script.ts';

export const GOLDEN_FILE = path.join(import.meta.dirname, 'golden.txt');

export interface Golden {
  readonly seed: number;
  readonly lines: readonly string[];
}

export const goldenText = (golden: readonly Golden[]): string =>
  golden.map(({ seed, lines }) => `seed ${seed}\n${lines.join('\n')}\n`).join('\n');

export function readGolden(): readonly Golden[] {
  return readFileSync(GOLDEN_FILE, 'utf8')
    .trimEnd()
    .split('\n\n')
    .map(paragraph => {
      const [head = '', ...lines] = paragraph.split('\n');
      return { seed: Number(head.replace(/^seed /, '')), lines };
    });
}

/** The script that a transcript is of. */
export function scriptOf({ seed, lines }: Golden): Script {
  const [tree = '', ...steps] = lines.map(line => line.replace(/ >.*$/, ''));
  return { seed, tree: parseTree(tree), steps: steps.map(parseStep) };
}
