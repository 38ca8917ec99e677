/**
 * Refused commands of the last day, from the journal: the same on every API node.
 *
 * R1 Newest first; a page is a window of the journal's sequence, so that a cursor neither repeats nor skips a refusal while
 *    new ones come.
 * R2 What is held at a time is bounded, whatever strangers have sent: entries are cut one by one as they are read.
 */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type from 'typebox';
import { LIMITS } from '../../domain/limits.ts';
import { type Rejection, readRejection } from '../../domain/rejection.ts';
import { SUBJECTS } from '../../domain/subjects.ts';
import { decodeSeqCursor, encodeCursor } from '../cursor.ts';
import { problems } from '../problem.ts';
import { RejectedPage } from '../schemas.ts';
import { type JournalReadPorts, storedEntries } from '../stored-entries.ts';

export const rejectedRoutes =
  (ports: JournalReadPorts): FastifyPluginAsyncTypebox =>
  async app => {
    app.get(
      '/rejected',
      {
        schema: {
          operationId: 'listRejected',
          tags: ['cluster'],
          summary: 'List refused commands',
          description:
            'Of the last 24 hours, newest first: what was refused of commands that came over HTTP or NATS, and why. ' +
            'A page may have fewer than `limit` items; there are more as long as it has a `nextCursor`.',
          querystring: Type.Object(
            {
              limit: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.pageItems, default: 100 })),
              cursor: Type.Optional(Type.String({ description: 'the nextCursor of the page before' })),
            },
            { additionalProperties: false },
          ),
          response: { 200: { ...RejectedPage, description: 'a page of refusals' }, ...problems() },
        },
      },
      async request => {
        const { limit = 100, cursor } = request.query;
        const before = cursor === undefined ? Number.MAX_SAFE_INTEGER : decodeSeqCursor(cursor);
        const extent = await ports.journal.extent(SUBJECTS.rejectedAll);
        if (extent === null) return { items: [] };
        // R1
        const lastSeq = Math.min(extent.lastSeq, before - 1);
        const firstSeq = Math.max(extent.firstSeq, lastSeq - limit + 1);
        const found = new Map<string, Rejection>();
        if (firstSeq <= lastSeq) {
          for await (const { subject, at, body } of storedEntries(ports, SUBJECTS.rejectedAll, { firstSeq, lastSeq })) {
            const read = readRejection(subject, at, body); // R2
            if (read !== null) found.set(read.key, read.rejection);
          }
        }
        const more = firstSeq > extent.firstSeq;
        return { items: [...found.values()].toReversed(), ...(more ? { nextCursor: encodeCursor(firstSeq) } : {}) };
      },
    );
  };
