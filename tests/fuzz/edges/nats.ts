/**
 * NATS as bytes over a socket, to a running node: a subject, headers and a body in the form of an HTTP request. What is told in
 * public, and what the nodes tell each other.
 */
import { Buffer } from 'node:buffer';
import * as assert from 'uvu/assert';
import { LIMITS } from '../../../src/domain/limits.ts';
import { partitionOf } from '../../../src/domain/subjects.ts';
import { connect } from '../../../src/infra/nats/connection.ts';
import { hpub, pub, speak } from '../../support/nats-wire.ts';
import type { Edge, OpenEdge } from '../edge.ts';
import { type FuzzedNode, startFuzzedNode } from '../fuzzed-node.ts';
import { below, type Chance, mutateBytes, mutateJson, mutateLines, pick } from '../mutations.ts';

const GOOD = { source: { uri: 'test_videos/test_video.mp4' }, model: 'shapes', start: false };
const WORDS = [
  ...['scenario', 'orchestrator', 'idempotency', 'runner', 'node', 'cmd', 'sys', 'api', 'ctl', 'mbx', 'heartbeat'],
  ...[
    'create',
    'start',
    'stop',
    'delete',
    'get',
    'probe',
    'drained',
    'placed',
    'exited',
    'claim',
    'fuzzed',
    'steady-1',
  ],
  ...[
    'Troupe-Reply',
    'Troupe-From',
    'Troupe-Number',
    'Troupe-Id',
    'Nats-Msg-Id',
    'KV-Operation',
    '_INBOX.a.b',
    'PURGE',
  ],
];
/** A drained node has been told to take nothing, an attempt that is told to end ends: neither is broken by it. */
const OBEYED = /^troupe\.ctl\.\w+\.(drain|stop)$|^troupe\.(cmd|api)\.scenario\.steady/;
/** What only the server is to tell anybody; a stream that somebody removes is removed. */
const FORBIDDEN = /^\$(JS|SYS)\b/;

const publicOnly = (subject: string): boolean => /^troupe\.(cmd|api|heartbeat|event|rejected)\./.test(subject);

export function natsEdge(node: () => Promise<FuzzedNode>): Edge {
  return {
    name: 'nats',
    promise: 'whatever is published, the node goes on, and the next command to each partition is carried out',
    cases: 400,
    outcomes: ['public', 'internal', 'hung up'],
    open: async () => openNats(await node()),
  };
}

function openNats(node: FuzzedNode): OpenEdge {
  return {
    seeds: [],
    together: 4,
    mutate(seed, chance, all) {
      const { head, body } = parts(seed);
      if (body.length > 0 && chance.float() < 0.6) {
        const others = all.map(other => parts(other).body);
        return Buffer.concat([Buffer.from(`${head}\r\n\r\n`, 'latin1'), mutateJson(body, chance, others)]);
      }
      if (chance.float() < 0.6) return aimed(head, body, chance, all);
      return chance.float() < 0.3 ? mutateBytes(seed, chance) : mutateLines(seed, chance, all, WORDS);
    },
    async judge(input) {
      const { head, body } = parts(input);
      const [subject = '', ...headers] = head.split('\r\n');
      if (OBEYED.test(subject) || FORBIDDEN.test(subject)) return 'obeyed';
      const block = `NATS/1.0\r\n${headers.join('\r\n')}\r\n\r\n`;
      const frame =
        headers.length === 0 ? pub(subject, body, '_INBOX.fuzz.1') : hpub(subject, block, body.toString('latin1'));
      const said = await speak(node.nats, frame);
      if (said.includes('hung up')) return 'hung up';
      if (said !== 'PONG\r\n') return 'refused by the server';
      return publicOnly(subject) ? 'public' : 'internal';
    },
    async afterwards() {
      await carriesOn(node);
      await node.isWell();
    },
    [Symbol.asyncDispose]: () => node[Symbol.asyncDispose](),
  };
}

function parts(input: Buffer): { head: string; body: Buffer } {
  const end = input.indexOf('\r\n\r\n');
  if (end === -1) return { head: input.toString('latin1'), body: Buffer.alloc(0) };
  return { head: input.toString('latin1', 0, end), body: input.subarray(end + 4) };
}

/** One token of the subject is another. */
function aimed(head: string, body: Buffer, chance: Chance, all: readonly Buffer[]): Buffer {
  const [subject = '', ...headers] = head.split('\r\n');
  const tokens = subject.split('.');
  const other = (parts(pick(chance, all)).head.split('\r\n')[0] ?? '').split('.');
  tokens[below(chance, tokens.length)] = pick(chance, [
    ...WORDS,
    ...other,
    'x'.repeat(300),
    '-1',
    '__proto__',
    'ü',
    '\u0001',
  ]);
  return Buffer.concat([Buffer.from([tokens.join('.'), ...headers].join('\r\n').concat('\r\n\r\n'), 'latin1'), body]);
}

/** A good command to each partition, answered after its commit. */
async function carriesOn(node: FuzzedNode): Promise<void> {
  const nats = await connect(node.nats, { name: 'fuzz' });
  try {
    const left = new Set(Array.from({ length: LIMITS.partitions }, (_, partition) => partition));
    for (let i = 0; left.size > 0; i++) {
      const id = `after-${node.pid}-${i}`;
      if (!left.delete(partitionOf('scenario', id, LIMITS.partitions))) continue;
      const subject = `troupe.api.scenario.${id}.create`;
      const answer = await nats.connection.request(subject, JSON.stringify(GOOD), { timeout: 60_000 });
      assert.is(answer.json<{ scenario?: { id: string } }>().scenario?.id, id, answer.string());
    }
  } finally {
    await nats.close();
  }
}

export const nats = natsEdge(() => startFuzzedNode(['--node', 'fuzzed']));
