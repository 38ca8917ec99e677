/**
 * The processes of the cost bench, told over IPC what to be: a whole node whose runners, decoder and model are simulated, or the
 * home of the simulated runners, which is no part of the node so that the figures are the node's.
 */
import { fork } from 'node:child_process';
import type { ProcessExit, ProcessHandle, ProcessLauncher } from '../src/actors/ports/process-launcher.ts';
import type { LocalModel } from '../src/domain/model.ts';
import type { SourceInfo } from '../src/domain/source.ts';
import type { NodeConfig } from '../src/infra/config.ts';
import { natsBus } from '../src/infra/nats/bus.ts';
import { connect } from '../src/infra/nats/connection.ts';
import { natsPredictionLog } from '../src/infra/nats/prediction-log.ts';
import { systemClock, systemRandom } from '../src/infra/process/system-clock.ts';
import { startNode } from '../src/system.ts';
import { simulatedRunners } from './simulated-runner.ts';

export type Order =
  | { readonly kind: 'node'; readonly config: NodeConfig }
  | { readonly kind: 'runners'; readonly natsUrl: string }
  /** After the garbage was collected. */
  | { readonly kind: 'memory' };

export type Word =
  | { readonly kind: 'ready'; readonly url: string; readonly natsUrl: string }
  | { readonly kind: 'memory'; readonly rss: number; readonly heap: number };

/** Between a node and the home of its runners. */
type ToRunner =
  | { readonly kind: 'launch'; readonly key: number; readonly orders: unknown }
  | { readonly kind: 'say'; readonly key: number; readonly message: unknown }
  | { readonly kind: 'kill'; readonly key: number };
type FromRunner =
  | { readonly kind: 'said'; readonly key: number; readonly message: unknown }
  | { readonly kind: 'gone'; readonly key: number; readonly exit: ProcessExit };

const SOURCE: SourceInfo = {
  width: 768,
  height: 432,
  rotation: 0,
  codec: 'h264',
  container: 'mov,mp4,m4a,3gp,3g2,mj2',
  startMs: 0,
  durationMs: 3_600_000,
  framesEstimate: 90_000,
  identity: { size: 1, sha256: 'ab'.repeat(32) },
};
const MODEL: LocalModel = {
  file: 'simulated.onnx',
  info: {
    name: 'simulated',
    sha256: 'cd'.repeat(32),
    family: 'yolox',
    input: {
      name: 'images',
      width: 416,
      height: 416,
      type: 'uint8',
      channels: 'bgr',
      mean: [0, 0, 0],
      scale: [1, 1, 1],
    },
    classes: Array.from({ length: 80 }, (_, i) => `class ${i}`),
  },
};

const tell = (message: Word | FromRunner): void => void process.send?.(message);

process.once('disconnect', () => process.exit());
process.on('message', (order: Order | ToRunner) => {
  if (order.kind === 'node') void beNode(order.config);
  if (order.kind === 'runners') void beRunners(order.natsUrl);
  if (order.kind === 'memory') {
    for (let i = 0; i < 3; i++) globalThis.gc?.();
    const { rss, heapUsed, external } = process.memoryUsage();
    tell({ kind: 'memory', rss, heap: heapUsed + external });
  }
});

async function beNode(config: NodeConfig): Promise<void> {
  const parts = {
    launcher: launcherElsewhere(),
    models: { list: () => [MODEL], resolve: async () => MODEL },
    decoder: {
      engine: 'simulated 1',
      probe: async () => SOURCE,
      identify: async () => SOURCE.identity,
      decode: async () => ({ frames: 0, warnings: [] }),
    },
  };
  const node = await startNode(config, line => console.error(`${config.node}: ${line}`), parts);
  tell({ kind: 'ready', url: node.url, natsUrl: node.natsUrl });
}

async function beRunners(natsUrl: string): Promise<void> {
  const nats = await connect(natsUrl, { name: 'simulated runners' });
  const log = natsPredictionLog(nats, () => {});
  const runners = simulatedRunners({ log, bus: natsBus(nats), clock: systemClock, random: systemRandom });
  const running = new Map<number, ProcessHandle>();
  process.on('message', async (order: ToRunner) => {
    if (order.kind === 'say') running.get(order.key)?.send(order.message);
    if (order.kind === 'kill') running.get(order.key)?.kill('SIGKILL');
    if (order.kind !== 'launch') return;
    const { key } = order;
    const handle = await runners.launch('runner', order.orders);
    running.set(key, handle);
    handle.onMessage(message => tell({ kind: 'said', key, message }));
    const exit = await handle.exited;
    running.delete(key);
    tell({ kind: 'gone', key, exit });
  });
  tell({ kind: 'ready', url: '', natsUrl });
}

/** Its runners live in one other process, which begins with the first of them. */
function launcherElsewhere(): ProcessLauncher {
  const runners = new Map<number, { exited: PromiseWithResolvers<ProcessExit>; hear: (message: unknown) => void }>();
  let home: Promise<ReturnType<typeof fork>> | null = null;
  let last = 2 ** 23; // no system has a process of such a number
  const open = async (natsUrl: string): Promise<ReturnType<typeof fork>> => {
    const child = fork(import.meta.filename);
    const ready = new Promise<void>(resolve => {
      child.on('message', (word: FromRunner | Word) => {
        if (word.kind === 'ready') resolve();
        if (word.kind === 'said') runners.get(word.key)?.hear(word.message);
        if (word.kind === 'gone') runners.get(word.key)?.exited.resolve(word.exit);
      });
    });
    child.send({ kind: 'runners', natsUrl } satisfies Order);
    await ready;
    return child;
  };
  return {
    launch: async (_role, orders) => {
      home ??= open((orders as { settings: { natsUrl: string } }).settings.natsUrl);
      const child = await home;
      const key = ++last;
      const runner = { exited: Promise.withResolvers<ProcessExit>(), hear: (_message: unknown) => {} };
      runners.set(key, runner);
      void runner.exited.promise.then(() => runners.delete(key));
      const send = (message: ToRunner): void => void child.send(message);
      send({ kind: 'launch', key, orders });
      return {
        pid: key,
        exited: runner.exited.promise,
        onMessage: receive => {
          runner.hear = receive;
        },
        send: message => send({ kind: 'say', key, message }),
        kill: () => send({ kind: 'kill', key }),
      };
    },
  };
}
