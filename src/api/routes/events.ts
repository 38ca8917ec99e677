/**
 * A scenario's events as Server-Sent Events (https://html.spec.whatwg.org/multipage/server-sent-events.html).
 *
 * SE1 `id:` is where a reader stands after that event, in words that every API node understands: with it, or with the last one
 *    it got, a reader goes on at any node without a gap or a repeat. `progress` has none: it is about now.
 * SE2 A slow reader costs its own pace and a page of memory: nothing is asked for before the socket has taken what was before.
 * SE3 A node serves a bounded number of streams, and ends all of them at once when it closes.
 * SE4 Nobody takes all of them: a connection has one (of others that it asks for it would see nothing), and a client a part.
 *    On loopback clients cannot be told apart, and all are the owner's.
 */
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type from 'typebox';
import type { EventGateway, EventPosition, EventType, ScenarioEvent } from '../../actors/ports/gateway.ts';
import { TroupeError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import { predictionLine } from '../../domain/prediction.ts';
import { isLoopback } from '../access.ts';
import { clientGone } from '../client-gone.ts';
import { decodePosition, encodePosition } from '../cursor.ts';
import { problems } from '../problem.ts';
import { clientOf } from '../rate-limit.ts';
import { type DeletedEvent, IdParams, type ProgressEvent, type StateEvent } from '../schemas.ts';

export interface EventRoutesDeps {
  readonly events: EventGateway;
  /** Aborted when the server closes. */
  readonly closing: AbortSignal;
}

const TYPES: readonly EventType[] = ['state', 'progress', 'prediction'];
const ONE_TYPE = `(${TYPES.join('|')})`;

export const eventRoutes =
  ({ events, closing }: EventRoutesDeps): FastifyPluginAsyncTypebox =>
  async app => {
    const open = new Map<string, number>();
    const streaming = new WeakSet<Socket>();

    app.get(
      '/scenarios/:id/events',
      {
        exposeHeadRoute: false, // it would read the stream to its end
        schema: {
          operationId: 'streamEvents',
          tags: ['scenarios'],
          summary: 'Follow a scenario',
          description:
            'Server-Sent Events. `state` (StateEvent): first as it is now, then every transition. `progress` (ProgressEvent): at ' +
            'most once a second. `prediction`: `{run, ...Prediction}`, of the latest run from its first frame on, in frame order, ' +
            'each once. `inactive` comes after the last prediction of its run; only the state at the beginning does not wait: ' +
            'of a scenario that has ended already the `progress` comes behind the last prediction. ' +
            'The stream stays open after it, and tells of a later start; a comment every 15 s keeps it from being cut. ' +
            '`deleted` (DeletedEvent) is the last event of all. A reader that was cut off goes on with `Last-Event-ID`, at any ' +
            'API node, without a gap or a repeat.',
          params: IdParams,
          querystring: Type.Object(
            {
              types: Type.Optional(
                Type.String({
                  pattern: `^${ONE_TYPE}(,${ONE_TYPE})*$`,
                  default: TYPES.join(),
                  description: 'which events, separated by commas',
                }),
              ),
              run: Type.Optional(
                Type.Integer({
                  minimum: 1,
                  description:
                    'predictions and progress of this run only; when absent of the latest and all that follow',
                }),
              ),
              from: Type.Optional(
                Type.Union([Type.Literal('start'), Type.Literal('now')], {
                  default: 'start',
                  description: 'now: without the predictions that are there already',
                }),
              ),
              lastEventId: Type.Optional(
                Type.String({
                  description: 'as the header Last-Event-ID, which goes before it; for tools that cannot send one',
                }),
              ),
            },
            { additionalProperties: false },
          ),
          headers: Type.Object({
            'last-event-id': Type.Optional(Type.String({ description: 'the id of the last event that was received' })),
          }),
          response: {
            200: {
              description: 'the events, for as long as the reader stays',
              content: { 'text/event-stream': { schema: Type.Unsafe<Readable>({ type: 'string' }) } },
            },
            ...problems('scenario_not_found', 'run_not_found', 'too_many_requests'),
          },
        },
      },
      async (request, reply) => {
        const { types = TYPES.join(), run = null, from = 'start', lastEventId } = request.query;
        const last = request.headers['last-event-id'] || lastEventId;
        const after = last === undefined ? null : decodePosition(last);
        const client = clientOf(request.ip);
        const { socket } = request.raw;
        const mine = open.get(client) ?? 0;
        const refusal = streaming.has(socket)
          ? 'This connection has an event stream already. Open another connection for another stream.'
          : mine >= LIMITS.eventStreamsOfClient && !isLoopback(client)
            ? `This node serves ${mine} event streams to ${client}, as many as to one client. End one of them, or ask another node.`
            : [...open.values()].reduce((sum, count) => sum + count, 0) >= LIMITS.eventStreams
              ? `This node serves ${LIMITS.eventStreams} event streams, as many as it may. Ask another one, or try again later.`
              : null;
        if (refusal !== null) throw new TroupeError('too_many_requests', refusal, { retryable: true });
        open.set(client, mine + 1);
        streaming.add(socket);
        const gone = clientGone(reply);
        const leave = (): void => {
          const left = (open.get(client) ?? 1) - 1;
          if (left === 0) open.delete(client);
          else open.set(client, left);
          streaming.delete(socket);
        };
        gone.addEventListener('abort', leave, { once: true });
        const wanted = new Set(types.split(',') as EventType[]);
        const query = { types: wanted, run, after, fromNow: from === 'now' };
        const told = await events.events(request.params.id, query, AbortSignal.any([closing, gone]));
        // SE3: one that does not read would not see its stream end.
        const drop = (): void => {
          if (reply.raw.writableNeedDrain) reply.raw.destroy();
        };
        closing.addEventListener('abort', drop, { once: true, signal: gone });
        // SE3: a connection that lives on idle would keep the server from closing.
        reply.type('text/event-stream').headers({ 'x-accel-buffering': 'no', connection: 'close' });
        return reply.send(Readable.from(textOf(told), { objectMode: false }));
      },
    );
  };

/** SE2 */
async function* textOf(events: AsyncIterable<ScenarioEvent>): AsyncIterable<string> {
  yield `retry: ${LIMITS.eventRetryMs}\n\n`;
  for await (const event of events) {
    yield text(event);
    await turn();
  }
}

function text(event: ScenarioEvent): string {
  switch (event.kind) {
    case 'state':
      return message('state', event.change satisfies StateEvent, event.position);
    case 'progress': {
      const { run, progress } = event;
      return message('progress', { run, progress } satisfies ProgressEvent, null);
    }
    case 'predictions': {
      const { position, predictions } = event;
      // The line itself, so that it is the export's byte for byte.
      const lines = predictions.map(prediction => {
        const data = `{"run":${position.run},${predictionLine(prediction).slice(1)}`;
        return block('prediction', data, { ...position, frame: prediction.frame + 1 });
      });
      return lines.join('');
    }
    case 'deleted': {
      const { at, from, run } = event;
      return message('deleted', { at, from, to: 'deleted', run } satisfies DeletedEvent, null);
    }
    case 'quiet':
      return ': \n\n';
  }
}

const message = (name: string, data: object, position: EventPosition | null): string =>
  block(name, JSON.stringify(data), position);

/** SE1. JSON has no raw line break, so that it is one line. */
const block = (name: string, data: string, position: EventPosition | null): string =>
  `${position === null ? '' : `id: ${encodePosition(position)}\n`}event: ${name}\ndata: ${data}\n\n`;
