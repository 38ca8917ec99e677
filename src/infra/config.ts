/**
 * What a node or a command is told: the only reader of the environment.
 *
 * F1 Order: flag, environment (`TROUPE_<OPTION>`), `troupe.toml` of the current folder, default. A variable that is
 *    empty is not set.
 * F2 A value passes its schema or is refused by the name it was given under; an unknown key of `troupe.toml` is refused.
 * F3 A host that other machines can reach wants a token.
 */
import { readFileSync, statSync } from 'node:fs';
import { availableParallelism, homedir, hostname } from 'node:os';
import path from 'node:path';
import { parse as parseToml, TomlError } from 'smol-toml';
import Type, { type Static } from 'typebox';
import { TroupeError } from '../domain/errors.ts';
import { Id } from '../domain/ids.ts';
import { LIMITS } from '../domain/limits.ts';
import { nearest } from '../domain/nearest.ts';
import { NodeRole, SandboxLevel } from '../domain/node.ts';
import { invalidRequest, parse, problemsOf } from '../domain/parse.ts';
import { PlacementStrategy } from '../domain/placement-strategy.ts';
import { Sampling } from '../domain/sampling.ts';
import { ScenarioRequest, ScenarioState } from '../domain/scenario.ts';
import { asset } from './process/assets.ts';

/** A name of a file or a host: NUL is in none. */
const Text = Type.String({ minLength: 1, maxLength: 4096, pattern: '^[^\\x00]*$' });
const Url = Type.String({ pattern: '^https?://\\S+$' });
const Ms = Type.Integer({ minimum: 1, maximum: LIMITS.livenessMs });

/**
 * - `auto`: the native ffmpeg where there is one, else ffmpeg.wasm.
 * - `native`, `wasm`: this one or none.
 */
const DecoderOption = Type.Union([Type.Literal('auto'), Type.Literal('native'), Type.Literal('wasm')]);
export type DecoderOption = Static<typeof DecoderOption>;

const { threshold, iou, classes, segments, model } = ScenarioRequest.properties;
const { every, fps, from, to } = Sampling.properties;

/** `auto`: the best level that works. `require`: `full`, or the node does not start. A level: that one. */
const SandboxWish = Type.Union([Type.Literal('auto'), Type.Literal('require'), SandboxLevel]);
export type SandboxWish = Static<typeof SandboxWish>;

/** Every option by its long name: a key of `troupe.toml`, `--<name>` where a command has it, `TROUPE_<NAME>`. */
export const Options = Type.Partial(
  Type.Object({
    // of a node
    host: Text,
    port: Type.Integer({ minimum: 0, maximum: 65_535 }),
    data: Text,
    nats: Type.String({ pattern: '^(nats|tls)://\\S+$' }),
    creds: Text,
    roles: Type.Array(NodeRole, { minItems: 1 }),
    node: Id,
    slots: Type.Integer({ minimum: 1, maximum: LIMITS.slots }),
    workers: Type.Integer({ minimum: 1, maximum: LIMITS.workers }),
    spares: Type.Integer({ minimum: 0, maximum: LIMITS.spares }),
    root: Type.Array(Text, { minItems: 1 }),
    placement: PlacementStrategy,
    decoder: DecoderOption,
    sandbox: SandboxWish,
    token: Type.String({ pattern: '^[\\x21-\\x7e]+$' }),
    'relaxed-sync': Type.Boolean(),
    'rate-limit': Type.Integer({ minimum: 0, maximum: LIMITS.requestRate }),
    log: Type.Union([Type.Literal('text'), Type.Literal('json')]),
    replicas: Type.Integer({ minimum: 1, maximum: 5 }),
    'lease-ms': Ms,
    'heartbeat-ms': Ms,
    misses: Type.Integer({ minimum: 2, maximum: 1000 }),
    'stall-ms': Ms,
    'backoff-first-ms': Ms,
    'backoff-most-ms': Ms,
    'shutdown-ms': Ms,
    'placement-retry-ms': Ms,
    // of a command
    url: Url,
    json: Type.Boolean(),
    watch: Type.Boolean(),
    state: ScenarioState,
    run: Type.Integer({ minimum: 1 }),
    format: Type.Union([Type.Literal('jsonl'), Type.Literal('csv'), Type.Literal('coco')]),
    manifest: Text,
    // of a scenario
    id: Id,
    out: Text,
    model,
    every,
    fps,
    from,
    to,
    threshold,
    iou,
    classes,
    segments,
  }),
  { additionalProperties: false },
);
export type Options = Static<typeof Options>;

