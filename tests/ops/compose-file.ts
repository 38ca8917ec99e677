/** docker-compose.yml as data: read like Compose reads it, variables put in. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { asset } from '../../src/infra/process/assets.ts';

export interface Service {
  readonly image?: string;
  readonly build?: string;
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly user?: string;
  readonly working_dir?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly tmpfs?: readonly string[];
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly cap_add?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly mem_limit?: string;
  readonly restart?: string;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
}

/** It does its work and ends. */
export const isOneShot = (service: Service): boolean => service.restart === 'no';

export interface ComposeFile {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

const text = readFileSync(asset('docker-compose.yml'), 'utf8');

/** As written: anchors and merges resolved, variables not. */
export const asWritten = (): unknown => parse(text, { merge: true });

/** `${NAME:?why}`, `${NAME:-default}` and `${NAME}`, as Compose puts them in. @throws when one that is needed is missing */
export function withVariables(env: Readonly<Record<string, string>>): ComposeFile {
  const put = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(put);
    if (typeof value === 'object' && value !== null)
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, put(inner)]));
    if (typeof value !== 'string') return value;
    return value.replaceAll(/\$\{(\w+)(?::([?-])([^}]*))?\}/g, (_, name: string, kind?: string, rest?: string) => {
      const given = env[name];
      if (given !== undefined && given !== '') return given;
      if (kind === '-') return rest ?? '';
      throw new Error(`${name}: ${rest ?? 'it is not set'}`);
    });
  };
  return put(asWritten()) as ComposeFile;
}
