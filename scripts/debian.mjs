/**
 * Debian packages unpacked into a folder of ours.
 *
 * D1 No root, and the machine's own apt stays as it is: state, lists and downloads live in a scratch folder.
 * D2 Nothing is trusted that apt does not: the machine's own mirror, and signatures by the machine's own keyring.
 */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import path from 'node:path';
import { run } from './run.mjs';

const KEYRINGS = ['gpg', 'pgp'].map(ending => `/usr/share/keyrings/debian-archive-keyring.${ending}`);

/** Of the machine's own release: the packages and what they need that is not installed. Returns the .deb files. */
export async function downloadWithDependencies(scratch, packages) {
  const apt = scratchApt(scratch);
  await apt('update');
  await apt('install', '--yes', '--download-only', '--no-install-recommends', ...packages);
  return debsIn(path.join(scratch, 'cache/archives'));
}

/** One package of another suite, without what it depends on. Returns the .deb file. */
export async function downloadFromSuite(scratch, suite, name) {
  const keyring = KEYRINGS.find(existsSync);
  if (keyring === undefined) throw new Error('this machine has no Debian archive keyring');
  const sources = await run('apt-get', ['indextargets', '--format', '$(REPO_URI)', 'Identifier: Packages']);
  const mirror = sources.split('\n').find(uri => /\/debian\/?$/.test(uri));
  if (mirror === undefined) throw new Error("this machine's apt sources name no Debian mirror");
  const apt = scratchApt(scratch, `deb [signed-by=${keyring}] ${mirror} ${suite} main\n`);
  await apt('update');
  await apt('download', name);
  const [deb] = debsIn(scratch);
  if (deb === undefined) throw new Error(`apt downloaded no ${name}`);
  return deb;
}

export async function unpack(debs, into) {
  for (const deb of debs) await run('dpkg', ['-x', deb, into]);
}

/** Where the shared libraries of a program lie that was unpacked into a folder, relative to it. */
export function libraryFolders(unpacked) {
  const libraries = readdirSync(unpacked, { recursive: true }).filter(file => /\.so(\.|$)/.test(file));
  return [...new Set(libraries.map(file => path.dirname(file)))];
}

/** D1: apt-get over a scratch folder, with the machine's own sources unless others are given. */
function scratchApt(scratch, sources) {
  for (const folder of ['state/lists/partial', 'cache/archives/partial'])
    mkdirSync(path.join(scratch, folder), { recursive: true });
  const settings = {
    'Dir::State': path.join(scratch, 'state'),
    'Dir::State::status': '/var/lib/dpkg/status',
    'Dir::Cache': path.join(scratch, 'cache'),
    'Debug::NoLocking': 'true',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '2',
    'APT::Sandbox::User': userInfo().username,
  };
  if (sources !== undefined) {
    settings['Dir::Etc::SourceList'] = path.join(scratch, 'sources.list');
    writeFileSync(settings['Dir::Etc::SourceList'], sources);
    // A pin of the machine's must not hide a suite that it does not know.
    for (const kind of ['SourceParts', 'Preferences', 'PreferencesParts']) settings[`Dir::Etc::${kind}`] = '/dev/null';
  }
  const options = Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  return (...args) => run('apt-get', [...options, '--quiet', ...args], { cwd: scratch });
}

const debsIn = folder =>
  readdirSync(folder)
    .filter(name => name.endsWith('.deb'))
    .map(name => path.join(folder, name));
