/** What happened to a scenario, in words: its supervisor's facts as the journal has them, the same on every API node. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type from 'typebox';
import type { ScenarioGateway } from '../../actors/ports/gateway.ts';
import { LIMITS } from '../../domain/limits.ts';
import { readFact, type TimelineItem } from '../../domain/scenario-facts.ts';
import { SUBJECTS } from '../../domain/subjects.ts';
import { problems } from '../problem.ts';
import { IdParams, Timeline } from '../schemas.ts';
import { type JournalReadPorts, storedEntries } from '../stored-entries.ts';

export interface TimelineRoutesDeps extends JournalReadPorts {
  readonly gateway: ScenarioGateway;
}

export const timelineRoutes =
  ({ gateway, ...ports }: TimelineRoutesDeps): FastifyPluginAsyncTypebox =>
  async app => {
    app.get(
      '/scenarios/:id/timeline',
      {
        schema: {
          operationId: 'getTimeline',
          tags: ['scenarios'],
          summary: 'Read what happened to a scenario',
          description:
            'Oldest first: states, attempts and where they were placed, nodes that refused and why, detections of death, ' +
            `fences, at which frame an attempt went on, restarts, the end. Facts are kept for a week; the newest ` +
            `${LIMITS.timelineItems} are answered. Of a deleted scenario, what is left of it.`,
          params: IdParams,
          querystring: Type.Object(
            { run: Type.Optional(Type.Integer({ minimum: 1, description: 'all runs when absent' })) },
            { additionalProperties: false },
          ),
          response: {
            200: { ...Timeline, description: 'the timeline' },
            ...problems('scenario_not_found', 'run_not_found'),
          },
        },
      },
      async request => {
        const { id } = request.params;
        const { run } = request.query;
        const filter = SUBJECTS.eventsOf('scenario', id);
        const extent = await ports.journal.extent(filter);
        const found = new Map<string, TimelineItem>();
        let omitted = 0;
        for await (const { subject, body } of extent === null ? [] : storedEntries(ports, filter, extent)) {
          const read = readFact(subject.slice(subject.lastIndexOf('.') + 1), body);
          if (read === null || (run !== undefined && read.item.run !== run)) continue;
          found.set(read.key, read.item);
          const oldest = found.keys().next();
          if (found.size <= LIMITS.timelineItems || oldest.done === true) continue;
          found.delete(oldest.value);
          omitted += 1;
        }
        // What was never there is not found; what is deleted has a timeline for as long as its facts are kept.
        if (found.size === 0) await gateway.run(id, run ?? null);
        return { items: [...found.values()], omitted };
      },
    );
  };