/** Options as a command line gives them: text, `true` for a switch, a list for what may be repeated. */
export type Flags = { readonly [Name in keyof Options]?: string | boolean | readonly string[] | undefined };

/** Where options are looked for besides the flags. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}

const here = (): Surroundings => ({ env: process.env, cwd: process.cwd() });

/** F1, F2. @throws TroupeError invalid_request */
export function settings(flags: Flags = {}, { env, cwd }: Surroundings = here()): Options {
  const given: Record<string, unknown> = fileOptions(path.join(cwd, 'troupe.toml'));
  for (const [name, schema] of Object.entries(Options.properties)) {
    const variable = `TROUPE_${name.toUpperCase().replaceAll('-', '_')}`;
    const flag = flags[name as keyof Options];
    const text = flag ?? (env[variable] || undefined);
    if (text === undefined) continue;
    const label = flag === undefined ? variable : `--${name}`;
    const value = typeof text === 'string' ? fromText(text, name, 'type' in schema ? schema.type : '') : text;
    const errors = problemsOf(Options, { [name]: value });
    if (errors.length > 0) {
      const { message } = invalidRequest(SECRET.has(name) ? label : `${label} ${shown(String(text))}`, errors);
      const form = FORMS[name as keyof Options];
      const toDo = form === undefined ? '' : ` Give ${form}.`;
      throw new TroupeError('invalid_request', message + toDo, { errors });
    }
    given[name] = value;
  }
  return given;
}

/** What was given, on one line, as far as it helps to find it. */
const shown = (text: string): string => {
  const line = text.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, ' ');
  return line.length <= LIMITS.placeChars ? line : `${line.slice(0, LIMITS.placeChars)}…`;
};

/** Options that nothing repeats: each may be a password, or have one in it. */
export const SECRET: ReadonlySet<string> = new Set(['token', 'nats']);

/** What those take whose pattern says little to most people. */
const FORMS: { readonly [Name in keyof Options]?: string } = {
  url: 'an address such as http://127.0.0.1:8080',
  nats: 'an address such as nats://127.0.0.1:4222',
  token: 'letters, digits and signs of ASCII, without blanks',
  id: 'letters, digits, _ and -, 64 at most',
  node: 'letters, digits, _ and -, 64 at most',
};

function fileOptions(file: string): Options {
  let given: Readonly<Record<string, unknown>>;
  try {
    given = parseToml(readIfThere(file, 'correct that, or go to another folder') ?? '');
  } catch (error) {
    // Only the first line: the rest quotes the file, and its neighbouring lines may hold a token.
    if (error instanceof TomlError)
      throw refuse(`${file}:${error.line}: ${error.message.split('\n')[0]}. Correct that line.`);
    throw error;
  }
  const known = Object.keys(Options.properties);
  const stranger = Object.keys(given).find(key => !known.includes(key));
  if (stranger === undefined) {
    const errors = problemsOf(Options, given);
    if (errors.length === 0) return given;
    throw refuse(`${invalidRequest(file, errors).message} Correct it there.`);
  }
  const meant = nearest(shown(stranger).replaceAll('_', '-').toLowerCase(), known);
  const instead = meant === null ? "'troupe up --help' lists the options." : `did you mean '${meant}'?`;
  throw refuse(
    `${file} is not valid: there is no option '${shown(stranger)}'; ${instead} Correct it, or take the line out.`,
  );
}

function readIfThere(file: string, toDo: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return null;
    throw refuse(`${shown(file)} cannot be read (${code}): ${toDo}.`);
  }
}

function isFolder(file: string): boolean {
  try {
    return statSync(file).isDirectory();
  } catch {
    return false; // also one whose name is too long, or that may not be looked at
  }
}

