/**
 * The metrics of all live nodes as one text: nodes without the role api have no HTTP of their own.
 *
 * CM1 Every node is asked at the same time and for a bounded one; who does not answer is `troupe_node_up 0`, and the others are shown.
 * CM2 A node that is no longer heard of stays as down for `nodeDownMs`: an alert needs something to look at.
 */
import type { Bus } from '../../actors/ports/bus.ts';
import type { Clock } from '../../actors/ports/clock.ts';
import type { NodeDirectory } from '../../actors/ports/node-directory.ts';
import type { MetricsText } from '../../actors/ports/telemetry.ts';
import { toJson } from '../../domain/json.ts';
import { LIMITS } from '../../domain/limits.ts';
import { parseJson } from '../../domain/parse.ts';
import { SUBJECTS } from '../../domain/subjects.ts';
import { CONTENT_TYPE, exposition, Families, type Family } from './family.ts';
import type { Metrics } from './metrics.ts';

export interface ClusterMetricsPorts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly directory: NodeDirectory;
  readonly metrics: Metrics;
}

/** Answers other nodes. */
export function serveMetrics({ bus, metrics }: Pick<ClusterMetricsPorts, 'bus' | 'metrics'>, node: string) {
  return bus.subscribe(SUBJECTS.control(node, 'metrics'), ({ reply }) => {
    // Without an answer the asker goes on without this node, and shows that.
    if (reply !== null)
      metrics.families().then(
        families => bus.publish(reply, toJson(families)),
        () => {},
      );
  });
}

export class ClusterMetrics implements MetricsText {
  readonly contentType = CONTENT_TYPE;
  readonly #ports: ClusterMetricsPorts;
  readonly #node: string;
  /** When each node was last alive (CM2). */
  readonly #heard = new Map<string, number>();

  constructor(ports: ClusterMetricsPorts, node: string) {
    this.#ports = ports;
    this.#node = node;
  }

  async text(scope: 'cluster' | 'node'): Promise<string> {
    const { metrics } = this.#ports;
    const others = scope === 'node' ? [] : this.#others();
    const asked = others.map(async node => [node, await this.#ask(node)] as const);
    const answers = [[this.#node, await metrics.families()] as const, ...(await Promise.all(asked))];
    return exposition(new Map(answers.map(([node, families]) => [node, [up(families), ...(families ?? [])]])));
  }

  /** CM2 */
  #others(): string[] {
    const { clock, directory } = this.#ports;
    const now = clock.monotonic();
    for (const { id } of directory.alive()) this.#heard.set(id, now);
    for (const [node, at] of this.#heard)
      if (now - at > LIMITS.nodeDownMs || node === this.#node) this.#heard.delete(node);
    return [...this.#heard.keys()];
  }

  /** CM1 */
  async #ask(node: string): Promise<Family[] | null> {
    try {
      const { body } = await this.#ports.bus.request(
        SUBJECTS.control(node, 'metrics'),
        Buffer.alloc(0),
        LIMITS.metricsMs,
      );
      return parseJson(Families, body);
    } catch {
      return null; // whatever it was, it shows as 0
    }
  }
}

const up = (families: readonly Family[] | null): Family => ({
  name: 'troupe_node_up',
  help: 'Whether the node told its metrics.',
  type: 'gauge',
  values: [{ value: families === null ? 0 : 1, labels: {} }],
});
