import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cpuClass, cpuClassOf } from '../../src/infra/inference/cpu-class.ts';

const test = suite('cpu class');

const x64 = (flags: string): string => cpuClassOf('x64', `processor\t: 0\nflags\t\t: fpu sse2 ${flags}\nbugs\t\t: x\n`);

test('x64 is classed by the widest vector extension that onnxruntime has kernels for', () => {
  assert.is(x64(''), 'x64 sse2');
  assert.is(x64('avx'), 'x64 avx');
  assert.is(x64('avx avx2 fma'), 'x64 avx2+fma');
  assert.is(x64('avx avx2 fma avx_vnni'), 'x64 avx2+fma+avxvnni');
  assert.is(x64('avx avx2 fma avx512f'), 'x64 avx2+fma');
  assert.is(x64('avx avx2 fma avx512f avx512bw avx512dq avx512vl avx512_vnni'), 'x64 avx512+vnni');
});

test('arm64 is neon and what it has beyond', () => {
  assert.is(cpuClassOf('arm64', 'Features\t: fp asimd crc32\n'), 'arm64 neon');
  assert.is(cpuClassOf('arm64', 'Features\t: fp asimd asimdhp asimddp i8mm\n'), 'arm64 neon+fp16+dotprod+i8mm');
});

test('without /proc/cpuinfo the architecture is all that is known', () => {
  assert.is(cpuClassOf('arm64', null), 'arm64');
  assert.is(cpuClassOf('x64', null), 'x64');
});

test('this machine has a class, and always the same', () => {
  assert.match(cpuClass(), new RegExp(`^${process.arch}`));
  assert.is(cpuClass(), cpuClass());
});

test.run();
