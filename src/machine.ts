/**
 * A composition root: what this machine has of what a node wants, and what to do about the rest. Nothing is changed: of DATA
 * only a file that is written, synced and removed again, where there is a DATA folder already.
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { open, rm, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { availableParallelism, totalmem } from 'node:os';
import path from 'node:path';
import { TroupeError, toProblem } from './domain/errors.ts';
import type { NodeConfig } from './infra/config.ts';
import { cpuClass } from './infra/inference/cpu-class.ts';
import { openModelCatalog } from './infra/inference/model-catalog.ts';
import { disableTelemetry, ENGINE } from './infra/inference/onnxruntime.ts';
import { connect, withoutPassword } from './infra/nats/connection.ts';
import { lockFile } from './infra/nats/data-lock.ts';
import { checkNatsServer, findNatsServer } from './infra/nats/nats-binary.ts';
import { checkServer } from './infra/nats/provision.ts';
import { asset } from './infra/process/assets.ts';
import { NO_SANDBOX } from './infra/process/sandbox.ts';
import { chooseDecoder, chooseSandbox, openDecoder } from './infra/video/choose-decoder.ts';

export interface Finding {
  readonly what: string;
  /** `missing`: the main job, a model over a video, can't run here. */
  readonly state: 'ok' | 'warning' | 'missing';
  readonly found: string;
  /** What to do; null when it is ok. */
  readonly todo: string | null;
}

const GIB = 1024 ** 3;
const NODE_MAJOR = 24;
/** The store of a scenario of an hour has some 100 MB; below the first a node warns in vain, below the second it stops. */
const ROOM_BYTES = 5 * GIB;
const LEAST_ROOM_BYTES = GIB / 4;
/** A node, its NATS, a runner with a model of usual size, and a spare. */
const MEMORY_BYTES = 2 * GIB;
/** Every acknowledged write waits for one sync: above this a runner of 30 frames/s can be held up by the disk. */
const SLOW_SYNC_MS = 30;
const SYNCS = 5;

type Check = (config: NodeConfig) => Promise<Omit<Finding, 'what'>>;

/** In the order in which they are shown; each is a sentence of its own when it fails. */
const CHECKS: readonly (readonly [string, Check])[] = [
  ['node', checkNode],
  ['nats', checkNats],
  ['decoder', checkDecoder],
  ['sandbox', checkSandbox],
  ['inference', checkInference],
  ['models', checkModels],
  ['disk', checkDisk],
  ['data', checkData],
  ['port', checkPort],
  ['memory', checkMemory],
];

export const examine = (config: NodeConfig): Promise<Finding[]> =>
  Promise.all(
    CHECKS.map(async ([what, check]): Promise<Finding> => {
      try {
        return { what, ...(await check(config)) };
      } catch (error) {
        const { message } = toProblem(error);
        // An expected failure says what to do.
        if (error instanceof TroupeError) return { what, state: 'missing', found: 'it cannot be used', todo: message };
        return { what, state: 'missing', found: message, todo: 'this is unexpected: please report it' };
      }
    }),
  );

const ok = (found: string): Omit<Finding, 'what'> => ({ state: 'ok', found, todo: null });

async function checkNode(): ReturnType<Check> {
  const found = `Node ${process.versions.node}, ${process.platform}-${process.arch}`;
  if (Number.parseInt(process.versions.node, 10) >= NODE_MAJOR) return ok(found);
  return { state: 'missing', found, todo: `Node ${NODE_MAJOR} or later is needed: npm run setup brings it on Linux` };
}

async function checkNats({ nats, programs }: NodeConfig): ReturnType<Check> {
  if (nats === null) {
    const binary = findNatsServer({ given: programs.natsServer, ...programs });
    return ok(`nats-server ${await checkNatsServer(binary)} at ${binary}`);
  }
  const { credsFile } = nats;
  await using connected = await connect(nats.url, {
    name: 'troupe doctor',
    ...(credsFile === null ? {} : { credsFile }),
  });
  checkServer(connected);
  const { version = 'of unknown version' } = connected.connection.info ?? {};
  return ok(`nats-server ${version} answers at ${withoutPassword(nats.url)}`);
}

async function checkDecoder({ decoder, programs }: NodeConfig): ReturnType<Check> {
  const { choice, why, todo } = chooseDecoder(decoder, { given: programs.ffmpeg, ...programs });
  const { engine } = await openDecoder(choice, NO_SANDBOX);
  const found = choice.kind === 'native' ? `${engine} at ${choice.ffmpeg}` : `${engine}, ${why}`;
  return { state: todo === null ? 'ok' : 'warning', found, todo };
}

