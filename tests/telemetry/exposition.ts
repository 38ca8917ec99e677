/**
 * A strict reader of Prometheus' text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/): what it does
 * not accept Prometheus may not either. It also holds what the format only recommends: HELP and TYPE of every family, one group
 * per family, no sample twice, histograms that add up.
 */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly help: string;
  readonly type: string;
  readonly samples: Sample[];
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`);
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/y;
const VALUE = /^([+-]Inf|NaN|[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)$/;
const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  counter: [''],
  gauge: [''],
  histogram: ['_bucket', '_sum', '_count'],
  summary: ['', '_sum', '_count'],
};

/** @throws with the line that is wrong */
export function readExposition(text: string): Map<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  const families = new Map<string, Family>();
  const seen = new Set<string>();
  let help: readonly [string, string] | null = null;
  let current: readonly [string, Family] | null = null;
  for (const line of text.split('\n')) {
    const wrong = (why: string): Error => new Error(`${why}: ${line}`);
    if (line === '') continue;
    if (line.startsWith('# HELP ')) {
      const [, name = '', words = ''] = new RegExp(`^# HELP (${NAME}) (.+)$`).exec(line) ?? [];
      if (name === '') throw wrong('no help');
      help = [name, words];
      continue;
    }
    if (line.startsWith('# TYPE ')) {
      const [, name = '', type = ''] = new RegExp(`^# TYPE (${NAME}) (\\w+)$`).exec(line) ?? [];
      if (SUFFIXES[type] === undefined) throw wrong('no type');
      if (help?.[0] !== name) throw wrong('no HELP before');
      if (families.has(name)) throw wrong('a second group of one family');
      current = [name, { help: help[1], type, samples: [] }];
      families.set(...current);
      continue;
    }
    if (line.startsWith('#')) throw wrong('a comment that is none of ours');
    const [, name = '', inside, number = ''] = SAMPLE.exec(line) ?? [];
    if (!VALUE.test(number)) throw wrong('no sample');
    if (current === null) throw wrong('no TYPE before');
    const [family, { type, samples }] = current;
    if (!(SUFFIXES[type] ?? []).some(suffix => name === family + suffix)) throw wrong(`not of ${family}`);
    if (type === 'counter' && family.startsWith('troupe_') && !family.endsWith('_total')) throw wrong('no _total');
    const labels = readLabels(inside ?? '', wrong);
    const key = `${name} ${keyOf(labels)}`;
    if (seen.has(key)) throw wrong('a sample twice');
    seen.add(key);
    samples.push({ name, labels, value: Number(number.replace('Inf', 'Infinity')) });
  }
  for (const [name, family] of families) if (family.type === 'histogram') checkHistogram(name, family);
  return families;
}

function readLabels(inside: string, wrong: (why: string) => Error): Record<string, string> {
  const labels: Record<string, string> = {};
  for (LABEL.lastIndex = 0; LABEL.lastIndex < inside.length; ) {
    const [, name = '', value = ''] = LABEL.exec(inside) ?? [];
    if (name === '') throw wrong('no labels');
    if (name in labels) throw wrong('a label twice');
    labels[name] = value;
  }
  return labels;
}

/** In whatever order the labels stand. */
const keyOf = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .map(([name, value]) => JSON.stringify([name, value]))
    .sort((a, b) => (a < b ? -1 : 1))
    .join();

function checkHistogram(name: string, { samples }: Family): void {
  const rows = Map.groupBy(samples, ({ labels }) => keyOf({ ...labels, le: '' }));
  for (const [labels, row] of rows) {
    const buckets = row.filter(sample => sample.name === `${name}_bucket`);
    const count = row.find(sample => sample.name === `${name}_count`)?.value;
    const bounds = buckets.map(({ labels: { le = '' } }) => Number(le.replace('Inf', 'Infinity')));
    const values = buckets.map(({ value }) => value);
    const rises = (of: readonly number[]): boolean => of.every((n, i) => i === 0 || n >= (of[i - 1] ?? 0));
    if (!rises(bounds) || !rises(values) || bounds.at(-1) !== Infinity || values.at(-1) !== count)
      throw new Error(`the histogram ${name} ${labels} does not add up`);
    if (!row.some(sample => sample.name === `${name}_sum`)) throw new Error(`${name} ${labels} has no sum`);
  }
}
