/**
 * `npm run bundle [-- --out FOLDER]`: the program as one file, `troupe.mjs`, and beside it what it loads and reads, for
 * the system that this runs on. The folder works wherever it is copied to and needs Node 24 and nats-server, but no
 * node_modules. It has 92 MB, most of them onnxruntime's and ffmpeg.wasm's.
 *
 * BU1 Packages that look beside their own code find their files in `parts/<package>/`, through `assets` like ours.
 * BU2 The program's processes and threads start from the bundle itself (`entry.ts`).
 * BU3 Every package inside is named in THIRD-PARTY.txt, with the text of its licence where the package has one.
 */
import { cpSync, globSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { build, type Metafile, type Plugin } from 'esbuild';
import { asset, root } from '../src/infra/process/assets.ts';

const { platform, arch } = process;
/** What packages look for beside their code. */
const PARTS: Readonly<Record<string, string>> = {
  'better-sqlite3': `prebuilds/${platform}*-${arch}.node`,
  'onnxruntime-node': `bin/napi-v6/${platform}/${arch}/*`,
  '@fastify/swagger-ui': 'static/*',
  '@ffmpeg/core': 'dist/umd/*',
};

/** BU1 */
const parts: Plugin = {
  name: 'parts',
  setup({ onLoad }) {
    const assets = JSON.stringify(asset('src', 'infra', 'process', 'assets.ts'));
    for (const name of Object.keys(PARTS)) {
      const inside = `/node_modules/${name}/`;
      onLoad({ filter: new RegExp(`${inside}.*\\.js$`) }, ({ path: file }) => {
        const [, own = ''] = file.split(inside);
        const folder = JSON.stringify(path.join('parts', name, path.dirname(own)));
        // A path that is put together at run time: esbuild would look for it now, and bundle every file it may mean.
        const code = readFileSync(file, 'utf8').replaceAll('require(`../', 'require(`${__dirname}/../');
        return { contents: `'use strict'; const __dirname = require(${assets}).asset(${folder}); ${code}` };
      });
    }
  },
};

/** BU3 */
function licences({ inputs }: Metafile): string {
  const bundled = Object.keys(inputs).flatMap(input => /^.*node_modules\/(@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? []);
  const folders = [...bundled, ...Object.keys(PARTS).map(name => `node_modules/${name}`)];
  const texts = [...new Set(folders)].sort().map(folder => {
    const { name, version, license } = JSON.parse(readFileSync(asset(folder, 'package.json'), 'utf8')) as PackageJson;
    const files = readdirSync(asset(folder)).filter(file => /^(licen[cs]e|notice|copying)/i.test(file));
    return [`${name} ${version}: ${license}`, ...files.map(file => readFileSync(asset(folder, file), 'utf8'))];
  });
  return texts.map(text => text.join('\n\n')).join(`\n\n${'-'.repeat(80)}\n\n`);
}

interface PackageJson {
  readonly name: string;
  readonly version: string;
  readonly license: string;
}

const { values } = parseArgs({ options: { out: { type: 'string', default: asset('dist') } } });
const out = path.resolve(values.out);
const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: ['src/main.ts'],
  outfile: path.join(out, 'troupe.mjs'),
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  // What CommonJS packages load at run time: Node's own modules, and native ones by their path.
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  define: { TROUPE_BUNDLE: 'true' }, // BU2
  plugins: [parts],
  metafile: true,
  logLevel: 'warning',
});
for (const name of ['models', 'test_videos', 'LICENSE']) cpSync(asset(name), path.join(out, name), { recursive: true });
for (const [name, pattern] of Object.entries(PARTS)) {
  const files = globSync(pattern, { cwd: asset('node_modules', name) });
  if (files.length === 0) throw new Error(`${name} has no ${pattern}: it does not support ${platform} on ${arch}`);
  for (const file of files) cpSync(asset('node_modules', name, file), path.join(out, 'parts', name, file));
}
const { name, version, license } = JSON.parse(readFileSync(asset('package.json'), 'utf8')) as PackageJson;
writeFileSync(
  path.join(out, 'package.json'),
  `${JSON.stringify({ name, version, license, private: true }, null, 2)}\n`,
);
writeFileSync(path.join(out, 'THIRD-PARTY.txt'), `${licences(metafile)}\n`);
console.log(`${path.join(out, 'troupe.mjs')}, with its files beside it, for ${platform} on ${arch}`);
