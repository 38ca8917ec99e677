// shared
/** One trace from a request to the frames in the log, through every process between. */
import { headers } from '@nats-io/transport-node';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseLogRecord } from '../../src/domain/log-record.ts';
import { STREAMS } from '../../src/domain/subjects.ts';
import { parseTraceparent } from '../../src/domain/traceparent.ts';
import { connect, type Nats } from '../../src/infra/nats/connection.ts';
import { startTestNode } from '../support/node.ts';
import { waitUntil } from '../support/wait-until.ts';

const test = suite('trace');
const PARENT = '00f067aa0ba902b7';
const request = { source: { uri: 'test_videos/test_video.mp4' }, model: 'shapes', sampling: { to: 3 } };

/** Every message of a stream's subject that is stored now. */
async function stored(nats: Nats, stream: string, filter: string): Promise<Record<string, unknown>[]> {
  const consumer = await nats.js.consumers.get(stream, { filter_subjects: filter });
  const all: Record<string, unknown>[] = [];
  for await (const message of await consumer.fetch({ max_messages: 1_000, expires: 1_000 })) {
    all.push(message.json());
    if (message.info.pending === 0) break;
  }
  return all;
}

/** What goes over the wire while `during` runs, with its trace. */
async function overheard(nats: Nats, during: () => Promise<void>): Promise<Map<string, string>> {
  const heard = new Map<string, string>();
  const listening = nats.connection.subscribe('troupe.>', {
    callback: (_, message) => void heard.set(message.subject, message.headers?.get('traceparent') ?? ''),
  });
  await nats.connection.flush();
  await during();
  listening.unsubscribe();
  return heard;
}

/** The trace and request of everything that one command caused. */
async function followed(nats: Nats, id: string, heard: ReadonlyMap<string, string>, trace: string, requestId: string) {
  const spans = new Set<string>([PARENT]);
  const isOfTrace = (text: unknown, where: string): void => {
    const parsed = parseTraceparent(typeof text === 'string' ? text : undefined);
    assert.is(parsed?.traceId, trace, `${where}: ${String(text)}`);
    spans.add(parsed?.parentId ?? '');
  };
  const wire = [...heard].filter(([subject]) => /^troupe\.(cmd|sys)\.|^troupe\.ctl\.\w+\.start$/.test(subject));
  const verbs = wire.map(([subject]) => subject.split('.').at(-1));
  for (const verb of ['place', 'placing', 'start', 'placed', 'progressed', 'exited'])
    assert.ok(verbs.includes(verb), `${verb} among ${verbs.join()}`);
  for (const [subject, traceparent] of wire)
    if (traceparent !== `00-${trace}-${PARENT}-01`) isOfTrace(traceparent, subject);
  const events = await stored(nats, STREAMS.event, `troupe.event.scenario.${id}.>`);
  assert.ok(events.length >= 4);
  for (const event of events) isOfTrace(event['traceparent'], JSON.stringify(event));
  assert.is(events[0]?.['requestId'], requestId);
  const log = await stored(nats, STREAMS.log, `troupe.prediction.${id}.1.0`);
  const kinds = log.map(record => parseLogRecord(Buffer.from(JSON.stringify(record)))?.kind);
  assert.equal([kinds[0], kinds.at(-1)], ['open', 'end']);
  for (const record of log) isOfTrace(record['traceparent'], 'the log, written by the runner process');
  assert.ok(spans.size >= 6, `each hop has an id of its own: ${[...spans].join()}`);
}

test('C5: one trace id from POST and from nats pub is seen at every hop, in the facts and in the runner process', async () => {
  await using node = await startTestNode();
  await using nats = await connect(node.node.natsUrl, { name: 'test' });

  const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
  let heard = await overheard(nats, async () => {
    const given = { traceparent: `00-${trace}-${PARENT}-01`, 'x-request-id': 'req-http' };
    assert.is((await node.call('POST', '/api/v1/scenarios', { id: 'http', ...request }, given)).status, 201);
    assert.is((await node.ended('http')).outcome, 'completed');
  });
  await followed(nats, 'http', heard, trace, 'req-http');

  const other = 'aaaabbbbccccddddeeeeffff00001111';
  heard = await overheard(nats, async () => {
    const head = headers();
    head.set('traceparent', `00-${other}-${PARENT}-01`);
    head.set('Troupe-Request-Id', 'req-nats');
    await nats.js.publish('troupe.cmd.scenario.bare.start', JSON.stringify(request), { headers: head });
    await waitUntil('it is there', async () => (await node.call('GET', '/api/v1/scenarios/bare')).status === 200);
    assert.is((await node.ended('bare')).outcome, 'completed');
  });
  await followed(nats, 'bare', heard, other, 'req-nats');

  // TP1 at the edges: what is malformed, or no id at all, is nobody's trace and no reason to refuse.
  const bad = { traceparent: '00-bad', 'x-request-id': 'not an id' };
  const created = await node.call('POST', '/api/v1/scenarios', { id: 'new', ...request, start: false }, bad);
  assert.is(created.status, 201);
  const [event] = await stored(nats, STREAMS.event, 'troupe.event.scenario.new.>');
  assert.ok(parseTraceparent(String(event?.['traceparent'])) !== null);
  assert.is(event?.['requestId'], created.headers.get('x-request-id'));
});

test.run();
