/** The verbs about nodes: run one, empty one, see them and what they supervise. */
import { Option } from 'commander';
import type { ModelInfo } from '../domain/model.ts';
import type { NodeView } from '../domain/node.ts';
import { drain, whatIsLeft } from './drain.ts';
import { follow } from './follow.ts';
import { drawTree, json, plain, table, treeLines } from './terminal.ts';
import { DATA, DECODING, JSON_OPTION, option, REACHING, type Verb } from './verb.ts';

export const WATCH = option('--watch', 'go on looking: a live view on a terminal, else a line for each change');

const repeatable = (flag: string, text: string): Option =>
  new Option(flag, text).argParser((value: string, before: readonly string[] | undefined) => [
    ...(before ?? []),
    value,
  ]);

export const up: Verb = {
  usage: 'up',
  says: 'run a node',
  options: [
    option('--host <host>', 'address to serve HTTP at (127.0.0.1)'),
    option('--port <port>', 'port to serve HTTP at; 0: any free one (8080)'),
    DATA,
    option('--nats <url>', 'NATS to use (an embedded nats-server with its store under DATA)'),
    option('--creds <file>', 'NATS credentials, with --nats'),
    option('--roles <list>', 'what this node does (api,orchestrator,runner)'),
    option('--node <id>', "this node's name (the machine's)"),
    option('--slots <n>', 'runners it takes at most (twice the cores)'),
    option('--spares <n>', 'idle runner processes kept ready, so that a restart need not wait for one (1)'),
    repeatable('--root <dir>', 'a folder to read files below, repeatable (the current folder and DATA)'),
    ...DECODING,
    option('--placement <strategy>', 'which node to ask first: least_loaded, round_robin or hot_model (least_loaded)'),
    option('--token <token>', 'wanted of every request; needed when --host is not loopback'),
    option('--rate-limit <n>', 'requests a second from one client, 0: any (200; any when --host is loopback)'),
    option('--log <form>', 'how the log is written to stderr (text)', ['text', 'json']),
    option('--relaxed-sync', 'faster writes that a power failure may lose'),
    option('--replicas <n>', 'copies of everything stored, 1 to 5 (3 where NATS is a cluster, else 1)'),
  ],
  examples: ['up', 'up --port 0 --data /tmp/try --root ~/videos', 'up --nats nats://10.0.0.1:4222 --roles runner'],
  act: async call => (await import('./up.ts')).up(call.flags, call.signal),
};

export const drainNode: Verb = {
  usage: 'drain <node>',
  says: 'move the runners and partitions of a node to others; it takes no more until it is undrained or restarted',
  options: [
    option('--undo', 'let it take part again'),
    option('--no-wait', 'return when it was told, not when it is empty'),
    JSON_OPTION,
    ...REACHING,
  ],
  examples: ['drain n2', 'drain n2 --undo'],
  goesOn: (node, at) =>
    `${node} goes on draining. Follow it: troupe drain ${node}${at}. Let it take part again: troupe drain ${node} --undo${at}`,
  async act(call) {
    const options = { draining: call.flags['undo'] !== true, wait: call.flags['no-wait'] !== false };
    const view = await drain(call.client(), call.id, options, call.signal);
    return call.answer(view, plain(stateOfNode(view)));
  },
};

export const nodes: Verb = {
  usage: 'nodes',
  says: 'list live nodes',
  options: [WATCH, JSON_OPTION, ...REACHING],
  examples: ['nodes', 'nodes --watch', 'nodes --json'],
  async act(call) {
    const client = call.client();
    const look = async () => {
      const items = await client.nodes();
      const rows = items.map(nodeRow);
      return { data: { items }, text: table(NODE_HEADINGS, rows), lines: rowsById(rows) };
    };
    return call.given.watch === true ? follow(look, call) : answerOf(await look(), call.given.json);
  },
};

export const tree: Verb = {
  usage: 'tree',
  says: 'show the supervision tree, from the supervisors’ own child tables',
  options: [WATCH, JSON_OPTION, ...REACHING],
  examples: ['tree', 'tree --watch', 'tree --json'],
  async act(call) {
    const client = call.client();
    const look = async () => {
      const data = await client.tree();
      return { data, text: drawTree(data), lines: treeLines(data) };
    };
    return call.given.watch === true ? follow(look, call) : answerOf(await look(), call.given.json);
  },
};

export const models: Verb = {
  usage: 'models',
  says: 'list registered models',
  options: [JSON_OPTION, ...REACHING],
  examples: ['models', 'models --json'],
  async act(call) {
    const items = await call.client().models();
    return call.answer({ items }, table(['MODEL', 'FAMILY', 'INPUT', 'CLASSES', 'SHA256'], items.map(modelRow)));
  },
};

export const answerOf = ({ data, text }: { readonly data: unknown; readonly text: string }, asJson = false): string =>
  asJson ? json(data) : text;

/** What a table says of each of its things, by the first cell. */
export const rowsById = (rows: readonly (readonly (string | number | null)[])[]): Map<string, string> =>
  new Map(rows.map(row => [String(row[0]), row.map(cell => plain(String(cell ?? '-'))).join('  ')]));

const NODE_HEADINGS = ['NODE', 'ROLES', 'RUNNERS', 'PID', 'PARTITIONS', 'STATE', 'VERSION', 'DECODER', 'SANDBOX'];

const nodeRow = (n: NodeView): (string | number | null)[] => [
  n.id,
  n.roles.join(','),
  `${n.running}/${n.slots}`,
  n.pid,
  n.partitions.length,
  n.draining ? 'draining' : 'up',
  n.version,
  n.engine?.decoder ?? null,
  n.sandbox,
];

const modelRow = (m: ModelInfo): (string | number)[] => [
  m.name,
  m.family,
  `${m.input.width}x${m.input.height}`,
  m.classes.length,
  m.sha256.slice(0, 12),
];

function stateOfNode({ id, draining, running, partitions }: NodeView): string {
  if (!draining) return `${id} takes part`;
  return running === 0 && partitions.length === 0
    ? `${id} is drained: it can be stopped`
    : `${id} is draining: ${whatIsLeft(running, partitions.length)} left`;
}
