import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TroupeError } from '../../src/domain/errors.ts';
import { lockFile } from '../../src/infra/nats/data-lock.ts';
import { refusal } from '../contract/backends.ts';

const test = suite('data lock');
const folder = mkdtempSync(path.join(tmpdir(), 'troupe-lock-'));
test.after(() => rmSync(folder, { recursive: true, force: true }));

test('DL1: a second holder is refused and told who holds it; a released lock can be taken', async () => {
  const lock = await lockFile(folder, 'one', 0);
  const error = await refusal(lockFile(folder, 'one', 0));
  assert.ok(error instanceof TroupeError && error.code === 'unavailable');
  assert.match(error.message, new RegExp(`in use by process ${process.pid}:`));
  lock[Symbol.dispose]();
  lock[Symbol.dispose]();
  (await lockFile(folder, 'one', 0))[Symbol.dispose]();
});

test('DL1: of many that start in the same instant one gets it', async () => {
  const ends = await Promise.allSettled(Array.from({ length: 8 }, () => lockFile(folder, 'race', 0)));
  const won = ends.flatMap(end => (end.status === 'fulfilled' ? [end.value] : []));
  assert.is(won.length, 1);
  won[0]?.[Symbol.dispose]();
});

test('DL2: a holder killed with SIGKILL leaves no lock, and children it had don’t keep it', async () => {
  const file = path.join(folder, 'holder.mjs');
  const script = `
    import { spawn } from 'node:child_process';
    import { lockFile } from ${JSON.stringify(import.meta.resolve('../../src/infra/nats/data-lock.ts'))};
    await lockFile(${JSON.stringify(folder)}, 'killed', 0);
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    console.log(child.pid);
    setInterval(() => {}, 60_000);`;
  writeFileSync(file, script);
  const holder = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] });
  if (holder.stdout === null) throw new Error('no stdout');
  const [child] = await once(createInterface(holder.stdout), 'line');
  const error = await refusal(lockFile(folder, 'killed', 0));
  assert.match(error.message, new RegExp(`process ${holder.pid}:`));
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  (await lockFile(folder, 'killed', 0))[Symbol.dispose]();
  process.kill(Number(child), 'SIGKILL');
});

test('a waiting start gets the lock when its holder lets go, and stops waiting when aborted', async () => {
  const lock = await lockFile(folder, 'waited', 0);
  const waiting = lockFile(folder, 'waited', 60_000);
  const abort = new AbortController();
  const aborted = refusal(lockFile(folder, 'waited', 60_000, abort.signal));
  abort.abort();
  await aborted;
  lock[Symbol.dispose]();
  (await waiting)[Symbol.dispose]();
});

test.run();
