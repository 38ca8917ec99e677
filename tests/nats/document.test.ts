// shared
/**
 * docs/NATS.md as one session: what the `nats` command would say on the wire is said here, and what comes back is held against
 * the lines that follow the command.
 *
 * ND1 Every line that begins with `$ ` is carried out, in order; a form that is not known here fails.
 * ND2 A line without `$ ` is a message that comes of the command above it; `…` stands for anything.
 * ND3 `sub … &` listens from there on, and has heard its messages when the page is over. What only reads is asked until it
 *     answers so; what commands is said once.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { AckPolicy, DeliverPolicy } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { headers, type MsgHdrs } from '@nats-io/transport-node';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { connect, type Nats } from '../../src/infra/nats/connection.ts';
import { asset } from '../../src/infra/process/assets.ts';
import { hpub, pub, speak } from '../support/nats-wire.ts';
import { startTestNode, type TestNode } from '../support/node.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('docs/NATS.md');
let node: TestNode;
let nats: Nats;
test.before(async () => {
  node = await startTestNode({ relaxedSync: true });
  nats = await connect(node.node.natsUrl, { name: 'test' });
});
test.after(async () => {
  await nats.close();
  await node[Symbol.asyncDispose]();
});

interface Step {
  readonly command: string;
  readonly output: readonly string[];
}

function steps(): Step[] {
  const blocks = readFileSync(asset('docs', 'NATS.md'), 'utf8').matchAll(/^```console\n(.*?)^```$/gms);
  const found: { command: string; output: string[] }[] = [];
  for (const line of [...blocks].flatMap(([, block = '']) => block.trimEnd().split('\n'))) {
    if (line.startsWith('$ ')) found.push({ command: line.slice(2), output: [] });
    else found.at(-1)?.output.push(line);
  }
  return found;
}

/** Words as a shell takes them apart: single quotes, nothing else. */
const words = (command: string): string[] =>
  [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '');

const FLAGS = {
  header: { type: 'string', short: 'H', multiple: true },
  count: { type: 'string', default: '1' },
  'last-for': { type: 'string', default: '' },
  filter: { type: 'string', default: '' },
  deliver: { type: 'string', default: '' },
  ack: { type: 'string', default: '' },
  raw: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  pull: { type: 'boolean', default: false },
  defaults: { type: 'boolean', default: false },
  force: { type: 'boolean', default: false },
} as const;
const given = (args: readonly string[]) => parseArgs({ args: [...args], options: FLAGS, allowPositionals: true });
type Given = ReturnType<typeof given>;

/** A reader may be asked again; a command may not (ND3). */
interface Form {
  readonly reads: boolean;
  say(args: Given): Promise<readonly string[]>;
}
const reads = (say: Form['say']): Form => ({ reads: true, say });
const commands = (say: Form['say']): Form => ({ reads: false, say });

const headersOf = ({ values: { header: lines = [] } }: Given): MsgHdrs => {
  const all = headers();
  for (const line of lines) all.set(line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim());
  return all;
};
const request = async (args: Given): Promise<readonly string[]> => {
  const [subject = '', body = ''] = args.positionals;
  assert.ok(args.values.raw, 'without --raw the command prints more than the message');
  return [(await nats.connection.request(subject, body, { timeout: 60_000, headers: headersOf(args) })).string()];
};
/** What the one node says of itself; waiting for others' answers takes as long as it is waited. */
const service = async (subject: string): Promise<unknown> =>
  (await nats.connection.request(subject, '', { timeout: 30_000 })).json();

