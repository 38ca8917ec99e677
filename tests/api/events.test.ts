/** Event streams as HTTP: their form, their bounds, their end. What they tell is in scenario-events.test.ts. */
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { EventPosition, ScenarioEvent } from '../../src/actors/ports/gateway.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { predictionLine } from '../../src/domain/prediction.ts';
import { prediction } from '../projection/log-entries.ts';
import { EventStream } from '../support/event-stream.ts';
import { waitUntil } from '../support/wait-until.ts';
import { clock, problemOf, type ServedApi, serveApi } from './served-api.ts';

const test = suite('event streams');
const EVENTS = '/api/v1/scenarios/cam/events';
const position: EventPosition = { life: 1_700_000_000_000, transition: 3, run: 2, frame: 10 };
const change = {
  at: '2030-01-01T00:00:00.000Z',
  from: null,
  to: 'active',
  reason: 'a\nb',
  run: 2,
  outcome: null,
} as const;
const progress = { framesDone: 3, framesTotal: null, fps: null, etaMs: null, lastFrame: 2 };
const page = (from: number, count = 3): ScenarioEvent => ({
  kind: 'predictions',
  position: { ...position, frame: from },
  predictions: Array.from({ length: count }, (_, i) => prediction(from + i)),
});

let api: ServedApi;
test.before(async () => {
  api = await serveApi();
  api.have('cam');
});
test.before.each(() => {
  api.cluster.told = [];
});
test.after(async () => {
  await api[Symbol.asyncDispose]();
});

test('events have their names, their data in one line, and predictions the very bytes of an export', async () => {
  api.cluster.told = [
    { kind: 'state', position, change },
    page(10),
    { kind: 'progress', run: 2, progress },
    { kind: 'quiet' },
    { kind: 'deleted', at: change.at, from: 'inactive', run: 2 },
  ];
  await using stream = await EventStream.open(api.url + EVENTS);
  await waitUntil('all has come', () => stream.events.length === 6);
  assert.equal([stream.response.status, stream.retryMs, stream.comments], [200, LIMITS.eventRetryMs, 1]);
  assert.equal(
    stream.events.map(({ event }) => event),
    ['state', 'prediction', 'prediction', 'prediction', 'progress', 'deleted'],
  );
  assert.equal(stream.events[0]?.data, change);
  assert.equal(
    stream.of('prediction').map(data => JSON.stringify(data)),
    [10, 11, 12].map(frame => `{"run":2,${predictionLine(prediction(frame)).slice(1)}`),
  );
  assert.equal(stream.of('progress'), [{ run: 2, progress }]);
  assert.equal(stream.of('deleted'), [{ at: change.at, from: 'inactive', to: 'deleted', run: 2 }]);
});

test('SE1: the id of an event is where its reader goes on, in the header or in the query, the header first', async () => {
  api.cluster.told = [{ kind: 'state', position, change }, page(10), { kind: 'progress', run: 2, progress }];
  await using stream = await EventStream.open(api.url + EVENTS);
  await waitUntil('all has come', () => stream.events.length === 5);
  const ids = stream.events.map(({ id }) => id);
  assert.is(ids[4], ids[3], 'progress has none of its own');
  const standing = async (query: string, lastId = ''): Promise<EventPosition | null | undefined> => {
    await using _ = await EventStream.open(`${api.url}${EVENTS}${query}`, lastId);
    return api.cluster.followed.at(-1)?.after;
  };
  assert.equal(await standing('', ids[0]), position);
  assert.equal(await standing('', ids[2]), { ...position, frame: 12 });
  assert.equal(await standing(`?lastEventId=${ids[1]}`), { ...position, frame: 11 });
  assert.equal(await standing(`?lastEventId=${ids[1]}`, ids[3]), { ...position, frame: 13 });
  assert.is(await standing(''), null);
});

test('what is asked for is handed on, and what cannot be is refused', async () => {
  await using _ = await EventStream.open(`${api.url}${EVENTS}?types=prediction,state&run=7&from=now`);
  const { types, run, fromNow } = api.cluster.followed.at(-1) ?? {};
  assert.equal([[...(types ?? [])], run, fromNow], [['prediction', 'state'], 7, true]);
  for (const query of [
    '?types=',
    '?types=all',
    '?types=state,',
    '?run=0',
    '?from=end',
    '?lastEventId=nonsense',
    '?x=1',
  ])
    await problemOf(await api.fetch(EVENTS + query), 400, 'invalid_request');
  await problemOf(await api.fetch(EVENTS, { headers: { 'last-event-id': 'WzEsMl0' } }), 400, 'invalid_request');
  await problemOf(await api.fetch('/api/v1/scenarios/nobody/events'), 404, 'scenario_not_found');
  assert.is((await api.fetch(EVENTS, { method: 'HEAD' })).status, 405);
});

/** A node whose patience with open answers has no end: what holds up its close does so for ever. */
const patient = { ...clock, timer: () => ({ cancel: () => {} }) };

