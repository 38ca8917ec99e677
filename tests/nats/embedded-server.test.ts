/** The embedded nats-server with real processes: what dies with whom, and what stays. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TroupeError } from '../../src/domain/errors.ts';
import { connect } from '../../src/infra/nats/connection.ts';
import { lockFile } from '../../src/infra/nats/data-lock.ts';
import { type EmbeddedNats, startEmbeddedNats } from '../../src/infra/nats/embedded-server.ts';
import { refusal } from '../contract/backends.ts';
import { natsServerBinary } from '../support/nats.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('embedded nats-server');
let dataDir = '';
test.before.each(() => {
  dataDir = mkdtempSync(path.join(tmpdir(), 'troupe-embedded-'));
});
test.after.each(async () => {
  for (const server of started.splice(0)) await server.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

const started: EmbeddedNats[] = [];
const start = async (port: number | null = null, binary = natsServerBinary()): Promise<EmbeddedNats> => {
  const { signal } = new AbortController();
  const server = await startEmbeddedNats({ binary, dataDir, port, relaxedSync: false, signal });
  started.push(server);
  return server;
};

/** A parent process of its own that embeds a server in `dataDir` and says where it is. */
async function startParent(): Promise<{ parent: ChildProcess; pid: number; port: number }> {
  const script = `
    import { startEmbeddedNats } from ${JSON.stringify(import.meta.resolve('../../src/infra/nats/embedded-server.ts'))};
    const signal = new AbortController().signal;
    const { pid, port } = await startEmbeddedNats({
      binary: ${JSON.stringify(natsServerBinary())}, dataDir: ${JSON.stringify(dataDir)}, port: null, relaxedSync: false, signal,
    });
    console.log(JSON.stringify({ pid, port }));`;
  const file = path.join(dataDir, 'parent.mjs');
  writeFileSync(file, script);
  const parent = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] });
  if (parent.stdout === null) throw new Error('no stdout');
  const [line] = await once(createInterface(parent.stdout), 'line');
  return { parent, ...JSON.parse(String(line)) };
}

/** A zombie is dead: what reaps orphans in a container may be slow. */
function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

test('NP2: it serves JetStream when the promise resolves, and it is gone after stop', async () => {
  const server = await start();
  const nats = await connect(server.url, { name: 'test' });
  await nats.jsm.streams.add({ name: 'S', subjects: ['s'] });
  await nats.close();
  await server.stop();
  await server.stop();
  assert.not(isAlive(server.pid));
});

test('ES2: the store and the port are kept across restarts', async () => {
  const first = await start();
  const nats = await connect(first.url, { name: 'test' });
  await nats.jsm.streams.add({ name: 'S', subjects: ['s'] });
  await nats.js.publish('s', 'kept');
  process.kill(first.pid, 'SIGKILL');
  assert.is((await first.exited).code, 128 + 9);
  const second = await start();
  assert.is(second.port, first.port);
  await waitUntil('the client is back', () => nats.connected);
  assert.is((await nats.jsm.streams.info('S')).state.messages, 1);
  await nats.close();
  await second.stop();
});

test('ES2: a port that somebody else took meanwhile is given up, unless it was demanded', async () => {
  const first = await start();
  await first.stop();
  const squatter = createServer().listen(first.port, '127.0.0.1');
  await once(squatter, 'listening');
  const second = await start();
  assert.is.not(second.port, first.port);
  await second.stop();
  const error = await refusal(start(first.port));
  assert.match(error.message, /address already in use/);
  assert.ok(error instanceof TroupeError && error.retryable);
  squatter.close();
});

test('NP1: a parent killed with SIGKILL takes its server along', async () => {
  const { parent, pid } = await startParent();
  assert.ok(isAlive(pid));
  parent.kill('SIGKILL');
  await waitUntil('the server is gone', () => !isAlive(pid));
});

test('ES1: a successor waits for the server of a parent just killed, and has its store and port', async () => {
  const { parent, pid, port } = await startParent();
  // Stopped, the server cannot end until it is continued: its lock lasts, whoever its parent was.
  process.kill(pid, 'SIGSTOP');
  parent.kill('SIGKILL');
  await once(parent, 'exit');
  const starting = start();
  assert.match((await refusal(lockFile(path.join(dataDir, 'nats'), 'lock', 0))).message, /is in use/);
  process.kill(pid, 'SIGCONT');
  const server = await starting;
  assert.not(isAlive(pid));
  assert.is(server.port, port);
  await server.stop();
});

test('ES1: two servers never have one store', async () => {
  const server = await start();
  const error = await refusal(start());
  assert.ok(error instanceof TroupeError && error.code === 'unavailable');
  assert.match(error.message, /is in use by process/);
  await server.stop();
});

test('it listens on loopback only, without a monitoring port, and syncs every write unless told otherwise', async () => {
  const server = await start();
  const configuration = readFileSync(path.join(dataDir, 'nats', 'nats-server.conf'), 'utf8');
  assert.match(configuration, /host: "127\.0\.0\.1"/);
  assert.match(configuration, /sync_interval: always/);
  assert.not.match(configuration, /http/);
  assert.ok(existsSync(path.join(dataDir, 'nats', 'nats.log')));
  await server.stop();
});

test('a binary that is too old or none is refused with what to do', async () => {
  const old = path.join(dataDir, 'old-nats-server');
  writeFileSync(old, '#!/bin/sh\necho "nats-server: v2.10.26"\n', { mode: 0o755 });
  assert.match((await refusal(start(null, old))).message, /2\.10\.26; Troupe needs 2\.10\.27/);
  assert.match((await refusal(start(null, path.join(dataDir, 'none')))).message, /cannot be run/);
});

test('an aborted start leaves no server behind', async () => {
  const reason = new Error('shutting down');
  const aborting = startEmbeddedNats({
    binary: natsServerBinary(),
    dataDir,
    port: null,
    relaxedSync: false,
    signal: AbortSignal.abort(reason),
  });
  assert.is(await refusal(aborting), reason);
  await (await start()).stop();
});

test.run();