/** ND1 */
const FORMS: Readonly<Record<string, Form>> = {
  pub: commands(async args => {
    const [subject = '', body = ''] = args.positionals;
    const lines = (args.values.header ?? []).map(line => `${line}\r\n`).join('');
    const frame = lines === '' ? pub(subject, body) : hpub(subject, `NATS/1.0\r\n${lines}\r\n`, body);
    assert.is(await speak(node.node.natsUrl, frame), 'PONG\r\n');
    return [];
  }),
  req: commands(request),
  'req get': reads(request),
  'kv get': reads(async ({ positionals: [bucket = '', key = ''], values }) => {
    assert.ok(values.raw);
    const entry = await (await new Kvm(nats.js).open(bucket)).get(key);
    return entry === null ? [] : [entry.string()];
  }),
  'stream get': reads(async ({ positionals: [stream = ''], values }) => {
    const message = await nats.jsm.streams.getMessage(stream, { last_by_subj: values['last-for'] });
    return message === null ? [] : [message.string()];
  }),
  'stream info': reads(async ({ positionals: [stream = ''] }) => [JSON.stringify(await nats.jsm.streams.info(stream))]),
  'consumer add': commands(async ({ positionals: [stream = '', name = ''], values }) => {
    assert.ok(values.pull && values.defaults);
    assert.equal([values.deliver, values.ack], ['all', 'explicit']);
    const policies = { deliver_policy: DeliverPolicy.All, ack_policy: AckPolicy.Explicit };
    await nats.jsm.consumers.add(stream, { durable_name: name, filter_subject: values.filter, ...policies });
    return [];
  }),
  'consumer next': commands(async ({ positionals: [stream = '', name = ''], values }) => {
    const said: string[] = [];
    const consumer = await nats.js.consumers.get(stream, name);
    for await (const message of await consumer.fetch({ max_messages: Number(values.count), expires: 30_000 })) {
      said.push(message.string());
      message.ack();
    }
    return said;
  }),
  'consumer rm': commands(async ({ positionals: [stream = '', name = ''], values }) => {
    assert.ok(values.force, 'without --force the command asks back');
    assert.ok(await nats.jsm.consumers.delete(stream, name));
    return [];
  }),
  'micro ls': reads(async ({ values }) => {
    assert.ok(values.json);
    return [JSON.stringify([await service('$SRV.INFO')])];
  }),
  'micro info': reads(async ({ positionals: [name = ''] }) => {
    const [info, stats] = [await service(`$SRV.INFO.${name}`), await service(`$SRV.STATS.${name}`)];
    return [JSON.stringify({ info, stats })];
  }),
  'micro stats': reads(async ({ positionals: [name = ''] }) => [JSON.stringify([await service(`$SRV.STATS.${name}`)])]),
  'micro ping': reads(async ({ positionals: [name = ''] }) => [JSON.stringify(await service(`$SRV.PING.${name}`))]),
};

function formOf([program, verb = '', ...rest]: readonly string[]): { form: Form; args: Given } {
  assert.is(program, 'nats');
  const [name, args] = ['pub', 'req'].includes(verb) ? [verb, rest] : [`${verb} ${rest[0]}`, rest.slice(1)];
  const asked = given(args);
  const form = FORMS[name === 'req' && asked.positionals[0]?.endsWith('.get') === true ? 'req get' : name];
  assert.ok(form !== undefined, `nats ${name}: a form that this test does not know`);
  return { form, args: asked };
}

/** ND2 */
const isSo = (said: readonly string[], wanted: readonly string[]): boolean =>
  said.length === wanted.length &&
  wanted.every((line, i) => {
    const literal = line.split('…').map(part => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    return new RegExp(`^${literal.join('.*')}$`, 's').test(said[i] ?? '');
  });

test('ND1, ND2, ND3: every command of the page does what the page says', async () => {
  const page = steps();
  assert.ok(page.length >= 25, 'the page has commands');
  const listening: { readonly step: Step; readonly heard: string[] }[] = [];
  for (const step of page) {
    const parts = words(step.command);
    if (parts[1] === 'sub') {
      const {
        positionals: [subject = ''],
        values,
      } = given(parts.slice(2, -1));
      assert.equal([parts.at(-1), Number(values.count)], ['&', step.output.length]);
      const heard: string[] = [];
      nats.connection.subscribe(subject, {
        max: step.output.length,
        callback: (_, message) => void heard.push(message.string()),
      });
      await nats.connection.flush();
      listening.push({ step, heard });
      continue;
    }
    const { form, args } = formOf(parts);
    let said: readonly string[] = [];
    const answered = async (): Promise<boolean> => {
      said = await form.say(args);
      return isSo(said, step.output);
    };
    const complaint = (): string => `$ ${step.command}\n${said.join('\n')}\ninstead of\n${step.output.join('\n')}`;
    if (form.reads) await waitUntil('it is so', answered, 120_000).catch(() => assert.unreachable(complaint()));
    else assert.ok(await answered(), complaint());
  }
  for (const { step, heard } of listening) {
    const complaint = (): string => `$ ${step.command}\n${heard.join('\n')}\ninstead of\n${step.output.join('\n')}`;
    await waitUntil('it was heard', () => heard.length === step.output.length).catch(() =>
      assert.unreachable(complaint()),
    );
    assert.ok(isSo(heard, step.output), complaint());
  }
});

test.run();
