/** What a node and a command are told, and in which order. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TroupeError } from '../../src/domain/errors.ts';
import { clientConfig, type Flags, LIVENESS, nodeConfig, Options, settings } from '../../src/infra/config.ts';

const test = suite('config');
const cwd = mkdtempSync(path.join(tmpdir(), 'troupe-config-'));
const toml = (text: string): void => writeFileSync(path.join(cwd, 'troupe.toml'), text);
test.before.each(() => toml(''));
test.after(() => rmSync(cwd, { recursive: true, force: true }));

const refused = (act: () => unknown, message: RegExp): void => {
  assert.throws(act, (error: unknown) => {
    assert.instance(error, TroupeError);
    assert.is((error as TroupeError).code, 'invalid_request');
    assert.match((error as TroupeError).message, message);
    return true;
  });
};

const PRECEDENCE: readonly {
  readonly flag?: string;
  readonly env?: string;
  readonly toml?: string;
  readonly port: number;
}[] = [
  { flag: '1', env: '2', toml: '3', port: 1 },
  { flag: '1', toml: '3', port: 1 },
  { env: '2', toml: '3', port: 2 },
  { env: '', toml: '3', port: 3 },
  { toml: '3', port: 3 },
  { port: 8080 },
];

for (const { flag, env, toml: file, port } of PRECEDENCE) {
  test(`F1: flag ${flag ?? '-'}, TROUPE_PORT ${env ?? '-'}, troupe.toml ${file ?? '-'} give port ${port}`, () => {
    if (file !== undefined) toml(`port = ${file}\n`);
    const around = { cwd, env: env === undefined ? {} : { TROUPE_PORT: env } };
    assert.is(nodeConfig(flag === undefined ? {} : { port: flag }, around).port, port);
  });
}

test('F1: every option can be given by variable and by file', () => {
  const samples: Readonly<Record<string, readonly [string, string]>> = {
    host: ['localhost', '"localhost"'],
    data: ['d', '"d"'],
    nats: ['nats://a:4222', '"nats://a:4222"'],
    creds: ['c', '"c"'],
    roles: ['api,runner', '["api", "runner"]'],
    node: ['n', '"n"'],
    root: [`a${path.delimiter}b`, '["a", "b"]'],
    placement: ['hot_model', '"hot_model"'],
    decoder: ['wasm', '"wasm"'],
    token: ['t', '"t"'],
    'relaxed-sync': ['true', 'true'],
    log: ['json', '"json"'],
    replicas: ['3', '3'],
    sandbox: ['require', '"require"'],
    url: ['http://h', '"http://h"'],
    json: ['1', 'true'],
    watch: ['1', 'true'],
    state: ['active', '"active"'],
    format: ['csv', '"csv"'],
    manifest: ['m', '"m"'],
    id: ['i', '"i"'],
    out: ['o', '"o"'],
    model: ['m', '"m"'],
    threshold: ['.5', '0.5'],
    iou: ['0.5', '0.5'],
    classes: ['x,y', '["x", "y"]'],
  };
  for (const name of Object.keys(Options.properties)) {
    const [text, literal] = samples[name] ?? ['7', '7'];
    toml('');
    const byVariable = settings({}, { cwd, env: { [`TROUPE_${name.toUpperCase().replaceAll('-', '_')}`]: text } });
    toml(`${name} = ${literal}\n`);
    const byFile = settings({}, { cwd, env: {} });
    assert.is(Object.keys(byFile).join(), name);
    assert.equal(byVariable, byFile);
  }
});

test('F1: the defaults are those of the contract', () => {
  const { programs: _, slots, workers, node, ...rest } = nodeConfig({}, { cwd, env: { XDG_DATA_HOME: '/x' } });
  assert.equal(rest, {
    host: '127.0.0.1',
    port: 8080,
    data: '/x/troupe',
    nats: null,
    roles: ['api', 'orchestrator', 'runner'],
    roots: [cwd, '/x/troupe'],
    placement: 'least_loaded',
    decoder: 'auto',
    sandbox: 'auto',
    token: null,
    relaxedSync: false,
    rateLimit: 0,
    log: 'text',
    replicas: null,
    spares: 1,
    liveness: LIVENESS,
  });
  assert.is(nodeConfig({ host: '::', token: 't' }, { cwd, env: {} }).rateLimit, 200, 'others can reach it');
  assert.is(nodeConfig({ spares: '0' }, { cwd, env: {} }).spares, 0);
  assert.ok(slots >= 1 && workers >= 1);
  assert.match(node, /^[A-Za-z0-9_-]{1,64}$/);
  assert.is(nodeConfig({}, { cwd, env: { HOME: '/home/a' } }).data, '/home/a/.local/share/troupe');
});

test('F1: the times of supervision come from variables and the file', () => {
  toml('heartbeat-ms = 100\nmisses = 3\n');
  const { liveness } = nodeConfig({}, { cwd, env: { TROUPE_STALL_MS: '400' } });
  assert.equal(liveness, { ...LIVENESS, heartbeatMs: 100, misses: 3, stallMs: 400 });
});

test('F1: the placement strategy is the flag’s, the variable’s or the file’s', () => {
  toml('placement = "hot_model"\n');
  assert.is(nodeConfig({}, { cwd, env: {} }).placement, 'hot_model');
  assert.is(nodeConfig({}, { cwd, env: { TROUPE_PLACEMENT: 'round_robin' } }).placement, 'round_robin');
  assert.is(nodeConfig({ placement: 'least_loaded' }, { cwd, env: {} }).placement, 'least_loaded');
});

test('relative paths start at the current folder, and given roots replace the default ones', () => {
  mkdirSync(path.join(cwd, 'videos'), { recursive: true });
  const config = nodeConfig({ root: ['videos', '/'], data: 'd', nats: 'tls://n:1', creds: 'c' }, { cwd, env: {} });
  assert.equal(config.roots, [path.join(cwd, 'videos'), '/']);
  assert.is(config.data, path.join(cwd, 'd'));
  assert.equal(config.nats, { url: 'tls://n:1', credsFile: path.join(cwd, 'c') });
});

const WRONG: readonly (readonly [Flags, RegExp])[] = [
  [{ port: '65536' }, /^--port 65536 is not valid: port must be <= 65535/],
  [{ port: '80x' }, /^--port 80x .*port must be integer/],
  [{ port: '' }, /^--port {2}is not valid/],
  [{ node: 'a.b' }, /^--node a\.b .*pattern/],
  [{ roles: 'api,boss' }, /^--roles api,boss .*roles\[1\] must be "api" or "orchestrator" or "runner"/],
  [{ slots: '0' }, /^--slots 0 .*>= 1/],
  [{ placement: 'random' }, /^--placement random .*"least_loaded" or "round_robin" or "hot_model"/],
  [{ decoder: 'ffmpeg' }, /^--decoder ffmpeg .*"auto" or "native" or "wasm"/],
  [{ spares: '65' }, /^--spares 65 .*<= 64/],
  [{ nats: 'http://u:secret@x' }, /^--nats is not valid(?!.*secret).*pattern/],
  [{ creds: 'c' }, /--creds needs --nats/],
  [{ root: ['/no/such/folder'] }, /--root \/no\/such\/folder is no folder/],
];
for (const [flags, message] of WRONG) {
  test(`F2: ${JSON.stringify(flags)} is refused by name`, () => {
    refused(() => nodeConfig(flags, { cwd, env: {} }), message);
  });
}

test('F2: a wrong variable, a wrong value and an unknown key of the file are refused by name', () => {
  refused(() => settings({}, { cwd, env: { TROUPE_THRESHOLD: '2' } }), /^TROUPE_THRESHOLD 2 .*threshold must be <= 1/);
  toml('port = "8080"\n');
  refused(() => settings({}, { cwd, env: {} }), /troupe\.toml is not valid: port must be integer/);
  toml('prot = 8080\n');
  refused(
    () => settings({}, { cwd, env: {} }),
    /troupe\.toml is not valid: there is no option 'prot'; did you mean 'port'\?/,
  );
  toml('relaxed_sync = true\n');
  refused(() => settings({}, { cwd, env: {} }), /there is no option 'relaxed_sync'; did you mean 'relaxed-sync'\?/);
  toml('colour = "red"\n');
  refused(() => settings({}, { cwd, env: {} }), /there is no option 'colour'; 'troupe up --help' lists/);
  toml('port = \n');
  refused(() => settings({}, { cwd, env: {} }), /troupe\.toml:1: Invalid TOML.*Correct that line\.$/);
});

test('F2: a refused token is not repeated', () => {
  refused(() => settings({ token: 'se cret' }, { cwd, env: {} }), /^--token is not valid(?!.*cret)/);
});

for (const host of ['0.0.0.0', '::', '10.1.2.3', 'example.org', '127.0.0.1.example.org']) {
  test(`F3: host ${host} wants a token`, () => {
    refused(() => nodeConfig({ host }, { cwd, env: {} }), /token/);
    assert.is(nodeConfig({ host }, { cwd, env: { TROUPE_TOKEN: 't' } }).token, 't');
  });
}

for (const host of ['127.0.0.1', '127.1.2.3', 'localhost', '::1']) {
  test(`F3: host ${host} wants none`, () => {
    assert.is(nodeConfig({ host }, { cwd, env: {} }).token, null);
  });
}

test('a command reaches the node that was named, else the one of DATA, else the default port', () => {
  const data = path.join(cwd, 'node');
  assert.equal(clientConfig({ data }, { cwd, env: {} }), {
    url: 'http://127.0.0.1:8080',
    from: 'default',
    token: null,
  });
  mkdirSync(data);
  writeFileSync(path.join(data, 'endpoint.json'), '{"nats":"nats://127.0.0.1:98","pid":1}\n');
  assert.is(clientConfig({ data }, { cwd, env: {} }).from, 'default', 'a node without the role api');
  writeFileSync(
    path.join(data, 'endpoint.json'),
    '{"url":"http://127.0.0.1:99","nats":"nats://127.0.0.1:98","pid":1}\n',
  );
  const env = { TROUPE_DATA: data, TROUPE_TOKEN: 't' };
  assert.equal(clientConfig({}, { cwd, env }), { url: 'http://127.0.0.1:99', from: 'endpoint', token: 't' });
  const named = { ...env, TROUPE_URL: 'http://b:1/' };
  assert.equal(clientConfig({}, { cwd, env: named }), { url: 'http://b:1', from: 'option', token: 't' });
  assert.is(clientConfig({ url: 'http://c:1' }, { cwd, env: named }).url, 'http://c:1');
});

test('an endpoint.json that was torn is refused with what to do', () => {
  const data = path.join(cwd, 'torn');
  mkdirSync(data);
  writeFileSync(path.join(data, 'endpoint.json'), '{"url":');
  refused(() => clientConfig({ data }, { cwd, env: {} }), /endpoint\.json is no JSON: start the node again/);
});

test.run();
