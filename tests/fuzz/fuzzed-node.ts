/** `troupe up` as a user's process, with what an edge looks at to know that it is well. */
import { cpSync, readFileSync } from 'node:fs';
import path from 'node:path';
import * as assert from 'uvu/assert';
import { root } from '../../src/infra/process/assets.ts';
import { Workplace } from '../support/troupe-command.ts';
import { waitUntil } from '../support/wait-until.ts';

export interface FuzzedNode extends AsyncDisposable {
  readonly url: string;
  readonly nats: string;
  readonly pid: number;
  /** Of its DATA. */
  readonly data: string;
  /** Its current folder, below which it reads files. */
  readonly folder: string;
  /** What it wrote to stderr. */
  log(): string;
  call(method: string, at: string, body?: unknown): Promise<{ readonly status: number; readonly text: string }>;
  /** @throws when it is not the process it was, is not ready, takes too much memory, or told of a defect */
  isWell(): Promise<void>;
}

/** Of the process' memory: some hundred MiB are its code, SQLite's and the models' reader's. */
const MOST_MIB = 1_024;
/** What the node says of a stranger's rubbish, on purpose. */
const SAID_ON_PURPOSE =
  /^(sandbox: |http: |node-agent: |troupe\.prediction\.\S+ holds something that is no record|mirror: scenario\.|scenario\/\S+: its stored record)/;

export async function startFuzzedNode(args: readonly string[] = []): Promise<FuzzedNode> {
  const place = new Workplace();
  // What the corpus names, below its current folder.
  cpSync(path.join(root, 'test_videos'), path.join(place.folder, 'test_videos'), { recursive: true });
  const running = place.start(['up', '--port', '0', ...args], { TROUPE_WORKERS: '1' });
  const pid = running.child.pid ?? 0;
  let stderr = '';
  running.child.stderr?.on('data', (text: string) => {
    stderr += text;
  });
  let ended: number | null | undefined;
  void running.ended.then(({ code }) => {
    ended = code;
  });
  await waitUntil(
    'the node is ready',
    () => {
      assert.is(ended, undefined, stderr);
      return running.stdout().includes('troupe ready');
    },
    60_000,
  );
  const [, , url = '', nats = ''] = running.stdout().trim().split(/\s+/);
  const call: FuzzedNode['call'] = async (method, at, body) => {
    const json =
      body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
    const answer = await fetch(url + at, { method, ...json });
    return { status: answer.status, text: await answer.text() };
  };
  return {
    url,
    nats,
    pid,
    data: place.data,
    folder: place.folder,
    log: () => stderr,
    call,
    async isWell() {
      assert.is(ended, undefined, `the node has ended: ${stderr}`);
      await waitUntil('the node is ready again', async () => (await call('GET', '/readyz')).status === 200, 60_000);
      const mib = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
      assert.ok(mib < MOST_MIB, `${Math.round(mib)} MiB`);
      const lines = stderr.replaceAll(/\n\s+(?=at )/g, ' '); // a stack is of the line that it follows
      const defects = lines.split('\n').filter(line => line !== '' && !SAID_ON_PURPOSE.test(line));
      assert.equal(defects.slice(0, 20), []);
    },
    async [Symbol.asyncDispose]() {
      if (ended === undefined) running.child.kill('SIGTERM');
      await running.ended;
      place[Symbol.dispose]();
    },
  };
}
