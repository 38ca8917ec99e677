/**
 * Results of a run: predictions, export, manifest.
 *
 * C1 Of an ended run they answer only when the projection has reached the end of its log, or not at all.
 */
import { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type from 'typebox';
import type { RunView, ScenarioGateway } from '../../actors/ports/gateway.ts';
import type { PredictionQuery, PredictionReader } from '../../actors/ports/projection.ts';
import type { Engine } from '../../domain/engine.ts';
import { TroupeError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import { invalidRequest } from '../../domain/parse.ts';
import type { Prediction } from '../../domain/prediction.ts';
import { badCursor, decodeFrameCursor, encodeCursor } from '../cursor.ts';
import { ExportDigests, exportCsv, exportLines } from '../export-stream.ts';
import { problems } from '../problem.ts';
import { IdParams, Manifest, PredictionPage, RunQuery } from '../schemas.ts';

export interface ResultRoutesDeps {
  readonly gateway: ScenarioGateway;
  readonly projection: PredictionReader;
  readonly version: string;
}

const Frame = (description: string) => Type.Optional(Type.Integer({ minimum: 0, description }));

export const resultRoutes =
  ({ gateway, projection, version }: ResultRoutesDeps): FastifyPluginAsyncTypebox =>
  async app => {
    const digests = new ExportDigests(projection);

    /** C1 */
    async function readable(id: string, run: number | undefined): Promise<RunView> {
      const view = await gateway.run(id, run ?? null);
      if (!view.ended) return { ...view, complete: false };
      if (await projection.caughtUpWith(view.lastSeq, LIMITS.catchUpMs)) return view;
      throw new TroupeError('not_ready', `The results of ${id} are still being read from the log; ask again.`, {
        retryable: true,
      });
    }

    app.get(
      '/scenarios/:id/predictions',
      {
        schema: {
          operationId: 'listPredictions',
          tags: ['results'],
          summary: 'Read predictions',
          description:
            'In frame order. While the run goes on: everything up to some frame, without a gap. With `class` or `minScore`, frames left empty are omitted.',
          params: IdParams,
          querystring: Type.Object(
            {
              ...RunQuery,
              fromFrame: Frame('first source frame, inclusive'),
              toFrame: Frame('last source frame, inclusive'),
              class: Type.Optional(Type.String({ minLength: 1, description: 'only detections of this class' })),
              minScore: Type.Optional(
                Type.Number({ minimum: 0, maximum: 1, description: 'only detections from here on' }),
              ),
              limit: Type.Optional(
                Type.Integer({ minimum: 1, maximum: LIMITS.pageItems, default: 100, examples: [10] }),
              ),
              cursor: Type.Optional(Type.String({ description: 'the nextCursor of the page before' })),
            },
            { additionalProperties: false },
          ),
          response: {
            200: { ...PredictionPage, description: 'a page of predictions' },
            ...problems('scenario_not_found', 'run_not_found', 'not_ready'),
          },
        },
      },
      async request => {
        const { run, fromFrame = 0, toFrame = Number.MAX_SAFE_INTEGER, limit = 100, cursor } = request.query;
        if (fromFrame > toFrame) {
          throw invalidRequest('The query', [{ path: 'toFrame', message: `must be >= fromFrame (${fromFrame})` }]);
        }
        const at = cursor === undefined ? null : decodeFrameCursor(cursor);
        if (at !== null && run !== undefined && run !== at.run) throw badCursor();
        const view = await readable(request.params.id, at?.run ?? run);
        const found = await collect({
          scenario: view.scenario.id,
          run: view.run,
          fromFrame: at?.frame ?? fromFrame,
          toFrame,
          threshold: view.threshold,
          className: request.query.class ?? null,
          minScore: request.query.minScore ?? null,
          limit: limit + 1,
        });
        const next = found[limit];
        return {
          complete: view.complete,
          items: found.slice(0, limit),
          ...(next === undefined ? {} : { nextCursor: encodeCursor(view.run, next.frame) }),
        };
      },
    );

    /** A filter may have to look at very many frames for a few: a window at a time, and the event loop turns between. */
    async function collect(query: PredictionQuery): Promise<Prediction[]> {
      if (query.className === null && query.minScore === null) return projection.query(query);
      const heads = projection.heads(query.scenario, query.run);
      const end = Math.min(query.toFrame, Math.max(...heads.map(head => head.lastFrame ?? -1)));
      const found: Prediction[] = [];
      for (let from = query.fromFrame; from <= end && found.length < query.limit; from += LIMITS.scanFrames) {
        const toFrame = Math.min(from + LIMITS.scanFrames - 1, end);
        found.push(...projection.query({ ...query, fromFrame: from, toFrame, limit: query.limit - found.length }));
        await turn();
      }
      return found;
    }

    app.get(
      '/scenarios/:id/export',
      {
        schema: {
          operationId: 'exportScenario',
          tags: ['results'],
          summary: 'Export the whole result',
          description:
            'jsonl: one prediction a line, in frame order, byte-identical for equal inputs and engine. csv: a row a detection, ' +
            "without frames that have none. Class names are the model's own, unaltered: have a spreadsheet import them as text " +
            'when you do not trust the model, lest one that begins with = be a formula.',
          params: IdParams,
          querystring: Type.Object(
            {
              ...RunQuery,
              format: Type.Optional(
                Type.Union([Type.Literal('jsonl'), Type.Literal('csv'), Type.Literal('coco')], {
                  default: 'jsonl',
                  description: 'coco is not in this version yet',
                }),
              ),
            },
            { additionalProperties: false },
          ),
          response: {
            200: {
              description: 'the predictions',
              headers: {
                'Troupe-Complete': {
                  type: 'string',
                  enum: ['true', 'false'],
                  description: 'whether every selected frame is in it',
                },
                'Troupe-Manifest': { type: 'string', description: 'where its manifest is' },
              },
              content: {
                'application/x-ndjson': { schema: Type.Unsafe<Readable>({ type: 'string' }) },
                'text/csv': { schema: Type.Unsafe<Readable>({ type: 'string' }) },
              },
            },
            ...problems('scenario_not_found', 'run_not_found', 'not_supported_yet', 'not_ready'),
          },
        },
      },
      async (request, reply) => {
        const { id } = request.params;
        const { format = 'jsonl', run } = request.query;
        if (format === 'coco')
          throw new TroupeError('not_supported_yet', 'This version exports jsonl and csv, not coco yet.');
        const view = await readable(id, run);
        const [type, lines] =
          format === 'csv'
            ? ['text/csv; charset=utf-8', exportCsv(projection, view)]
            : ['application/x-ndjson', exportLines(projection, view)];
        reply
          .type(type)
          .header('troupe-complete', String(view.complete))
          .header('troupe-manifest', `/api/v1/scenarios/${id}/manifest?run=${view.run}`)
          .header('content-disposition', `attachment; filename="${id}.${view.run}.predictions.${format}"`);
        return reply.send(Readable.from(lines, { objectMode: false }));
      },
    );

    app.get(
      '/scenarios/:id/manifest',
      {
        schema: {
          operationId: 'getManifest',
          tags: ['results'],
          summary: 'Read the manifest of a result',
          description: 'What the export is the result of, and the SHA-256 of its bytes.',
          params: IdParams,
          querystring: Type.Object(RunQuery, { additionalProperties: false }),
          response: { 200: Manifest, ...problems('scenario_not_found', 'run_not_found', 'not_ready') },
        },
      },
      async request => {
        const view = await readable(request.params.id, request.query.run);
        const { scenario, run, complete } = view;
        const segments = projection.heads(scenario.id, run).map(head => ({
          segment: head.segment,
          frames: head.framesDone,
          lastFrame: head.lastFrame,
          engine: head.engine as Engine | null,
          warnings: [...head.warnings],
        }));
        return {
          scenario: scenario.id,
          run,
          complete,
          spec: scenario.spec,
          source: scenario.source,
          model: scenario.model,
          engine: segments[0]?.engine ?? scenario.engine,
          segments,
          ...(await digests.of(view)),
          troupe: version,
        };
      },
    );
  };
