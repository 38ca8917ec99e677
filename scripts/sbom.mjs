/**
 * `npm run sbom [-- FILE]`: the packages that Troupe is made and built of, as a CycloneDX document, by npm itself and without a
 * network. Those of development are marked as such.
 *
 * B1 It names every package of the lock file, with its version, hash and licence. (`npm sbom --omit dev` leaves out what a tool of
 *    development needs as well.)
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { isAllowed } from './licences.mjs';
import { run } from './run.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const file = path.resolve(process.argv[2] ?? path.join(root, 'dist/sbom.cdx.json'));
const document = JSON.parse(
  await run('npm', ['sbom', '--sbom-format', 'cyclonedx', '--package-lock-only'], { cwd: root }),
);
const components = new Map(
  document.components.map(each => [`${each.group ? `${each.group}/` : ''}${each.name}@${each.version}`, each]),
);

const { packages } = JSON.parse(readFileSync(path.join(root, 'package-lock.json'), 'utf8'));
const { workspaces = [] } = packages[''];
const wrong = [];
for (const [folder, { version, integrity, link }] of Object.entries(packages)) {
  if (folder === '' || workspaces.includes(folder) || link) continue;
  const bare = folder.split('node_modules/').at(-1);
  const name = `${bare}@${version}`;
  const component = components.get(name);
  const licences = (component?.licenses ?? []).map(
    ({ license, expression }) => expression ?? license?.id ?? license?.name,
  );
  if (component === undefined) wrong.push(`${name} is missing`);
  else if (licences.length === 0 || !licences.every(licence => isAllowed(bare, licence)))
    wrong.push(`${name} has the licence ${licences.join(', ') || 'none'}`);
  else if (integrity !== undefined && !component.hashes?.some(({ alg }) => alg === 'SHA-512'))
    wrong.push(`${name} has no hash`);
}
if (wrong.length > 0) {
  process.stderr.write(`the bill of materials is not right:\n${wrong.map(line => `  ${line}\n`).join('')}`);
  process.exitCode = 1;
} else {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(document, null, 2)}\n`);
  console.log(`${components.size} packages in ${file}`);
}
