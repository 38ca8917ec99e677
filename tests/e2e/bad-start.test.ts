// shared
/** What keeps a node from starting: each is told with what to do, by the exit code of a call that is wrong (2) or of one that failed (1). */

import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type ServerProcess, startServerProcess } from '../../src/infra/nats/server-process.ts';
import { natsServerBinary } from '../support/nats.ts';
import { type Ended, type Running, Workplace } from '../support/troupe-command.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('bad start');
const folder = mkdtempSync(path.join(tmpdir(), 'troupe-bad-start-'));
const places: Workplace[] = [];
const servers: ServerProcess[] = [];
const listeners: Server[] = [];

test.after(async () => {
  for (const place of places) place[Symbol.dispose]();
  for (const server of servers) await server.stop();
  for (const listener of listeners) listener.close();
  rmSync(folder, { recursive: true, force: true });
});

const newPlace = (): Workplace => {
  const place = new Workplace();
  places.push(place);
  return place;
};

/** `troupe up`, which is to fail; one that serves instead is ended, for its test to tell. */
async function up(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  place = newPlace(),
): Promise<Ended> {
  const node = place.start(['up', '--port', '0', '--sandbox', 'none', ...args], env);
  const late = setTimeout(() => node.signal('SIGKILL'), 90_000);
  const ended = await node.ended;
  clearTimeout(late);
  return ended;
}

/** A nats-server without JetStream, with one user. */
async function plainNats(): Promise<number> {
  const [configFile, portsFolder, logFile] = ['conf', 'ports', 'log'].map(name =>
    path.join(folder, `nats-${name}`),
  ) as [string, string, string];
  writeFileSync(
    configFile,
    `host: "127.0.0.1"\nport: -1\nports_file_dir: "${portsFolder}"\nlogfile: "${logFile}"\nauthorization { user: "me", password: "right" }\n`,
  );
  const signal = new AbortController().signal;
  const server = await startServerProcess({
    binary: natsServerBinary(),
    configFile,
    portsFolder,
    logFile,
    lastSignal: 'KILL',
    signal,
  });
  servers.push(server);
  return server.port;
}

const portOf = (listener: Server): number => (listener.address() as AddressInfo).port;

/** Says `hello` to everybody, and answers a PING. */
async function listening(hello = ''): Promise<Server> {
  const listener = createServer(socket => {
    socket.on('error', () => socket.destroy());
    socket.write(hello);
    socket.on('data', bytes => {
      if (bytes.toString().includes('PING')) socket.write('PONG\r\n');
    });
  });
  listeners.push(listener);
  await once(listener.listen(0, '127.0.0.1'), 'listening');
  return listener;
}

/** A port where nobody listens. */
async function freePort(): Promise<number> {
  const listener = await listening();
  const port = portOf(listener);
  await new Promise(resolve => listener.close(resolve));
  return port;
}

interface Row {
  readonly what: string;
  readonly code: 1 | 2;
  readonly words: RegExp;
  readonly ended: () => Promise<Ended>;
}

const nats = plainNats();
nats.catch(() => {}); // its rows tell

