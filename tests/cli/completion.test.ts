// shared
/** CO1, CO2: what the shells themselves make of the completion scripts. */
import { spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { VERBS } from '../../src/cli/commands.ts';
import { entry } from '../../src/infra/process/entry.ts';
import { serveApi } from '../api/served-api.ts';
import { startChild } from '../support/child.ts';
import { inProcess } from '../support/in-process.ts';
import { Workplace } from '../support/troupe-command.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('completion');
const place = new Workplace();
const command = path.join(place.folder, 'troupe');
test.before(() => {
  writeFileSync(command, `#!/bin/sh\nexec '${process.execPath}' '${entry()}' "$@"\n`);
  chmodSync(command, 0o755);
});
test.after(() => place[Symbol.dispose]());

const has = (shell: string): boolean => spawnSync(shell, ['-c', 'exit 0']).status === 0;

async function shell(program: string, script: string, url = 'http://127.0.0.1:1'): Promise<string[]> {
  const env = { PATH: `${place.folder}:${process.env['PATH']}`, TROUPE_URL: url, TROUPE_DATA: place.data };
  const child = startChild(program, ['-c', script], { cwd: place.folder, env });
  assert.is(await child.exited, 0, child.stderr());
  return child.stdout().split('\n').filter(Boolean);
}

/** What bash offers for each of these lines, the cursor at its end. */
async function inBash(lines: readonly string[], url?: string): Promise<string[][]> {
  const asked = lines.map(line => {
    const words = line.split(' ');
    return `COMP_WORDS=(${words.map(word => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _troupe; echo "\${COMPREPLY[*]}|"`;
  });
  const out = await shell(
    'bash',
    `source <(troupe completion bash); complete -p troupe >/dev/null; ${asked.join('; ')}`,
    url,
  );
  return out
    .join('\n')
    .split('|')
    .slice(0, -1)
    .map(found => found.split(/\s+/).filter(Boolean));
}

test('CO1: bash completes verbs, options that are left, values, files', async () => {
  writeFileSync(path.join(place.folder, 'video.mp4'), '');
  const [verbs, some, options, values, split, files] = await inBash([
    'troupe ',
    'troupe re',
    'troupe export --out x --',
    'troupe export --format c',
    'troupe export --format = c',
    'troupe run vid',
  ]);
  const shown = VERBS.filter(({ hidden }) => hidden !== true).map(({ usage }) => usage.split(' ')[0]);
  assert.equal(verbs, [...shown, 'help']);
  assert.equal(some, ['rejected']);
  assert.equal(options, ['--format', '--run', '--url', '--token', '--data', '--help']);
  assert.equal(values, ['csv', 'coco']);
  assert.equal(split, ['csv', 'coco']);
  assert.equal(files, ['video.mp4']);
});

test('CO2: bash completes ids that the node knows, and nothing where none answers', async () => {
  await using api = await serveApi();
  for (const id of ['cam1', 'cam2', 'door']) api.have(id);
  const expected = [['cam1', 'cam2'], ['node1'], []];
  // On a machine so busy that the node does not answer in time there is nothing, and nothing else.
  await waitUntil('the node answers in time', async () => {
    const found = await inBash(['troupe show c', 'troupe drain n', 'troupe show cam1 c'], api.url);
    if (found.some((words, i) => words.length > 0 && words.join() !== expected[i]?.join()))
      throw new Error(String(found));
    return found.map(String).join(';') === expected.map(String).join(';');
  });
  assert.equal(await inBash(['troupe show c']), [[]]);
});

const OTHERS: Readonly<Record<string, string>> = {
  zsh: `compdef() { : }; source <(troupe completion zsh); compadd() { print -l -- "\${found[@]}" }; words=(troupe ls --sta); CURRENT=3; _troupe`,
  fish: "troupe completion fish | source; complete -C 'troupe ls --sta'",
};
for (const [name, script] of Object.entries(OTHERS)) {
  // Skipped, and counted as such, where there is no such shell.
  const where = has(name) ? test : test.skip;
  where(`CO1: ${name} reads its script and offers the same`, async () => {
    assert.equal(await shell(name, script), ['--state']);
  });
}

test('every shell that is named has a script, and another is refused by name', async () => {
  for (const name of ['bash', 'zsh', 'fish']) {
    const { code, stdout } = await inProcess(['completion', name]);
    assert.is(code, 0);
    assert.match(stdout, new RegExp(`^#.*${name} completion of troupe`, 'm'));
  }
  const { code, stderr } = await inProcess(['completion', 'tcsh']);
  assert.is(code, 2);
  assert.match(stderr, /no completion for 'tcsh'\. Choose bash, zsh or fish/);
});

test.run();
