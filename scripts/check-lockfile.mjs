/**
 * `npm run check:lockfile [-- FILE]`: what is installed is what was reviewed, from whatever registry npm is set to.
 *
 * K1 Every package comes from the registry, by version: no address, no git, no folder, no other name.
 * K2 Every package has its SHA-512. Only tools of development for systems that Troupe is not developed on may lack it: npm notes
 *    it when it downloads one.
 * K3 Every package has a licence that licences.mjs allows.
 */
import { readFileSync } from 'node:fs';
import { isAllowed } from './licences.mjs';

const file = process.argv[2] ?? new URL('../package-lock.json', import.meta.url);
const { lockfileVersion, packages } = JSON.parse(readFileSync(file, 'utf8'));
const { workspaces = [] } = packages[''];
const wrong = lockfileVersion === 3 ? [] : [`it has version ${lockfileVersion}, not 3`];
for (const [folder, entry] of Object.entries(packages)) {
  const name = folder.split('node_modules/').at(-1) || 'this package';
  const say = what => wrong.push(`${name}: ${what}`);
  for (const kind of ['dependencies', 'devDependencies', 'optionalDependencies', 'peerDependencies']) {
    for (const [wanted, range] of Object.entries(entry[kind] ?? {})) {
      if (/[:/]/.test(range)) say(`wants ${wanted} as ${range}`); // K1
    }
  }
  // Our own folders, and npm's links to them.
  if (folder === '' || workspaces.includes(folder) || (entry.link && workspaces.includes(entry.resolved))) continue;
  if (entry.resolved !== undefined || entry.link || (entry.name ?? name) !== name) {
    say(`comes from ${entry.resolved ?? entry.name ?? 'a folder'}`); // K1
  }
  if (!/^\d+\.\d+\.\d+/.test(entry.version ?? '')) say(`has no version but ${entry.version}`);
  if (!/^sha512-[A-Za-z0-9+/]{86}==$/.test(entry.integrity ?? '') && !isForeignTool(entry)) say('has no SHA-512'); // K2
  if (!isAllowed(name, entry.license)) say(`has the licence ${entry.license}`); // K3
}
if (wrong.length > 0) {
  process.stderr.write(`package-lock.json cannot be trusted:\n${wrong.map(line => `  ${line}\n`).join('')}`);
  process.exitCode = 1;
}

/** K2 */
function isForeignTool({ dev, optional, os = [], cpu = [], libc = [] }) {
  const ours = os.includes('linux') && cpu.some(name => name === 'x64' || name === 'arm64') && !libc.includes('musl');
  return dev === true && optional === true && os.length > 0 && !ours;
}
