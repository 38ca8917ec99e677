/** What a node or a command is told: `troupe.toml`, with `#env NAME=value` and `#flag name=value` among its lines. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import * as assert from 'uvu/assert';
import { TroupeError } from '../../../src/domain/errors.ts';
import { problemsOf } from '../../../src/domain/parse.ts';
import { type Flags, nodeConfig, Options, settings } from '../../../src/infra/config.ts';
import type { Edge } from '../edge.ts';
import { mutateLines } from '../mutations.ts';
import { temporary } from './temporary.ts';

/** Also in a file that cannot be read, whoever reads an error reads none of it (docs/SECURITY.md). */
const SECRET = 'hush-hush-4711';
const SECRET_LINE = /^(token|nats) = "|^#(env TROUPE_(TOKEN|NATS)|flag (token|nats))=/;
const LONGEST = 2_000;

export const config: Edge = {
  name: 'config',
  promise: 'options pass, or are refused in one sentence that names the file and line, the variable or the flag',
  cases: 2_500,
  outcomes: ['taken', 'refused'],
  async open() {
    const folder = temporary();
    const cwd = folder.at('here');
    mkdirSync(cwd);
    const words = [
      ...Object.keys(Options.properties),
      '[',
      '[[',
      ']',
      '"""',
      "'''",
      '1979-05-27T07:32:00Z',
      '#env',
      '#flag',
    ];
    return {
      seeds: [],
      mutate: (seed, chance, all) => mutateLines(seed, chance, all, words),
      judge(input) {
        writeFileSync(path.join(cwd, 'troupe.toml'), input);
        const text = input.toString();
        const pairs = (mark: string): Record<string, string> =>
          Object.fromEntries(
            [...text.matchAll(new RegExp(`^#${mark} ([\\w-]+)=(.*)$`, 'gm'))].map(([, a = '', b = '']) => [a, b]),
          );
        const around = { env: { HOME: cwd, ...pairs('env') }, cwd };
        const flags = pairs('flag') as Flags;
        try {
          assert.equal(problemsOf(Options, settings(flags, around)), []);
          const { port, slots, roots } = nodeConfig(flags, around);
          assert.ok(Number.isInteger(port + slots) && roots.length > 0);
          return 'taken';
        } catch (error) {
          if (!(error instanceof TroupeError) || error.code !== 'invalid_request') throw error;
          const { message } = error;
          assert.ok(message.length < LONGEST, `${message.length} characters: ${message.slice(0, 300)}`);
          assert.ok(!/[\n\r]/.test(message), `more than one line: ${message}`);
          assert.match(message, /[.:!?]$/);
          assert.ok(/troupe\.toml|TROUPE_|--/.test(message), message);
          const elsewhere = text.split('\n').some(line => line.includes(SECRET) && !SECRET_LINE.test(line));
          assert.ok(elsewhere || !message.includes(SECRET), `a secret is told: ${message}`);
          return 'refused';
        }
      },
      [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
    };
  },
};
