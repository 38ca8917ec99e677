/** A Dockerfile's instructions, and what .dockerignore keeps from it: as much of both languages as ours use. */
import { readFileSync } from 'node:fs';
import { asset } from '../../src/infra/process/assets.ts';

export interface Instruction {
  /** Counted from 0. */
  readonly stage: number;
  /** COPY, RUN … */
  readonly name: string;
  readonly rest: string;
}

export function instructions(): Instruction[] {
  const text = readFileSync(asset('Dockerfile'), 'utf8');
  const lines = text
    .replaceAll(/^\s*#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n');
  let stage = -1;
  return lines
    .filter(line => line.trim() !== '')
    .map(line => {
      const [, name = '', rest = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
      if (name === 'FROM') stage += 1;
      return { stage, name, rest };
    });
}

/** Sources and target of a COPY from the context; null of one from another stage. */
export function copied({ rest }: Instruction): { readonly sources: readonly string[]; readonly target: string } | null {
  const words = rest.split(/\s+/);
  if (words.some(word => word.startsWith('--from='))) return null;
  return { sources: words.slice(0, -1), target: words.at(-1) ?? '' };
}

/** Whether .dockerignore, which lets in by name what lies at the top, keeps `file` out. */
export function isIgnored(file: string): boolean {
  const lines = readFileSync(asset('.dockerignore'), 'utf8').split('\n');
  const patterns = lines.filter(line => line !== '' && !line.startsWith('#'));
  const [all, ...exceptions] = patterns;
  if (all !== '*' || !exceptions.every(pattern => /^![\w.-]+$/.test(pattern)))
    throw new Error('.dockerignore is no longer a list of what is let in');
  const [top = ''] = file.replace(/^\.\//, '').split('/');
  return !exceptions.includes(`!${top}`);
}
