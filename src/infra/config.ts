/** What a node is told: the only reader of the environment. Order: flag, environment, `troupe.toml`, default. */
import { availableParallelism, homedir } from 'node:os';
import path from 'node:path';
import type { NodeRole } from '../domain/node.ts';
import { asset } from './process/assets.ts';

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
  /** Files are read only below these. */
  readonly roots: readonly string[];
  readonly token: string | null;
  readonly relaxedSync: boolean;
  readonly liveness: Liveness;
  readonly programs: Programs;
}

/** When something is given up for lost, and how fast it is replaced; all in ms. */
export interface Liveness {
  readonly heartbeatMs: number;
  /** Missed heartbeats that count as death. */
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

export const defaultData = (): string =>
  path.join(process.env['XDG_DATA_HOME'] || path.join(homedir(), '.local', 'share'), 'troupe');

export const programs = (): Programs => ({
  natsServer: process.env['TROUPE_NATS_SERVER'],
  ffmpeg: process.env['TROUPE_FFMPEG'],
  searchPath: process.env['PATH'] ?? '',
  own: asset('.troupe', 'bin'),
});

export const defaultSlots = (): number => 2 * availableParallelism();
/** More sessions than four in one runner seldom pay: the decoder becomes the bottleneck. */
export const defaultWorkers = (): number => Math.min(4, availableParallelism());
