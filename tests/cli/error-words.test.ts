/** Every error that arguments and files can bring about: what happened, and what to do next. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { scenarioView } from '../api/fake-cluster.ts';
import { REQUEST } from '../api/served-api.ts';
import { inProcess } from '../support/in-process.ts';
import { scriptedNode } from '../support/scripted-node.ts';

const test = suite('error words');
const folder = mkdtempSync(path.join(tmpdir(), 'troupe-errors-'));
const file = (name: string, text: string): string => {
  const where = path.join(folder, name);
  mkdirSync(path.dirname(where), { recursive: true });
  writeFileSync(where, text);
  return where;
};
const here = process.cwd();
test.before(() => process.chdir(folder));
test.after.each(() => rmSync(path.join(folder, 'troupe.toml'), { force: true }));
test.after(() => {
  process.chdir(here);
  rmSync(folder, { recursive: true, force: true });
});

/** What an error may say to do: an option or a command to give, or a verb to follow. */
const TO_DO =
  /--[a-z]|\btroupe [a-z]|Correct|[Cc]hoose|[Cc]heck|[Gg]ive|[Nn]ame |Write it again|Use the|[Tt]ake|Did you mean|Allowed choices|must be|Create/;

/** Words, what stands in troupe.toml, what the error says happened. */
const CASES: readonly (readonly [string, string | null, RegExp])[] = [
  // commander's
  ['watc cam1', null, /unknown command 'watc'\n\(Did you mean watch\?\)/],
  ['explian cam1', null, /unknown command 'explian'\n\(Did you mean explain\?\)/],
  ['zzzzzz', null, /unknown command 'zzzzzz'/],
  ['ls --staet active', null, /unknown option '--staet'\n\(Did you mean --state\?\)/],
  ['run a.mp4 --treshold 1', null, /unknown option '--treshold'\n\(Did you mean --threshold\?\)/],
  ['up --sandbx none', null, /unknown option '--sandbx'\n\(Did you mean --sandbox\?\)/],
  ['show', null, /missing required argument 'id'/],
  ['show a b', null, /too many arguments/],
  ['ls --state', null, /option '--state <state>' argument missing/],
  ['ls --state asleep', null, /argument 'asleep' is invalid/],
  ['completion tcsh', null, /no completion for 'tcsh'/],
  // config.ts
  ['run a.mp4 --every 0', null, /--every 0 is not valid/],
  ['run a.mp4 --id a.b', null, /--id a\.b is not valid/],
  ['ls --url ftp://a', null, /--url ftp:\/\/a is not valid/],
  ['ls --token =\u0001', null, /--token is not valid/],
  ['up --nats http://a', null, /--nats is not valid/],
  ['up --slots many', null, /--slots many is not valid/],
  ['up --roles boss', null, /--roles boss is not valid/],
  ['up --host 0.0.0.0', null, /--host 0\.0\.0\.0 can be reached from other machines/],
  ['up --creds c', null, /--creds needs --nats/],
  ['up --root /no/such', null, /--root \/no\/such is no folder/],
  ['ls', 'port = ', /troupe\.toml:1: Invalid TOML/],
  ['ls', 'prot = 1', /troupe\.toml is not valid: there is no option 'prot'; did you mean 'port'/],
  ['ls', 'colour = 1', /troupe\.toml is not valid: there is no option 'colour'/],
  ['ls', 'port = "a"', /troupe\.toml is not valid: port must be integer/],
  ['ls --data torn', null, /endpoint\.json is no JSON/],
  ['ls --data strange', null, /endpoint\.json is not valid/],
  // the verbs' own
  ['run a.mp4 --out no/such/x', null, /no\/such is no folder that can be written to/],
  ['run a.mp4 --url http://127.0.0.1:1', null, /no node answers at http:\/\/127\.0\.0\.1:1/],
  ['ls --url http://127.0.0.1:1,http://127.0.0.1:2', null, /no node answers at http:\S+ or http:\S+/],
  ['export a --out no/such/x --url http://127.0.0.1:1', null, /no\/such is no folder that can be written to/],
  ['verify no.jsonl', null, /the manifest no\.jsonl\.manifest\.json is not there/],
  ['verify x --manifest torn/endpoint.json', null, /the manifest torn\/endpoint\.json cannot be read/],
  ['verify x --manifest strange/endpoint.json', null, /the manifest strange\/endpoint\.json is not valid/],
  ['verify no.jsonl --manifest good.json', null, /no\.jsonl cannot be read \(ENOENT/],
  ['verify torn/endpoint.json --manifest good.json', null, /line 1 is no prediction/],
];

test.before(() => {
  file('torn/endpoint.json', '{"url":');
  file('strange/endpoint.json', '{"url":7}');
  const { spec } = scenarioView('cam1', REQUEST);
  const manifest = { scenario: 'cam1', run: 1, complete: true, spec, frames: 3, sha256: '0'.repeat(64) };
  file('good.json', JSON.stringify(manifest));
});

for (const [words, toml, happened] of CASES) {
  test(`'troupe ${JSON.stringify(words).slice(1, -1)}'${toml === null ? '' : ` with ${toml}`} says what happened and what to do`, async () => {
    if (toml !== null) file('troupe.toml', toml);
    const { code, stdout, stderr } = await inProcess(words.split(' '));
    assert.ok(code === 1 || code === 2, String(code));
    assert.is(stdout, '');
    assert.match(stderr, /^troupe: /);
    assert.match(stderr, happened);
    assert.match(stderr.replace(happened, ''), TO_DO, `what to do: ${stderr}`);
    assert.not.match(stderr, /\n {4}at /);
  });
}

const failed = { ...scenarioView('cam1', REQUEST), state: 'inactive', outcome: 'failed' } as const;
/** What a node answers, to which words, and what is said of it. */
const ANSWERS: readonly (readonly [string, number, unknown, string, RegExp])[] = [
  ['no problem document', 502, 'Bad Gateway', 'ls', /answered 502 and does not say why/],
  ['something else than a node', 200, { hello: 1 }, 'ls', /does not answer like a Troupe node/],
  [
    'that a token is wanted',
    401,
    { code: 'unauthenticated', detail: 'A token is wanted.' },
    'ls',
    /A token is wanted\./,
  ],
  [
    'that it failed',
    200,
    { ...failed, error: { code: 'decode_failed', message: 'torn', frame: 7 } },
    'run a.mp4 --id cam1',
    /cam1 failed: torn \(at frame 7\)/,
  ],
  ['that it failed without a word', 200, failed, 'run a.mp4 --id cam1', /cam1 ended failed/],
  [
    'that it was stopped',
    200,
    { ...failed, outcome: 'stopped' },
    'run a.mp4 --id cam1',
    /was stopped by somebody else/,
  ],
];
for (const [what, status, answer, words, happened] of ANSWERS) {
  test(`a node that answers ${what} is told of with what to do`, async () => {
    await using node = await scriptedNode((response, { url }) => {
      response.statusCode = url === '/healthz' ? 200 : status;
      response.end(JSON.stringify(url === '/healthz' ? { status: 'ok' } : answer));
    });
    const { code, stdout, stderr } = await inProcess([...words.split(' '), '--url', node.url]);
    assert.equal([code, stdout], [1, ''], stderr);
    assert.match(stderr, happened);
    assert.match(stderr.replace(happened, ''), TO_DO, `what to do: ${stderr}`);
  });
}

test.run();
