// shared
/** Troupe by bare NATS: what anyone can do who may publish. */
import { connect as dial } from 'node:net';
import { headers } from '@nats-io/transport-node';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { STREAMS, SUBJECTS } from '../../src/domain/subjects.ts';
import { connect } from '../../src/infra/nats/connection.ts';
import { startTestNode } from '../support/node.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('bare NATS');

/** One publish as lines of text over TCP: no client, no headers, no inbox. */
async function barePublish(url: string, subject: string, body: string): Promise<void> {
  const { hostname, port } = new URL(url);
  const socket = dial(Number(port), hostname);
  socket.write(`CONNECT {"verbose":false}\r\nPUB ${subject} ${Buffer.byteLength(body)}\r\n${body}\r\nPING\r\n`);
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject);
    socket.on('data', bytes => {
      if (bytes.toString().includes('PONG')) resolve();
    });
  });
  socket.destroy();
}

const request = { source: { uri: 'test_videos/test_video.mp4' }, model: 'shapes', sampling: { to: 40 } };

test('a bare PUB of start runs a scenario; what is refused is stored under troupe.rejected', async () => {
  await using node = await startTestNode();
  const { natsUrl } = node.node;
  await barePublish(natsUrl, 'troupe.cmd.scenario.bare.start', JSON.stringify(request));
  await waitUntil('it is there', async () => (await node.call('GET', '/api/v1/scenarios/bare')).status === 200);
  assert.is((await node.ended('bare')).outcome, 'completed');
  assert.is((await node.export('bare')).trimEnd().split('\n').length, 41);

  await using nats = await connect(natsUrl, { name: 'test' });
  const refused = async (subject: string): Promise<{ verb: string; problem: { code: string } }> => {
    let found: { verb: string; problem: { code: string } } | null = null;
    await waitUntil(`${subject} is stored`, async () => {
      const message = await nats.jsm.streams.getMessage(STREAMS.rejected, { last_by_subj: subject });
      found = message === null ? null : message.json();
      return found !== null;
    });
    assert.ok(found !== null);
    return found;
  };
  await barePublish(natsUrl, 'troupe.cmd.scenario.broken.start', '{"source":');
  assert.is((await refused('troupe.rejected.scenario.broken')).problem.code, 'invalid_request');
  await barePublish(natsUrl, 'troupe.cmd.scenario.bare.frobnicate', '{}');
  assert.is((await refused('troupe.rejected.scenario.bare')).verb, 'frobnicate');
  await barePublish(natsUrl, 'troupe.cmd.nobody.x.start', '{}');
  assert.is((await refused('troupe.rejected.nobody.x')).problem.code, 'invalid_request');
  await barePublish(natsUrl, 'troupe.cmd.scenario.absent.stop', '');
  assert.is((await refused('troupe.rejected.scenario.absent')).problem.code, 'scenario_not_found');
});

test('troupe.api is answered with the scenario or the problem, after the commit', async () => {
  await using node = await startTestNode();
  await using nats = await connect(node.node.natsUrl, { name: 'test' });
  const ask = async (verb: string, body: unknown) =>
    (await nats.connection.request(SUBJECTS.api('asked', verb), JSON.stringify(body), { timeout: 20_000 })).json<{
      scenario?: { state: string } | null;
      problem?: { code: string };
    }>();
  assert.is((await ask('stop', {})).problem?.code, 'scenario_not_found');
  assert.is((await ask('create', { ...request, start: false })).scenario?.state, 'inactive');
  assert.is((await ask('create', request)).problem?.code, 'scenario_exists');
  assert.is((await ask('start', {})).scenario?.state, 'init_startup');
  assert.is((await ask('sing', {})).problem?.code, 'invalid_request');
  await node.ended('asked');
  assert.is((await ask('delete', {})).scenario, null);
});

test('an answer goes to inboxes only: a forged reply subject is not published to', async () => {
  await using node = await startTestNode();
  await using nats = await connect(node.node.natsUrl, { name: 'test' });
  const heard: string[] = [];
  const seen = nats.connection.subscribe('>', { callback: (_, message) => void heard.push(message.subject) });
  const send = async (reply: string): Promise<void> => {
    const head = headers();
    head.set('Troupe-Reply', reply);
    await nats.js.publish('troupe.cmd.scenario.forged.stop', '{}', { headers: head });
  };
  await send('troupe.sys.scenario.victim.exited');
  await send('_INBOX.mine.1');
  await waitUntil('the honest one is answered', () => heard.includes('_INBOX.mine.1'));
  assert.not.ok(heard.includes('troupe.sys.scenario.victim.exited'));
  seen.unsubscribe();
});

test.run();
