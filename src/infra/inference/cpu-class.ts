/** The CPU as far as it decides how floating-point results round: onnxruntime picks its kernels by these extensions. */
import { existsSync, readFileSync } from 'node:fs';

/** Kernels of different rounding, widest first; then extensions that change integer models on top of them. */
const X64_FLOAT: readonly (readonly [name: string, flags: readonly string[]])[] = [
  ['avx512', ['avx512f', 'avx512bw', 'avx512dq', 'avx512vl']],
  ['avx2+fma', ['avx2', 'fma']],
  ['avx', ['avx']],
];
const X64_INTEGER: Readonly<Record<string, string>> = { avx512_vnni: 'vnni', avx_vnni: 'avxvnni', amx_int8: 'amx' };
const ARM64: Readonly<Record<string, string>> = {
  asimdhp: 'fp16',
  asimddp: 'dotprod',
  i8mm: 'i8mm',
  bf16: 'bf16',
  sve: 'sve',
  sme: 'sme',
};

/** For `Engine.cpu`: `x64 avx2+fma`, `x64 avx512+vnni`, `arm64 neon+dotprod`, … */
export function cpuClass(): string {
  const file = '/proc/cpuinfo';
  return cpuClassOf(process.arch, existsSync(file) ? readFileSync(file, 'latin1') : null);
}

/** @param cpuinfo the text of /proc/cpuinfo; null where there is none: only the architecture is known then */
export function cpuClassOf(arch: string, cpuinfo: string | null): string {
  if (cpuinfo === null) return arch;
  const flags = new Set(/^(?:flags|Features)\s*:(.*)$/m.exec(cpuinfo)?.[1]?.trim().split(/\s+/) ?? []);
  const present = (names: Readonly<Record<string, string>>): string[] =>
    Object.entries(names).flatMap(([flag, name]) => (flags.has(flag) ? [name] : []));
  if (arch === 'arm64') return [`${arch} neon`, ...present(ARM64)].join('+');
  if (arch !== 'x64') return arch;
  const float = X64_FLOAT.find(([, needed]) => needed.every(flag => flags.has(flag)))?.[0] ?? 'sse2';
  return [`${arch} ${float}`, ...present(X64_INTEGER)].join('+');
}
