/**
 * uvu in which one test is run, in whichever suites have it: what fails then is that test, and nothing else takes its time.
 * `loader.ts` puts it in the place of uvu.
 *
 * PB3 That the test began is left word of: what happens before is no failure of it.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Callback, Context, Test } from 'uvu';
import * as uvu from 'uvu';

const wanted = new URL(import.meta.url).searchParams;

function onlyOne<T>(real: Test<T>, title: string): Test<T> {
  const isSuite = title.startsWith(wanted.get('suite') ?? title);
  let has = false;
  const add = (name: string, body: Callback<T>): void => {
    if (!isSuite || name !== wanted.get('name')) return;
    has = true;
    real(name, context => {
      writeFileSync(path.join(wanted.get('trial') ?? '', 'begun'), ''); // PB3
      return body(context);
    });
  };
  const run = (): void => {
    if (has) real.run();
  };
  return Object.assign(add, { ...real, only: add, skip: () => {}, run });
}

export const suite = <T = Context>(title = '', state?: T): Test<T & Context> =>
  onlyOne(uvu.suite(title, state) as Test<T & Context>, title);
export const test = onlyOne(uvu.test, '');