const ROWS: readonly Row[] = [
  {
    what: 'no nats-server at the URL',
    code: 1,
    words:
      /No connection to NATS at nats:\/\/127\.0\.0\.1:\d+: .*Is a nats-server up there\? Without --nats Troupe starts its own\./,
    ended: async () => up(['--nats', `nats://127.0.0.1:${await freePort()}`]),
  },
  {
    what: 'a wrong password of NATS, which is not shown',
    code: 1,
    words:
      /No connection to NATS at nats:\/\/127\.0\.0\.1:\d+: (?!.*wrong).*Give the user and password in the URL, or --creds\./s,
    ended: async () => up(['--nats', `nats://me:wrong@127.0.0.1:${await nats}`]),
  },
  {
    what: 'a NATS without JetStream',
    code: 1,
    words: /the server runs without JetStream: start it with -js or a jetstream block/,
    ended: async () => up(['--nats', `nats://me:right@127.0.0.1:${await nats}`]),
  },
  {
    what: 'a NATS that is too old',
    code: 1,
    words: /is nats-server 2\.9\.0; Troupe needs 2\.10\.27 or newer.*Update it/,
    ended: async () => {
      const info = {
        server_id: 'old',
        version: '2.9.0',
        proto: 1,
        headers: true,
        max_payload: 1048576,
        jetstream: true,
      };
      return up(['--nats', `nats://127.0.0.1:${portOf(await listening(`INFO ${JSON.stringify(info)}\r\n`))}`]);
    },
  },
  {
    what: 'a port in use, before anything else is begun',
    code: 1,
    words: /^troupe: port \d+ on 127\.0\.0\.1 is in use\. Choose another with --port/,
    ended: async () => up(['--port', String(portOf(await listening()))]),
  },
  {
    what: "a host that is not this machine's",
    code: 1,
    words: /^troupe: cannot serve HTTP at 192\.0\.2\.1, port 0: .*Give --host an address of this machine's/,
    ended: () => up(['--host', '192.0.2.1', '--token', 'secret']),
  },
  {
    what: 'a DATA that another node uses',
    code: 1,
    words: /data is in use by process \d+: stop it, or choose another folder/,
    ended: async () => {
      const place = newPlace();
      const first: Running = place.start(['up', '--port', '0', '--sandbox', 'none']);
      await waitUntil('the first is ready', () => first.stdout().includes('\n'), 60_000);
      const second = await up([], {}, place);
      first.signal('SIGTERM');
      assert.is((await first.ended).code, 0);
      return second;
    },
  },
  {
    what: 'a DATA that is a file',
    code: 1,
    words:
      /DATA .*file cannot be used: it is not a folder\. Name a folder that this user may write to with --data or TROUPE_DATA/,
    ended: () => {
      writeFileSync(path.join(folder, 'file'), '');
      return up(['--data', path.join(folder, 'file')]);
    },
  },
  {
    what: 'a DATA below /proc',
    code: 1,
    words: /DATA \/proc\/troupe\/data cannot be used: .*Name a folder that this user may write to/,
    ended: () => up(['--data', '/proc/troupe/data']),
  },
  {
    what: 'a DATA whose identity is a folder',
    code: 1,
    words:
      /data\/identity cannot be used: EISDIR.*: remove it or mend its permissions, or name another DATA with --data/,
    ended: () => {
      const place = newPlace();
      mkdirSync(path.join(place.data, 'identity'), { recursive: true });
      return up([], {}, place);
    },
  },
  {
    what: 'a DATA whose lock is a folder',
    code: 1,
    words: /data\/lock cannot be used: EISDIR.*: remove it/,
    ended: () => {
      const place = newPlace();
      mkdirSync(path.join(place.data, 'lock'), { recursive: true });
      return up([], {}, place);
    },
  },
  {
    what: 'an ffmpeg that is none',
    code: 2,
    words: /\/no\/ffmpeg is not a program: set the path of ffmpeg, or unset it/,
    ended: () => up([], { TROUPE_FFMPEG: '/no/ffmpeg' }),
  },
  {
    what: 'a nats-server that is none',
    code: 2,
    words: /\/no\/nats is not a program: set the path of nats-server, or unset it/,
    ended: () => up([], { TROUPE_NATS_SERVER: '/no/nats' }),
  },
  {
    what: 'a nats-server that is something else',
    code: 1,
    words: /other cannot be run: .*Run `npm run setup`, or set TROUPE_NATS_SERVER/s,
    ended: () => {
      const other = path.join(folder, 'other');
      writeFileSync(other, '#!/bin/sh\nexit 3\n');
      chmodSync(other, 0o755);
      return up([], { TROUPE_NATS_SERVER: other });
    },
  },
];

// All at once: each waits for processes most of the time.
const outcomes = ROWS.map(({ ended }) => ended());
for (const outcome of outcomes) outcome.catch(() => {}); // its test tells

for (const [at, { what, code, words }] of ROWS.entries())
  test(`M1, M2: ${what}: exit ${code}, in one line, with what to do`, async () => {
    const outcome = await outcomes[at];
    assert.is(outcome?.code, code, outcome?.stderr);
    assert.match(outcome?.stderr ?? '', words);
    assert.match(outcome?.stderr ?? '', /^(sandbox: .*\n)?(?:video is decoded .*\n)?troupe: .*\n$/, 'nothing but that');
    assert.is(outcome?.stdout, '');
  });

test.run();
