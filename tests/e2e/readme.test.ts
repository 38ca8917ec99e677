// serial
/**
 * README's console blocks as one bash session, in a copy of the checkout and on a bare account; and the demo.
 *
 * RM1 Every line that begins with `$ ` is run, but for `npm run demo` (run here by itself) and `npm test`; the first that
 *     fails ends the session.
 * RM2 Where the `nats` command is missing, a function of bash speaks its two verbs on the wire.
 * RM3 Port 8080 may be a developer's: the session has another one.
 * RM4 What the session starts ends with it, and its files lie in the copy.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { asset, root } from '../../src/infra/process/assets.ts';

const test = suite('readme');
/** Less than the test runner's limit, so that RM4 holds for a session that hangs too. */
const SESSION_MS = 150_000;
const SKIPPED = ['npm run demo', 'npm test'];
/** What would be copied in vain: the copy reads it where it is, or does not need it. */
const LINKED = ['node_modules', '.troupe'];
const LEFT_OUT = ['.git', 'dist'];
const folder = mkdtempSync(path.join(tmpdir(), 'troupe-readme-'));
const copy = path.join(folder, 'checkout');
const data = path.join(folder, 'share', 'troupe');
const groups: number[] = [];

/** RM2 */
const NATS_ON_THE_WIRE = `
command -v nats >&2 || nats() {
  local line inbox=_INBOX.readme.$RANDOM server=\${NATS_URL#nats://} reply=
  [ "$1" = req ] && reply=$inbox
  exec 4<>"/dev/tcp/\${server%:*}/\${server##*:}"
  printf 'CONNECT {"verbose":false}\\r\\nSUB %s 1\\r\\nPUB %s %s %d\\r\\n%s\\r\\nPING\\r\\n' "$inbox" "$2" "$reply" "\${#3}" "$3" >&4
  while read -t 30 -r line <&4; do
    case $1:$line in
      pub:PONG*) exec 4>&-; return 0 ;;
      req:MSG*) read -r line <&4; printf '%s\\n' "$line"; exec 4>&-; return 0 ;;
      *:-ERR*) break ;;
    esac
  done
  exec 4>&-
  return 1
}
`;

/** RM1 */
function commands(): string[] {
  const blocks = readFileSync(asset('README.md'), 'utf8').matchAll(/^```console\n(.*?)^```$/gms);
  const lines = [...blocks].flatMap(([, block = '']) => block.trimEnd().split('\n'));
  assert.equal(
    lines.filter(line => !line.startsWith('$ ')),
    [],
    'a console block has commands only',
  );
  const all = lines.map(line => line.slice(2));
  for (const skipped of SKIPPED) assert.ok(all.includes(skipped), skipped);
  return all.filter(line => !SKIPPED.includes(line));
}

/** A job started with `&` gets a process group, as at a terminal: `kill %1` reaches all of it. */
const asAtATerminal = (command: string): string =>
  command.endsWith(' &') ? `set -m; ${command} echo $! >> ${path.join(folder, 'jobs')}; set +m` : command;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  assert.ok(address !== null && typeof address === 'object');
  return address.port;
}

/** Ends a process group if there is still one. */
function killGroup(group: number): void {
  try {
    process.kill(-group, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

const resultsOf = (name: string): string => readFileSync(path.join(copy, `${name}.predictions.jsonl`), 'utf8');
const framesOf = (jsonl: string): number[] =>
  jsonl
    .trimEnd()
    .split('\n')
    .map(line => (JSON.parse(line) as { frame: number }).frame);
const multiples = (step: number, count: number): number[] => Array.from({ length: count }, (_, i) => step * i);

async function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv) {
  const child = spawn(command, args, { cwd: copy, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  assert.ok(child.pid !== undefined);
  groups.push(child.pid);
  const late = setTimeout(endAll, SESSION_MS);
  // What a failed session leaves would hold its output open.
  child.on('exit', failed => failed !== 0 && endAll());
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  clearTimeout(late);
  return { code: code as number | null, stdout, stderr };
}

/** RM4 */
function endAll(): void {
  const jobs = path.join(folder, 'jobs');
  if (existsSync(jobs)) groups.push(...readFileSync(jobs, 'utf8').trim().split('\n').map(Number));
  for (const group of groups.splice(0)) killGroup(group);
}

test.before(() => {
  mkdirSync(copy);
  for (const name of readdirSync(root).filter(name => !LEFT_OUT.includes(name))) {
    const [from, to] = [path.join(root, name), path.join(copy, name)];
    if (LINKED.includes(name)) symlinkSync(from, to);
    else cpSync(from, to, { recursive: true });
  }
});

test.after(() => {
  endAll();
  rmSync(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 20 });
});

test('RM1: every command of README ends well, and each way to the results leads to the same ones', async () => {
  const port = String(await freePort()); // RM3
  const session = path.join(folder, 'session.sh');
  const lines = commands().map(command => asAtATerminal(command.replaceAll('8080', port)));
  writeFileSync(session, `set -euo pipefail\n${NATS_ON_THE_WIRE}\n${lines.join('\n')}\n`);
  const { PATH, TROUPE_FFMPEG, TROUPE_NATS_SERVER } = process.env;
  const env = { PATH, TROUPE_FFMPEG, TROUPE_NATS_SERVER, TROUPE_PORT: port };
  const account = { HOME: folder, XDG_DATA_HOME: path.dirname(data), TMPDIR: folder };
  const { code, stdout, stderr } = await run('bash', ['-v', session], { ...env, ...account });
  assert.is(code, 0, `${stdout}\n${stderr}`);

  const [first, second, third] = ['test_video.mp4', 'test_video_2.webm', 'third'].map(resultsOf);
  assert.equal(framesOf(first ?? ''), multiples(1, 600));
  assert.equal(framesOf(second ?? ''), multiples(1, 600));
  assert.is(third, first, 'the results of HTTP are those of the command line');
  assert.is(resultsOf('second'), second, 'an export is the file that run wrote');
  assert.equal(framesOf(resultsOf('sampled')), multiples(5, 120));
  // What curl printed of the answer before has no end of line.
  assert.match(stdout, /troupe ready http:\/\/127\.0\.0\.1:\d+ nats:\/\/127\.0\.0\.1:\d+$/m);
  for (const id of ['third', 'fifth'])
    assert.match(stdout, new RegExp(`^.*\\{"id":"${id}","state":"inactive","outcome":"completed"`, 'm'));
  assert.match(stdout, /"id":"fourth","state":"[a-z_]+"/, 'the request by NATS is answered with the scenario');
  assert.match(stdout, /second deleted$/m);
  assert.not.ok(existsSync(path.join(data, 'endpoint.json')), 'kill %1 ended the node, which held the output open');
});

test('the demo ends with 0 and finds what is in its video', async () => {
  const launch = path.join(copy, 'scripts', 'launch.mjs');
  const { code, stdout, stderr } = await run(process.execPath, [launch, 'scripts/demo.ts'], process.env);
  assert.is(code, 0, stderr);
  const [, precision, recall] = /^against the video's truth: precision ([\d.]+), recall ([\d.]+) /m.exec(stdout) ?? [];
  assert.ok(Number(precision) >= 0.9 && Number(recall) >= 0.9, stdout);
});

test.run();
