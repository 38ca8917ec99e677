/**
 * Runs a TypeScript file of this checkout with all that it needs.
 *
 * N1 On Node 24 or later the file runs in this very process: signals, terminal and exit code are its own.
 * N2 On an older Node, the same launcher starts again under the Node 24 that npm brought. Signals go on to it, its end is
 *    this process's end, and it ends when this process is gone.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { provision } from './provision.mjs';

const NODE_MAJOR = 24;
const root = fileURLToPath(new URL('..', import.meta.url));

/** @param file relative to the checkout */
export async function launch(file, args) {
  try {
    Object.assign(process.env, await provision(), { ORT_DISABLE_TELEMETRY: '1' });
  } catch (error) {
    process.stderr.write(`troupe setup: ${error.message}\n`);
    process.exit(1);
  }
  if (Number.parseInt(process.versions.node, 10) < NODE_MAJOR) return startAgain();
  if (process.channel) {
    process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
    process.channel.unref();
  }
  const target = path.join(root, file);
  process.argv = [process.execPath, target, ...args];
  await import(pathToFileURL(target).href);
}

/** N2 */
function startAgain() {
  const node = path.join(root, `node_modules/node-${process.platform}-${process.arch}/bin/node`);
  if (!existsSync(node)) {
    process.stderr.write(`Troupe needs Node ${NODE_MAJOR} or later; this is ${process.version}\n`);
    process.exit(1);
  }
  const child = spawn(node, process.argv.slice(1), { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });
  // Ctrl-C in a terminal reaches the child by itself: it must not count as two.
  const byTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  process.on('SIGINT', () => byTerminal || child.kill('SIGINT'));
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', error => {
    process.stderr.write(`${node} does not start: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}