async function checkSandbox({ decoder, sandbox: wish, programs }: NodeConfig): ReturnType<Check> {
  const { choice } = chooseDecoder(decoder, { given: programs.ffmpeg, ...programs });
  const { sandbox, lacks } = await chooseSandbox(wish, choice, programs);
  return { state: lacks === null ? 'ok' : 'warning', found: sandbox.level, todo: lacks };
}

async function checkInference(): ReturnType<Check> {
  disableTelemetry();
  const { default: onnxruntime } = await import('onnxruntime-node');
  const providers = onnxruntime.listSupportedBackends().map(({ name }) => name);
  const found = `onnxruntime ${ENGINE.onnxruntime} (${providers.join(', ')}), ${cpuClass()}`;
  if (providers.includes(ENGINE.provider)) return ok(found);
  return {
    state: 'missing',
    found,
    todo: `it has no provider '${ENGINE.provider}': install the packages again, npm ci`,
  };
}

async function checkModels({ data, roots }: NodeConfig): ReturnType<Check> {
  const dirs = [asset('models'), path.join(data, 'models')];
  const names = (await openModelCatalog({ dirs, roots })).list().map(({ info }) => info.name);
  if (names.length > 0) return ok(names.join(', '));
  return {
    state: 'warning',
    found: 'none is registered',
    todo: `put an .onnx into ${dirs[1]}, or name one with --model FILE`,
  };
}

async function checkDisk({ data }: NodeConfig): ReturnType<Check> {
  const folder = nearest(data);
  const { bavail, bsize } = await statfs(folder);
  const room = bavail * bsize;
  const syncMs = await timeSync(folder);
  const found = `${(room / GIB).toFixed(1)} GiB free below ${folder}, a synced write takes ${syncMs.toFixed(1)} ms`;
  const todo = 'make room, or choose another folder with --data DIR';
  if (room < LEAST_ROOM_BYTES) return { state: 'missing', found, todo };
  if (room < ROOM_BYTES) return { state: 'warning', found, todo };
  if (syncMs <= SLOW_SYNC_MS) return ok(found);
  return {
    state: 'warning',
    found,
    todo: 'results are acknowledged at this pace: put DATA on a faster disk (--data DIR)',
  };
}

/** The folder itself, or the one that it would be made in. */
function nearest(folder: string): string {
  return existsSync(folder) || path.dirname(folder) === folder ? folder : nearest(path.dirname(folder));
}

/** The middle of a few. @throws TroupeError unavailable */
async function timeSync(folder: string): Promise<number> {
  const file = path.join(folder, `.troupe-doctor-${randomBytes(4).toString('hex')}`);
  const refuse = (cause: unknown): never => {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TroupeError('unavailable', `it cannot be written to (${why}): choose another with --data DIR`, { cause });
  };
  const handle = await open(file, 'wx').catch(refuse);
  try {
    const times: number[] = [];
    for (let i = 0; i < SYNCS; i++) {
      const start = performance.now();
      await handle.write(Buffer.alloc(4096)).catch(refuse);
      await handle.datasync();
      times.push(performance.now() - start);
    }
    return times.toSorted((a, b) => a - b)[SYNCS >> 1] ?? 0;
  } finally {
    await handle.close();
    await rm(file, { force: true });
  }
}

async function checkData({ data }: NodeConfig): ReturnType<Check> {
  if (!existsSync(data)) return ok(`${data} will be made by the first node`);
  try {
    (await lockFile(data, 'lock', 0))[Symbol.dispose]();
    return ok(`${data} is free: no node uses it`);
  } catch (error) {
    const { message } = toProblem(error);
    if (!message.includes('is in use by')) throw error;
    return ok(`${message.replace(/: stop it.*/, '')}: a node runs; commands find it there`);
  }
}

async function checkPort({ host, port, data }: NodeConfig): ReturnType<Check> {
  if (port === 0) return ok('any free one');
  const { promise, resolve } = Promise.withResolvers<string | null>();
  const probe = createServer();
  probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  probe.listen(port, host, () => probe.close(() => resolve(null)));
  const taken = await promise;
  if (taken === null) return ok(`${host}:${port} is free`);
  if (existsSync(path.join(data, 'endpoint.json'))) return ok(`${host}:${port} is taken, as it is while a node runs`);
  return {
    state: 'warning',
    found: `${host}:${port} cannot be served (${taken})`,
    todo: "choose another with 'troupe up --port N', or --port 0 for any free one",
  };
}

async function checkMemory({ slots, workers }: NodeConfig): ReturnType<Check> {
  const limit = process.constrainedMemory();
  const memory = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  const found = `${(memory / GIB).toFixed(1)} GiB, ${availableParallelism()} cores: ${slots} runners of ${workers} sessions at most`;
  if (memory >= MEMORY_BYTES) return ok(found);
  return { state: 'warning', found, todo: 'take fewer at a time: --slots 1 --spares 0' };
}
