/** A Compose file's services as processes of this machine: the images are local programs. */
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import path from 'node:path';
import * as assert from 'uvu/assert';
import { programs } from '../../src/infra/config.ts';
import { asset } from '../../src/infra/process/assets.ts';
import { findFfmpeg } from '../../src/infra/process/find-program.ts';
import { natsServerBinary } from '../support/nats.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type ComposeFile, isOneShot, type Service } from './compose-file.ts';
import { instructions } from './dockerfile.ts';
import { type Launched, launch } from './launched.ts';

function there<T>(value: T | undefined, what: string): T {
  assert.ok(value !== undefined, `there is no ${what}`);
  return value;
}

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
export class LocalCompose {
  readonly services: ComposeFile['services'];
  /** Of the volumes, and of what else the containers see. */
  readonly folder: string;
  readonly #app: string;
  readonly #ports = new Map<string, number>();
  readonly #up = new Map<string, Promise<Launched>>();

  static async open(file: ComposeFile, folder: string, app: string): Promise<LocalCompose> {
    const names = Object.keys(file.services);
    bringWget(folder);
    const free = await freePorts(4 * names.length);
    const compose = new LocalCompose(file.services, folder, app);
    for (const name of names)
      for (const port of [4222, 6222, 8222, 8080]) compose.#ports.set(`${name}:${port}`, free.pop() ?? 0);
    for (const volume of Object.keys(file.volumes))
      mkdirSync(path.join(compose.folder, 'volumes', volume), { recursive: true });
    return compose;
  }

  /** @param app where the image's /app is here */
  private constructor(services: ComposeFile['services'], folder: string, app: string) {
    this.services = services;
    this.folder = folder;
    this.#app = app;
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
    if (target === '/app') return this.#app;
    const volume = this.#service(service).volumes?.find(text => text.split(':')[1] === target);
    const [source = ''] = volume?.split(':') ?? [];
    if (/^[\w-]+$/.test(source)) return path.join(this.folder, 'volumes', source);
    if (source !== '' && statSync(asset(source)).isDirectory()) return asset(source);
    return path.join(this.folder, 'containers', service, target);
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
        return (await this.#run(name, check, this.folder).exit) === 0;
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
      {
        PATH: `${path.join(this.folder, 'bin')}:/usr/bin:/bin`,
        HOME: this.folder,
        TROUPE_FFMPEG: ffmpeg,
        ...Object.fromEntries(here),
      },
    );
  }
}

/** Alpine's wget, where this machine has none. */
function bringWget(folder: string): void {
  const bin = path.join(folder, 'bin');
  mkdirSync(bin);
  if (existsSync('/usr/bin/wget')) return;
  const get = 'fetch(process.argv.at(-1)).then(a => process.exit(a.ok ? 0 : 1), () => process.exit(1))';
  writeFileSync(path.join(bin, 'wget'), `#!/bin/sh\nexec '${process.execPath}' -e '${get}' -- "$@"\n`);
  chmodSync(path.join(bin, 'wget'), 0o755);
}
