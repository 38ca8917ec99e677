/** Metrics of one name as nodes tell them to each other, and their text for Prometheus. */
import { AggregatorRegistry } from 'prom-client';
import Type, { type Static } from 'typebox';

const Label = Type.Union([Type.String(), Type.Number()]);

/** prom-client's own form, as far as it is needed. */
export const Family = Type.Object({
  name: Type.String({ pattern: '^[a-zA-Z_:][a-zA-Z0-9_:]*$' }),
  help: Type.String(),
  type: Type.Union([
    Type.Literal('counter'),
    Type.Literal('gauge'),
    Type.Literal('histogram'),
    Type.Literal('summary'),
  ]),
  values: Type.Array(
    Type.Object({
      value: Type.Number(),
      labels: Type.Record(Type.String(), Label),
      metricName: Type.Optional(Type.String({ pattern: '^[a-zA-Z_:][a-zA-Z0-9_:]*$' })),
    }),
  ),
});
export type Family = Static<typeof Family>;

export const Families = Type.Array(Family, { maxItems: 1_000 });

export const CONTENT_TYPE = AggregatorRegistry.PROMETHEUS_CONTENT_TYPE;

/** The families of several nodes as one text: each name once, every value with its node. */
export function exposition(byNode: ReadonlyMap<string, readonly Family[]>): Promise<string> {
  const all = [...byNode].map(([node, families]) =>
    families.map(family => ({
      ...family,
      // Of equal labels, which there are none: each has its node.
      aggregator: 'first',
      values: family.values.map(({ labels, ...rest }) => ({ ...rest, labels: { node, ...labels } })),
    })),
  );
  return AggregatorRegistry.aggregate(all).metrics();
}
