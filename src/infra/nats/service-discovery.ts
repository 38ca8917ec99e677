/**
 * A process as an instance of the NATS service `troupe`: what `nats micro ls`, `info` and `stats` ask for
 * (NATS architecture and design, ADR-32).
 *
 * SD1 PING, INFO and STATS are answered on `$SRV.<verb>`, `$SRV.<verb>.troupe` and `$SRV.<verb>.troupe.<id>`, by every instance.
 * SD2 Every answer says its type, the service, the instance, its version and its metadata; times are whole nanoseconds.
 * SD3 An answer is a view: nothing is stored, and who listens on nothing is told so by the server.
 */
import type { Bus, Subscription } from '../../actors/ports/bus.ts';
import type { Endpoint } from '../../actors/runtime/endpoint.ts';
import { toJson } from '../../domain/json.ts';
import { LIMITS } from '../../domain/limits.ts';
import { SERVICE, SUBJECTS } from '../../domain/subjects.ts';

export interface ServiceInstance {
  /** No other process' own. */
  readonly id: string;
  /** SemVer. */
  readonly version: string;
  readonly description: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly startedAt: string;
  readonly endpoints: readonly {
    readonly endpoint: Endpoint;
    /** Told with its statistics. */
    data?(): unknown;
  }[];
}

const VERBS = ['PING', 'INFO', 'STATS'] as const;
type Verb = (typeof VERBS)[number];

/** @throws what a `data` throws */
function answerTo(verb: Verb, instance: ServiceInstance): object {
  const { id, version, description, metadata, startedAt, endpoints } = instance;
  const standard = { type: `io.nats.micro.v1.${verb.toLowerCase()}_response`, name: SERVICE, id, version, metadata };
  switch (verb) {
    case 'PING':
      return standard;
    case 'INFO':
      return {
        ...standard,
        description,
        endpoints: endpoints.map(({ endpoint: { options } }) => ({
          name: options.name,
          subject: options.subject,
          queue_group: options.queue,
          metadata: { description: options.description },
        })),
      };
    case 'STATS':
      return {
        ...standard,
        started: startedAt,
        endpoints: endpoints.map(({ endpoint: { options, tally }, data }) => ({
          name: options.name,
          subject: options.subject,
          queue_group: options.queue,
          num_requests: tally.requests,
          num_errors: tally.errors,
          last_error: tally.lastError.slice(0, LIMITS.reasonChars),
          processing_time: nanos(tally.busyMs),
          average_processing_time: tally.requests === 0 ? 0 : nanos(tally.busyMs / tally.requests),
          ...(data === undefined ? {} : { data: data() }),
        })),
      };
  }
}

const nanos = (ms: number): number => Math.trunc(ms * 1e6);

export function serveDiscovery(bus: Bus, instance: ServiceInstance): Subscription {
  const subscriptions = VERBS.flatMap(verb =>
    SUBJECTS.service(verb, instance.id).map(subject =>
      bus.subscribe(subject, ({ reply }) => {
        if (reply !== null) bus.publish(reply, toJson(answerTo(verb, instance)));
      }),
    ),
  );
  return { close: () => subscriptions.forEach(subscription => subscription.close()) };
}