/** What is no number, switch or list stays text, for the schema to refuse. */
function fromText(text: string, name: string, type: unknown): unknown {
  if (type === 'array') {
    const items = text.split(name === 'root' ? path.delimiter : ',').map(item => item.trim());
    return items.filter(item => item !== '');
  }
  if (type === 'boolean') return ({ true: true, '1': true, false: false, '0': false } as const)[text] ?? text;
  if (type === 'integer' || type === 'number') return /^[+-]?(\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : text;
  return text;
}

export interface NodeConfig {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** DATA: the embedded server's store, the projection, models, `endpoint.json`. */
  readonly data: string;
  /** null: an embedded nats-server. */
  readonly nats: { readonly url: string; readonly credsFile: string | null } | null;
  readonly roles: readonly NodeRole[];
  readonly node: string;
  /** Runners this node takes at most. */
  readonly slots: number;
  /** Inference sessions per runner, each in a thread of its own. */
  readonly workers: number;
  /** Runner processes kept ready for the next attempt. */
  readonly spares: number;
  /** Files are read only below these. */
  readonly roots: readonly string[];
  /** In which order the orchestrators of this node ask runner nodes. */
  readonly placement: PlacementStrategy;
  /** Which decoder its runners use. */
  readonly decoder: DecoderOption;
  readonly sandbox: SandboxWish;
  readonly token: string | null;
  readonly relaxedSync: boolean;
  /** Requests a second that one client of the HTTP API may send; 0: any number. */
  readonly rateLimit?: number;
  /** How the node's log is written to stderr. */
  readonly log?: 'text' | 'json';
  /** Copies of every stream and bucket; null: 3 where NATS is a cluster, else 1. An existing one never gets fewer. */
  readonly replicas: number | null;
  readonly liveness: Liveness;
  readonly programs: Programs;
}

/** When something is given up for lost, and how fast it is replaced; all in ms. */
export interface Liveness {
  readonly heartbeatMs: number;
  /** Between renewals of a node's lease. */
  readonly leaseMs: number;
  /** Missed heartbeats, or renewals, that count as death. */
  readonly misses: number;
  /** Beats without progress for this long count as death too. */
  readonly stallMs: number;
  readonly backoffFirstMs: number;
  readonly backoffMostMs: number;
  readonly shutdownMs: number;
  readonly placementRetryMs: number;
}

export const LIVENESS: Liveness = {
  heartbeatMs: 1_000,
  leaseMs: 1_000,
  misses: 5,
  stallMs: 30_000,
  backoffFirstMs: 200,
  backoffMostMs: 30_000,
  shutdownMs: 5_000,
  placementRetryMs: 10_000,
};

/** Where external programs are looked for. */
export interface Programs {
  readonly natsServer: string | undefined;
  readonly ffmpeg: string | undefined;
  readonly searchPath: string;
  /** Where `npm run setup` puts them. */
  readonly own: string;
}

export const defaultData = (env: Surroundings['env'] = process.env): string =>
  path.join(env['XDG_DATA_HOME'] || path.join(env['HOME'] || homedir(), '.local', 'share'), 'troupe');

/** What a child may need of our environment. Everything else, our token and other people's secrets among it, stays here. */
const HANDED_DOWN = [
  'HOME',
  'LANG',
  'LC_ALL',
  'LD_LIBRARY_PATH',
  'NODE_EXTRA_CA_CERTS',
  'NO_COLOR',
  'PATH',
  'TMPDIR',
  'TZ',
  'XDG_CACHE_HOME',
];

/** The environment of every process that a node starts: decoders of untrusted files run in it. */
export const childEnvironment = (): NodeJS.ProcessEnv =>
  Object.fromEntries(HANDED_DOWN.flatMap(name => (process.env[name] === undefined ? [] : [[name, process.env[name]]])));

export const programs = (): Programs => ({
  natsServer: process.env['TROUPE_NATS_SERVER'],
  ffmpeg: process.env['TROUPE_FFMPEG'],
  searchPath: process.env['PATH'] ?? '',
  own: asset('.troupe', 'bin'),
});

/** A video that the model shapes finds something in, as a command may name it here. */
export const demoVideo = ({ cwd }: Surroundings = here()): string => {
  const file = asset('test_videos', 'test_video.mp4');
  const near = path.relative(cwd, file);
  return near.startsWith('..') ? file : near;
};

export const defaultSlots = (): number => 2 * availableParallelism();
/** One runner at a time dies, mostly; without spares a restart waits for a process to start. */
export const DEFAULT_SPARES = 1;
/** More sessions than four in one runner seldom pay: the decoder becomes the bottleneck. */
export const defaultWorkers = (): number => Math.min(4, availableParallelism());

/** @throws TroupeError invalid_request */
export function nodeConfig(flags: Flags = {}, around: Surroundings = here()): NodeConfig {
  const given = settings(flags, around);
  const absolute = (file: string): string => path.resolve(around.cwd, file);
  const host = given.host ?? '127.0.0.1';
  if (!isLoopback(host) && given.token === undefined) {
    throw refuse(`--host ${host} can be reached from other machines: give a token with --token or TROUPE_TOKEN.`);
  }
  if (given.creds !== undefined && given.nats === undefined)
    throw refuse('--creds needs --nats URL: name the NATS that they are for.');
  const data = dataOf(given, around);
  const roots = given.root?.map(absolute);
  for (const root of roots ?? []) {
    if (!isFolder(root)) throw refuse(`--root ${root} is no folder. Create it, or name another.`);
  }
  return {
    host,
    port: given.port ?? DEFAULT_PORT,
    data,
    nats:
      given.nats === undefined
        ? null
        : { url: given.nats, credsFile: given.creds === undefined ? null : absolute(given.creds) },
    roles: [...new Set(given.roles ?? (['api', 'orchestrator', 'runner'] as const))],
    node: given.node ?? machineId(),
    slots: given.slots ?? defaultSlots(),
    workers: given.workers ?? defaultWorkers(),
    spares: given.spares ?? DEFAULT_SPARES,
    roots: roots ?? [around.cwd, data],
    placement: given.placement ?? 'least_loaded',
    decoder: given.decoder ?? 'auto',
    sandbox: given.sandbox ?? 'auto',
    token: given.token ?? null,
    relaxedSync: given['relaxed-sync'] ?? false,
    // On loopback every client is this machine's user: nobody to be protected from.
    rateLimit: given['rate-limit'] ?? (isLoopback(host) ? 0 : DEFAULT_RATE),
    log: given.log ?? 'text',
    replicas: given.replicas ?? null,
    liveness: {
      heartbeatMs: given['heartbeat-ms'] ?? LIVENESS.heartbeatMs,
      leaseMs: given['lease-ms'] ?? LIVENESS.leaseMs,
      misses: given.misses ?? LIVENESS.misses,
      stallMs: given['stall-ms'] ?? LIVENESS.stallMs,
      backoffFirstMs: given['backoff-first-ms'] ?? LIVENESS.backoffFirstMs,
      backoffMostMs: given['backoff-most-ms'] ?? LIVENESS.backoffMostMs,
      shutdownMs: given['shutdown-ms'] ?? LIVENESS.shutdownMs,
      placementRetryMs: given['placement-retry-ms'] ?? LIVENESS.placementRetryMs,
    },
    programs: programs(),
  };
}

/** How a command reaches a node. */
export interface ClientConfig {
  readonly url: string;
  /** `option`: the user named it. `endpoint`: a node of this DATA wrote it, and may be gone. `default`: a guess. */
  readonly from: 'option' | 'endpoint' | 'default';
  readonly token: string | null;
}

/** A node without the role api has no `url`. */
const Endpoint = Type.Object({ url: Type.Optional(Url) });

/** @throws TroupeError invalid_request */
export function clientConfig(flags: Flags = {}, around: Surroundings = here()): ClientConfig {
  const given = settings(flags, around);
  const token = given.token ?? null;
  if (given.url !== undefined) return { url: given.url.replace(/\/+$/, ''), from: 'option', token };
  const file = path.join(dataOf(given, around), 'endpoint.json');
  const { url } = parse(Endpoint, endpointIn(file), file);
  if (url !== undefined) return { url, from: 'endpoint', token };
  return { url: `http://127.0.0.1:${given.port || DEFAULT_PORT}`, from: 'default', token };
}

function endpointIn(file: string): unknown {
  try {
    return JSON.parse(readIfThere(file, 'name another folder with --data, or the node with --url') ?? '{}');
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw refuse(`${file} is no JSON: start the node again, which writes it, or name the node with --url.`);
  }
}

const DEFAULT_PORT = 8080;
/** A page that polls ten scenarios every second takes a tenth of it, and a script may create 20 a second (a write counts 10). */
const DEFAULT_RATE = 200;

const refuse = (message: string): TroupeError => new TroupeError('invalid_request', message);

const dataOf = ({ data }: Options, { env, cwd }: Surroundings): string => path.resolve(cwd, data ?? defaultData(env));

/** F3: a name that only this machine can reach. */
const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);

const machineId = (): string =>
  hostname()
    .replaceAll(/[^A-Za-z0-9_-]+/g, '-')
    .slice(0, 64) || 'node';