test('SE2: of a reader that reads nothing no more is asked than the connection holds', async () => {
  await using own = await serveApi({}, { clock: patient });
  own.have('cam');
  let at = 0;
  own.cluster.told = {
    *[Symbol.iterator]() {
      for (;;) yield page((at += 100), 100);
    },
  };
  const socket = connect(own.port, '127.0.0.1');
  socket.on('error', () => {}); // it is cut off
  socket.write(`GET ${EVENTS} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  socket.pause();
  let before = -1;
  await waitUntil('nothing more is asked for', async () => {
    const same = before === own.cluster.taken;
    before = own.cluster.taken;
    await new Promise(resolve => setTimeout(resolve, 200));
    return same && before > 0;
  });
  // What loopback buffers is some megabytes at most; a page is some 15 kB.
  assert.ok(own.cluster.taken < 2_000, `${own.cluster.taken} pages`);
  let closed = false;
  own.app.close(() => {
    closed = true;
  });
  await waitUntil('SE3: it does not hold up the close', () => closed);
  socket.destroy();
});

test('SE3: more streams than a node may serve are refused until one ends', async () => {
  const streams = await Promise.all(
    Array.from({ length: LIMITS.eventStreams }, () => EventStream.open(api.url + EVENTS)),
  );
  try {
    await problemOf(await api.fetch(EVENTS), 429, 'too_many_requests');
    await problemOf(await api.fetch('/api/v1/scenarios/nobody/events'), 429, 'too_many_requests');
    await streams.pop()?.[Symbol.asyncDispose]();
    await waitUntil('there is room again', async () => {
      const answer = await api.fetch(EVENTS, { method: 'GET' });
      await answer.body?.cancel();
      return answer.status === 200;
    });
  } finally {
    await Promise.all(streams.map(stream => stream[Symbol.asyncDispose]()));
  }
  const unknown = () => api.fetch('/api/v1/scenarios/nobody/events');
  await waitUntil('a refused one takes no room', async () => (await unknown()).status === 404);
});

test('SE3: whoever is gone before he is served takes no place, and is no defect', async () => {
  await using hasty = await serveApi();
  hasty.have('cam');
  const request = `GET ${EVENTS} HTTP/1.1\r\nHost: 127.0.0.1:${hasty.port}\r\n\r\n`;
  let arrived = 0;
  // The node has read the request, its client has gone, and no hook has run yet.
  const leave = ({ socket }: IncomingMessage): void => {
    arrived += 1;
    socket.destroy();
  };
  hasty.app.server.on('request', leave);
  const clients = Array.from({ length: LIMITS.eventStreams + 1 }, () => {
    const socket = connect(hasty.port, '127.0.0.1', () => socket.write(request));
    return new Promise(resolve => socket.on('error', resolve).on('close', resolve));
  });
  await Promise.all(clients);
  assert.is(arrived, clients.length);
  hasty.app.server.off('request', leave);
  await using stream = await EventStream.open(hasty.url + EVENTS);
  assert.is(stream.response.status, 200);
  assert.equal(hasty.defects, []);
});

test('SE4: a connection has one stream, however many it asks for at once', async () => {
  await using own = await serveApi();
  own.have('cam');
  const socket = connect(own.port, '127.0.0.1');
  socket.on('error', () => {}); // it is cut off
  try {
    socket.write(`GET ${EVENTS} HTTP/1.1\r\nHost: localhost\r\n\r\n`.repeat(20));
    await waitUntil('all were heard', () => own.answered.length + own.cluster.followed.length >= 1);
    await own.fetch(EVENTS).then(answer => answer.body?.cancel());
    assert.is(own.cluster.followed.length, 2, 'one for each connection');
  } finally {
    socket.destroy();
  }
});

test('SE4: a client has a part of the streams and leaves the rest to others; IPv6 by its /64', async () => {
  await using own = await serveApi({ host: '10.0.0.9' });
  own.have('cam');
  const ask = (remoteAddress: string) => {
    const headers = { host: '10.0.0.9' };
    return own.app.inject({ url: EVENTS, remoteAddress, headers, payloadAsStream: true });
  };
  const mine = await Promise.all(Array.from({ length: LIMITS.eventStreamsOfClient }, (_, i) => ask(`2001:db8::${i}`)));
  assert.ok(mine.every(({ statusCode }) => statusCode === 200));
  const refused = await ask('2001:db8::ffff');
  assert.is(refused.statusCode, 429);
  assert.is((await ask('10.0.0.1')).statusCode, 200);
  mine.pop()?.raw.res.destroy();
  await waitUntil('there is room again', async () => (await ask('2001:db8::ffff')).statusCode === 200);
});

test('SE3, H2: closing ends every stream at once', async () => {
  await using own = await serveApi({}, { clock: patient });
  own.have('cam');
  const streams = await Promise.all([1, 2, 3].map(() => EventStream.open(own.url + EVENTS)));
  let closed = false;
  own.app.close(() => {
    closed = true;
  });
  await waitUntil('they are over, and so is the close', () => closed && streams.every(({ over }) => over));
});

test.run();
