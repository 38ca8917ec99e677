/** `troupe doctor`: what this machine has and lacks, each with what to do. */
import { styleText } from 'node:util';
import { nodeConfig } from '../infra/config.ts';
import type { Finding } from '../machine.ts';
import { json, plain } from './terminal.ts';
import { DATA, DECODING, option, type Verb } from './verb.ts';

export const doctor: Verb = {
  usage: 'doctor',
  says: 'what this machine has and lacks, each with what to do; exit code 1 if a model cannot run over a video here',
  options: [
    option('--port <port>', 'the port that a node would serve at (8080)'),
    DATA,
    ...DECODING,
    option('--nats <url>', 'the NATS that a node would use (an embedded nats-server)'),
    option('--creds <file>', 'NATS credentials, with --nats'),
    option('--json', 'print what was found as JSON'),
  ],
  examples: ['doctor', 'doctor --nats nats://10.0.0.1:4222', 'doctor --json'],
  async act(call) {
    // Loaded now: it brings the whole of a node's parts with it.
    const { examine } = await import('../machine.ts');
    const items = await examine(nodeConfig(call.flags));
    const well = items.every(({ state }) => state !== 'missing');
    process.stdout.write(`${call.given.json === true ? json({ ok: well, items }) : inWords(items, well)}\n`);
    return well ? 0 : 1;
  },
};

const MARKS = { ok: ['green', 'ok'], warning: ['yellow', 'warning'], missing: ['red', 'missing'] } as const;

function inWords(items: readonly Finding[], well: boolean): string {
  const lines = items.flatMap(({ what, state, found, todo }) => {
    const [colour, word] = MARKS[state];
    const mark = styleText(colour, word.padEnd(7), { stream: process.stdout });
    return [
      `${mark}  ${what.padEnd(9)}  ${plain(found)}`,
      ...(todo === null ? [] : [`${' '.repeat(20)}→ ${plain(todo)}`]),
    ];
  });
  return [...lines, '', well ? 'A model can run over a video here.' : 'A model cannot run over a video here yet.'].join(
    '\n',
  );
}
