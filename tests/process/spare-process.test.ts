/** A runner process without a job, under a parent that dies. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer, connect as dial, type Socket } from 'node:net';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RUNNER_SCORE_ADJ } from '../../src/infra/process/oom-victim.ts';
import { startTestNats } from '../support/nats.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('spare process');
const parents: ChildProcess[] = [];
test.after(() => {
  for (const parent of parents) parent.kill('SIGKILL');
});

async function startSpare(natsUrl: string): Promise<{ parent: ChildProcess; pid: number }> {
  const parent = spawn(process.execPath, [path.join(import.meta.dirname, 'spare-parent.ts'), natsUrl], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  parents.push(parent);
  let said = '';
  parent.stdout?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  await waitUntil('the spare is started', () => said.endsWith('\n'));
  return { parent, pid: Number(said) };
}

/** A dead process may wait as a zombie for its adoptive parent. */
function isGone(pid: number): boolean {
  try {
    return /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return true;
  }
}

test('it goes with a parent that is killed while it is being loaded', async () => {
  const { parent, pid } = await startSpare('nats://127.0.0.1:1');
  assert.not.ok(isGone(pid));
  parent.kill('SIGKILL');
  await waitUntil('it is gone', () => isGone(pid));
});

/** A TCP server on a free port; every connection is handed to `serve`. */
async function listen(serve: (socket: Socket) => void): Promise<{ url: string; [Symbol.dispose](): void }> {
  const sockets: Socket[] = [];
  const server = createServer(socket => {
    sockets.push(socket.on('error', () => socket.destroy()));
    serve(socket);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    url: `nats://127.0.0.1:${address !== null && typeof address === 'object' ? address.port : 0}`,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

test('it goes with a parent that is killed while it connects', async () => {
  let connecting = false;
  using silent = await listen(() => {
    connecting = true;
  });
  const { parent, pid } = await startSpare(silent.url);
  await waitUntil('it connects', () => connecting);
  assert.not.ok(isGone(pid));
  parent.kill('SIGKILL');
  await waitUntil('it is gone', () => isGone(pid));
});

const adjustment = (pid: number | undefined): number => {
  try {
    return Number(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8'));
  } catch {
    return Number.NaN; // not Linux
  }
};

(Number.isNaN(adjustment(process.pid)) ? test.skip : test)(
  'OV1: where memory runs out the kernel prefers it, and not its parent',
  async () => {
    using silent = await listen(() => {});
    const { parent, pid } = await startSpare(silent.url);
    await waitUntil('it has stepped forward', () => adjustment(pid) === RUNNER_SCORE_ADJ);
    assert.is(adjustment(parent.pid), adjustment(process.pid));
    parent.kill('SIGKILL');
  },
);

test('it waits, connected to NATS, and goes with its parent', async () => {
  const nats = await startTestNats();
  let answers = '';
  using proxy = await listen(socket => {
    const upstream = dial(Number(new URL(nats.url).port), '127.0.0.1');
    upstream.on('error', () => socket.destroy());
    upstream.on('data', data => {
      answers += data.toString('latin1');
    });
    socket.pipe(upstream).pipe(socket);
  });
  try {
    const { parent, pid } = await startSpare(proxy.url);
    await waitUntil('it is connected', () => answers.includes('PONG'));
    assert.not.ok(isGone(pid));
    parent.kill('SIGKILL');
    await waitUntil('it is gone', () => isGone(pid));
  } finally {
    await nats.stop();
  }
});

test.run();
